"""The pump face: AMiGA's routes under /pump, the page's under /api/pumps. One command, one motion, never a retry."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, HTTPException, Path, Query, Request
from fastapi.responses import JSONResponse

from common.config.schema import PumpConfig
from common.errors import NoAnswer, RigbusError
from common.gateway import pumps
from common.gateway.estop import EmergencyStop
from common.gateway.guard import address_of, control
from common.gateway.pump_requests import (
    CalibrateSeconds,
    Calibration,
    RunMl,
    RunMultiSeconds,
    RunSeconds,
    Stop,
)
from common.gateway.refusals import problem, refuse, status_of, words
from common.gateway.site import Site, site_of
from common.latch import CONFIRM

router = APIRouter(tags=["pumps"])
_MOVE_S = 5.0  # for an intent to be on the disk
_ASK_S = 2.0
_STOP_S = 2.0

_Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=66, description="the same as command_id")]


class Pumps:
    """The rig's pumps, one a gateway."""

    def __init__(self, site: Site, cfg: PumpConfig) -> None:
        self.site, self._cfg = site, cfg
        self.estop = EmergencyStop(site.daemons, site.folders, ["pump"], site.log)
        self.estop.done = site.asker.hurry

    @property
    def cfg(self) -> PumpConfig:
        """It may have changed since the start."""
        return self.site.config.pump or self._cfg

    def named(self, name: str) -> str:
        """Raises HTTPException."""
        try:
            return pumps.named(name, [pump.name for pump in self.cfg.pump])
        except pumps.Unknown as e:
            raise HTTPException(400, str(e)) from None

    async def ask(self, op: str, *, timeout_s: float = _ASK_S, urgent: bool = False, **fields: Any) -> dict[str, Any]:
        """Raises RigbusError."""
        reply: dict[str, Any] = await self.site.daemons.ask("pump", op, timeout_s=timeout_s, urgent=urgent, **fields)
        return reply

    async def command(self, op: str, **fields: Any) -> dict[str, Any]:
        """As `ask`, for what moves nothing. Raises HTTPException."""
        try:
            return await self.ask(op, **fields)
        except RigbusError as e:
            raise refuse(e) from None

    async def status(self) -> dict[str, Any]:
        """Raises RigbusError."""
        reply: dict[str, Any] = await self.site.daemons.ask("pump", "status", timeout_s=_ASK_S)
        if "pumps" not in reply:
            raise RigbusError("pump: it is still starting")
        return reply


async def _pumps(request: Request) -> Pumps:
    state, site = request.app.state, site_of(request)
    if site.config.pump is None or not site.config.pump.enabled:
        raise HTTPException(404, "no pumps are configured: there is no [pump]")
    if not hasattr(state, "pumps"):
        state.pumps = Pumps(site, site.config.pump)
    found: Pumps = state.pumps
    return found


_Rig = Annotated[Pumps, Depends(_pumps)]
_CONTROL = [Depends(control)]
_SAID: dict[int | str, dict[str, Any]] = {
    400: {"description": "no such pump"},
    409: {"description": "busy, locked, or not calibrated"},
    504: {"description": "no answer: it may have begun"},
}


async def _status(rig: Pumps) -> dict[str, Any]:
    """Raises HTTPException."""
    try:
        return await rig.status()
    except RigbusError as e:
        raise refuse(e) from None


def _id(said: str | None, key: str | None) -> str:
    """The command's id: of the body, of the header (quoted or not), else a new one."""
    key = key.strip().strip('"') if key else None
    if said is not None and key is not None and said != key:
        raise HTTPException(422, "command_id and Idempotency-Key are not the same")
    return said or key or pumps.new_command_id()


async def _move(rig: Pumps, op: str, command_id: str, shown: dict[str, Any], **fields: Any) -> Any:
    """One motion, asked for once. shown: what the old program's answer has, too."""
    fields = {key: value for key, value in fields.items() if value is not None}
    try:
        reply = await rig.ask(op, timeout_s=_MOVE_S, command_id=command_id, **fields)
    except NoAnswer as e:
        error = f"{e}; it may have begun: ask again under the same command_id, never under another"
        return problem(504, error, command_id=command_id)
    except RigbusError as e:
        return problem(status_of(e), str(e), command_id=command_id, reason=words(e).partition(":")[0])
    return {"status": "ok", "command_id": command_id, **shown,
            **{key: reply[key] for key in ("repeated", "runs", "warning")}}  # fmt: skip


async def _prime(rig: Pumps, names: list[str], body: RunSeconds | RunMultiSeconds, key: str | None) -> Any:
    found = [rig.named(name) for name in names]
    aimed: dict[str, Any] = {"pumps": found} if isinstance(body, RunMultiSeconds) else {"pump": found[0]}
    shown = {**aimed, "seconds": body.seconds, "hz": body.hz, "direction": body.direction}
    fields = {**aimed, "seconds": body.seconds, "hz": body.hz, "direction": body.direction}
    return await _move(rig, "prime", _id(body.command_id, key), shown, **fields)


@router.post("/pump/run-seconds", dependencies=_CONTROL, responses=_SAID)
@router.post("/api/pumps/prime", dependencies=_CONTROL, responses=_SAID)
async def run_seconds(rig: _Rig, body: RunSeconds, key: _Key = None) -> Any:
    """Runs a pump for a time. Answers when it has begun."""
    return await _prime(rig, [body.pump], body, key)


@router.post("/pump/run-multi-seconds", dependencies=_CONTROL, responses=_SAID)
async def run_multi_seconds(rig: _Rig, body: RunMultiSeconds, key: _Key = None) -> Any:
    """Runs several pumps for a time: all of them, or none."""
    return await _prime(rig, body.pumps, body, key)


