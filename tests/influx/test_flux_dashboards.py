"""The Flux of the Grafana dashboards before InfluxData's own parser, with Grafana's words put in. It is not run."""

import json
from pathlib import Path

from test_flux_parser import parse  # noqa: F401

BOARD = json.loads((Path(__file__).parents[2] / "config/grafana/dashboards/power.json").read_text())
GIVEN = "option v = {timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 1m}\n"


def asked(panel: dict) -> str:
    """A panel's query as Grafana sends it."""
    (target,) = panel["targets"]
    text = target["query"]
    for variable in BOARD["templating"]["list"]:
        text = text.replace(f"${{{variable['name']}}}", variable["query"])
    assert "$" not in text
    return GIVEN + text


def test_the_dashboards_flux_is_valid(parse):  # noqa: F811
    texts = [asked(panel) for panel in BOARD["panels"]]
    for panel, answer in zip(BOARD["panels"], parse(*texts), strict=True):
        assert answer["valid"], (panel["title"], answer["messages"])


def test_a_wrong_one_is_not(parse):  # noqa: F811
    text = asked(BOARD["panels"][0])
    assert [answer["valid"] for answer in parse(text.replace("keep(columns", "keep(column"))] == [False]
