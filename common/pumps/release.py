"""EN inactive on every configured pump: what systemd runs when the pump's daemon has ended, however it did.

`python -m common.pumps.release [--config FILE] [--run-dir DIR]`. It always ends with 0: it must not fail a unit.
"""

import argparse
import sys

from common import drivers
from common.config.load import load
from common.errors import RigbusError
from common.log import Log
from common.options import add_common


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m common.pumps.release", description=__doc__)
    add_common(parser)
    args = parser.parse_args(argv)
    log = Log("pump-release")
    try:
        loaded = load(args.config)
        folders = loaded.folders(args.data, args.run_dir)
    except RigbusError as e:
        log.error(str(e))
        return 0
    cfg = loaded.config.pump
    if cfg is None or not cfg.enabled:
        return 0
    for pump in cfg.pump:
        try:
            # made with EN inactive; each by itself, so that one that is not there does not keep the others
            drivers.open_stepper(cfg, pump, folders.run).close()
        except Exception as e:
            log.error("EN cannot be released", pump=pump.name, reason=e)
    return 0


if __name__ == "__main__":
    sys.exit(main())
