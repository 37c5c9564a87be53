"""After a fork a child has none of its parent's threads: what needs to know is told."""

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    def after_fork(self) -> None: ...


_known: "weakref.WeakSet[Forkable]" = weakref.WeakSet()


def on_fork(told: Forkable) -> None:
    """Calls its after_fork() in every child, as long as it lives."""
    _known.add(told)


def _tell() -> None:
    for known in list(_known):
        known.after_fork()


os.register_at_fork(after_in_child=_tell)
