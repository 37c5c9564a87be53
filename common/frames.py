"""The wire: every frame that travels on the bus, and nothing else (no I/O, only msgspec).

A frame is one MessagePack map with string keys, so that plain `msgpack.unpackb` reads it. `k` is the kind. Absent
optional fields are UNSET and not written; None is written as nil and means "known to be nothing" or "unknown".
Names carry units. New fields only, always with a default; nothing is ever renamed or retyped.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

# SQLite holds signed 64 bit: a frame that could not be stored is refused here, with the field's name.
I64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
U63 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# \Z, not $: that would let a newline pass. No leading dot: names become files.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")]
Run = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Json = dict[str, Any]


class Frame(Struct, tag_field="k", kw_only=True):
    """What every frame carries. The publisher fills `node`, `src`, `run`, `seq`, `tseq`; a daemon never does.

    node: the rig's name. src: the daemon instance. run: 16 hex digits drawn at each start. seq: from 1 over all kinds
    of the run (0: live only, neither journaled nor audited). tseq: the same per topic. t: wall clock ns of the first
    datum. mono: CLOCK_BOOTTIME ns of the same instant (0 in both: the publisher stamps now).
    """

    v: int = 1
    node: Name = ""
    src: Name = ""
    run: Run = ""
    seq: U63 = 0
    tseq: U63 = 0
    t: I64 = 0
    mono: I64 = 0


class Pulse(Frame, tag="pulse"):
    """Accepted edges of one meter channel.

    edges: ns since `mono`, first 0. total: lifetime count, these edges included. filtered: edges rejected since the
    channel's last frame. missed: edges the kernel dropped since then; absent where it cannot be known.
    """

    channel: Name
    edges: list[U63]
    total: U63
    filtered: U63 = 0
    missed: U63 | UnsetType = UNSET
    time_source: Literal["kernel", "user"] = "kernel"


class Samples(Frame, tag="samples"):
    """n samples of a vector sensor; values: n × len(axes) of dtype, sample-major, one unit = `scale` `unit`s.

    rate_hz: fitted to the host clock; nominal_hz: as configured. dt_ns: one step, or n − 1 of them.
    """

    sensor: Name
    rate_hz: float
    nominal_hz: float
    n: U63
    axes: list[str]
    unit: str
    scale: float
    dtype: Literal["<i2", "<f4"]
    values: bytes
    dt_ns: U63 | list[U63]


class Thermostat(Frame, tag="thermostat"):
    """One poll of a thermostat: a map a channel, the device's own field names, SI units, null kept as null."""

    device: Name
    readings: list[Json]
    dialect: str


class Pump(Frame, tag="pump"):
    """Intent before a run, outcome after it; one command, one motion."""

    pump: Name
    event: Literal["intent", "started", "done", "stopped", "refused", "estop", "unlocked", "calibrated"]
    action: str
    direction: str
    command_id: str
    ml: float | UnsetType = UNSET
    seconds: float | UnsetType = UNSET
    hz: float | UnsetType = UNSET
    steps: I64 | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class _Arm(Frame):
    funcode: I64
    data: Any
    address: I64 | UnsetType = UNSET
    arm_seq: I64 | UnsetType = UNSET
    joint_id: I64 | UnsetType = UNSET
    target_value: float | UnsetType = UNSET
    angles: list[float | None] | UnsetType = UNSET
    status: Json | UnsetType = UNSET
    correlation_id: str | UnsetType = UNSET
    raw_len: U63 = 0


class ArmCommand(_Arm, tag="arm_command"):
    """A command seen on the way to the arm; angles in degrees."""


class ArmFeedback(_Arm, tag="arm_feedback"):
    """Angles, state or an acknowledgement from the arm, told apart by `address` and `funcode`."""


class Smoother(Frame, tag="smoother"):
    """One joint of one smoother tick (the seed's `smoother_state`)."""

    joint_id: I64
    target: float
    current: float
    sent: float
    step_size: float | None = None
    dirty: int = 1


