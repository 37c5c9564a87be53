"""rigbus's two tokens: which there should be, and whether those that it has do what they are for."""

from msgspec import Struct

from common.errors import InfluxError
from common.influx.client import Authorization, Grant, Server
from common.influx.site import Site
from common.secrets import Secret


class TokenPlan(Struct, frozen=True):
    """env: its name in `.env`. action: what it may do on each of the four buckets, and nothing else."""

    env: str
    title: str
    action: str
    description: str


class Held(Struct, frozen=True):
    """What `.env` or the environment holds for a plan. fault: why it does not do, "" if it does."""

    secret: Secret
    fault: str


def plans(site: Site) -> tuple[TokenPlan, TokenPlan]:
    """Of this node: another rig that writes to the same buckets has its own."""
    return (
        TokenPlan("INFLUX_WRITE_TOKEN", "Writer token", "write", f"rigbus writer ({site.node})"),
        TokenPlan("INFLUX_READ_TOKEN", "Read-only token (for Grafana)", "read", f"rigbus Grafana reader ({site.node})"),
    )


def admin(site: Site) -> Secret:
    return site.secrets.get("INFLUX_TOKEN")


def connect(site: Site, secret: Secret) -> Server:
    """InfluxError."""
    return Server(site.config.url, site.config.org, secret, site.config.timeout_s)


def held(site: Site, plan: TokenPlan) -> Held:
    """Tries the token on all four buckets; writes nothing. InfluxError: the server cannot be asked."""
    secret = site.secrets.get(plan.env)
    if not secret:
        return Held(secret, f"there is no {plan.env}")
    with connect(site, secret) as server:
        if plan.action == "write":
            for bucket in site.buckets:
                if fault := server.may_write(bucket.name):
                    return Held(secret, f"{bucket.name}: {fault}")
            return Held(secret, "")
        try:
            readable = server.readable()
        except InfluxError as e:
            if e.status not in (401, 403, 404):
                raise
            return Held(secret, str(e))
    hidden = [bucket.name for bucket in site.buckets if bucket.name not in readable]
    return Held(secret, f"it cannot read {', '.join(hidden)}" if hidden else "")


def grants(plan: TokenPlan, bucket_ids: list[str]) -> frozenset[Grant]:
    return frozenset((plan.action, bucket_id) for bucket_id in bucket_ids)


def stale(found: list[Authorization], plan: TokenPlan, secret: Secret) -> list[Authorization]:
    """Ours, and not `secret`'s. Where the server hides tokens none is known to be another's, so none is stale."""
    ours = [a for a in found if a.description == plan.description and a.token]
    return [a for a in ours if a.token.reveal() != secret.reveal()]
