"""InfluxDB, where it is used: what set-up should have left there."""

from collections.abc import Iterator

from common.config.dotenv import read
from common.config.load import Loaded
from common.doctor.finding import Finding
from common.errors import ConfigError
from common.influx import verify
from common.influx.site import site


def examine(loaded: Loaded, *, asked_for: bool = False) -> Iterator[Finding]:
    """asked_for: also where nothing says that InfluxDB is used."""
    used = loaded.config.sink.influx.enabled or bool(read(loaded.env_file).get("INFLUX_TOKEN", "").strip())
    if not (asked_for or used):
        return
    try:
        place = site(loaded)
    except ConfigError as e:  # one bucket stands for two
        yield Finding("influxdb", "missing", str(e), "rigbus config check")
        return
    yield from verify.examine(place)
