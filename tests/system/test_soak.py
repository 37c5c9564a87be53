"""Random SIGKILLs over all daemons, pairs among them, at random moments of their lives."""

import random
import time

import pytest
from rig import ALL, Rig


def soak(rig: Rig, rounds: int, seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    rig.start(*ALL)
    rig.ready(*ALL)
    for _ in range(rounds):
        names = rng.sample(ALL, rng.choice([1, 1, 2]))
        rig.kill(*names)
        time.sleep(rng.choice([0, 0, 0.2]))
        rig.start(*names)
        # some are killed again while they start
        time.sleep(rng.uniform(0, 1.2))
    rig.ready(*ALL)
    rig.caught_up()
    rig.end()
    found = rig.check("numbered")["numbered"]
    print(f"{found.offered} numbers offered, {found.stored} stored, {found.lost} in the ledger")
    assert found.stored > 10 * rounds


def test_soak_of_20_kills(rig: Rig) -> None:
    soak(rig, 20, random.SystemRandom().randrange(10**9))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_soak_of_200_kills(rig: Rig) -> None:
    soak(rig, 200, random.SystemRandom().randrange(10**9))
