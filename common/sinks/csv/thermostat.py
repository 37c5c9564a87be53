"""Thermostats: one row a poll, `<field>_ch<n>` for each field and channel, a file for each device and day."""

from collections import defaultdict
from collections.abc import Sequence

from common.sinks.csv import cells
from common.sinks.csv.readings import safe_name
from common.sinks.csv.tables import day_base
from common.sinks.csv.tree import Piece, Tree
from common.sinks.output import Feed, Row
from common.store.moves import Refused
from common.store.rows import THERMOSTAT_FIELDS as FIELDS

FOLDER = "thermostat"
TABLE = "thermostat_readings"
_TOGETHER = 4  # rows of a poll that make one row here: a device has two channels
_MOST_IN_A_POLL, _MOST_CHANNELS = 256, 16
_WIDTH = 1 + len(FIELDS)


def _same_poll(alias: str) -> str:
    return f"{alias}.stream_id = {TABLE}.stream_id AND {alias}.frame_seq = {TABLE}.frame_seq"


def _columns() -> str:
    """The row's own fields, then those of the rows behind it, of the same poll: they were stored together."""
    own = ", ".join(("t_ns", "device", "channel", *FIELDS))
    behind = [
        f"(SELECT b.{name} FROM {TABLE} AS b WHERE b.id = {TABLE}.id + {i} AND {_same_poll('b')})"
        for i in range(1, _TOGETHER)
        for name in ("id", "channel", *FIELDS)
    ]
    return ", ".join((own, *behind))


# Only the first row of a poll (and each fourth behind it) is read: no page can end within a row of the file.
_IS_FIRST = f"NOT EXISTS (SELECT 1 FROM {TABLE} AS a WHERE a.id = {TABLE}.id - 1 AND {_same_poll('a')})"
_PLACE = (
    f"{TABLE}.id - (SELECT min(a.id) FROM {TABLE} AS a WHERE a.id <= {TABLE}.id "
    f"AND a.id > {TABLE}.id - {_MOST_IN_A_POLL} AND {_same_poll('a')})"
)
FEED = Feed(TABLE, _columns(), 500, f"CASE WHEN {_IS_FIRST} THEN 1 ELSE ({_PLACE}) % {_TOGETHER} = 0 END")


def header(channels: int) -> bytes:
    return cells.header(("time", "ts", *(f"{field}_ch{i}" for field in FIELDS for i in range(channels))))


def encode(rows: Sequence[Row], tree: Tree) -> list[Refused]:
    """Heads of polls into the tree's page."""
    refused, lines = list[Refused](), cells.Lines()
    runs: dict[str, list[tuple[bytes, list[Piece]]]] = defaultdict(list)
    groups: dict[str, str] = {}
    widths: dict[str, int] = {}
    for row in rows:
        t_ns, device = row[1], row[2]
        channels = {row[3]: row[4 : 4 + len(FIELDS)]}
        for at in range(3 + _WIDTH, len(row), _WIDTH + 1):
            if row[at] is not None:
                channels[row[at + 1]] = row[at + 2 : at + 1 + _WIDTH]
        if not all(type(channel) is int and 0 <= channel < _MOST_CHANNELS for channel in channels):
            refused.append(Refused(TABLE, row[0], f"channels {sorted(map(str, channels))} have no columns"))
            continue
        group = f"{FOLDER}/{safe_name(device)}"
        base = day_base(group, t_ns)
        if base not in widths:
            groups[base] = group
            widths[base] = tree.header_of(base, row[0]).count(b",temperature_ch")
        needed = max(2, max(channels) + 1)
        if not widths[base] or needed > widths[base]:
            widths[base] = max(needed, widths[base])
        wide = widths[base]
        fields = (channels[i][f] if i in channels else None for f in range(len(FIELDS)) for i in range(wide))
        line = lines.line((cells.time_of(t_ns), t_ns // 1_000_000, *fields))
        head = header(wide)
        if not runs[base] or runs[base][-1][0] != head:
            runs[base].append((head, []))
        runs[base][-1][1].append((row[0], line))
    for base, of_base in runs.items():
        for head, pieces in of_base:
            tree.take(base, groups[base], head, pieces)
    return refused
