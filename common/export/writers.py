"""CSV, JSON and Parquet. A file has another name until it is whole and on the disk; one that fails leaves nothing."""

import base64
import csv
import glob
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import msgspec

from common.errors import RigbusError
from common.export.pages import Column

Rows = Sequence[Sequence[Any]]
_PARQUET_ROWS = 50_000  # of a row group


class Format(Protocol):
    """What is between the columns and the bytes of a file."""

    def rows(self, rows: Rows) -> None: ...

    def end(self) -> None: ...

    def abandon(self) -> None:
        """The file is given up: nothing is to be written any more."""
        ...


class _Csv:
    """A header, then a line a row; what is unknown is empty, bytes are base64."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow([column.name for column in columns])
        self._numbers = all(column.unit is not None for column in columns)

    def rows(self, rows: Rows) -> None:
        self._writer.writerows(rows if self._numbers else ([_cell(value) for value in row] for row in rows))

    def end(self) -> None:
        self._text.flush()

    def abandon(self) -> None:
        try:
            self._text.detach()
        except (OSError, ValueError):
            pass  # what was still to be written has no room


def _cell(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


class _Json:
    """One list of objects, an object a line; what is unknown is null, infinity too; bytes are base64."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file, self._names = file, [column.name for column in columns]
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._before = b"[\n"

    def rows(self, rows: Rows) -> None:
        if rows:
            lines = self._encode_lines([dict(zip(self._names, row, strict=True)) for row in rows])
            self._file.write(self._before + lines[:-1].replace(b"\n", b",\n"))  # within a text it is escaped
            self._before = b",\n"

    def end(self) -> None:
        self._file.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")

    def abandon(self) -> None:
        pass


class _Parquet:
    """Row groups of some 50,000 rows, zstd. A value that its column's type cannot hold is a RigbusError."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._arrow, self._columns = _pyarrow(), columns
        pa = self._arrow
        kinds = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string(), "BLOB": pa.binary()}
        self._types = [kinds.get(column.kind, pa.string()) for column in columns]
        fields = [
            pa.field(column.name, kind, metadata={"unit": column.unit} if column.unit else None)
            for column, kind in zip(columns, self._types, strict=True)
        ]
        self._schema = pa.schema(fields)
        self._writer = self._arrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting: list[Sequence[Any]] = []

    def rows(self, rows: Rows) -> None:
        self._waiting += rows
        if len(self._waiting) >= _PARQUET_ROWS:
            self._group()

    def _group(self) -> None:
        pa, columns = self._arrow, list(zip(*self._waiting, strict=True))
        arrays = []
        for column, kind, values in zip(self._columns, self._types, columns, strict=True):
            plain = [_any(value) for value in values] if column.kind == "" else values
            try:
                arrays.append(pa.array(plain, kind))
            except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
                raise RigbusError(f"{column.name}: a value is no {kind}, csv and json take it: {e}") from None
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting = []

    def end(self) -> None:
        if self._waiting:
            self._group()
        self._writer.close()

    def abandon(self) -> None:
        self._writer.is_open = False  # else it writes the end of a file when it is collected


def _any(value: Any) -> str | None:
    return None if value is None else str(_cell(value))


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise RigbusError("parquet needs pyarrow: .venv/bin/pip install -e '.[export]'") from None
    return pyarrow


_FORMATS: dict[str, Callable[[BinaryIO, Sequence[Column]], Format]] = {"csv": _Csv, "json": _Json, "parquet": _Parquet}
FORMATS = tuple(_FORMATS)


def check_format(name: str) -> None:
    """Raises RigbusError where a library is missing."""
    if name == "parquet":
        _pyarrow()


class Output:
    """One file; as a context manager it becomes `path` when all went well. Raises RigbusError, one line.

    Made without touching the disk: so that who will `discard` it is known before `begin` makes a file.
    """

    def __init__(self, path: Path, form: str, columns: Sequence[Column], *, force: bool = False) -> None:
        self.path, self.count, self.columns = path, 0, columns
        self._force, self._part = force, path.with_name(f".{path.name}.part-{os.getpid()}")
        self._make, self._form, self._file = _FORMATS[form], None, None

    _form: Format | None
    _file: BinaryIO | None

    def begin(self) -> None:
        check_free(self.path, self._force)
        with _disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            self._file = self._part.open("wb", buffering=1 << 18)
            self._form = self._make(self._file, self.columns)

    def _sweep(self) -> None:
        """Takes away what an export that was killed has left of this file."""
        for left in self.path.parent.glob(glob.escape(f".{self.path.name}.part-") + "*"):
            pid = left.name.rpartition("-")[2]
            if pid.isdecimal() and not Path("/proc", pid).exists():
                left.unlink(missing_ok=True)

    def rows(self, rows: Rows) -> None:
        assert self._form is not None
        with _disk(self.path):
            self._form.rows(rows)
        self.count += len(rows)

    def finish(self) -> None:
        assert self._form is not None
        assert self._file is not None
        with _disk(self.path):
            self._form.end()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            check_free(self.path, self._force)
            os.replace(self._part, self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Nothing of it is left. After `finish` it does nothing."""
        if self._form is not None:
            self._form.abandon()
        try:
            if self._file is not None:
                self._file.close()
        except OSError:
            pass  # what was still to be written has no room
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.discard()


def check_free(path: Path, force: bool) -> None:
    if not force and os.path.lexists(path):
        raise RigbusError(f"{path}: is there already; --force writes over it")


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise RigbusError(f"{path}: {e.strerror or e}") from None
