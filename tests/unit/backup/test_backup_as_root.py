"""`sudo rigbus backup`, `restore` and `pump estop` on a data folder of somebody else, who has put links there."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from backup_place import Place

from common.cli import pump
from common.errors import RigbusError
from common.latch import Latch
from common.rights import OWN, rights_of

UID, GID = 1234, 1235
SECRET = "root:secret"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to work in a folder of somebody else")


@pytest.fixture(autouse=True)
def roots_file(tmp_path: Path) -> Iterator[Path]:
    """What nobody but root may read or write; and whatever is tried, root is root again after it."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    file = tmp_path / "roots/shadow"
    file.parent.mkdir()
    file.write_text(SECRET)
    file.chmod(0o600)
    yield file
    assert (os.geteuid(), os.getegid()) == (0, 0)
    assert file.read_text() == SECRET
    assert file.stat().st_uid == 0
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.fixture
def theirs(place: Place) -> Place:
    """A rig whose folders are those of the user 1234."""
    for folder in place.folders:
        for here, _, names in os.walk(folder):
            for path in (here, *(f"{here}/{name}" for name in names)):
                os.chown(path, UID, GID)
    return place


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def test_rights_are_those_of_whom_the_folder_belongs_to(tmp_path: Path) -> None:
    mine, within = tmp_path / "theirs", tmp_path / "theirs/roots/new"
    within.parent.mkdir(parents=True)
    os.chown(mine, UID, GID)
    (mine / "link").symlink_to(tmp_path / "roots")
    for path in (mine, mine / "not there/yet", within, mine / "link/shadow"):
        with rights_of(path):
            assert (os.geteuid(), os.getegid(), os.getgroups()) == (UID, GID, [GID]), path
            with rights_of(OWN):
                assert os.geteuid() == 0
            assert os.geteuid() == UID
    with rights_of(tmp_path / "roots"):
        assert os.geteuid() == 0


def test_who_may_not_change_goes_on_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root of a container, and an owner whom it has no number for."""

    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    os.chown(tmp_path, UID, GID)
    before = (os.geteuid(), os.getegid(), os.getgroups())
    with monkeypatch.context() as patch:
        patch.setattr(os, "seteuid", refuse)
        with rights_of(tmp_path / "x"):
            assert (os.geteuid(), os.getegid(), os.getgroups()) == before


def test_a_backup_holds_nothing_that_its_owner_may_not_read(theirs: Place, tmp_path: Path, roots_file: Path) -> None:
    """Neither by a folder of a daemon that is a link, nor by a file that has become one."""
    (theirs.folders.data / "dds").symlink_to(roots_file.parent)
    with pytest.raises(PermissionError):
        theirs.backup(tmp_path / "b")
    (theirs.folders.data / "dds").unlink()
    (theirs.folders.data / "rigbus.db").rename(theirs.folders.data / "old")
    (theirs.folders.data / "rigbus.db").symlink_to(roots_file)
    with pytest.raises((RigbusError, PermissionError)):
        theirs.backup(tmp_path / "b")


def test_a_backup_in_the_data_folder_is_its_owners(theirs: Place) -> None:
    made = theirs.backup(theirs.folders.data / "backups").path
    assert owners(made.parent) == {UID}
    (theirs.loaded.env_file).chmod(0o600)
    with pytest.raises(RigbusError, match=r"may not read .*\.env; no secrets into it"):
        theirs.backup(theirs.folders.data / "backups", secrets=True)
    assert [path.name for path in made.parent.glob("rigbus-*")] == [made.name]


def test_a_backup_elsewhere_is_roots_with_secrets_too(theirs: Place, tmp_path: Path) -> None:
    made = theirs.backup(tmp_path / "stick", secrets=True).path
    assert owners(made) == {0}
    assert (made / "config/.env").read_text() == "INFLUX_TOKEN=geheim\n"


def test_what_root_puts_back_is_the_owners(theirs: Place, tmp_path: Path, make_place: Callable[..., Place]) -> None:
    made = theirs.backup(tmp_path / "stick").path
    new = make_place("new")
    for folder in new.folders:
        folder.mkdir()
        os.chown(folder, UID, GID)
    new.restore(made, config=True)
    assert owners(new.folders.data) == {UID}
    assert owners(new.loaded.sources[0].parent / "conf.d") == {0}


def test_a_restore_follows_no_link_that_was_put_in_its_way(theirs: Place, tmp_path: Path, roots_file: Path) -> None:
    made = theirs.backup(tmp_path / "stick").path
    ready = theirs.folders.data / "restoring"
    ready.mkdir()
    (ready / "rigbus.db").symlink_to(roots_file)
    for path in (ready, ready / "rigbus.db"):
        os.chown(path, UID, GID, follow_symlinks=False)
    with pytest.raises(PermissionError):
        theirs.restore(made, force=True)


@pytest.mark.parametrize("target", ["shadow", "nologin"], ids=["of a file", "of none"])
def test_an_emergency_stop_by_root_writes_through_no_link(
    theirs: Place, roots_file: Path, target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = theirs.folders.data / "pump"
    (folder / "estop").unlink()
    (folder / "estop.spare").unlink(missing_ok=True)
    (folder / "estop.spare").symlink_to(roots_file.parent / target)
    monkeypatch.setattr(pump, "open_folders", lambda _: theirs.folders)
    assert pump._estop(SimpleNamespace(reason="smoke", format="text")) == 0
    assert owners(folder) == {UID}
    assert Latch(folder).reason() == "smoke"
