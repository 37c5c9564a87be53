"""`make lab`: makes the machine where it is missing or out of date, then runs the hardware tests in it.

usage: tests/lab/run.py [--build] [pytest arguments]      exit 69: this machine lacks something, which one line names
--build: only makes the machine. Without paths it is all tests but the slow ones; -m lab: those too.
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
    arguments = sys.argv[1:]
    if arguments == ["--build"]:
        return 0
    if not any(Path(argument.partition("::")[0]).exists() for argument in arguments):
        arguments.append(str(images.HERE))
    command = [sys.executable, "-m", "pytest", "-v", "-m", "lab and not slow", *arguments]
    return subprocess.run(command, cwd=images.CHECKOUT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
