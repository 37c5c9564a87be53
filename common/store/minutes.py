"""Health once a minute and source: what the frames between two rows have to say in one of them."""

from common.frames import Health, Lateness
from common.store.items import StreamKey

PERIOD_NS = 60 * 10**9
_Source = tuple[str, str]  # node, src


class Minutes:
    """Remembers the newest health frame of each source and the worst lateness since its last row."""

    def __init__(self) -> None:
        self._newest: dict[_Source, tuple[Health, Lateness]] = {}
        self._written: dict[_Source, int] = {}  # mono of the last row

    def add(self, frame: Health) -> None:
        source = (frame.node, frame.src)
        worst = frame.lateness_us
        if source in self._newest:
            before = self._newest[source][1]
            worst = Lateness(
                p50=max(before.p50, worst.p50),
                p99=max(before.p99, worst.p99),
                p999=max(before.p999, worst.p999),
                max=max(before.max, worst.max),
            )
        self._newest[source] = (frame, worst)

    def due(self) -> list[tuple[StreamKey, Health, Lateness]]:
        """What is to be stored now: a source's first frame at once, then one a minute (also after a reboot)."""
        found = []
        for source, (frame, worst) in self._newest.items():
            written = self._written.get(source)
            if written is None or not 0 <= frame.mono - written < PERIOD_NS:
                found.append((StreamKey(frame.node, frame.src, frame.run), frame, worst))
        return found

    def written(self, due: list[tuple[StreamKey, Health, Lateness]]) -> None:
        """These are stored (or can never be): the next row of their sources comes a minute later."""
        for key, frame, _ in due:
            source = (key.node, key.src)
            self._written[source] = frame.mono
            del self._newest[source]
