"""`make lab`: makes the machine where it is missing or out of date, then runs the hardware tests in it.

usage: tests/lab/run.py [pytest arguments]      exit 69: this machine lacks something, which one line names
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # `lab` is what pytest calls this package, too
from lab import images


def main() -> int:
    lab = images.folder()
    if lacks := images.missing(lab):
        print(f"lab: not run, missing: {', '.join(lacks)} (make test-deps installs packages)", file=sys.stderr)
        return 69
    try:
        with images.locked(lab):
            images.prepare(lab)
    except subprocess.CalledProcessError as e:
        print(f"lab: not run, {Path(e.cmd[0]).name} ended with {e.returncode}", file=sys.stderr)
        return 69
    except TimeoutError as e:
        print(f"lab: not run, {e}", file=sys.stderr)
        return 69
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(images.HERE), "-m", "lab", "-v", *sys.argv[1:]],
        cwd=images.CHECKOUT,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
