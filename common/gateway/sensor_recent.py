"""The newest readings, reduced to what a chart can show: lowest and highest of each stretch, so that peaks survive."""

import io
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from common.gateway import sensor_files
from common.gateway.sensor_files import Point

MOST = 3000  # points of an answer
FILES = 120  # of the newest files, as many as the old program kept
_OF_A_FILE = 500
_MOST_BYTES = 64 << 20  # of one file: more is left to /api/series

Floats = npt.NDArray[np.float64]


class _Reduced(NamedTuple):
    size: int
    t_s: Floats
    values: Floats


class Recent:
    """Files are read once: what is closed does not change. Belongs to one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._kept: OrderedDict[str, _Reduced] = OrderedDict()

    def points(self, known: Sequence[str]) -> tuple[list[Point], int]:
        """(at most 3000 points in the order of time, files that they are from). known: names, newest first."""
        found = [part for name in reversed(known[:FILES]) if (part := self._reduced(name)) is not None]
        while len(self._kept) > FILES:
            self._kept.popitem(last=False)
        if not found:
            return [], 0
        t_s, values = (np.concatenate(parts) for parts in zip(*(part[1:] for part in found), strict=True))
        t_s, values = reduced(t_s, values, MOST)
        return [sensor_files.point(*pair) for pair in zip(t_s.tolist(), values.tolist(), strict=True)], len(found)

    def _reduced(self, name: str) -> _Reduced | None:
        try:
            with sensor_files.open_one(self._root, name) as file:
                size = file.seek(0, io.SEEK_END)
                kept = self._kept.get(name)
                if kept is not None and kept.size == size:
                    self._kept.move_to_end(name)
                    return kept
                file.seek(max(0, size - _MOST_BYTES))
                text = file.read(_MOST_BYTES)
        except OSError:
            return None
        try:
            begin_s = sensor_files.start_s(name)
        except ValueError:  # no such day
            return None
        ms, values = _numbers(text[text.find(b"\n") + 1 : text.rfind(b"\n") + 1])
        part = _Reduced(size, *reduced(begin_s + ms / 1e3, values, _OF_A_FILE))
        self._kept[name] = part
        self._kept.move_to_end(name)
        return part


def reduced(t_s: Floats, values: Floats, most: int) -> tuple[Floats, Floats]:
    """Lowest and highest of `most` / 2 stretches of equally many values, in their order. NaN counts in none."""
    n = len(values)
    if n <= most:
        return t_s, values
    step = -(-n // (most // 2))
    stretches = -(-n // step)
    # the last one is filled up with its last value
    padded = np.append(values, np.full(stretches * step - n, values[-1])).reshape(stretches, step)
    empty = np.isnan(padded)
    first = np.arange(stretches) * step
    low = first + np.where(empty, np.inf, padded).argmin(axis=1)
    high = first + np.where(empty, -np.inf, padded).argmax(axis=1)
    picked = np.unique(np.minimum(np.concatenate((low, high)), n - 1))
    return t_s[picked], values[picked]


def _numbers(text: bytes) -> tuple[Floats, Floats]:
    """Rows `ms,value` as two arrays; an empty value is NaN, what is no row is left out."""
    if not text.strip():
        return np.empty(0), np.empty(0)
    try:
        both = np.loadtxt(io.BytesIO(text), delimiter=",", ndmin=2, comments=None)
        if both.shape[1] == 2:
            return both[:, 0], both[:, 1]
    except ValueError:
        pass
    pairs = []
    for line in text.splitlines():
        ms, _, value = line.partition(b",")
        try:
            pairs.append((float(ms.removesuffix(b"ms")), float(value) if value.strip() else np.nan))
        except ValueError:
            continue
    both = np.array(pairs).reshape(-1, 2)
    return both[:, 0], both[:, 1]
