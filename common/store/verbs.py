"""`rigbus query`'s verbs without a command line: for the command itself and for the gateway's `/api/query/<verb>`.

    with TelemetryQuery(path) as query:
        found = answer(query, "joints", {"joint": "2", "last": "10s"})
        found.document      # what JSON shows
        found.columns, found.rows, found.note    # what a table shows

VERBS has each verb's help and the names of the options it takes; OPTIONS each option's meaning. Option values are text,
as from a command line or a URL.
"""

import time
from collections.abc import Callable, Mapping
from datetime import tzinfo
from types import MappingProxyType
from typing import NamedTuple

from common.errors import UsageError
from common.store import answers
from common.store.answers import Answer
from common.store.asked import Asked
from common.store.query import TelemetryQuery

RANGE = ("last", "from", "to", "limit")
OPTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "last": ("10s|5m|N", "the time up to now, or the newest N rows"),
        "from": ("T", "epoch seconds, or ISO 8601"),
        "to": ("T", "up to, not including"),
        "limit": ("N", "the newest N rows; default 100 where no range is given"),
        "funcode": ("F", "1 one joint, 2 all, 5 enable, 6 power, 7 zero; default: all"),
        "joint": ("J", "0 to 5, or 6, the gripper"),
        "delay": ("S", "seconds from a command to the angle it is held against; default 0.2"),
        "endpoint": ("E", "one endpoint; default: all"),
        "cam": ("ID", "one camera; default: all"),
        "type": ("T", "one type of events; default: all"),
        "level": ("L", "info, warning or error; default: all"),
        "source": ("S", "one source of events; default: all"),
        "window": ("S", "of rate: seconds before now, default 10; of rollups: 60, the default, 300 or 3600"),
        "channel": ("C", "one channel; default: all"),
        "imp-per-kwh": ("I", "pulses per kWh; default: as configured per channel"),
        "sensor": ("S", "default: the only one there is"),
        "columns": ("N", "lowest and highest in N columns of equal time, instead of samples"),
        "device": ("D", "one thermostat; default: all"),
        "pump": ("P", "one pump; default: all"),
        "series": ("S", "one series, as in docs/store.md; default: all"),
        "src": ("D", "one daemon; default: all"),
    }
)


class Verb(NamedTuple):
    help: str
    options: tuple[str, ...]
    ask: Callable[[TelemetryQuery, Asked], Answer]


VERBS: dict[str, Verb] = {
    "summary": Verb("the whole: first and last, totals, rates, errors", (), answers.summary),
    "commands": Verb("commands to the arm", ("funcode", *RANGE), answers.commands),
    "joints": Verb("angles that the arm fed back", ("joint", *RANGE), answers.joints),
    "gripper": Verb("the gripper: told and fed back", RANGE, answers.gripper),
    "tracking": Verb("commanded against actual angles", ("joint", "delay", "last", "from", "to"), answers.tracking),
    "smoother": Verb("the smoother's interpolation", ("joint", *RANGE), answers.smoother),
    "requests": Verb("requests to the web server", ("endpoint", *RANGE), answers.requests),
    "latency": Verb("how long the web server took", ("last", "from", "to"), answers.latency),
    "cameras": Verb("health of cameras", ("cam", *RANGE), answers.cameras),
    "events": Verb("events that programs and daemons logged", ("type", "level", "source", *RANGE), answers.events),
    "rate": Verb("commands and feedback per second, now", ("window",), answers.rate),
    "pulses": Verb("accepted edges of meters", ("channel", *RANGE), answers.pulses),
    "power": Verb("power and energy from the time between pulses", ("channel", "imp-per-kwh", *RANGE), answers.power),
    "samples": Verb("samples of a sensor", ("sensor", "columns", *RANGE), answers.samples),
    "thermostat": Verb("readings of thermostats", ("device", "channel", *RANGE), answers.thermostat),
    "pumps": Verb("intents and outcomes of pumps", ("pump", *RANGE), answers.pumps),
    "rollups": Verb("sums of 1, 5 and 60 minutes", ("window", "series", *RANGE), answers.rollups),
    "ledger": Verb("what is known to be lost", RANGE, answers.ledger),
    "happened": Verb("losses, clock settings and events, by time", RANGE, answers.happened),
    "health": Verb("daemons, a row a minute", ("src", *RANGE), answers.health),
    "dbstats": Verb("rows per table, bytes", (), answers.dbstats),
}
NO_METERS: Mapping[str, float] = MappingProxyType({})


def answer(
    query: TelemetryQuery,
    verb: str,
    options: Mapping[str, str],
    *,
    imp_per_kwh: Mapping[str, float] = NO_METERS,
    zone: tzinfo | None = None,
    now_ns: int | None = None,
) -> Answer:
    """The answer to one verb. imp_per_kwh: the configured meters'. zone: of times that name none; None: local time.

    Raises UsageError for an unknown verb, an option that it does not take, or a value that is wrong; StoreError.
    """
    asked = asked_of(verb, options, imp_per_kwh=imp_per_kwh, zone=zone, now_ns=now_ns)
    try:
        return VERBS[verb].ask(query, asked)
    except ValueError as e:
        raise UsageError(str(e)) from None


def asked_of(
    verb: str,
    options: Mapping[str, str],
    *,
    imp_per_kwh: Mapping[str, float] = NO_METERS,
    zone: tzinfo | None = None,
    now_ns: int | None = None,
) -> Asked:
    """The options of a verb, looked at before any database is: UsageError."""
    known = VERBS.get(verb)
    if known is None:
        raise UsageError(f"no such query: {verb}; there are {', '.join(VERBS)}")
    for name in options:
        if name not in known.options:
            raise UsageError(f"{verb}: no option {name}; it takes {', '.join(known.options) or 'none'}")
    return Asked.parse(options, known.options, imp_per_kwh, zone, time.time_ns() if now_ns is None else now_ns)
