"""Daemons that are stopped for a while (SIGSTOP) and go on: nothing is lost, what they missed comes afterwards."""

import signal
import time

from rig import ALL, Rig

STOPPED_S = 1.0


def test_stopped_daemons_catch_up(rig: Rig) -> None:
    rig.start(*ALL)
    rig.ready(*ALL)
    for name in ALL:
        rig.signal(name, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        rig.signal(name, signal.SIGCONT)
        before = rig.offered()
        rig.until(lambda n=before: rig.offered() > n, f"numbers are offered again after a stop of {name}")
        rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0
    assert rig.audit().sum("lost") == 0


def test_more_than_the_bus_holds_while_the_sink_stands_still(rig: Rig) -> None:
    """What its queues dropped comes from the journal."""
    rig.numbered_args["numbered"] = ["--burst", "100"]
    rig.start("bus", "sink", "numbered")
    rig.ready("bus", "sink", "numbered")
    rig.caught_up()
    rig.signal("sink", signal.SIGSTOP)
    before = rig.offered()
    rig.until(lambda: rig.offered() > before + 14_000, "14,000 are offered")
    rig.signal("sink", signal.SIGCONT)
    rig.caught_up()
    rig.end()
    assert rig.check("numbered")["numbered"].lost == 0