class WebRequest(Frame, tag="web_request"):
    """One request to a rig's web server (the seed's `web_requests`)."""

    endpoint: str
    method: str = "POST"
    params_json: str | None = None
    response_ms: float | None = None
    status_code: int | None = None
    correlation_id: str | None = None
    ok: int | None = None


class Camera(Frame, tag="camera"):
    """A camera's health (the seed's `camera_health`)."""

    camera_id: str
    actual_fps: float | None = None
    target_fps: float | None = None
    drop_count: int | None = None
    motion_score: float | None = None
    connected: int | None = None
    resolution_w: int | None = None
    resolution_h: int | None = None
    stalled: int | None = None


class Event(Frame, tag="event"):
    """Something that happened (the seed's `system_events`)."""

    event_type: str
    source: str
    detail: str | None = None
    data_json: str | None = None
    correlation_id: str | None = None
    level: str = "info"


class Loss(Frame, tag="loss"):
    """What is known to be lost: `count` of `unit` (null: unknown) on `stream` (a topic; `*`: all of the source).

    Ranges of frames carry run_of, from_seq, to_seq. from_t and to_t: wall ns that bracket the loss.
    """

    stream: str
    unit: Literal["frame", "edge", "sample", "poll", "row"]
    count: U63 | None
    cause: str
    from_t: I64
    to_t: I64
    detail: str = ""
    run_of: str | UnsetType = UNSET
    from_seq: U63 | UnsetType = UNSET
    to_seq: U63 | UnsetType = UNSET


class Lateness(Struct):
    """Lateness of a paced loop since the last health frame, µs."""

    p50: float
    p99: float
    p999: float
    max: float


class JournalHealth(Struct):
    """Fill of a journal: unacknowledged and kept frames, bytes in use, age of the oldest (wall ns, 0: empty)."""

    frames: int
    bytes: int
    oldest: int


class Health(Frame, tag="health"):
    """A daemon's pulse, each second, seq 0. last_seq: the last number committed to the journal. closed: a clean end."""

    last_seq: U63
    closed: bool
    boot_id: str
    journal_id: str
    ctl: str
    pid: int
    cpu_pct: float
    rss_bytes: int
    rates: dict[str, float]
    lateness_us: Lateness
    missed_ticks: int
    journal: JournalHealth
    status: str = ""


AnyFrame = (
    Pulse
    | Samples
    | Thermostat
    | Pump
    | ArmCommand
    | ArmFeedback
    | Smoother
    | WebRequest
    | Camera
    | Event
    | Loss
    | Health
)


class Head(Struct):
    """The identity alone: reads a frame of any kind, known or not."""

    k: str
    node: Name
    src: Name
    run: Run
    seq: U63
    tseq: U63 = 0
    t: I64 = 0
    mono: I64 = 0


class Malformed(ValueError):
    """Not a frame of this contract; the message says which field and why."""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyFrame] = msgspec.msgpack.Decoder(AnyFrame)
_head_decoder = msgspec.msgpack.Decoder(Head)
encode = _encoder.encode


def decode(payload: bytes | memoryview) -> AnyFrame:
    """One frame from its bytes. Raises Malformed for anything else, unknown kinds included."""
    try:
        frame = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Malformed(str(e)) from None
    if not (frame.run and frame.src and frame.node):
        raise Malformed("node, src and run are required")
    if type(frame) is Samples:
        _check_samples(frame)
    return frame


def decode_head(payload: bytes | memoryview) -> Head:
    """Only the identity. Raises Malformed where even that cannot be read."""
    try:
        return _head_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Malformed(str(e)) from None


def _check_samples(f: Samples) -> None:
    size = 2 if f.dtype == "<i2" else 4
    if len(f.values) != f.n * len(f.axes) * size:
        raise Malformed(f"values has {len(f.values)} bytes, n × axes × {size} is {f.n * len(f.axes) * size}")
    if isinstance(f.dt_ns, list) and len(f.dt_ns) != max(0, f.n - 1):
        raise Malformed(f"dt_ns has {len(f.dt_ns)} steps for {f.n} samples")
