"""A device's thread that hangs is seen by systemd's watchdog; a device that is away is no such thing."""

import time

from thermostat_peers import Peer, running, until

from common.thermostats import device as module


def test_a_thread_that_hangs_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_ROUND_S", 0.5)
    monkeypatch.setattr(module, "_ROUND_TIMEOUTS", 0)
    peer = Peer(lambda peer, conn: list(peer.lines(conn)))  # takes all, answers nothing
    with running(tmp_path, peer.port, timeout_s=5.0) as (device, _):
        until(lambda: not device.rounds.alive, "the thread that waits for too long counts as hanging")
    peer.refuse()


def test_a_device_that_is_away_is_none(tmp_path):
    peer = Peer(lambda peer, conn: None)
    peer.refuse()
    with running(tmp_path, peer.port) as (device, record):
        until(lambda: record.lost("refused") > 5, "it is away")
        for _ in range(20):
            assert device.rounds.alive
            time.sleep(0.05)
