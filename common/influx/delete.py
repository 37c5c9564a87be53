"""What `rigbus influx delete` takes away: the four buckets as configured, rigbus's tasks and this node's two tokens."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

from msgspec import Struct

from common.errors import InfluxError
from common.influx import flux, tokens
from common.influx.client import Server
from common.influx.site import Site


class Doomed(Struct, frozen=True):
    """kind: bucket, task, token. holds: what dies with it, for the list."""

    kind: Literal["bucket", "task", "token"]
    name: str
    holds: str


class Gone(Struct):
    """state: deleted, skipped (it was not there), would (in a dry run), failed (text says why)."""

    kind: str
    name: str
    state: Literal["deleted", "skipped", "would", "failed"]
    text: str = ""


def listed(site: Site) -> list[Doomed]:
    """All that may die, by the configuration alone; the server is not asked."""
    return [
        *(Doomed("bucket", bucket.name, bucket.holds) for bucket in site.buckets),
        *(Doomed("task", flux.task_name(window, site.config), "") for window in flux.WINDOWS),
        *(Doomed("token", plan.description, plan.title) for plan in tokens.plans(site)),
    ]


def run(site: Site, server: Server, dry_run: bool) -> Iterator[Gone]:
    """One answer a thing: tasks before the buckets that they write. InfluxError: the server is gone."""
    for kind in ("task", "bucket", "token"):
        names = [thing.name for thing in listed(site) if thing.kind == kind]
        try:
            there = _there(server, kind)
        except InfluxError as e:
            if e.status is None:
                raise
            yield from (Gone(kind, name, "failed", str(e)) for name in names)
            continue
        for name in names:
            yield _delete(kind, name, [work for found, work in there if found == name], dry_run)


def _there(server: Server, kind: str) -> list[tuple[str, Callable[[], None]]]:
    """By name, what deletes it."""
    if kind == "bucket":
        return [(bucket.name, partial(server.delete_bucket, bucket)) for bucket in server.buckets()]
    if kind == "task":
        found = server.tasks() if server.has_tasks() else []
        return [(task.name, partial(server.delete_task, task)) for task in found]
    return [(a.description, partial(server.delete_authorization, a)) for a in server.authorizations()]


def _delete(kind: str, name: str, work: list[Callable[[], None]], dry_run: bool) -> Gone:
    if not work:
        return Gone(kind, name, "skipped", "does not exist")
    if dry_run:
        return Gone(kind, name, "would")
    try:
        for delete in work:
            delete()
    except InfluxError as e:
        if e.status is None:
            raise
        return Gone(kind, name, "failed", str(e))
    return Gone(kind, name, "deleted")
