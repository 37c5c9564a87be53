"""start, stop, pause and resume by the ctl socket: asked there, obeyed by the daemon's loop when it comes by."""

from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal

from common.errors import RigbusError
from common.runtime import Runtime

State = Literal["running", "paused", "stopped"]
_MOST_WAITING = 16
_LEADS_TO: dict[tuple[State, str], State] = {
    ("running", "start"): "running",
    ("running", "resume"): "running",
    ("running", "pause"): "paused",
    ("running", "stop"): "stopped",
    ("paused", "start"): "running",
    ("paused", "resume"): "running",
    ("paused", "pause"): "paused",
    ("paused", "stop"): "stopped",
    ("stopped", "start"): "running",
    ("stopped", "stop"): "stopped",
}


class Switch:
    """The state, and what it is asked to become. Each command is answered with the state that it has led to."""

    def __init__(self, rt: Runtime) -> None:
        self.state: State = "running"
        self._rt = rt
        self._asked: deque[tuple[str, Future[dict[str, Any]]]] = deque()
        for op in ("start", "stop", "pause", "resume"):
            rt.on(op, partial(self._ask, op))

    def _ask(self, op: str, _: dict[str, Any]) -> "Future[dict[str, Any]]":
        if len(self._asked) >= _MOST_WAITING:
            raise RigbusError("too many commands at once")
        answer: Future[dict[str, Any]] = Future()
        self._asked.append((op, answer))
        if self._rt.stopping:
            self.refuse_all()
        return answer

    def wanted(self) -> State | None:
        """The state that the oldest command leads to, until answer() or refuse(); None: nobody asks."""
        while self._asked:
            op = self._asked[0][0]
            state = _LEADS_TO.get((self.state, op))
            if state is not None:
                return state
            self.refuse(f"cannot {op}: {self.state}")
        return None

    def answer(self) -> None:
        """The oldest command is obeyed, and the state is what it says."""
        self._asked.popleft()[1].set_result({"state": self.state})

    def refuse(self, why: str) -> None:
        """The oldest command cannot be obeyed."""
        self._asked.popleft()[1].set_exception(RigbusError(why))

    def refuse_all(self) -> None:
        """The daemon ends: what was asked too late is told so."""
        while self._asked:
            try:
                self.refuse("the daemon ends")
            except IndexError:
                return  # the other thread was faster
