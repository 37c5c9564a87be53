"""A gateway of invented data for looking at the page in states that a rig rarely has.

`python tests/page/fake_gateway.py --port 0 --state warning` prints its address. `POST /fake {"state": …}` changes it:
normal, warning, fault, latched, stale (nothing more is sent), thermostat (its daemon is silent), waiting (no data yet).
Commands are answered as by a rig whose pumps take 0.3 s a mL; nothing else of a rig is imitated.
"""

import argparse
import asyncio
import copy
import time
from pathlib import Path
from typing import Any

import msgpack
import uvicorn
from fake_status import sections
from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

PAGE = Path(__file__).parents[2] / "common" / "gateway" / "page"
S_PER_ML = 0.3


class Rig:
    """What the fake knows: the state, the latch, the runs."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.locked_t: int | None = None
        self.runs: dict[str, dict[str, Any]] = {}
        self.commands: dict[str, dict[str, Any]] = {}
        self.stops = 0  # how often an emergency stop was asked for
        self.set(state)

    def set(self, state: str) -> None:
        self.state = state
        self.locked_t = time.time_ns() - 27 * 10**9 if state == "latched" else None

    def look(self) -> dict[str, Any]:
        now = time.time_ns()
        for pump, run in list(self.runs.items()):
            if now - run["began_t"] >= run["planned_s"] * 1e9:
                self.end(pump, "done", None)
        made = sections(self.state, now)
        by_name = {pump["pump"]: pump for pump in made["pumps"]["pumps"]}
        for pump, run in self.runs.items():
            share = (now - run["began_t"]) / 1e9 / run["planned_s"]
            by_name[pump]["run"] = {**run, "steps": int(share * run["planned_steps"])}
        for command in self.commands.values():
            for last in command["ended"]:
                by_name[last["pump"]]["last"] = last
                made["pumps"]["events"].insert(0, {**last, "event": last["state"]})
        if self.locked_t:
            for name in ("pumps", "arm"):
                made[name] |= {"locked": True, "locked_by": "page", "locked_t": self.locked_t}
            for pump in by_name.values():
                pump["run"] = None if pump["pump"] not in self.runs else pump["run"]
        return made

    def begin(self, command_id: str, pump: str, ml: float | None, seconds: float, direction: str) -> dict[str, Any]:
        if command_id in self.commands:
            return {"runs": [], "repeated": True, "warning": ""}
        if self.locked_t:
            raise HTTPException(409, "locked: the emergency stop is set")
        if pump in self.runs:
            raise HTTPException(409, f"busy: {pump} runs")
        run = {
            "command_id": command_id, "pump": pump, "action": "prime" if ml is None else "dispense",
            "direction": direction, "planned_s": seconds, "planned_ml": ml, "planned_steps": int(seconds * 10_000),
            "steps": 0, "began_t": time.time_ns(),
        }  # fmt: skip
        self.runs[pump] = run
        self.commands[command_id] = {"command_id": command_id, "state": "running", "running": [run], "ended": []}
        return {"runs": [run], "repeated": False, "warning": ""}

    def end(self, pump: str, state: str, reason: str | None) -> None:
        run = self.runs.pop(pump)
        gone = min(1.0, (time.time_ns() - run["began_t"]) / 1e9 / run["planned_s"])
        ml = None if run["planned_ml"] is None else run["planned_ml"] * gone
        ended = {**run, "t": time.time_ns(), "state": state, "reason": reason, "ml": ml}
        ended["seconds"] = run["planned_s"] * gone
        self.commands[run["command_id"]] |= {"state": state, "running": [], "ended": [ended]}

    def estop(self) -> dict[str, Any]:
        self.stops += 1
        self.locked_t = self.locked_t or time.time_ns()
        stopped = list(self.runs)
        for pump in stopped:
            self.end(pump, "stopped", "estop")
        return {"locked": True, "stopped": stopped, "detail": ""}


def application(rig: Rig) -> FastAPI:
    app = FastAPI()

    @app.exception_handler(HTTPException)
    async def _problem(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail, "detail": None}, error.status_code)

    @app.post("/fake")
    async def fake(body: dict[str, Any]) -> dict[str, Any]:
        rig.set(body["state"])
        return {"stops": rig.stops}

    @app.get("/api/status")
    async def status() -> dict[str, Any]:
        return rig.look()

    @app.get("/api/series")
    async def series(request: Request) -> Response:
        names = request.query_params.getlist("name")
        empty = {"unit": "", "kind": "line", "period_s": None, "first_t": None}
        empty |= dict.fromkeys(("t", "min", "max", "mean", "n"), b"")
        bounds = {key: float(request.query_params[key]) for key in ("from", "to")}
        made = {**bounds, "source": 0, "series": dict.fromkeys(names, empty)}
        return Response(msgpack.packb(made), media_type="application/msgpack")

    @app.get("/api/query/{verb}")
    async def query(verb: str) -> list[Any]:
        return []

    @app.post("/api/estop")
    async def estop() -> dict[str, Any]:
        return rig.estop()

    @app.post("/api/unlock")
    async def unlock(body: dict[str, Any]) -> dict[str, Any]:
        if body.get("confirm") != "unlock":
            raise HTTPException(422, "confirm: the word is missing")
        rig.set("normal")
        return {"locked": False}

    @app.post("/api/pumps/dispense")
    async def dispense(body: dict[str, Any]) -> dict[str, Any]:
        return rig.begin(body["command_id"], body["pump"], body["ml"], body["ml"] * S_PER_ML, body["direction"])

    @app.post("/api/pumps/prime")
    async def prime(body: dict[str, Any]) -> dict[str, Any]:
        return rig.begin(body["command_id"], body["pump"], None, body["seconds"], body["direction"])

    @app.post("/api/pumps/stop")
    async def stop(body: dict[str, Any]) -> dict[str, Any]:
        if body["pump"] in rig.runs:
            rig.end(body["pump"], "stopped", "user")
        return {"stopped": [body["pump"]]}

    @app.get("/api/pumps/commands/{command_id}")
    async def command(command_id: str) -> dict[str, Any]:
        rig.look()
        if command_id not in rig.commands:
            raise HTTPException(404, "nothing is known of this command")
        return rig.commands[command_id]

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        sender = asyncio.create_task(_feed(rig, socket))
        try:
            while True:
                said = await socket.receive_json()
                reply = {"type": "reply", "op": said["op"], "ok": True}
                if said["op"] == "estop":
                    reply |= {"command_id": said["command_id"], **rig.estop()}
                if rig.state != "stale" and said["op"] in ("estop", "ping"):
                    await socket.send_bytes(msgpack.packb(reply))
        except WebSocketDisconnect:
            pass
        finally:
            sender.cancel()

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


async def _feed(rig: Rig, socket: WebSocket) -> None:
    names = list(rig.look())
    hello = {"type": "hello", "v": 1, "node": "rig1", "page": "fake", "t": time.time_ns(), "sections": names}
    await socket.send_bytes(msgpack.packb(hello))
    before: dict[str, Any] = {}
    while True:
        if rig.state != "stale":
            now = rig.look()
            changed = {name: value for name, value in now.items() if before.get(name, ...) != value}
            message = {"type": "status", "t": time.time_ns(), "sections": changed}
            await socket.send_bytes(msgpack.packb(message))
            before = copy.deepcopy(now)
        await asyncio.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", default="normal")
    args = parser.parse_args()
    config = uvicorn.Config(application(Rig(args.state)), host="127.0.0.1", port=args.port, log_level="warning")
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    print(f"http://127.0.0.1:{socket.getsockname()[1]}/", flush=True)
    server.run(sockets=[socket])


if __name__ == "__main__":
    main()
