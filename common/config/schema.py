"""Every key of the configuration: its type, its bounds, its default. `config/rigbus.toml` documents them for users."""

import socket
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

# A name becomes a part of topics and of file names: so no leading dot or dash, and \Z, as $ would let a newline pass.
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z",
        description="a name (letters, digits and _ . - after the first, at most 64)",
    ),
]
_CpuNumber = Annotated[int, Meta(ge=0, le=1023)]
Cpu = Literal["auto", "none"] | _CpuNumber | Annotated[list[_CpuNumber], Meta(min_length=1)]
Seconds = Annotated[float, Meta(gt=0)]


class _Section(Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class Paths(_Section):
    """data: the store, disk journals, counters. run: sockets and memory journals (a path under about 80 bytes)."""

    data: str = ""
    run: str = ""


class Channel(_Section):
    """One meter: a GPIO line and how to read it."""

    name: Name
    line: Annotated[int, Meta(ge=0, le=1023)]
    edge: Literal["rising", "falling"] = "rising"
    pull: Literal["up", "down", "none"] = "up"
    imp_per_kwh: Annotated[float, Meta(gt=0)] = 1000.0
    min_interval_ms: Annotated[float, Meta(ge=0, le=10_000)] = 30.0
    settle_ms: Annotated[float, Meta(ge=0, le=10_000)] = 5.0


class PulseConfig(_Section):
    enabled: bool = True
    driver: Name = "sim"
    chip: str = "/dev/gpiochip0"
    publish_every_s: Annotated[float, Meta(ge=0.01, le=10)] = 0.1
    event_buffer: Annotated[int, Meta(ge=16, le=1024)] = 1024  # the kernel gives one request no more
    cpu: Cpu = "auto"
    channel: list[Channel] = []


class HighspeedConfig(_Section):
    """address 0: the chip's own. accept_ids: identities (WHO_AM_I) of clones that are to be taken for the chip."""

    enabled: bool = True
    driver: Name = "sim"
    name: Name = "vibration"
    bus: Annotated[int, Meta(ge=0, le=255)] = 1
    address: Annotated[int, Meta(ge=0, le=0x77)] = 0
    accept_ids: list[Annotated[int, Meta(ge=0, le=255)]] = []
    mode: Literal["fifo", "polled"] = "fifo"
    rate_hz: Annotated[float, Meta(ge=1, le=4000)] = 800.0
    range_g: Literal[2, 4, 8, 16] = 2
    frame_ms: Annotated[float, Meta(ge=5, le=1000)] = 100.0
    cpu: Cpu = "auto"
    priority: Annotated[int, Meta(ge=0, le=99)] = 50


class ThermostatDevice(_Section):
    """One thermostat; host "sim" is the simulated one that `rigbus run` starts."""

    name: Name
    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 23
    period_s: Annotated[float, Meta(ge=0.1, le=3600)] = 1.0
    timeout_s: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    mode: Literal["poll", "stream"] = "poll"
    allow_control: bool = False


class ThermostatConfig(_Section):
    enabled: bool = True
    cpu: Cpu = "auto"
    device: list[ThermostatDevice] = []


_Line = Annotated[int, Meta(ge=0, le=1023)]
_OverZero = Annotated[float, Meta(gt=0)]


class PumpLines(_Section):
    """One stepper pump: its lines, its calibration, its bounds. steps_per_ml 0: no volume before a calibration."""

    name: Name
    step: _Line
    dir: _Line
    en: _Line
    en_active: Literal["low", "high"] = "low"
    dir_forward: Literal["low", "high"] = "high"
    hz: Annotated[float, Meta(gt=0, le=100_000)] = 10_000.0
    ramp_s: Annotated[float, Meta(ge=0, le=10)] = 0.2
    steps_per_ml: Annotated[float, Meta(ge=0)] = 0.0
    legacy_presets: bool = False
    max_steps: Annotated[int, Meta(ge=1)] = 2_000_000
    max_s: _OverZero = 60.0
    max_ml: _OverZero = 100.0
    max_steps_day: Annotated[int, Meta(ge=1)] = 20_000_000
    max_s_day: _OverZero = 1800.0
    max_ml_day: _OverZero = 1000.0


class PumpConfig(_Section):
    enabled: bool = True
    driver: Name = "sim"
    chip: str = "/dev/gpiochip0"
    cpu: Cpu = "auto"
    priority: Annotated[int, Meta(ge=0, le=99)] = 50
    pump: list[PumpLines] = []


class DdsConfig(_Section):
    """interface "auto": CycloneDDS chooses. enable_mode: what funcode 5 sends to enable the arm (its firmware's word).

    gripper_unit: what joint 6 is counted in; stored raw either way.
    """

    enabled: bool = True
    domain: Annotated[int, Meta(ge=0, le=232)] = 0
    interface: Annotated[str, Meta(min_length=1)] = "lo"
    peers: list[str] = []
    stale_s: Annotated[float, Meta(ge=0.1, le=60)] = 1.0
    allow_motion: bool = False
    enable_mode: Annotated[int, Meta(ge=0, le=80_000)] = 80_000
    gripper_unit: Literal["raw", "mm", "deg"] = "raw"
    cpu: Cpu = "auto"


class SimConfig(_Section):
    """Which simulated peers `rigbus run` starts."""

    thermostat: bool = False
    thermostat_dialect: Literal["old", "swap", "new"] = "new"
    arm: bool = False


class JournalPlace(_Section):
    """`[journal.daemon.<src>]`: what differs for one daemon."""

    place: Literal["memory", "disk"] | None = None
    max_bytes: Annotated[int, Meta(ge=262_144)] | None = None


class JournalConfig(_Section):
    """place: memory = the run folder, disk = the data folder. max_bytes 0: 32 MB or 5 % of RAM, whichever is less.

    keep_s: acknowledged frames stay that long. sync: at most so many seconds between fdatasyncs of kinds not durable.
    """

    place: Literal["memory", "disk"] = "memory"
    max_bytes: Annotated[int, Meta(ge=0)] = 0
    keep_s: Annotated[float, Meta(ge=0)] = 60.0
    sync: Annotated[float, Meta(ge=0)] = 1.0
    consumers: Annotated[list[Name], Meta(min_length=1)] = field(default_factory=lambda: ["sink"])
    daemon: dict[Name, JournalPlace] = {}


class CsvConfig(_Section):
    """dir "": csv in the data folder. file_s, max_files, aggregate: of the readings tree. The rest: of the others."""

    enabled: bool = False
    dir: str = ""
    file_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    max_files: Annotated[int, Meta(ge=2, le=100_000)] = 120
    aggregate: bool = True
    max_mb: Annotated[float, Meta(ge=0.01, le=100_000)] = 64.0
    keep_days: Annotated[float, Meta(ge=0)] = 0.0
    gzip: bool = True
    pump_ledger: str = ""


class InfluxConfig(_Section):
    """downsampling "auto": Flux tasks where the server has Flux, else the sink. samples: what of them is sent."""

    enabled: bool = False
    url: Annotated[str, Meta(min_length=1)] = "http://localhost:8086"
    org: str = ""
    measurement: Annotated[str, Meta(min_length=1)] = "PowerPulse"
    raw_bucket: Annotated[str, Meta(min_length=1)] = "PowerLogger_raw"
    b1m_bucket: Annotated[str, Meta(min_length=1)] = "PowerLogger_1m"
    b5m_bucket: Annotated[str, Meta(min_length=1)] = "PowerLogger_5m"
    b1h_bucket: Annotated[str, Meta(min_length=1)] = "PowerLogger_1h"
    downsampling: Literal["auto", "tasks", "sink"] = "auto"
    samples: Literal["rollups", "raw", "off"] = "rollups"
    batch: Annotated[int, Meta(ge=1, le=50_000)] = 5000
    timeout_s: Annotated[float, Meta(ge=0.1, le=300)] = 10.0


class OutputConfig(_Section):
    """`[sink.output.<name>]`: an output of your own. driver "": the same as the name."""

    enabled: bool = True
    driver: str = ""
    options: dict[str, str | int | float | bool] = {}


class SinkConfig(_Section):
    """rollup_1m_days, rollup_5m_days: 0 keeps them for ever, as those of an hour are. min_free_mb 0: 5 % of the disk,

    at most 256.
    """

    name: Name = "sink"
    commit_s: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    synchronous: Literal["full", "extra"] = "full"
    retention_days: Annotated[float, Meta(gt=0)] = 7.0
    rollup_1m_days: Annotated[float, Meta(ge=0)] = 90.0
    rollup_5m_days: Annotated[float, Meta(ge=0)] = 365.0
    min_free_mb: Annotated[float, Meta(ge=0)] = 0.0
    cpu: Cpu = "auto"
    csv: CsvConfig = field(default_factory=CsvConfig)
    influx: InfluxConfig = field(default_factory=InfluxConfig)
    output: dict[Name, OutputConfig] = {}


class GatewayConfig(_Section):
    """dashboard: whether the page is served too. names: further hosts that the gateway goes by. Tokens are in `.env`

    or the environment, never here.
    """

    enabled: bool = True
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    dashboard: bool = True
    names: list[Annotated[str, Meta(min_length=1)]] = []
    cpu: Cpu = "auto"


class ClockConfig(_Section):
    """hold_s: so long after a boot outputs wait for a clock that is set."""

    hold_s: Annotated[float, Meta(ge=0, le=86_400)] = 120.0


class BusConfig(_Section):
    cpu: Cpu = "auto"


class Config(_Section):
    node: Name = field(default_factory=lambda: socket.gethostname().split(".")[0])
    paths: Paths = field(default_factory=Paths)
    bus: BusConfig = field(default_factory=BusConfig)
    pulse: PulseConfig | None = None
    highspeed: HighspeedConfig | None = None
    thermostat: ThermostatConfig | None = None
    pump: PumpConfig | None = None
    dds: DdsConfig | None = None
    gateway: GatewayConfig | None = None
    journal: JournalConfig = field(default_factory=JournalConfig)
    sink: SinkConfig = field(default_factory=SinkConfig)
    clock: ClockConfig = field(default_factory=ClockConfig)
    sim: SimConfig = field(default_factory=SimConfig)
