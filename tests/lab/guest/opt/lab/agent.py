"""Guest agent on a virtio-serial port.  The host sends one JSON object a line; so is the answer, with the same "id":

{"cmd": str, "timeout": s}                          -> {"rc": int, "out": str, "t": seconds}
{"put": path, "n": bytes, "mode": int} + n raw bytes -> {"rc": 0 or 1, "out": str}
{"get": path}                                        -> {"rc": 0, "n": bytes} + n raw bytes
"""

import json
import os
import signal
import subprocess
import time
from typing import Any

port = os.open("/dev/virtio-ports/lab.0", os.O_RDWR)
buf = bytearray()


def fill() -> None:
    while True:
        try:
            chunk = os.read(port, 1 << 17)
        except OSError:
            chunk = b""
        if chunk:
            buf.extend(chunk)
            return
        time.sleep(0.1)  # nobody is connected on the host's side


def send(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(port, view) :]


def answer(request: dict[str, Any], **reply: Any) -> None:
    send((json.dumps(dict(reply, id=request.get("id"))) + "\n").encode())


def put(request: dict[str, Any]) -> None:
    while len(buf) < request["n"]:
        fill()
    data = bytes(buf[: request["n"]])
    del buf[: request["n"]]
    try:
        os.makedirs(os.path.dirname(request["put"]), exist_ok=True)
        with open(request["put"], "wb") as f:
            f.write(data)
        os.chmod(request["put"], request["mode"])
    except OSError as e:
        answer(request, rc=1, out=str(e))
    else:
        answer(request, rc=0, out="")


def get(request: dict[str, Any]) -> None:
    try:
        with open(request["get"], "rb") as f:
            data = f.read()
    except OSError as e:
        answer(request, rc=1, out=str(e), n=0)
    else:
        answer(request, rc=0, n=len(data))
        send(data)


def run(request: dict[str, Any]) -> None:
    start = time.monotonic()
    child = subprocess.Popen(
        ["/bin/bash", "-c", request["cmd"]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = child.communicate(timeout=request["timeout"])
        rc = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # the whole session, or a grandchild would keep the pipe open
        out, _ = child.communicate()
        rc = 124
    answer(request, rc=rc, out=out.decode("utf8", "replace"), t=round(time.monotonic() - start, 3))


send(b'\n{"hello": 1}\n')
while True:
    while b"\n" not in buf:
        fill()
    line, _, rest = bytes(buf).partition(b"\n")
    buf[:] = rest
    try:
        message = json.loads(line)
    except ValueError:
        continue
    (put if "put" in message else get if "get" in message else run)(message)
