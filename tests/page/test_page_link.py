"""What the page says when the gateway, or one daemon, is silent: old is never shown as new."""

import os
import re
import signal

import msgpack
import pytest
from page_tools import has_values, nothing, until

STALE_TAGS = """() => [...document.querySelectorAll("[data-panel] .tag")].filter(look.seen).map(n => n.textContent)"""
ENABLED = """() => [...document.querySelectorAll("[data-panel=pumps] button, [data-panel=pumps] input")]
    .filter(n => look.seen(n) && !n.disabled).map(look.nameOf)"""
STATES = """() => Object.fromEntries([...document.querySelectorAll("[data-panel], [data-cell]")]
    .filter(look.seen)
    .map(({dataset: {panel, cell, state}}) => [panel ? `panel ${panel}` : `cell ${cell}`, state]))"""
ONLY_STALE = f"""names => Object.entries(({STATES})()).filter(([, state]) => state === "stale")
    .map(([name]) => name).sort().join() === names.join()"""


def seconds(tag: str) -> int:
    """Of "14 s old"."""
    found = re.match(r"(\d+)\s*(s|min|h)", tag)
    assert found, tag
    return int(found[1]) * {"s": 1, "min": 60, "h": 3600}[found[2]]


def test_page_gateway_gone_is_said_and_what_was_missed_is_filled_in(page_rig, open_page, shot, figure):
    page = open_page(f"{page_rig.url}/#span=60")
    page.watch.expected = ["ERR_CONNECTION_REFUSED", "WebSocket connection", "ERR_CONNECTION_RESET", "503"]
    has_values(page)
    page.evaluate("window.sameDocument = true")
    # `rigbus run` would start it again before anybody has looked
    page_rig.signal("run", signal.SIGSTOP)
    try:
        began = page.evaluate("performance.now()")
        os.kill(page_rig.pid("gateway"), signal.SIGKILL)
        gone_s = page.evaluate("Date.now() / 1000")
        page.wait_for_selector("body[data-link=stale]")
        figure("gateway killed: stale after ms (bound 3000)", round(page.evaluate("performance.now()") - began))
        tags = until(page, f"({STALE_TAGS})().length >= 7 && ({STALE_TAGS})()")
        ages = [seconds(tag) for tag in tags]
        until(page, f"old => ({STALE_TAGS})().every(t => parseInt(t) > old)", max(ages))
        nothing(page.evaluate(ENABLED), "pump controls that are on")
        assert "cannot reach" in page.inner_text("#stop")
        assert page.get_attribute("#stop", "data-look") == "unreachable"
        assert page.is_enabled("#stop"), "it says that it cannot, but is never switched off"
        states = page.evaluate(STATES)
        assert set(states.values()) == {"stale"}, states
        assert "No data" in page.inner_text("#phrase")
        shot(page, "gateway-gone-light")
        page.emulate_media(color_scheme="dark")
        shot(page, "gateway-gone-dark")
        page.set_viewport_size({"width": 390, "height": 844})
        shot(page, "gateway-gone-phone", full=True)
        page.set_viewport_size({"width": 1366, "height": 768})
        page.emulate_media(color_scheme="light")
    finally:
        page_rig.signal("run", signal.SIGCONT)
    page_rig.until(lambda: page_rig.http("/healthz")[0] == 200, "the gateway answers again")
    back_s = page.evaluate("Date.now() / 1000")
    began = page.evaluate("performance.now()")
    page.wait_for_selector("body[data-link=live]")
    figure("gateway answers again: live after ms (bound 10000)", round(page.evaluate("performance.now()") - began))
    until(page, f"Object.values(({STATES})()).every(state => state !== 'stale')")
    assert page.evaluate("window.sameDocument"), "the page was loaded anew"
    assert page.evaluate(f"({ENABLED})().length") > 0
    assert "STOP" in page.inner_text("#stop")
    assert "cannot" not in page.inner_text("#stop")
    # the hole: the line of temperatures runs through the time without a gateway, and nothing is hatched
    filled = """([from, to]) => {
      const {counts} = look.columnsOf("thermostat", "s1");
      const now = Date.now() / 1000;
      const at = t => Math.round(counts.length * (1 - (now - t) / 60));
      const part = counts.slice(Math.max(0, at(from)), at(to));
      const hatched = look.canvases("thermostat").concat(look.canvases("vibration"))
        .some(c => look.texts(c).some(([words]) => words.startsWith("no data")));
      return part.length > 10 && part.every(n => n > 0) && !hatched;
    }"""
    until(page, filled, [gone_s, back_s])
    shot(page, "gateway-back")
    nothing(page.evaluate(RETRY), "not loaded")


