"""An output that cannot be opened is said, and leaves all others and the rig as they are."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from common import sinks
from common.config.schema import Config
from common.log import Log
from common.secrets import Secrets
from common.sinks.outputs import Outputs


class Lines:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"output": {"mine": {"driver": "nosuch"}}}, "no output 'nosuch'; there are: csv, influx"),
        ({"output": {"mine": {"driver": "csv"}}}, "csv has a table of its own, [sink.csv]"),
        ({"influx": {"enabled": True, "url": "foo"}}, "sink.influx.url is no URL of a server"),
        ({"output": {"mine": {}}}, "KeyError: 'host'"),
    ],
    ids=["unknown", "a table of its own", "no address", "raises"],
)
def test_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: Any, reason: str) -> None:
    def raises(place: Any) -> Any:
        return place.options["host"]

    find = sinks.find
    monkeypatch.setattr(sinks, "find", lambda driver: raises if driver == "mine" else find(driver))
    config = msgspec.convert({"sink": {"csv": {"enabled": True}, **section}}, Config)
    lines = Lines()
    log = Log("sink", lines)  # type: ignore[arg-type]
    outputs = Outputs(config, tmp_path, str(tmp_path / "rigbus.db"), log, Secrets(tmp_path / ".env", {}))
    assert [consumer.name for consumer in outputs.consumers] == ["csv"]
    (name,) = outputs.faults
    status = outputs.status()
    assert (status[name]["state"], status["csv"]["state"]) == ("waiting", "starting")
    assert reason in status[name]["reason"]
    assert f"{name} waits: {status[name]['reason']}" in outputs.waits()
    assert lines.text.count("cannot be opened, the rig goes on without it") == 1
