"""The middleware in a real FastAPI application, and the camera snapshots."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from common.telemetry import CameraSnapshots, TelemetryCollector, TelemetryMiddleware

MakeCollector = Callable[..., TelemetryCollector]


@pytest.fixture
def tc(collect: MakeCollector, tmp_path: Path) -> TelemetryCollector:
    return collect(tmp_path / "t.db")


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as conn:
        conn.row_factory = sqlite3.Row
        return [dict(row) for row in conn.execute(f"SELECT * FROM {table} ORDER BY id")]


def made(tc: TelemetryCollector) -> FastAPI:
    app = FastAPI()
    app.add_middleware(TelemetryMiddleware, collector=tc)

    @app.post("/api/joint/{joint_id}")
    async def joint(joint_id: int, request: Request) -> dict[str, Any]:
        await asyncio.sleep(0.05)
        tc.log_command(1, 1, joint_id, 1.0, None, request.state.correlation_id)
        return {"echo": await request.json(), "id": request.state.correlation_id}

    @app.get("/api/fails")
    async def fails() -> None:
        raise RuntimeError("broken")

    @app.get("/api/refused")
    async def refused() -> None:
        raise HTTPException(409, "no")

    @app.get("/api/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> Any:
            for _ in range(3):
                await asyncio.sleep(0.1)
                yield b"x"

        return StreamingResponse(parts())

    @app.get("/page")
    async def page() -> dict[str, Any]:
        return {}

    return app


def call(tc: TelemetryCollector, method: str, url: str, **options: Any) -> httpx.Response:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(made(tc), raise_app_exceptions=options.pop("strict", True))
        async with httpx.AsyncClient(transport=transport, base_url="http://robot") as client:
            return await client.request(method, url, **options)

    return asyncio.run(go())


def test_a_request_is_logged_with_its_time_status_and_parameters(tc: TelemetryCollector, tmp_path: Path) -> None:
    body = {"angle": 20.5, "token": "hunter2"}
    reply = call(tc, "POST", "/api/joint/3?slow=1", json=body, headers={"X-Correlation-Id": "abc"})
    assert reply.json() == {"echo": body, "id": "abc"}  # the handler still reads the body
    assert tc.flush()
    [row] = rows(tmp_path / "t.db", "web_requests")
    assert (row["endpoint"], row["method"], row["status_code"], row["ok"]) == ("/api/joint/3", "POST", 200, 1)
    assert json.loads(row["params_json"]) == {"joint_id": "3", "slow": "1", "angle": 20.5, "token": "***"}
    assert row["response_ms"] >= 50
    assert row["correlation_id"] == "abc"
    assert [s["event"]["type"] for s in tc.get_pipeline("abc")] == ["dds_publish", "cmd_sent"]


def test_without_a_header_a_correlation_id_is_made(tc: TelemetryCollector) -> None:
    reply = call(tc, "POST", "/api/joint/1", json={})
    assert len(reply.json()["id"]) == 12
    assert len(tc.get_pipeline(reply.json()["id"])) == 2


def test_an_exception_is_500_and_goes_on(tc: TelemetryCollector, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        call(tc, "GET", "/api/fails")
    assert call(tc, "GET", "/api/fails", strict=False).status_code == 500
    assert call(tc, "GET", "/api/refused").status_code == 409
    assert call(tc, "GET", "/api/nothing").status_code == 404
    assert tc.flush()
    found = [(r["status_code"], r["ok"]) for r in rows(tmp_path / "t.db", "web_requests")]
    assert found == [(500, 0), (500, 0), (409, 0), (404, 0)]


def test_other_paths_are_not_logged_nor_anything_while_disabled(tc: TelemetryCollector, tmp_path: Path) -> None:
    assert call(tc, "GET", "/page").status_code == 200
    tc.disable()
    assert call(tc, "GET", "/api/refused").status_code == 409
    tc.enable()
    assert tc.flush()
    assert rows(tmp_path / "t.db", "web_requests") == []


def test_of_a_stream_the_time_until_it_began_counts(tc: TelemetryCollector, tmp_path: Path) -> None:
    assert call(tc, "GET", "/api/stream").content == b"xxx"
    assert tc.flush()
    [row] = rows(tmp_path / "t.db", "web_requests")
    assert row["status_code"] == 200
    assert row["response_ms"] < 300


def test_a_cancelled_request_has_no_status(tc: TelemetryCollector, tmp_path: Path) -> None:
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(3600)

    async def go() -> None:
        scope = {"type": "http", "path": "/api/x", "method": "GET", "headers": [], "query_string": b""}
        wrapped = TelemetryMiddleware(endless, tc)
        task = asyncio.create_task(wrapped(scope, None, None))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert tc.flush()
    [row] = rows(tmp_path / "t.db", "web_requests")
    assert (row["status_code"], row["ok"]) == (None, 0)


def test_a_websocket_passes_through(tc: TelemetryCollector) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(TelemetryMiddleware(app, tc)({"type": "websocket", "path": "/api/ws"}, None, None))  # type: ignore[arg-type]
    assert seen == ["websocket"]


class Monitor:
    """As the seed's CameraHealthMonitor."""

    def __init__(self, fps: float) -> None:
        self.fps = fps

    @property
    def stats(self) -> dict[str, Any]:
        return {"camera_id": "x", "actual_fps": self.fps, "connected": True, "resolution": (640, 480), "stalled": False}


