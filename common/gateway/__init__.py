"""The gateway: HTTP, WebSockets and the page. What stands where:

site         what every route is given
app          the application: guard, routes
server       uvicorn in a thread of its own; http_connection: what asks nothing is ended
memory       what large answers leave behind
guard        who may: Host and Origin, rates, sizes
tokens       what somebody may do, by the token said
live         the bus: one thread reads it; viewers: who looks on, connection: one of them, reduce: samples for a screen
now          what is known now, in sections/: /api/status and the page's numbers; made of
             seen (the bus), asker (the daemons' status), books (the store, the account; written: the disk)
attention    what is not normal, in words
estop        the emergency stop
daemons      asking daemons over their ctl sockets; workers: threads for what blocks
stored       questions to the store, in a few threads
page_files   the page's files
routes/      one module a face: rig, query, thermostat, pumps, arm, sensor, metrics, page
page/        the page itself: no build step
"""
