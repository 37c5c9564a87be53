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
    file = _file(run)
    held = _read(file)
    done = held is None or _release(held, run, log)
    if configured is not None and configured.enabled and configured != held:
        _release(configured, run, log)
    if done:
        file.unlink(missing_ok=True)
    return 0


@contextmanager
def holding(cfg: PumpConfig, run: Path, log: Log) -> Iterator[None]:
    """Notes whose lines a daemon takes, until it has given them back; what did not end well leaves its note.

    First it releases what an earlier one left, where that was not the same. Raises RigbusError.
    """
    file = _file(run)
    left = _read(file)
    if left is not None and left != cfg:
        _release(left, run, log)
    new = file.with_suffix(".new")
    try:
        new.write_bytes(msgspec.json.encode(cfg))
        new.replace(file)
    except OSError as e:
        raise RigbusError(f"{e.filename or run}: {e.strerror}") from None
    yield
    file.unlink(missing_ok=True)


def _file(run: Path) -> Path:
    return run / "pump.lines"


def _read(file: Path) -> PumpConfig | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=PumpConfig)
    except (OSError, msgspec.MsgspecError):
        return None


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