class Camera:
    def __init__(self, fps: float) -> None:
        self._health = Monitor(fps)


class Broken:
    @property
    def stats(self) -> dict[str, Any]:
        raise OSError("unplugged")


@pytest.fixture
def snapshots(tc: TelemetryCollector) -> Iterator[CameraSnapshots]:
    cameras = {0: Camera(29.5), "side": Monitor(15.0), "map": {"actual_fps": 1.0}, "call": lambda: {"actual_fps": 2.0}}
    made = CameraSnapshots(tc, cameras | {"bad": Broken(), "none": 5}, period_s=0.05)
    yield made
    made.stop()


def test_each_camera_is_logged_each_period(tc: TelemetryCollector, snapshots: CameraSnapshots, tmp_path: Path) -> None:
    snapshots.start()
    snapshots.start()
    deadline = time.monotonic() + 30
    while tc.get_stats()["total_events"] < 15:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    snapshots.stop()
    snapshots.stop()
    assert tc.flush()
    found = rows(tmp_path / "t.db", "camera_health")
    assert {(r["camera_id"], r["actual_fps"]) for r in found} == {
        ("0", 29.5),
        ("side", 15.0),
        ("map", 1.0),
        ("call", 2.0),
    }
    assert {(r["resolution_w"], r["resolution_h"], r["connected"]) for r in found if r["camera_id"] == "0"} == {
        (640, 480, 1)
    }
    silent = [r["detail"] for r in rows(tmp_path / "t.db", "system_events") if r["event_type"] == "camera_silent"]
    assert sorted(silent) == ["bad: OSError: unplugged", "none: TypeError: int has no stats"]  # once each


def test_a_period_must_be_above_0(tc: TelemetryCollector) -> None:
    with pytest.raises(ValueError, match="above 0"):
        CameraSnapshots(tc, {}, period_s=0)


@pytest.mark.parametrize("body", [b'{"a": "\xff"}', b"[" * 3000, b'{"a": ' + b"9" * 30 + b"}"])
def test_a_body_that_cannot_be_kept_costs_no_row(tc: TelemetryCollector, tmp_path: Path, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    call(tc, "POST", "/api/joint/3", content=body, headers=headers, strict=False)
    assert tc.flush()
    assert [row["endpoint"] for row in rows(tmp_path / "t.db", "web_requests")] == ["/api/joint/3"]
