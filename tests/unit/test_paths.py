"""Where things stand, how long a socket's path may be, and one process a source."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from common import paths
from common.errors import RigbusError, UsageError
from common.latch import Latch
from common.paths import Folders, Lock, endpoint, is_held, open_to_group, require_whole
from common.rights import rights_of

FOLDERS = Folders(Path("/d"), Path("/r"))


def test_the_places_are_the_contracts():
    assert FOLDERS.store == Path("/d/rigbus.db")
    assert (FOLDERS.bus_in, FOLDERS.bus_out) == (Path("/r/in.sock"), Path("/r/out.sock"))
    assert FOLDERS.ctl("pulse") == Path("/r/pulse.ctl.sock")


def test_a_journal_is_in_memory_or_on_the_disk_and_its_counter_always_on_the_disk():
    assert FOLDERS.journal("pulse", "memory") == Path("/r/journal/pulse/segments")
    assert FOLDERS.journal("pulse", "disk") == Path("/d/journal/pulse/segments")
    assert FOLDERS.counters("pulse") == Path("/d/journal/pulse")


@pytest.mark.parametrize("letter", ["a", "ä"], ids=["ascii", "two bytes a letter"])
def test_a_socket_path_may_have_107_bytes_and_not_one_more(letter):
    size = len(letter.encode())
    longest = "/" + letter * (106 // size) + "b" * (106 % size)
    assert len(os.fsencode(longest)) == 107
    assert endpoint(Path(longest)) == f"ipc://{longest}"
    with pytest.raises(UsageError, match=r"107 bytes, this has 108") as error:
        endpoint(Path(longest + "c"))
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_folders_are_made_with_their_parents(tmp_path):
    folders = Folders(tmp_path / "a/b", tmp_path / "c")
    folders.make()
    folders.make()
    assert folders.data.is_dir()
    assert folders.run.is_dir()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RigbusError, match="file/d: cannot be made: Not a directory"):
        Folders(tmp_path / "file/d", tmp_path / "r").make()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_data_folder_that_may_not_be_used_is_named(tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    theirs, closed = tmp_path / "theirs", tmp_path / "closed"
    theirs.mkdir()
    os.chown(theirs, 1234, 1235)
    closed.mkdir(0o700)
    with rights_of(theirs), pytest.raises(RigbusError, match="closed: Permission denied"):
        require_whole(closed)


def test_a_socket_is_open_to_its_group_and_to_nobody_else(tmp_path):
    path = tmp_path / "s"
    path.touch(0o777)
    open_to_group(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


@pytest.fixture
def no_waiting(monkeypatch):
    """A lock that is held is looked at 40 times; here without the pauses."""
    pauses = []
    monkeypatch.setattr(paths.time, "sleep", pauses.append)
    return pauses


def test_a_second_lock_is_refused_by_name(tmp_path, no_waiting):
    first = Lock(tmp_path / "x/lock")
    with pytest.raises(RigbusError, match=r"x/lock is held by another process of this name$"):
        Lock(tmp_path / "x/lock")
    assert sum(no_waiting) == pytest.approx(2.0)
    first.release()


def test_a_lock_can_be_had_again_when_it_is_released(tmp_path, no_waiting):
    path = tmp_path / "lock"
    Lock(path).release()
    second = Lock(path)
    assert no_waiting == []
    assert is_held(path)
    second.release()
    assert not is_held(path)


def test_a_lock_waits_for_somebody_who_only_looks(tmp_path, monkeypatch):
    """`is_held` holds it for an instant: no daemon may fail to start because of that."""
    path = tmp_path / "lock"
    path.touch()
    looking = Lock(path)
    monkeypatch.setattr(paths.time, "sleep", lambda seconds: looking.release())
    Lock(path).release()


def test_what_is_not_there_is_not_held(tmp_path):
    assert not is_held(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


def test_looking_does_not_take_it(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    assert not is_held(path)
    assert not is_held(path)
    Lock(path).release()


def test_a_killed_process_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from common.paths import Lock; "
        "lock = Lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "held\n"
        assert is_held(path)
        child.kill()
        child.wait(30)
        assert not is_held(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("folder_is_there", [True, False])
def test_a_lock_that_root_makes_belongs_to_whom_the_folder_does(tmp_path, folder_is_there):
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    os.chown(tmp_path, 1234, 1235)
    path = tmp_path / "pulse" / "lock"
    if folder_is_there:
        path.parent.mkdir()
        os.chown(path.parent, 1234, 1235)
    Lock(path).release()
    for made in (path, path.parent):
        assert (made.stat().st_uid, made.stat().st_gid) == (1234, 1235)
    assert path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to], ids=["symlink", "hard link"])
def test_a_lock_is_no_link_to_what_is_somebody_elses(tmp_path, make):
    """Root takes locks in folders where others may write: it would give them the file."""
    theirs, path = tmp_path / "theirs", tmp_path / "lock"
    theirs.write_text("x")
    theirs.chmod(0o600)
    make(path, theirs)
    with pytest.raises(RigbusError, match="lock: "):
        Lock(path)
    assert theirs.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("uid", [0, 4321], ids=["root", "one of the group"])
def test_what_another_user_of_the_rig_makes_does_not_keep_the_services_out(tmp_path, uid):
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 1234, 1235)
    data.chmod(0o2770)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    child = os.fork()  # and no new interpreter: it may be in root's home
    if child == 0:
        try:
            os.umask(0o022)
            os.setgroups([])
            os.setgid(1235)
            os.setuid(uid)
            with rights_of(data / "pump"):
                Latch(data / "pump").set("smoke")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert (data / "pump").stat().st_mode & 0o7777 == 0o2770
    for made in (data / "pump", data / "pump/estop"):
        assert made.stat().st_gid == 1235
        assert made.stat().st_uid == (uid or 1234)
        assert made.stat().st_mode & 0o660 == 0o660
