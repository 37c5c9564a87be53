"""Fixtures of the tests of set-up: the server, and the desk in front of it."""

import os

import pytest
from desk import Desk
from v2server import V2Server

from common.config.dotenv import KEYS


@pytest.fixture
def server():
    with V2Server() as server:
        yield server


@pytest.fixture
def desk(tmp_path, server, capsys, monkeypatch):
    for name in [*KEYS, *(n for n in os.environ if "TOKEN" in n or n.startswith("RIGBUS")), "CREDENTIALS_DIRECTORY"]:
        monkeypatch.delenv(name, raising=False)
    desk = Desk(tmp_path, server, capsys, monkeypatch)
    yield desk
    desk.check_screen()
