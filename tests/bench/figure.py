"""A figure, its baseline, its target; the table and the document that they are printed as."""

import statistics
from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins
from rich import box
from rich.console import Console
from rich.table import Table


class Figure(Struct, omit_defaults=True):
    """One row. values: one a round, the figure is their median; empty: not measured, and `note` says why.

    baselines: measured in the same rounds. target: bound of the figure, or with of_ratio of figure ÷ baseline.
    better: "less" or "more".
    """

    name: str
    unit: str
    values: list[float]
    baselines: list[float] = []
    against: str = ""
    target: float | None = None
    of_ratio: bool = False
    better: str = "less"
    note: str = ""
    failed: bool = False

    @property
    def value(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def baseline(self) -> float | None:
        return statistics.median(self.baselines) if self.baselines else None

    @property
    def ratio(self) -> float | None:
        """Median of the ratios of each round, where there are as many of both."""
        if not self.values or not self.baselines:
            return None
        if len(self.values) == len(self.baselines):
            return statistics.median(v / b for v, b in zip(self.values, self.baselines, strict=True) if b) or None
        base = statistics.median(self.baselines)
        return statistics.median(self.values) / base if base else None

    @property
    def reached(self) -> bool | None:
        """None: there is no target, or nothing was measured."""
        found = self.ratio if self.of_ratio else self.value
        if self.target is None or found is None:
            return None
        return found <= self.target if self.better == "less" else found >= self.target


def missing(name: str, unit: str, note: str, *, failed: bool = True) -> Figure:
    """A figure that could not be measured; failed: the exit code says so."""
    return Figure(name, unit, [], note=note, failed=failed)


def document(figures: Sequence[Figure], machine: str) -> dict[str, Any]:
    """What --json prints."""
    rows = []
    for f in figures:
        derived = {"value": f.value, "baseline": f.baseline, "ratio": f.ratio, "reached": f.reached}
        rows.append({**to_builtins(f), **derived})
    return {"machine": machine, "figures": rows}


def show(console: Console, figures: Sequence[Figure], machine: str) -> None:
    """The table; medians, and after ± half of what the rounds differ by."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", title=machine, title_justify="left")
    table.add_column("figure")
    for name in ("measured", "±"):
        table.add_column(name, justify="right")
    table.add_column("unit")
    table.add_column("baseline", justify="right")
    table.add_column("which is")
    for name in ("ratio", "target"):
        table.add_column(name, justify="right")
    table.add_column("")
    before = ""
    for f in figures:
        bench = f.name.split()[0]
        if before and bench != before:
            table.add_section()
        before = bench
        sign = {True: "[green]✓[/]", False: "[yellow]✗[/]", None: ""}[f.reached]
        sign = "[red]failed[/]" if f.failed else sign
        table.add_row(
            f.name, number(f.value), _spread(f), f.unit, number(f.baseline), f.against, _ratio(f), _target(f),
            sign if not f.note else f"{sign} {f.note}".strip(),
        )  # fmt: skip
    console.print(table)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _spread(f: Figure) -> str:
    return number((max(f.values) - min(f.values)) / 2) if len(f.values) > 1 else ""


def _ratio(f: Figure) -> str:
    return f"{f.ratio:.3g} ×" if f.ratio is not None else ""


def _target(f: Figure) -> str:
    if f.target is None:
        return ""
    return f"{'≤' if f.better == 'less' else '≥'} {number(f.target)}{' ×' if f.of_ratio else ''}"
