"""What the configuration wants of an InfluxDB: buckets with their retention, and where its keys and tokens stand."""

from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

from common.config.load import Loaded
from common.config.schema import InfluxConfig
from common.errors import ConfigError
from common.secrets import Secrets

_HOUR_S = 3600


class BucketPlan(Struct, frozen=True):
    """retention_s: 0 keeps for ever. holds: what dies with it, in the seed's words."""

    name: str
    retention_s: int
    holds: str


class Site(Struct, frozen=True):
    """url_source, org_source: where the value was set, "" where it is the default."""

    config: InfluxConfig
    node: str
    secrets: Secrets
    url_source: str
    org_source: str

    @property
    def buckets(self) -> list[BucketPlan]:
        """Raw, 1m, 5m, 1h, in this order."""
        cfg, sums = self.config, "with all downsampled data"
        return [
            BucketPlan(cfg.raw_bucket, 720 * _HOUR_S, "with all historical pulse data"),
            BucketPlan(cfg.b1m_bucket, 2160 * _HOUR_S, sums),
            BucketPlan(cfg.b5m_bucket, 8760 * _HOUR_S, sums),
            BucketPlan(cfg.b1h_bucket, 0, sums),
        ]

    @property
    def shown_url(self) -> str:
        """The address without what may be secret in it: a user, a password, a query."""
        try:
            parts = urlsplit(self.config.url)
        except ValueError:
            return "not an address"
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def site(loaded: Loaded) -> Site:
    """`.env` is read when a token is asked for, not here. ConfigError: one bucket stands for two."""

    def source(key: str) -> str:
        found = loaded.origins.get(("sink", "influx", key))
        return str(found) if found else ""

    config = loaded.config
    made = Site(config.sink.influx, config.node, Secrets(loaded.env_file), source("url"), source("org"))
    names = [bucket.name for bucket in made.buckets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"sink.influx: {twice[0]}: one bucket for two purposes (RAW_BUCKET, B1M_BUCKET, …)")
    return made


def period(retention_s: int) -> str:
    """`30 days`, `3 hours`, `for ever`."""
    if not retention_s:
        return "for ever"
    for unit, unit_s in (("days", 86400), ("hours", _HOUR_S), ("minutes", 60)):
        if retention_s % unit_s == 0:
            count = retention_s // unit_s
            return f"{count} {unit if count > 1 else unit[:-1]}"
    return f"{retention_s} s"
