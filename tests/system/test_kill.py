"""Daemons that end while the others run: nothing is stored twice, and what is missing is in the ledger."""

import itertools
import time

import pytest
from rig import ALL, Rig


def test_sigterm_of_each(rig: Rig) -> None:
    rig.start(*ALL)
    rig.ready(*ALL)
    for name in ALL:
        rig.stop(name)
        time.sleep(0.3)
        rig.start(name)
        rig.ready(name)
    rig.caught_up()
    rig.end()
    found = rig.check("numbered")["numbered"]
    assert found.offered > 100
    assert found.lost == 0  # an orderly stop loses nothing


@pytest.mark.parametrize("together", [1, 2])
def test_sigkill(rig: Rig, together: int) -> None:
    """Of each daemon, and of each pair at the same time."""
    rig.start(*ALL)
    rig.ready(*ALL)
    for names in itertools.combinations(ALL, together):
        rig.kill(*names)
        time.sleep(0.1)
        rig.start(*names)
        rig.ready(*names)
        time.sleep(0.2)
    rig.caught_up()
    rig.end()
    found = rig.check("numbered")["numbered"]
    assert found.stored > 100
    assert rig.ledger("down"), "publishers tell of the time while they were down"
