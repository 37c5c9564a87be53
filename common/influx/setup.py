"""Set-up: what is missing or wrong is mended piece by piece, what is right stays; a second run changes nothing."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

from msgspec import Struct

from common.errors import InfluxError, RigbusError
from common.influx import env_file, flux, tokens
from common.influx.client import Server
from common.influx.site import Site, period

State = Literal["ok", "changed", "would", "note", "failed"]


class Step(Struct):
    """part: bucket, task, token. state: ok (was right), changed, would (be changed, in a dry run), note, failed."""

    part: str
    name: str
    state: State
    text: str


class Options(Struct, frozen=True):
    """save: tokens are made and saved in `.env`. shorten: a bucket that keeps longer than planned

    is set back, and the server then deletes what is older.
    """

    save: bool = False
    dry_run: bool = False
    shorten: bool = False


def run(site: Site, server: Server, options: Options) -> Iterator[Step]:
    """Buckets, tasks, tokens. What the server refuses is a step that failed, and the rest goes on.

    InfluxError: the server is gone.
    """
    for part, steps in (("bucket", buckets), ("task", tasks), ("token", writer_and_reader)):
        try:
            yield from steps(site, server, options)
        except InfluxError as e:
            if e.status is None:
                raise
            yield Step(part, f"{part}s", "failed", str(e))


def buckets(site: Site, server: Server, options: Options) -> Iterator[Step]:
    """One step a bucket. InfluxError: the server is gone."""
    there = {bucket.name: bucket for bucket in server.buckets()}
    for plan in site.buckets:
        found = there.get(plan.name)
        if found is None:
            yield _do(
                options,
                "bucket",
                plan.name,
                f"created, keeps {period(plan.retention_s)}",
                partial(server.create_bucket, plan.name, plan.retention_s),
            )
        elif found.retention_s == plan.retention_s:
            yield Step("bucket", plan.name, "ok", f"exists, keeps {period(plan.retention_s)}")
        elif _longer(found.retention_s, plan.retention_s) and not options.shorten:
            yield Step(
                "bucket", plan.name, "note", f"keeps {period(found.retention_s)}; left so (--shorten sets it back)"
            )
        else:
            text = f"set to keep {period(plan.retention_s)}, it was {period(found.retention_s)}"
            if _longer(found.retention_s, plan.retention_s):
                text += "; the server deletes what is older"
            yield _do(options, "bucket", plan.name, text, partial(server.set_retention, found, plan.retention_s))


def tasks(site: Site, server: Server, options: Options) -> Iterator[Step]:
    """The Flux tasks: active and as written here, or all inactive where the sink sums up. InfluxError: see buckets."""
    mode = site.config.downsampling
    if not server.has_tasks():
        if mode == "tasks":
            text = 'the server has no Flux tasks: set downsampling = "sink" in [sink.influx]'
            yield Step("task", "tasks", "failed", text)
        else:
            yield Step("task", "tasks", "note", "the server has no Flux tasks: the sink sums up")
        return
    found = server.tasks()
    names = [flux.task_name(window, site.config) for window in flux.WINDOWS]
    for window, name in zip(flux.WINDOWS, names, strict=True):
        text = flux.task(window, site.config)
        own = [task for task in found if task.name == name]
        if mode == "sink":
            active = [task for task in own if task.active]
            for task in active:
                yield _do(
                    options,
                    "task",
                    name,
                    "switched off: the sink sums up",
                    partial(server.update_task, task, active=False),
                )
            if not active:
                yield Step("task", name, "ok", "not active: the sink sums up")
            continue
        if not own:
            said = f"created, every {window.name}, offset {window.offset}"
            yield _do(options, "task", name, said, partial(server.create_task, text))
        elif flux.same(own[0].flux, text) and own[0].active:
            yield Step("task", name, "ok", f"exists, every {window.name}, offset {window.offset}")
        else:
            said = (
                "switched on: it was not active" if flux.same(own[0].flux, text) else "put right: its Flux was another"
            )
            yield _do(options, "task", name, said, partial(server.update_task, own[0], text))
        for task in own[1:]:  # names need not be unique on the server
            yield _do(options, "task", name, "deleted: it was there a second time", partial(server.delete_task, task))
    for task in found:
        if task.active and task.name not in names and (written := flux.writes_to(task.flux, site.config)):
            text = f"not rigbus's, and writes to {', '.join(written)} too: look whether it is still wanted"
            yield Step("task", task.name, "note", text)


def writer_and_reader(site: Site, server: Server, options: Options) -> Iterator[Step]:
    """One step a token. One that does what it is for stays. InfluxError: see buckets."""
    missing = {plan.name for plan in site.buckets} - {bucket.name for bucket in server.buckets()}
    for plan in tokens.plans(site):
        secret = site.secrets.get(plan.env)
        held = tokens.Held(secret, "not all buckets exist") if missing else tokens.held(site, plan)
        what = f"{plan.env} in {site.secrets.file}"
        if not held.fault:
            yield Step("token", plan.title, "ok", f"exists and works ({plan.env}, from {held.secret.source})")
            for old in tokens.stale(server.authorizations(), plan, held.secret):
                yield _do(
                    options,
                    "token",
                    plan.title,
                    "deleted: an old one that nothing of this rig uses",
                    partial(server.delete_authorization, old),
                )
        elif not options.save:
            yield Step("token", plan.title, "note", f"{held.fault}; `rigbus influx setup --save` makes one")
        elif held.secret and held.secret.source != str(site.secrets.file):
            text = f"{held.fault}; {plan.env} comes from {held.secret.source}: take it out there, and run this again"
            yield Step("token", plan.title, "failed", text)
        else:
            said = "created, saved as" if not secret else f"made anew ({held.fault}), saved as"
            yield _do(options, "token", plan.title, f"{said} {what}", partial(_renew, site, server, plan))


def _renew(site: Site, server: Server, plan: tokens.TokenPlan) -> None:
    """In this order: a token that cannot be saved is not made; one that is in use is not deleted before the new is."""
    env_file.check_writable(site.secrets.file)
    wanted = [bucket.name for bucket in site.buckets]
    ids = [bucket.id for bucket in server.buckets() if bucket.name in wanted]
    if len(ids) != len(set(wanted)):
        raise RigbusError("not all buckets exist")
    before = [a for a in server.authorizations() if a.description == plan.description]
    made = server.authorize(plan.description, tokens.grants(plan, ids))
    try:
        if not made.token:
            raise RigbusError("the server did not show the token that it made")
        env_file.save(site.secrets.file, {plan.env: made.token.reveal()})
    except RigbusError:
        server.delete_authorization(made)
        raise
    for old in before:
        server.delete_authorization(old)


def _do(options: Options, part: str, name: str, text: str, work: Callable[[], object]) -> Step:
    """The step that `work` makes. A refusal is this step's alone; a server that is gone is the end: InfluxError."""
    if options.dry_run:
        return Step(part, name, "would", text)
    try:
        work()
    except RigbusError as e:
        if isinstance(e, InfluxError) and e.status is None:
            raise
        return Step(part, name, "failed", str(e))
    return Step(part, name, "changed", text)


def _longer(one_s: int, other_s: int) -> bool:
    return other_s != 0 and (one_s == 0 or one_s > other_s)
