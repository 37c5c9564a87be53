"""`python -m tests.bench [NAME…] [--quick] [--json]`: one table of figures, each beside its baseline and its target.

Exit code 1 where a figure could not be measured, or a frame was lost on the way to it; a target that is missed is only
shown. Data folders are in /tmp, run folders (sockets, journals in memory) in /dev/shm.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.progress_bar import ProgressBar

from tests.bench import (
    cpu,
    jitter,
    looking,
    memory,
    micro,
    outage,
    outputs,
    outputs_rig,
    proc,
    storage,
    throughput,
    watching,
)
from tests.bench.figure import Figure, document, missing, show
from tests.bench.options import Options

BENCHES: dict[str, Callable[..., list[Figure]]] = {
    "throughput64": partial(throughput.run, n=64),
    "throughput800": partial(throughput.run, n=800),
    "cpu800": cpu.run,
    "bytes": storage.run,
    "jitter": jitter.run,
    "rss": memory.run,
    "outage": outage.run,
    "micro": micro.run,
    "outputs": outputs.run,
    "load": outputs_rig.load,
    "backlog": outputs_rig.backlog,
    "away": outputs_rig.outage,
    "looking": looking.run,
    "watching": watching.run,
}


class _Clock(ProgressColumn):
    """A bar that fills with time: how long a step takes is known, how far it is is not."""

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(total=task.total or 1.0, completed=min(task.elapsed or 0.0, task.total or 1.0), width=40)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of: {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="short rounds: for a look, not for the record")
    parser.add_argument("--json", action="store_true", help="a document instead of the table")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved pairs a figure (default 3)")
    parser.add_argument("--rt-seconds", type=float, default=0.0, help="also measure the loop's drift for so long")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in BENCHES]
    if unknown or args.rounds < 1:
        parser.error(
            f"no bench {', '.join(unknown)}; there are: {', '.join(BENCHES)}" if unknown else "--rounds is 1 up"
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the rigs' clean-up, as Ctrl-C
    options = Options(args.quick, args.rounds, args.rt_seconds)
    figures = _measure(args.names or list(BENCHES), options)
    if args.json:
        print(json.dumps(document(figures, proc.machine()), indent=1))
    else:
        show(Console(highlight=False), figures, proc.machine())
    return 1 if any(f.failed for f in figures) else 0


def _measure(names: list[str], options: Options) -> list[Figure]:
    """Shows what is done now and how far it is, on stderr: the table may go into a file."""
    console = Console(stderr=True)
    figures: list[Figure] = []
    columns = (TextColumn("{task.description}"), _Clock())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")

        def progress(text: str, seconds: float) -> None:
            if console.is_terminal:
                bar.reset(task, description=text, total=seconds)
            else:
                console.print(f"{text} (about {seconds:.0f} s)", highlight=False, soft_wrap=True)

        for name in names:
            try:
                figures += BENCHES[name](options, progress)
            except KeyboardInterrupt:
                raise
            except Exception as e:  # one bench must not take the others' figures with it
                figures.append(missing(name, "", f"{type(e).__name__}: {e}"))
    return figures


if __name__ == "__main__":
    sys.exit(main())
