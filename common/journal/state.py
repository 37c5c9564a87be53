"""What a journal knows besides its frames: runs, losses, acknowledgements, lifetime totals. Folded from the records."""

import msgspec
from msgspec import Struct

from common.journal import format as fmt
from common.journal.format import Record

KEEP_RUNS = 64  # run entries kept after their frames are gone, so that a restored store gets exact numbers

OPEN, CLEAN, KILLED, UNKNOWABLE = range(4)


class Run(Struct):
    """One run of the source. last: highest number journaled or named by a loss. closed: OPEN … UNKNOWABLE.

    alive_ns, next_ns: wall time of its last sign of life, and of the start that found it ended.
    """

    number: int
    id: str
    boot_id: str
    last: int = 0
    closed: int = OPEN
    born_ns: int = 0
    alive_ns: int = 0
    next_ns: int = 0


class LossRange(Struct):
    """Numbers that will never come. segment: where its record stands (0: not yet written)."""

    run: int
    from_seq: int
    to_seq: int
    cause: str
    from_t_ns: int
    to_t_ns: int
    segment: int = 0

    def within(self, other: "LossRange") -> bool:
        """Whether the other names all of its numbers (whatever the cause)."""
        return self.run == other.run and other.from_seq <= self.from_seq and self.to_seq <= other.to_seq

    def at(self, segment: int) -> "LossRange":
        """A copy that stands in another segment."""
        return LossRange(self.run, self.from_seq, self.to_seq, self.cause, self.from_t_ns, self.to_t_ns, segment)


class State(Struct):
    """The STATE record: everything but the loss ranges, which live in records of their own."""

    runs: list[Run] = []
    acks: dict[str, dict[str, int]] = {}  # consumer → run id → stored to
    totals: dict[str, int] = {}  # channel → lifetime count
    first_segment: int = 1


_encode = msgspec.msgpack.Encoder().encode
_state_decoder = msgspec.msgpack.Decoder(State)
_run_decoder = msgspec.msgpack.Decoder(Run)
_loss_decoder = msgspec.msgpack.Decoder(LossRange)


def encode(part: State | Run | LossRange) -> bytes:
    """Payload of a STATE, RUN, CLOSE or LOSS record."""
    return _encode(part)


def copy_state(state: State) -> State:
    """A deep copy: the fold changes runs in place."""
    return _state_decoder.decode(_encode(state))


class Fold:
    """Applies records in journal order."""

    def __init__(self) -> None:
        self.state = State()
        self.losses: list[LossRange] = []
        self.by_number: dict[int, Run] = {}
        self.has_runs = False  # a start got as far as its RUN record: the journal knows its past

    def run_of(self, number: int) -> Run:
        """The run of a record; made up (id unknown) where its RUN record is lost."""
        run = self.by_number.get(number)
        if run is None:
            run = self.by_number[number] = Run(number, "", "")
            self.state.runs.append(run)
        return run

    def apply(self, r: Record, segment: int) -> None:
        """Raises msgspec.DecodeError only for a record that verified but was written by a faulty program."""
        if r.type == fmt.FRAME:
            run = self.by_number.get(r.run) or self.run_of(r.run)
            if r.seq > run.last:
                run.last = r.seq
            if r.a != fmt.NO_CHANNEL:
                # the topic's instance names the channel
                channel = bytes(r.payload[: r.b]).decode("ascii").split("/")[1]
                self.state.totals[channel] = max(self.state.totals.get(channel, 0), r.total)
        elif r.type == fmt.LOSS:
            loss = _loss_decoder.decode(r.payload)
            loss.segment = segment
            self.losses.append(loss)
            run = self.run_of(loss.run)
            run.last = max(run.last, loss.to_seq)
        elif r.type in (fmt.RUN, fmt.CLOSE):
            self.has_runs |= r.type == fmt.RUN
            self._adopt(_run_decoder.decode(r.payload))
        elif r.type == fmt.STATE:
            self._adopt_state(_state_decoder.decode(r.payload))
        elif r.type == fmt.TRIM:
            self.state.first_segment = max(self.state.first_segment, r.seq)

    def _adopt(self, run: Run) -> None:
        old = self.by_number.get(run.number)
        if old is None:
            self.by_number[run.number] = run
            self.state.runs.append(run)
            return
        run.last = max(run.last, old.last)
        run.closed = max(run.closed, old.closed)
        self.state.runs[self.state.runs.index(old)] = run
        self.by_number[run.number] = run

    def _adopt_state(self, found: State) -> None:
        self.has_runs |= bool(found.runs)
        for run in found.runs:
            self._adopt(run)
        for consumer, acks in found.acks.items():
            mine = self.state.acks.setdefault(consumer, {})
            for run_id, stored_to in acks.items():
                mine[run_id] = max(mine.get(run_id, 0), stored_to)
        for channel, total in found.totals.items():
            self.state.totals[channel] = max(self.state.totals.get(channel, 0), total)
        self.state.first_segment = max(self.state.first_segment, found.first_segment)
