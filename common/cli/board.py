"""The status block that `run` keeps on the terminal and `status` prints once: one line a daemon."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text


def board(node: str, daemons: Sequence[str], health: Mapping[str, Mapping[str, Any]], down: Mapping[str, str]) -> Table:
    """health: each daemon's last health frame as a map. down: what is to be said of one that has none."""
    table = Table(box=None, pad_edge=False, header_style="dim", title=f"rig {node}", title_justify="left")
    table.add_column("daemon", min_width=9)
    table.add_column("doing", ratio=1, min_width=30, no_wrap=True)
    for name, width in (("frames/s", 9), ("CPU %", 6), ("MB", 5), ("journal", 9)):
        table.add_column(name, justify="right", min_width=width)
    for name in daemons:
        h = health.get(name)
        if name in down or h is None:
            # colour is spent on what is not normal only
            table.add_row(name, Text(down.get(name, "starting"), style="bold" if name in down else "dim"))
            continue
        rate = sum(h["rates"].values())
        journal = h["journal"]["bytes"]
        table.add_row(
            name,
            h["status"] or "running",
            f"{rate:,.1f}" if h["journal_id"] else "",
            f"{h['cpu_pct']:.1f}",
            f"{h['rss_bytes'] / 1e6:.0f}",
            f"{journal / 1e6:.1f} MB" if journal else "",
        )
    return table
