"""Root in folders of others: there `sudo rigbus …` works with their rights, and what it makes is theirs.

Who may rename and link in a folder must not have root follow him to files that are not his.
"""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OWN = Path("/")  # rights_of(OWN): those that the process began with


@contextmanager
def rights_of(path: Path) -> Iterator[None]:
    """Within, where the user is root: effective user and groups of whom `path` belongs to, or the folder it will be in.

    What is root's in a folder of somebody else counts as that one's: he may put another in its place. For programs of
    one thread: it is the whole process that changes.
    """
    wanted = _owner(path) if os.getuid() == 0 else None
    before = (os.geteuid(), os.getegid(), os.getgroups())
    if wanted is None or wanted[0] == before[0]:
        yield
        return
    try:
        _become(*wanted)
    except OSError:  # root in name only, as in a container: it may not change, nor read what is others'
        with suppress(OSError):
            _become(*before)
        yield
        return
    try:
        yield
    finally:
        _become(*before)


def _owner(path: Path) -> tuple[int, int, list[int]]:
    real = path.resolve()
    for here in (real, *real.parents, path, *path.parents):
        try:
            found = here.lstat()
        except OSError:
            continue
        if found.st_uid != 0:
            return found.st_uid, found.st_gid, _groups(found.st_uid, found.st_gid)
    return 0, os.getgid(), _GROUPS


def _groups(uid: int, gid: int) -> list[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return [gid]
    return os.getgrouplist(user.pw_name, user.pw_gid)


def _become(uid: int, gid: int, groups: list[int]) -> None:
    if os.geteuid() != 0:
        os.seteuid(0)  # only root may change to another
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)


_GROUPS = os.getgroups()
