"""The ledger of commands: an id is known from before its command leaves, whatever happens to the process."""

import os

import pytest

from common.arm import ledger as module
from common.arm.commands import MAX_SEQ, check
from common.arm.ledger import KEEP, Ledger
from common.errors import RigbusError

ORDER = check(1, {"id": 1, "angle": 2.5, "delay_ms": 3})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dds" / "commands.jsonl"


def test_an_intent_is_known_to_the_next_process(path):
    first = Ledger(path)
    record = first.intend("a", "corr", ORDER, 5)
    second = Ledger(path)  # the first is still open: it was killed
    found = second.find("a")
    assert found == record
    assert (found.state, found.funcode, found.data, found.correlation_id) == ("intent", 1, ORDER.data, "corr")
    assert second.next_seq == record.seq + 1


def test_what_came_of_it_is_known_too(path):
    first = Ledger(path)
    record = first.intend("a", "a", ORDER, 5)
    record.state, record.received, record.result = "sent", 1, "arrived"
    first.note(record)
    assert Ledger(path).find("a") == record


def test_an_intent_is_on_the_disk_before_it_returns(path, monkeypatch):
    book, synced = Ledger(path), []
    monkeypatch.setattr(module.os, "fsync", lambda fd: synced.append(path.read_bytes()))
    book.intend("a", "a", ORDER, 5)
    assert len(synced) == 1
    assert b'"a"' in synced[0]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_costs_itself_alone(path, cut):
    book = Ledger(path)
    book.intend("a", "a", ORDER, 5)
    book.intend("b", "b", ORDER, 5)
    os.truncate(path, path.stat().st_size - cut)
    again = Ledger(path)
    assert again.find("a") is not None
    again.intend("c", "c", ORDER, 5)
    assert {record.command_id for record in Ledger(path).records()} >= {"a", "c"}


def test_garbage_in_the_file_is_passed_over(path):
    book = Ledger(path)
    book.intend("a", "a", ORDER, 5)
    with path.open("ab") as file:
        file.write(b'\xff\xfe\n{"command_id":7}\n[]\nnull\n')
    assert [record.command_id for record in Ledger(path).records()] == ["a"]


def test_it_keeps_the_newest_only_and_its_file_small(path, monkeypatch):
    monkeypatch.setattr(module, "_REWRITE_LINES", KEEP + 100)
    monkeypatch.setattr(module.os, "fsync", lambda fd: None)
    book = Ledger(path)
    for n in range(KEEP + 300):
        book.intend(f"c{n}", "x", ORDER, 5)
    assert len(book.records()) == KEEP
    assert book.find("c299") is None
    assert book.find("c300") is not None
    assert len([line for line in path.read_bytes().split(b"\n") if line]) <= KEEP + 100
    assert [record.command_id for record in Ledger(path).records()] == [f"c{n}" for n in range(300, KEEP + 300)]


def test_numbers_go_on_and_turn_over(path):
    book = Ledger(path)
    assert [book.intend(name, name, ORDER, 5).seq for name in "ab"] == [1, 2]
    book.next_seq = MAX_SEQ
    assert [book.intend(name, name, ORDER, 5).seq for name in "cd"] == [MAX_SEQ, 1]
    assert book.of_seq(1).command_id == "d"


def test_a_number_that_somebody_else_used_is_not_ours(path):
    book = Ledger(path)
    book.intend("a", "a", ORDER, 5)
    book.forget_seq(1)
    assert book.of_seq(1) is None
    assert book.find("a") is not None


def test_a_disk_that_refuses_is_one_line_and_the_id_is_not_known(path, monkeypatch):
    book = Ledger(path)

    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(RigbusError, match=r"commands.jsonl: No space left on device"):
        book.intend("a", "a", ORDER, 5)
    assert book.find("a") is None


def test_a_short_write_is_an_error_and_harms_no_later_line(path, monkeypatch):
    book, write = Ledger(path), os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: write(fd, data[:20]))
    with pytest.raises(RigbusError):
        book.intend("a", "a", ORDER, 5)
    monkeypatch.undo()
    book.intend("b", "b", ORDER, 5)
    assert [record.command_id for record in Ledger(path).records()] == ["b"]


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "dds").write_text("")
    with pytest.raises(RigbusError):
        Ledger(tmp_path / "dds" / "commands.jsonl")
