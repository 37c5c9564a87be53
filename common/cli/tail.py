"""`rigbus tail`: frames as they pass on the bus, as lines, as a table of rates, or as a chart."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from common import topics
from common.bus.subscriber import Subscriber
from common.cli import tail_text
from common.cli.context import add_format, open_config, print_json, seconds
from common.config.schema import Config
from common.errors import RigbusError, UsageError
from common.frames import AnyFrame
from common.paths import is_alive

Keep = Callable[[AnyFrame], bool]
_WAIT_S = 0.2  # a signal is seen so late


class View(Protocol):
    """refresh_s: how often `show` wants to be called; None: it has nothing to say by itself."""

    @property
    def refresh_s(self) -> float | None: ...

    def take(self, topic: str, frame: AnyFrame) -> None: ...

    def show(self) -> None: ...

    def close(self) -> None: ...


def register(sub: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "show frames as they pass on the bus"
    parser = sub.add_parser("tail", help=text, description=text, parents=[common])
    parser.add_argument("topic", nargs="*", metavar="TOPIC", help="a prefix: pulse/, samples/vibration/, loss/ …")
    parser.add_argument("--for", dest="duration", type=seconds, metavar="S", help="end after that time: 30, 30s, 5m")
    parser.add_argument(
        "--src", action="append", default=[], metavar="NAME", help="only of that daemon; may be repeated"
    )
    parser.add_argument(
        "--kind", action="append", default=[], choices=sorted(topics.TOPICS), metavar="KIND",
        help=f"only of that kind (or kinds): {', '.join(sorted(topics.TOPICS))}",
    )  # fmt: skip
    parser.add_argument(
        "--where", action="append", default=[], type=_condition, metavar="FIELD=VALUE",
        help="only frames with that value (channel=import, event=done, status.power_status=1); all that are given hold",
    )  # fmt: skip
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--rates", action="store_true", help="a table of rates, each second (with --json a line)")
    how.add_argument(
        "--plot", nargs="*", metavar="SERIES",
        help="a chart, live: topics (samples/vibration/, pulse/) or series (thermostat/bench/0/tec_i, arm/joint1)",
    )  # fmt: skip
    parser.add_argument(
        "--span", type=seconds, default=30.0, metavar="S", help="of time in the chart: 30 s unless told"
    )
    add_format(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    config, folders = open_config(args)
    end = time.monotonic() + args.duration if args.duration is not None else float("inf")
    view, prefixes = _view(args, config)
    # the others end as every program does, also while whoever reads them takes nothing
    stop = _Stop(on_screen=view.refresh_s is not None and args.format != "json")
    try:
        if not is_alive(folders, "bus"):
            raise RigbusError(f"{folders.bus_out}: no bus there; is the rig running? (rigbus run)")
        with Subscriber(folders.bus_out, prefixes) as subscriber:
            _follow(subscriber, view, _filter(args), end, stop)
    finally:
        view.close()
    if subscriber.skipped:
        print(f"{subscriber.skipped} messages were no frames of this version", file=sys.stderr)
    return 143 if stop.number == signal.SIGTERM else 0


class _Stop:
    """Ctrl-C and SIGTERM, to be looked at: plotext swallows an exception, and one within Rich leaves half a screen.

    number: of the one that came; a second one ends at once.
    """

    def __init__(self, on_screen: bool) -> None:
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM) if on_screen else ():
            if signal.getsignal(number) is not signal.SIG_IGN:  # in the background of a script it is ignored
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number


def _follow(subscriber: Subscriber, view: View, keep: Keep, end: float, stop: _Stop) -> None:
    due = time.monotonic()
    while (now := time.monotonic()) < end and not stop.number:
        wait = _WAIT_S if view.refresh_s is None else min(_WAIT_S, max(0.0, due - now))
        for topic, frame in _until(subscriber.read(min(wait, end - now)), due, view.refresh_s, stop):
            if keep(frame):
                view.take(topic, frame)
        if view.refresh_s is None:
            view.show()
        elif time.monotonic() >= due:
            due = time.monotonic() + view.refresh_s
            view.show()


_Frames = Iterator[tuple[str, AnyFrame]]


def _until(frames: _Frames, due: float, refresh_s: float | None, stop: _Stop) -> _Frames:
    """What there is, but no longer than until the next refresh: under load there is always more."""
    for item in frames:
        yield item
        if stop.number or (refresh_s is not None and time.monotonic() >= due):
            return


def _view(args: argparse.Namespace, config: Config) -> tuple[View, Sequence[str]]:
    """How to show, and which topics that needs."""
    wanted = args.topic or [""]
    if args.rates:
        from common.cli.tail_rates import Rates

        return Rates(as_json=args.format == "json"), wanted
    if args.plot is not None:
        chosen = [*args.topic, *args.plot]
        if not chosen:
            raise UsageError("--plot: of what? samples/vibration/, pulse/, thermostat/bench/0/temperature …")
        if args.format == "json" or not sys.stdout.isatty():
            raise UsageError("--plot draws on a terminal; into a pipe or a file --json or --rates --json")
        from common.cli.tail_plot import Plot  # numpy, plotext: only here

        meters = config.pulse.channel if config.pulse is not None else []
        plot = Plot(chosen, {meter.name: meter.imp_per_kwh for meter in meters}, args.span)
        return plot, plot.topics
    return _Lines(args.format == "json"), wanted


class _Lines:
    refresh_s: float | None = None

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def take(self, topic: str, frame: AnyFrame) -> None:
        if self._as_json:
            fields: dict[str, Any] = msgspec.to_builtins(frame)  # bytes become base64
            print_json({"topic": topic, **fields})
        else:
            print(tail_text.line(topic, frame))

    def show(self) -> None:
        sys.stdout.flush()

    def close(self) -> None:
        pass


def _condition(text: str) -> tuple[list[str], str]:
    field, equals, value = text.partition("=")
    if not field or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    return field.split("."), value


def _filter(args: argparse.Namespace) -> Keep:
    """All options together; several of --src or of --kind: one of them."""
    frame_types = tuple(topics.TOPICS[kind].frame for kind in args.kind)

    def keep(frame: AnyFrame) -> bool:
        if args.src and frame.src not in args.src:
            return False
        if frame_types and not isinstance(frame, frame_types):
            return False
        return all(_has(frame, path, value) for path, value in args.where)

    return keep


def _has(frame: AnyFrame, path: Sequence[str], value: str) -> bool:
    """A field as text, or as the same number; null and true as in JSON."""
    found: Any = getattr(frame, path[0], msgspec.UNSET)
    for key in path[1:]:
        found = found.get(key, msgspec.UNSET) if isinstance(found, dict) else msgspec.UNSET
    if found is msgspec.UNSET:
        return False
    if found is None or isinstance(found, bool):
        return msgspec.json.encode(found).decode() == value
    if isinstance(found, int | float):
        try:
            return float(value) == found
        except ValueError:
            return False
    return str(found) == value
