"""A meter's lifetime count, where its journal may not know it."""

from common import clock
from common.errors import StoreError
from common.runtime import Runtime


def lifetime_total(rt: Runtime, channel: str) -> int:
    """The journal's lifetime count; where it is new or damaged the store is asked once, and the ledger says so."""
    assert rt.journal is not None
    total = rt.journal.state.totals.get(channel, 0)
    if not rt.journal.damaged or not rt.folders.store.exists():
        return total
    from common.store import readonly  # here: sqlite3 is not for every start

    try:
        stored = readonly.lifetime_total(rt.folders.store, channel)
    except StoreError as e:
        rt.log.warning("lifetime total not compared with the store", channel=channel, reason=e)
        return total
    if stored is None or stored <= total:
        return total
    now = clock.wall_ns()
    detail = f"journal had {total}, the store {stored}"
    rt.log.warning("lifetime total taken from the store", channel=channel, journal=total, store=stored)
    rt.lose(f"pulse/{channel}/", "edge", None, "total_from_store", from_t=now, to_t=now, detail=detail)
    return stored
