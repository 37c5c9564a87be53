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
    with images.locked(lab):
        images.prepare(lab)
    return subprocess.run(
        [sys.executable, "-m", "pytest", str(images.HERE), "-m", "lab", "-v", *sys.argv[1:]],
        cwd=images.CHECKOUT,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
