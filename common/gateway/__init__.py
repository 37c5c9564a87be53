"""The gateway: HTTP, WebSockets and the page. What stands where:

site         what every route is given
app          the application: guard, routes
server       uvicorn in a thread of its own
guard        who may: tokens, Host and Origin, rates, sizes
live         the bus: one thread reads it, viewers get batches
now          what is known now, in sections: /api/status and the page's numbers
attention    what is not normal, in words
daemons      asking daemons over their ctl sockets
stored       questions to the store, in a few threads
routes/      one module a face: rig, query, thermostat, pumps, arm, sensor, metrics, page
page/        the page itself: no build step
"""
