"""What sections are made of."""

from typing import NamedTuple

from common.config.schema import Config
from common.gateway.asker import Asker
from common.gateway.attention import Holder
from common.gateway.books import Books
from common.gateway.seen import Seen
from common.gateway.since import Since
from common.paths import Folders


class Context(NamedTuple):
    """t: wall ns, at: monotonic s of this look. alive: daemons of which a process runs."""

    t: int
    at: float
    config: Config
    folders: Folders
    seen: Seen
    asker: Asker
    books: Books
    alive: frozenset[str]
    since: Since
    holder: Holder
    page: str
    version: str
    started_t: int
    control: bool
    clock_set: bool | None