@router.post("/pump/run-ml", dependencies=_CONTROL, responses=_SAID)
@router.post("/api/pumps/dispense", dependencies=_CONTROL, responses=_SAID)
async def run_ml(rig: _Rig, body: RunMl, key: _Key = None) -> Any:
    """Dispenses a volume. Answers when it has begun."""
    name = rig.named(body.pump)
    shown = {"pump": name, "ml": body.ml, "hz": body.hz, "direction": body.direction}
    return await _move(rig, "dispense", _id(body.command_id, key), shown, **shown)


@router.post("/pump/calibrate-seconds", dependencies=_CONTROL, responses=_SAID)
async def calibrate_seconds(rig: _Rig, body: CalibrateSeconds, key: _Key = None) -> Any:
    """Runs a pump forward for a time, so that what it delivers can be measured."""
    name = rig.named(body.pump)
    told = f"Measure the mL when it has ended, then POST ml_per_sec (or ml) to /pump/calibration for {name!r}."
    shown = {"pump": name, "run_seconds": body.run_seconds, "hz": body.hz, "message": told}
    return await _move(
        rig, "prime", _id(body.command_id, key), shown, pump=name, seconds=body.run_seconds, hz=body.hz,
        direction="forward",
    )  # fmt: skip


@router.get("/pump/calibration")
async def calibration(rig: _Rig, pump: Annotated[str | None, Query(max_length=64)] = None) -> Any:
    """Of each pump: `steps_per_ml`, and what that makes at `hz` (`ml_per_sec`; null: not calibrated)."""
    names = [rig.named(pump)] if pump is not None else [cfg.name for cfg in rig.cfg.pump]
    hz = {cfg.name: cfg.hz for cfg in rig.cfg.pump}
    found = {}
    for name in names:
        reply = await rig.command("calibrate", pump=name)
        rate = pumps.ml_per_s(reply["steps_per_ml"], hz[name])
        found[name] = {
            "ml_per_sec": rate,
            "hz": hz[name],
            **{k: reply[k] for k in ("steps_per_ml", "driver", "run", "t")},
        }
    return {"pumps": found}


@router.post("/pump/calibration", dependencies=_CONTROL, responses=_SAID)
async def calibrate(rig: _Rig, body: Calibration) -> Any:
    """What a run was measured to deliver. A rate without a run that it could be of is refused (409)."""
    name = rig.named(body.pump)
    if (body.ml_per_sec is None) == (body.ml is None):
        raise HTTPException(422, "one of ml_per_sec and ml is needed")
    if body.ml_per_sec is not None:
        if body.run is not None:
            raise HTTPException(422, "ml_per_sec is of the newest run: say ml with run")
        status = await _status(rig)
        last = next(p["last"] for p in status["pumps"] if p["pump"] == name)
        try:
            run, ml = pumps.measured(last, name, body.ml_per_sec)
        except pumps.NoRun as e:
            raise HTTPException(409, str(e)) from None
        await rig.command("calibrate", pump=name, run=run, ml=ml)
    else:
        await rig.command("calibrate", pump=name, ml=body.ml, run=body.run)
    return await calibration(rig, name)


@router.post("/pump/stop-all")
async def stop_all(rig: _Rig, request: Request) -> Any:
    """The emergency stop of the pumps: it latches. A body is not looked at; a token that may look is enough."""
    found = await rig.estop.stop("", "stop-all over HTTP", address_of(request.scope))
    told = {key: found[key] for key in ("locked", "stopped", "saved")}
    if not found["ok"]:
        return problem(503, f"pump: {found['failed']['pump']} (use the switch on the rig)", **told)
    return {"status": "ok", "message": "Emergency Stop Active", **told}


@router.post("/pump/unlock-all", dependencies=_CONTROL)
async def unlock_all(rig: _Rig) -> Any:
    """Takes the emergency stop back. Nothing starts by it."""
    reply = await rig.command("unlock", confirm=CONFIRM)
    return {"status": "ok", "message": "Pumps Unlocked", "locked": reply["locked"]}


@router.get("/pump/status")
async def status(rig: _Rig) -> Any:
    """What runs, and whether the emergency stop is set."""
    reply = await _status(rig)
    running = [pump["pump"] for pump in reply["pumps"] if pump["run"]]
    return {**{k: reply[k] for k in ("locked", "locked_by", "pumps")}, "running_pumps": running}


@router.post("/api/pumps/stop")
async def stop(rig: _Rig, body: Annotated[Stop | None, Body()] = None) -> Any:
    """Ends the run of a pump, or of all; nothing is locked. Needs no more than a token that may look."""
    pump = body.pump if body else None
    if pump is None:
        reply = await rig.command("stop_all", urgent=True, timeout_s=_STOP_S)
    else:
        reply = await rig.command("stop", urgent=True, timeout_s=_STOP_S, pump=rig.named(pump))
    return {"stopped": reply["stopped"]}


@router.get("/api/pumps/commands/{command_id}", responses={404: {"description": "nobody knows this id"}})
async def command(rig: _Rig, command_id: Annotated[str, Path(max_length=64)]) -> Any:
    """What came of a command: from the daemon and from the record. It moves nothing."""
    answers = True
    try:
        found = (await rig.status())["pumps"]
    except RigbusError:
        found, answers = [], False
    events: list[dict[str, Any]] = []
    stored = rig.site.stored
    if stored.path.exists():
        events = await stored.run(lambda _: pumps.events_of(stored.path, command_id))
    known = pumps.came_to(command_id, found, events)
    if known is None:
        raise HTTPException(404 if answers else 503, f"nothing is known of the command {command_id!r}")
    return JSONResponse({**known, "answers": answers})
