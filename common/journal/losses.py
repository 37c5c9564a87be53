"""What is lost with a segment that is given up before everyone has it. Pure."""

from collections.abc import Mapping, Sequence

from common import clock
from common.journal.folder import Segment, missing
from common.journal.state import LossRange


def losses_of(
    segment: Segment,
    after: Mapping[int, int],
    runs: Sequence[tuple[int, int]],
    losses: Sequence[LossRange],
    cause: str,
    here: int,
) -> list[LossRange]:
    """The unacknowledged numbers of a segment as ranges, and its own unacknowledged ranges, to be written again.

    after: run number → last number before the next segment. runs: (run number, acknowledged to). losses: all that are
    named so far. here: the segment that the new records will stand in.
    """
    now = clock.wall_ns()
    out: list[LossRange] = []
    for run, acked in runs:
        known = [x for x in losses if x.run == run and x.to_seq > acked]
        elsewhere = [x for x in known if x.segment != segment.number]
        first = max(acked, segment.before.get(run, 0)) + 1
        spans = missing(first, after.get(run, 0), [[x.from_seq, x.to_seq] for x in known])
        new = [LossRange(run, a, b, cause, segment.t_ns, now, here) for a, b in spans]
        own = [x for x in known if x.segment == segment.number]
        new += [x.at(here) for x in own if not any(x.within(y) for y in elsewhere)]
        if new:
            # neighbours that stand elsewhere join: else an endless outage would make endless records
            joined = merge([*new, *(x.at(here) for x in elsewhere)])
            out += [y for y in joined if any(x.within(y) for x in new)]
    return out


def merge(losses: list[LossRange]) -> list[LossRange]:
    """Joins neighbouring ranges of one run and cause."""
    out: list[LossRange] = []
    for loss in sorted(losses, key=lambda x: (x.run, x.cause, x.from_seq)):
        prev = out[-1] if out else None
        if prev and (prev.run, prev.cause) == (loss.run, loss.cause) and loss.from_seq <= prev.to_seq + 1:
            prev.to_seq = max(prev.to_seq, loss.to_seq)
            prev.from_t_ns, prev.to_t_ns = min(prev.from_t_ns, loss.from_t_ns), max(prev.to_t_ns, loss.to_t_ns)
        else:
            out.append(loss)
    return out


def outermost(losses: Sequence[LossRange]) -> list[LossRange]:
    """Without those whose numbers another one names, which was written later: as in the journal that wrote them."""
    out: list[LossRange] = []
    for loss in sorted(losses, key=lambda x: (x.run, x.from_seq, -x.to_seq, -x.segment)):
        if not (out and loss.within(out[-1])):
            out.append(loss)
    return out
