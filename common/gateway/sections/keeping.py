"""Sections `record`, `outputs`, `account`, `storage`."""

import os
from typing import Any

import msgspec

from common import sinks
from common.gateway.sections.context import Context
from common.paths import Folders

ROLLUPS = "rollups"  # as common.store.rollups calls itself; importing that would cost numpy's memory
_RECORD_S = 10.0  # later than this, and than three commits, the record is behind
_NORMAL_S = 30.0  # sums are made each 10 s: behind by less they are not behind


def record(c: Context, _: dict[str, Any]) -> dict[str, Any]:
    sink = c.asker.fields(c.config.sink.name)
    committed = _committed_t(c.folders)
    heard = [topic.t for topic in list(c.seen.topics.values()) if topic.kind != "health"]
    newest = max(heard, default=None)
    behind = None
    if committed is not None:
        behind = round((c.t - committed) / 1e9, 3) if newest is not None and newest > committed else 0.0
    return {
        "behind_s": behind, "behind_frames": sum(sink["behind"].values()) if "behind" in sink else None,
        "stored_frames": sink.get("stored_frames"), "committed_t": committed,
        "limit_s": max(_RECORD_S, 3 * c.config.sink.commit_s),
    }  # fmt: skip


def _committed_t(folders: Folders) -> int | None:
    """When the log last changed: the sink writes to it with each commit."""
    for name in (f"{folders.store}-wal", folders.store):
        try:
            return os.stat(name).st_mtime_ns
        except OSError:
            continue
    return None


def outputs(c: Context, _: dict[str, Any]) -> list[dict[str, Any]]:
    said = c.asker.fields(c.config.sink.name).get("outputs", {})
    names = list(dict.fromkeys([*sinks.enabled(c.config), *said]))
    return [*(_output(c, name, said.get(name, {})) for name in names), _rollups(c)]


def _output(c: Context, name: str, said: dict[str, Any]) -> dict[str, Any]:
    rows = said.get("behind")
    oldest = c.books.behind[name].oldest_t if name in c.books.behind else None
    behind_s = None if rows is None else 0.0 if not rows or oldest is None else max(0.0, (c.t - oldest) / 1e9)
    state = said.get("state")
    began = c.t if oldest is None or state != "waiting" else oldest
    return {
        "name": name, "state": state, "reason": said.get("reason", ""), "since_t": c.since.look(name, state, began),
        "behind": rows, "behind_s": behind_s, "delivered": said.get("delivered"), "refused": said.get("refused"),
        "quarantine": c.books.quarantine.get(name, 0), "quarantine_new": c.books.quarantine_new.get(name, 0),
    }  # fmt: skip


def _rollups(c: Context) -> dict[str, Any]:
    found = c.books.behind.get(ROLLUPS)
    behind_s = None if found is None else 0.0 if found.oldest_t is None else max(0.0, (c.t - found.oldest_t) / 1e9)
    late = behind_s is not None and behind_s > _NORMAL_S
    state = None if found is None else "waiting" if late else "writing"
    return {
        "name": ROLLUPS, "state": state, "reason": "", "since_t": c.since.look(ROLLUPS, state, c.t),
        "behind": found.rows if found else None, "behind_s": behind_s, "delivered": None, "refused": None,
        "quarantine": 0, "quarantine_new": 0,
    }  # fmt: skip


def account(c: Context, _: dict[str, Any]) -> dict[str, Any] | None:
    found = c.books.account
    if found is None:
        return None
    sums = {
        name: sum(getattr(s, name) for s in found.streams)
        for name in ("published", "stored", "lost", "pending", "unknown")
    }
    devices = [msgspec.to_builtins(device) for device in found.devices]
    return {**sums, "ok": found.ok, "devices": devices, "ledger": c.books.ledger, "unknown_t": c.books.unknown_t}


def storage(c: Context, _: dict[str, Any]) -> dict[str, Any] | None:
    return c.books.storage
