"""What looking costs: frames, tasks and heap of the page on a slow machine, bytes on the wire.

Only what cannot flake is asserted; all figures go into var/screenshots/figures.txt.
"""

import base64

import pytest
from page_tools import has_values, until

CPU_SLOWER = 4
HEAP_MB = 5.0
NETWORK_KB_S = 40.0

SPY = """() => {
  window.spied = {tasks: [], frames: 0, from: performance.now()};
  const note = list => spied.tasks.push(...list.getEntries().map(e => e.duration));
  new PerformanceObserver(note).observe({type: "longtask"});
  const count = () => { spied.frames += 1; requestAnimationFrame(count); };
  requestAnimationFrame(count);
  spied.drawn = look.canvases("vibration").map(look.frames);
}"""
READ = """() => ({tasks: spied.tasks, frames: spied.frames, s: (performance.now() - spied.from) / 1000,
  drawn: look.canvases("vibration").map((c, i) => look.frames(c) - spied.drawn[i])})"""


class Wire:
    """Bytes that came to the page, over WebSockets and HTTP."""

    def __init__(self, session):
        self.socket = self.http = self.messages = 0
        session.on("Network.webSocketFrameReceived", self._frame)
        session.on("Network.dataReceived", self._data)
        session.send("Network.enable")

    def _frame(self, event):
        data = event["response"]["payloadData"]
        self.socket += len(base64.b64decode(data)) if event["response"]["opcode"] == 2 else len(data)
        self.messages += 1

    def _data(self, event):
        self.http += event["encodedDataLength"] or event["dataLength"]


def heap_mb(session):
    session.send("HeapProfiler.collectGarbage")
    return session.send("Runtime.getHeapUsage")["usedSize"] / 1e6


def measured(page, figure, seconds):
    """Figures of so many seconds, after the first pictures are there → (network kB/s, heap growth MB)."""
    session = page.context.new_cdp_session(page)
    has_values(page)
    until(page, "look.canvases('vibration').length === 3 && look.canvases('vibration').every(c => look.frames(c) > 0)")
    # data of the start, and what is only allocated once
    page.wait_for_timeout(3000)
    session.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWER})
    wire = Wire(session)
    before_mb = heap_mb(session)
    page.evaluate(SPY)
    wire.socket = wire.http = wire.messages = 0
    page.wait_for_timeout(seconds * 1000)
    found = page.evaluate(READ)
    socket, http, messages = wire.socket, wire.http, wire.messages
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    after_mb = heap_mb(session)
    took = found["s"]
    tasks = sorted(found["tasks"])
    figure("seconds measured, CPU throttled 4 times", round(took, 1))
    figure("animation frames a second (bound 10)", round(found["frames"] / took, 1))
    figure("pictures a second of the vibration panel's canvases", [round(n / took, 1) for n in found["drawn"]])
    figure("tasks over 50 ms, longest ms (bound 100)", (len(tasks), round(tasks[-1]) if tasks else 0))
    figure("heap MB before and after (bound of growth 5)", (round(before_mb, 2), round(after_mb, 2)))
    figure("WebSocket kB/s (bound 40), messages/s", (round(socket / took / 1000, 1), round(messages / took, 1)))
    figure("HTTP kB/s", round(http / took / 1000, 2))
    assert found["frames"] > 0
    assert messages > seconds, "nothing came"
    return (socket + http) / took / 1000, after_mb - before_mb


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_page_cost_of_looking(page_rig, open_page, figure, seconds):
    page = open_page(f"{page_rig.url}/#span=60", 1920, 1080)
    kb_s, growth_mb = measured(page, figure, seconds)
    assert kb_s <= NETWORK_KB_S
    assert growth_mb <= HEAP_MB


def test_page_weight(page_rig, open_page, figure):
    """All files of the page with its font; and the first paint, which is only told."""
    sizes = {}
    page = open_page("about:blank", live=False)
    page.watch.host = page_rig.url.split("/")[2]
    page.on("response", lambda r: "/api/" not in r.url and r.request.method == "GET" and sizes.update({r.url: r}))
    page.goto(page_rig.url)
    page.wait_for_selector("body[data-link=live]")
    has_values(page)
    total = sum(len(response.body()) for response in list(sizes.values()) if response.status == 200)
    figure("page with font, kB before compression (bound 200)", round(total / 1000, 1))
    figure("files of the page", len(sizes))
    paint = until(page, "performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    figure("first paint, ms (bound 1000)", round(paint))
    assert any("inter" in url for url in sizes)
    assert total > 100_000


def test_page_from_sensor_to_screen(page_rig, open_page, figure):
    """How old the newest sample is when a picture of the last 200 ms is drawn: told, not asserted."""
    page = open_page(page_rig.url)
    has_values(page)
    said = []
    for _ in range(40):
        said.append(page.inner_text("#lag"))
        page.wait_for_timeout(100)
    behind = sorted(float(words.split("·")[1].split()[0]) for words in said if "behind" in words)
    assert behind, said
    figure("lag as the page says it, s: p50, most", (behind[len(behind) // 2], behind[-1]))
