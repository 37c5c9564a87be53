"""A ctl reply that needs time: others are answered meanwhile, and each gets its own."""

import io
import time
from concurrent.futures import Future

import msgpack
import pytest
import zmq

from common.bus.ctl import CtlServer
from common.errors import RigbusError
from common.log import Log


@pytest.fixture
def served(tmp_path):
    """(connect, futures, server): op `later` answers when its future does, `now` at once."""
    context = zmq.Context()
    futures = []
    sockets = []

    def later(request):
        futures.append(Future())
        return futures[-1]

    def done(request):
        future = Future()
        future.set_result({"was": "done"})
        return future

    log = io.StringIO()
    handlers = {"later": later, "done": done, "now": lambda request: {"word": request.get("word")}}
    server = CtlServer(context, tmp_path / "s", Log("x", log), handlers)

    def connect():
        socket = context.socket(zmq.DEALER)
        socket.linger, socket.rcvtimeo = 0, 30_000
        socket.connect(f"ipc://{tmp_path / 's'}")
        sockets.append(socket)
        return socket

    yield connect, futures, log
    server.stop()
    for socket in sockets:
        socket.close()
    context.term()


def ask(socket, **request):
    socket.send(msgpack.packb(request))


def answer(socket):
    return msgpack.unpackb(socket.recv_multipart()[-1])


def wait_for(futures, n):
    for _ in range(3000):
        if len(futures) >= n:
            return
        time.sleep(0.01)
    raise AssertionError(f"{len(futures)} of {n} requests came")


def test_others_are_answered_while_one_waits(served):
    connect, futures, _ = served
    slow, quick = connect(), connect()
    ask(slow, id=1, op="later")
    wait_for(futures, 1)
    ask(quick, id=2, op="now", word="hello")
    assert answer(quick) == {"id": 2, "ok": True, "word": "hello"}
    assert not slow.poll(0)
    futures[0].set_result({"took": "long"})
    assert answer(slow) == {"id": 1, "ok": True, "took": "long"}


def test_replies_come_in_the_order_they_are_done_each_with_its_id(served):
    connect, futures, _ = served
    socket = connect()
    for number in range(3):
        ask(socket, id=number, op="later")
    wait_for(futures, 3)
    for number in (2, 0, 1):
        futures[number].set_result({"n": number})
        assert answer(socket) == {"id": number, "ok": True, "n": number}


def test_one_that_is_done_already_is_answered_at_once(served):
    connect, _, _ = served
    socket = connect()
    ask(socket, id=7, op="done")
    assert answer(socket) == {"id": 7, "ok": True, "was": "done"}


def test_an_error_that_comes_later_is_one_of_the_known(served):
    connect, futures, log = served
    socket = connect()
    for n, (error, word) in enumerate([(RigbusError("the answer is no"), "refused"), (KeyError("x"), "failed")], 1):
        ask(socket, id=n, op="later")
        wait_for(futures, n)
        futures[-1].set_exception(error)
        reply = answer(socket)
        assert (reply["id"], reply["ok"], reply["error"]) == (n, False, word)
    assert len(log.getvalue().splitlines()) == 1


def test_a_later_reply_that_cannot_be_written_ends_nothing(served):
    connect, futures, _ = served
    socket = connect()
    for n, outcome in enumerate(({"x": object()}, {"x": 2**80}, None), 1):
        ask(socket, id=n, op="later")
        wait_for(futures, n)
        if outcome is None:
            futures[-1].cancel()
        else:
            futures[-1].set_result(outcome)
        assert answer(socket)["error"] == "failed"
    ask(socket, id=9, op="now")
    assert answer(socket)["ok"]


def test_an_answer_nobody_waits_for_any_more_does_no_harm(served):
    connect, futures, _ = served
    gone, other = connect(), connect()
    ask(gone, id=1, op="later")
    wait_for(futures, 1)
    gone.close()
    futures[0].set_result({})
    ask(other, id=2, op="now")
    assert answer(other)["ok"]


def test_while_the_daemon_starts_an_op_may_still_come_and_is_refused_not_unknown(tmp_path):
    context = zmq.Context()
    server = CtlServer(context, tmp_path / "s", Log("x", io.StringIO()), {})
    socket = context.socket(zmq.REQ)
    socket.linger, socket.rcvtimeo = 0, 30_000
    socket.connect(f"ipc://{tmp_path / 's'}")
    told = []
    for starting in (True, False):
        server.starting = starting
        socket.send(msgpack.packb({"op": "prime"}))
        told.append(msgpack.unpackb(socket.recv())["error"])
    socket.close()
    server.stop()
    context.term()
    assert told == ["refused", "unknown_op"]


def test_while_the_daemon_ends_nothing_acts_any_more_but_what_is_stored_is_told(tmp_path):
    context = zmq.Context()
    handlers = {op: lambda request: {} for op in ("runs", "estop", "prime")}
    server = CtlServer(context, tmp_path / "s", Log("x", io.StringIO()), handlers)
    server.ending = True
    socket = context.socket(zmq.REQ)
    socket.linger, socket.rcvtimeo = 0, 30_000
    socket.connect(f"ipc://{tmp_path / 's'}")
    told = {}
    for op in handlers:
        socket.send(msgpack.packb({"op": op}))
        reply = msgpack.unpackb(socket.recv())
        told[op] = reply.get("error", "done")
    socket.close()
    server.stop()
    context.term()
    assert told == {"runs": "done", "estop": "done", "prime": "refused"}
