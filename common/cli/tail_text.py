"""Frames as a line of text."""

import time
from typing import Any

import msgspec

from common.cli import show
from common.frames import AnyFrame, ArmCommand, ArmFeedback, Health, Loss, Pulse, Pump, Samples, Thermostat


def line(topic: str, frame: AnyFrame) -> str:
    """When, topic, number and what it says."""
    stamp = time.strftime("%H:%M:%S", time.localtime(frame.t / 1e9)) + f".{frame.t // 1_000_000 % 1000:03d}"
    return f"{stamp}  {topic:<22} {frame.seq:>8}  {show.cell(what(frame))}"


def _celsius(value: Any) -> str:
    return f"{value:.3f} °C" if isinstance(value, int | float) else "no reading"


def what(frame: AnyFrame) -> str:
    """A frame in some words."""
    if isinstance(frame, Pulse):
        rest = f", {frame.filtered} filtered" if frame.filtered else ""
        rest += f", {frame.missed} missed" if isinstance(frame.missed, int) and frame.missed else ""
        return f"{len(frame.edges)} edges, total {frame.total}{rest}"
    if isinstance(frame, Samples):
        return f"{frame.n} × {''.join(frame.axes)} at {frame.rate_hz:.1f} Hz, 1 = {frame.scale:.3g} {frame.unit}"
    if isinstance(frame, Loss):
        count = "unknown count" if frame.count is None else str(frame.count)
        return f"{count} {frame.unit} of {frame.stream}: {frame.cause} {frame.detail}".rstrip()
    if isinstance(frame, Health):
        end = ", closed" if frame.closed else ""
        return f"cpu {frame.cpu_pct:.1f} %, {frame.rss_bytes / 1e6:.0f} MB, last {frame.last_seq}{end}, {frame.status}"
    if isinstance(frame, Thermostat):
        return ", ".join(f"{r.get('channel')}: {_celsius(r.get('temperature'))}" for r in frame.readings)
    if isinstance(frame, Pump):
        amounts = [(frame.ml, "mL"), (frame.steps, "steps"), (frame.seconds, "s"), (frame.hz, "Hz")]
        told = ", ".join(f"{amount:.6g} {unit}" for amount, unit in amounts if isinstance(amount, int | float))
        reason = f" ({frame.reason})" if isinstance(frame.reason, str) else ""
        return f"{frame.event}{reason}: {frame.action} {frame.direction} {told}  {frame.command_id}"
    if isinstance(frame, ArmFeedback) and isinstance(frame.angles, list):
        return "angles " + " ".join("-" if a is None else f"{a:.1f}" for a in frame.angles)
    if isinstance(frame, ArmFeedback | ArmCommand):
        address = frame.address if isinstance(frame.address, int) else "-"
        return f"address {address} funcode {frame.funcode} {frame.data}"
    skip = {"node", "src", "run", "seq", "tseq", "t", "mono", "v"}
    fields = {k: v for k, v in msgspec.to_builtins(frame).items() if k not in skip}
    return " ".join(f"{k}={v}" for k, v in fields.items())
