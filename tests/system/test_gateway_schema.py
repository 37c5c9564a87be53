"""What the gateway says of itself in /openapi.json, asked in every way that fits, and in many that do not."""

import pytest
import schemathesis
from gateway_client import GATEWAY, Gateway
from hypothesis import HealthCheck, Phase, given, settings

EXAMPLES = 40
DEVICES = """
[pump]
driver = "sim"
cpu = "none"
pump = [{ name = "water", step = 16, dir = 6, en = 17 }]
"""


@pytest.mark.timeout(400)
def test_nothing_that_is_asked_is_a_fault_of_the_gateway(make_rig):
    rig = make_rig(DEVICES + GATEWAY)
    rig.start("bus", "sink", "pulse", "highspeed", "pump")
    gateway = Gateway(rig)
    gateway.start()
    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    asked = []
    for found in schema.get_all_operations():
        operation = found.ok()
        strategy = operation.as_strategy()

        @given(case=strategy)
        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def ask(case):
            asked.append(case.call(base_url=gateway.url, timeout=20).status_code)
            assert asked[-1] != 500, case.as_curl_command()

        ask()
    assert len(asked) > 200
    assert {200, 422} <= set(asked)
    assert "a request failed" not in rig.log("gateway").read_text()
