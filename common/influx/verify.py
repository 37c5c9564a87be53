"""What set-up should have left: each thing looked at by itself, with the command that mends it. Nothing is changed."""

import importlib.util
import shlex
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from common.doctor.finding import Finding
from common.errors import InfluxError
from common.influx import flux
from common.influx.site import Site, period
from common.secrets import Secret

if TYPE_CHECKING:
    from common.influx.client import Server
    from common.influx.tokens import Held

SETUP = "make setup-influxdb"
ENABLE = "rigbus config show | grep -n -A1 sink.influx  # there: enabled = true"
_SKEW_S = 5.0  # a minute's task begins 10 s after it: a rig this late has its last points in by then
_LIBRARIES = ("influxdb_client", "urllib3")


def examine(site: Site) -> Iterator[Finding]:
    """Findings in the order in which they depend on each other; those that cannot be looked at are missing too."""
    yield _env_file(site)
    absent = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if absent:
        yield Finding(
            "libraries", "missing", f"{', '.join(absent)}: not installed", ".venv/bin/pip install -e '.[influx]'"
        )
        return
    yield Finding("libraries", "ok", ", ".join(_LIBRARIES))
    yield from _server(site)
    yield _output(site)


def _output(site: Site) -> Finding:
    if site.config.enabled:
        return Finding("output", "ok", "sink.influx.enabled is true (`rigbus status` tells whether the sink can write)")
    detail = "sink.influx.enabled is false: the sink writes nothing there"
    return Finding("output", "warning", detail, ENABLE)


def _env_file(site: Site) -> Finding:
    """A file that is not there is right where the environment or systemd holds the tokens."""
    file = site.secrets.file
    quoted = shlex.quote(str(file))
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        file.read_bytes()
    except FileNotFoundError:
        source = site.secrets.get("INFLUX_TOKEN", "INFLUX_WRITE_TOKEN").source
        if source:
            return Finding(".env", "ok", f"not there; the tokens come from {source}")
        mend = f"install -m 600 .env.example {quoted}  # then edit it"
        return Finding(".env", "missing", f"{file} is not there", mend)
    except OSError as e:
        return Finding(".env", "missing", f"{file}: {e.strerror}", f"ls -l {quoted}")
    if mode & 0o077:
        return Finding(".env", "missing", f"{file}: others can read it (mode {mode:04o})", f"chmod 600 {quoted}")
    return Finding(".env", "ok", f"{file}, mode {mode:04o}")


def _edit(site: Site) -> str:
    return f"${{EDITOR:-nano}} {shlex.quote(str(site.secrets.file))}"


def _server(site: Site) -> Iterator[Finding]:
    from common.influx import tokens  # here: its library may be missing

    admin = tokens.admin(site)
    try:
        server = tokens.connect(site, admin)
    except InfluxError as e:
        yield Finding("InfluxDB", "missing", str(e), _edit(site))
        return
    with server:
        try:
            health = server.health()
        except InfluxError as e:
            mend = f"curl -sS {shlex.quote(site.shown_url + '/health')}"
            yield Finding("InfluxDB", "missing", f"{site.shown_url}: {e}", mend)
            return
        yield Finding("InfluxDB", "ok", f"{site.shown_url}: {health.version}, healthy")
        yield _clock(health.ahead_s)
        yield from _with_admin(site, admin, server)
    for plan in tokens.plans(site):
        yield from _part(plan.env, lambda plan=plan: [_token(plan.env, tokens.held(site, plan))])  # type: ignore[misc]


def _clock(ahead_s: float | None) -> Finding:
    if ahead_s is None:
        return Finding("clocks", "warning", "the server does not say the time", "")
    if abs(ahead_s) > _SKEW_S:
        detail = f"the server's is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this one"
        return Finding("clocks", "missing", detail, "timedatectl timesync-status  # here and there")
    return Finding("clocks", "ok", f"the server's and this one agree to {_SKEW_S:.0f} s")


def _with_admin(site: Site, admin: Secret, server: "Server") -> Iterator[Finding]:
    if not admin:
        detail = f"INFLUX_TOKEN is set neither in the environment nor in {site.secrets.file}"
        yield Finding("credentials", "missing", detail, _edit(site))
        return
    try:
        server.org_id()
    except InfluxError as e:
        what = "organization" if e.status == 404 else "credentials"
        yield Finding(what, "missing", f"{e} (INFLUX_TOKEN is from {admin.source})", _edit(site))
        return
    yield Finding("credentials", "ok", f"INFLUX_TOKEN from {admin.source} is accepted")
    yield Finding("organization", "ok", site.config.org)
    yield from _part("buckets", lambda: _buckets(site, server))
    yield from _part("tasks", lambda: _tasks(site, server))


def _part(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What cannot be looked at is no ✓."""
    try:
        return look()
    except InfluxError as e:
        return [Finding(what, "missing", f"cannot be looked at: {e}", SETUP)]


def _buckets(site: Site, server: "Server") -> list[Finding]:
    there, findings = {bucket.name: bucket.retention_s for bucket in server.buckets()}, []
    for plan in site.buckets:
        what, kept_s = f"bucket {plan.name}", there.get(plan.name)
        if kept_s is None:
            findings.append(Finding(what, "missing", "does not exist", SETUP))
        elif kept_s == plan.retention_s:
            findings.append(Finding(what, "ok", f"keeps {period(kept_s)}"))
        else:
            longer = plan.retention_s != 0 and (kept_s == 0 or kept_s > plan.retention_s)
            detail = f"keeps {period(kept_s)}, not {period(plan.retention_s)}"
            findings.append(Finding(what, "warning" if longer else "missing", detail, SETUP))
    return findings


def _tasks(site: Site, server: "Server") -> list[Finding]:
    mode = site.config.downsampling
    if not server.has_tasks():
        if mode == "tasks":
            detail = 'the server has no Flux tasks, and downsampling = "tasks"'
            return [Finding("tasks", "missing", detail, "rigbus config show | grep -n downsampling")]
        return [Finding("tasks", "ok", "the server has no Flux: the sink sums up")]
    found, findings = server.tasks(), []
    names = [flux.task_name(window, site.config) for window in flux.WINDOWS]
    for window, name in zip(flux.WINDOWS, names, strict=True):
        own = [task for task in found if task.name == name]
        active = [task for task in own if task.active]
        right = [task for task in active if flux.same(task.flux, flux.task(window, site.config))]
        what = f"task {window.name}"
        if mode == "sink":
            fault = "active, and the sink sums up too" if active else ""
        elif not own:
            fault = "does not exist"
        elif not active:
            fault = "not active"
        elif len(own) > 1:
            fault = "exists more than once"
        elif not right:
            fault = "its Flux is not what set-up writes"
        else:
            fault = f"its last run failed: {right[0].error}" if right[0].error else ""
        good = "not active: the sink sums up" if mode == "sink" else f"active: {name}"
        findings.append(Finding(what, "missing", fault, SETUP) if fault else Finding(what, "ok", good))
    for task in found:
        if task.active and task.name not in names and (written := flux.writes_to(task.flux, site.config)):
            detail = f"not rigbus's, and writes to {', '.join(written)} too"
            findings.append(Finding(f"task {task.name}", "warning", detail, f"influx task list --id {task.id}"))
    return findings


def _token(env: str, held: "Held") -> Finding:
    if held.fault:
        return Finding(env, "missing", held.fault, SETUP)
    does = "writes to" if env == "INFLUX_WRITE_TOKEN" else "reads"
    return Finding(env, "ok", f"from {held.secret.source}; {does} all four buckets")
