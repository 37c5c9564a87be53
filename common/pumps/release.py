"""EN inactive on every pump: what systemd runs when the pump's daemon has ended, however it did.

`python -m common.pumps.release [--config FILE] [--run-dir DIR]`. It releases the lines that the daemon held, and those
of the configuration, which may be another one by now. It always ends with 0: it must not fail a unit.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from common import drivers
from common.config.load import load
from common.config.locate import SYSTEM_FOLDERS
from common.config.schema import PumpConfig
from common.errors import RigbusError
from common.log import Log
from common.options import add_common

_NOTE = "pump.lines"  # in the run folder


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m common.pumps.release", description=__doc__)
    add_common(parser)
    args = parser.parse_args(argv)
    log = Log("pump-release")
    configured, run = None, Path(args.run_dir or SYSTEM_FOLDERS[1])
    try:
        loaded = load(args.config)
        run = loaded.folders(args.data, args.run_dir).run
        configured = loaded.config.pump
    except RigbusError as e:
        log.error(str(e))
    held = _read(run)
    if configured is not None and configured.enabled and configured not in held:
        _release(configured, run, log)
    try:
        _note(run, [cfg for cfg in held if not _release(cfg, run, log)])
    except RigbusError as e:
        log.error(str(e))
    return 0


@contextmanager
def holding(cfg: PumpConfig, run: Path, log: Log) -> Iterator[None]:
    """Notes whose lines a daemon takes, until it has given them back; what did not end well leaves its note.

    First it releases what earlier ones left, where that was not the same; what cannot be stays noted. Raises
    RigbusError.
    """
    left = [before for before in _read(run) if before != cfg and not _release(before, run, log)]
    _note(run, [cfg, *left])
    yield
    _note(run, left)


def _read(run: Path) -> list[PumpConfig]:
    """What was held and not given back: the lines of each such configuration."""
    try:
        return msgspec.json.decode((run / _NOTE).read_bytes(), type=list[PumpConfig])
    except (OSError, msgspec.MsgspecError):
        return []


def _note(run: Path, held: list[PumpConfig]) -> None:
    file = run / _NOTE
    try:
        if not held:
            file.unlink(missing_ok=True)
            return
        new = file.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(held))
        new.replace(file)
    except OSError as e:
        raise RigbusError(f"{e.filename or run}: {e.strerror}") from None


def _release(cfg: PumpConfig, run: Path, log: Log) -> bool:
    """Whether all of them were released."""
    released = True
    for pump in cfg.pump:
        try:
            # made with EN inactive; each by itself, so that one that is not there does not keep the others
            drivers.open_stepper(cfg, pump, run).close()
        except Exception as e:
            released = False
            log.error("EN cannot be released", pump=pump.name, reason=e)
    return released


if __name__ == "__main__":
    sys.exit(main())
