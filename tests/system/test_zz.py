import time, json
from rig import ALL
from test_noise import *
def test_t(noisy):
    real = current_run(noisy, "numbered")
    identities = [real, {**real, "run": "f" * 16}, {**real, "src": "stranger"}, {**real, "src": ".."}]
    identities += [{**real, "src": "bus"}, {**real, "node": "elsewhere"}]
    for last in (2**63 - 1, 10**6):
        send(noisy, [frame("health", 0, who, last_seq=last, closed=c) for who in identities for c in (False, True)])
    try:
        noisy.caught_up(timeout_s=8)
    except AssertionError:
        for _ in range(3):
            print(noisy.status("sink"), noisy.offered())
            print(noisy.rows("select id,src,run,stored_to,published_to,closed from streams"))
            time.sleep(1)
        raise
