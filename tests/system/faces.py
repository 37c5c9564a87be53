"""A rig with a gateway, for the tests of its faces: the same as a user's, asked over HTTP."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rig import ROOT, Rig

GATEWAY = "[gateway]\nport = 0\ncpu = 'none'\n"
READ, CONTROL = "look-at-me-0123456789", "move-me-0123456789"
TOKENS = f"RIGBUS_READ_TOKEN={READ}\nRIGBUS_CONTROL_TOKEN={CONTROL}\n"


class Faces:
    """`rig` with its processes, and a client of its gateway."""

    def __init__(self, rig: Rig, token: str = "") -> None:
        self.rig = rig
        self.url = rig.status("gateway")["url"]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=self.url, timeout=30.0, headers=headers, trust_env=False)

    @property
    def ws(self) -> str:
        return self.url.replace("http://", "ws://")

    def get(self, path: str, code: int = 200, **params: Any) -> Any:
        """The answer's JSON, or its text."""
        return _body(self.http.get(path, params=params), code)

    def post(self, path: str, body: Any = None, code: int = 200, **more: Any) -> Any:
        more = more if body is None else {**more, "json": body}
        return _body(self.http.post(path, **more), code)


def _body(answer: httpx.Response, code: int) -> Any:
    assert answer.status_code == code, (answer.request.url, answer.status_code, answer.text[:500])
    is_json = answer.headers["content-type"].startswith("application/json")
    if is_json and code >= 400:
        found = answer.json()
        assert set(found) == {"error", "detail"}, found
        assert "\n" not in found["error"], found
    return answer.json() if is_json else answer.text


@contextmanager
def running(extra: str, *names: str, env: str = "", token: str = "") -> Iterator[Faces]:
    """A rig of bus, sink, these daemons and the gateway. `sim-thermostat` starts the simulated one. env: its `.env`."""
    folder = Path(tempfile.mkdtemp(prefix="rf", dir="/tmp"))
    rig = Rig(folder, GATEWAY + extra)
    (folder / ".env").write_text(env)
    (folder / ".env").chmod(0o600)
    faces = None
    try:
        if "sim-thermostat" in names:
            start_sim_thermostat(rig)
        daemons = [name for name in names if name != "sim-thermostat"]
        rig.start("bus", "sink", *daemons, "gateway")
        rig.ready("bus", "sink", *daemons, "gateway")
        rig.until(lambda: "url" in rig.status("gateway"), "the gateway says where it is")
        faces = Faces(rig, token)
        yield faces
        faces.http.close()
        faces = None
        log = rig.log("gateway").read_text()
        assert "a request failed" not in log, log
        assert "Exception in ASGI" not in log, log
    finally:
        if faces is not None:
            faces.http.close()
        rig.close()
        shutil.rmtree(folder, ignore_errors=True)


def start_sim_thermostat(rig: Rig) -> None:
    rig.run.mkdir(exist_ok=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("RIGBUS")} | {"RIGBUS_SUPERVISOR": str(os.getpid())}
    with rig.log("sim-thermostat").open("ab") as log:
        rig.processes["sim-thermostat"] = subprocess.Popen(
            [sys.executable, "-m", "common.sims.thermostat", *rig.options], cwd=ROOT, env=env,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
