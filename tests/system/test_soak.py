"""Random SIGKILLs over all daemons, pairs among them, at random moments of their lives, while others stand still."""

import random
import signal
import time

import pytest
from rig import ALL, MakeRig, Rig


def soak(rig: Rig, rounds: int) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")
    rng = random.Random(seed)
    rig.start(*ALL)
    rig.ready(*ALL)
    for _ in range(rounds):
        names = rng.sample(ALL, rng.choice([1, 1, 2]))
        stopped = rng.choice([n for n in ALL if n not in names]) if rng.random() < 0.3 else None
        if stopped:
            rig.signal(stopped, signal.SIGSTOP)
        rig.kill(*names)
        time.sleep(rng.choice([0, 0, 0.2]))
        rig.start(*names)
        # some are killed again while they start
        time.sleep(rng.uniform(0, 1.2))
        if stopped:
            rig.signal(stopped, signal.SIGCONT)
    rig.ready(*ALL)
    rig.caught_up()
    rig.end()
    found = rig.check("numbered")["numbered"]
    print(f"{found.offered} numbers offered, {found.stored} stored, {found.lost} in the ledger")
    assert found.stored > 10 * rounds


def test_soak_of_20_kills(rig: Rig) -> None:
    soak(rig, 20)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_soak_of_200_kills(make_rig: MakeRig, place: str) -> None:
    soak(make_rig(f'journal.place = "{place}"'), 200)
