"""Rows of two numbers as bytes, vectorised: `123.456,1.0023`.

Measured (x86-64, 800 rows a call): one big `%` 0.25 µs a row; this 0.065 (64 rows a call: 0.27, 0.28).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_ROW = np.dtype([("a", "S4"), ("b", "S4"), ("us", "S4"), ("whole", "S4"), ("dot", "S1"), ("part", "S4"), ("end", "S1")])
_MS_DIGITS, _WHOLE_AT, _WHOLE_DIGITS = 8, 13, 3
_FOUR = np.array([b"%04d" % i for i in range(10_000)])
_POINT = np.array([b".%03d" % i for i in range(1000)])
_COMMA = np.array([b",%03d" % i for i in range(1000)])
_MS_PLACES = np.arange(_MS_DIGITS - 1, -1, -1)
_WHOLE_PLACES = np.arange(_WHOLE_DIGITS - 1, -1, -1)
_LIMIT = 999.0  # beyond it, or where a value is no number, row by row


def rows(t_us: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> bytes:
    """t_us: 0 up to 10^11 − 1, written as ms with 3 decimals. values: not negative, 4 decimals; NaN: an empty cell."""
    if not len(t_us):
        return b""
    if not values.max() < _LIMIT:  # NaN and infinity, too
        return _slowly(t_us, values)
    ms, us = np.divmod(t_us, 1000)
    whole, part = np.divmod(np.rint(values * 10_000.0).astype(np.int64), 10_000)
    high, low = np.divmod(ms, 10_000)
    out = np.empty(len(t_us), _ROW)
    out["a"], out["b"] = _FOUR[high], _FOUR[low]
    out["us"], out["whole"] = _POINT[us], _COMMA[whole]
    out["dot"], out["part"], out["end"] = b".", _FOUR[part], b"\n"
    keep: npt.NDArray[Any] = np.ones((len(t_us), _ROW.itemsize), bool)
    # leading zeros go, the last digit before the point stays
    keep[:, : _MS_DIGITS - 1] = ms[:, None] >= 10 ** _MS_PLACES[:-1]
    keep[:, _WHOLE_AT : _WHOLE_AT + _WHOLE_DIGITS - 1] = whole[:, None] >= 10 ** _WHOLE_PLACES[:-1]
    kept: bytes = out.view(np.uint8).reshape(len(t_us), -1)[keep].tobytes()
    return kept


def _slowly(t_us: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> bytes:
    cells = ["" if np.isnan(v) else f"{v:.4f}" for v in values.tolist()]
    return "".join([f"{t // 1000}.{t % 1000:03d},{v}\n" for t, v in zip(t_us.tolist(), cells, strict=True)]).encode()