RETRY = """() => [...document.querySelectorAll("button")]
    .filter(n => look.seen(n) && n.textContent === "Retry").map(look.nameOf)"""
SHADES = """name => [...document.querySelectorAll(`[data-panel=${name}] [data-value]`)].filter(look.seen).map(n => {
  let opacity = 1;
  for (let at = n; at; at = at.parentElement) opacity *= getComputedStyle(at).opacity;
  return [n.dataset.value, getComputedStyle(n).color, opacity].join(" ");
})"""


def test_page_a_silent_daemon_makes_only_its_own_part_stale(page_rig, open_page, shot):
    page = open_page(page_rig.url)
    has_values(page)
    page_rig.fresh(["thermostat"])
    until(page, "document.querySelector('[data-panel=thermostat]').dataset.state !== 'stale'")
    fresh = page.evaluate(SHADES, "thermostat")
    page_rig.pause("thermostat")
    try:
        until(page, "document.querySelector('[data-panel=thermostat]').dataset.state === 'stale'")
        until(page, "document.querySelector('[data-cell=thermostat]').dataset.state === 'stale'")
        # as long again, so that whatever else would follow has followed
        first = seconds(page.inner_text("[data-panel=thermostat] .tag"))
        until(
            page,
            "old => parseInt(document.querySelector('[data-panel=thermostat] .tag').textContent) >= old",
            first + 4,
        )
        # waited for: beside a busy browser another stream may be late for a moment
        until(page, ONLY_STALE, ["cell thermostat", "panel thermostat"])
        shot(page, "thermostat-stale-light")
        # no number of it looks current
        old = page.evaluate(SHADES, "thermostat")
        assert old
        assert not set(old) & set(fresh), old
        page.emulate_media(color_scheme="dark")
        shot(page, "thermostat-stale-dark")
    finally:
        page_rig.resume("thermostat")
    until(page, "document.querySelector('[data-panel=thermostat]').dataset.state !== 'stale'")


def heard(frames: list[bytes | str]) -> dict[str, int]:
    """Frames by kind in the messages of /live."""
    out: dict[str, int] = {}
    for raw in [frame for frame in frames if isinstance(frame, bytes)]:
        message = msgpack.unpackb(raw)
        for _, frame in message.get("frames", []) if message["type"] == "frames" else []:
            out[frame["k"]] = out.get(frame["k"], 0) + 1
    return out


@pytest.fixture
def spied(open_page):
    """spied(url) → (page, what /live has said: a list that grows)."""

    def make(url):
        page = open_page("about:blank", live=False)
        frames = []
        page.on("websocket", lambda w: w.on("framereceived", lambda data: frames.append(data)))
        page.watch.foreign.clear()
        page.watch.host = url.split("/")[2]
        page.goto(url)
        page.wait_for_selector("body[data-link=live]")
        return page, frames

    return make


def test_page_a_hidden_tab_takes_no_samples(page_rig, spied):
    page, frames = spied(page_rig.url)
    page_rig_kinds = {"samples", "thermostat"}

    def wait_for(condition, what):
        for _ in range(800):
            if condition():
                return
            page.wait_for_timeout(50)
        pytest.fail(f"not: {what}: {heard(frames)}")

    wait_for(lambda: page_rig_kinds <= set(heard(frames)), "samples and temperatures come")
    hide = """hidden => {
      const say = (name, value) => Object.defineProperty(document, name, {get: () => value, configurable: true});
      say("hidden", hidden);
      say("visibilityState", hidden ? "hidden" : "visible");
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)

    def quiet():
        frames.clear()
        page.wait_for_timeout(1500)
        found = heard(frames)
        return found.get("thermostat", 0) > 0 and "samples" not in found

    wait_for(quiet, "no samples come, but the rest")
    drawn = "[...document.querySelectorAll('canvas')].map(look.frames)"
    before = page.evaluate(drawn)
    page.wait_for_timeout(1000)
    assert page.evaluate(drawn) == before, "drawn while nobody sees it"
    frames.clear()
    page.evaluate(hide, False)
    wait_for(lambda: "samples" in heard(frames), "samples come again")
    until(page, "before => [...document.querySelectorAll('canvas')].some((c, i) => look.frames(c) > before[i])", before)
