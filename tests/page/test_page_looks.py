"""The page at all sizes and in both themes: nothing sticks out, nothing is hard to read, nothing moves."""

import time

import pytest
from page_tools import has_values, nothing, until

SIZES = [(320, 640), (390, 844), (683, 384), (1366, 768), (1920, 1080), (2560, 1440), (3840, 2160)]
THEMES = ("light", "dark")
PANELS = {"power", "vibration", "thermostat", "pumps", "account", "outputs", "storage"}
STILL_S = 10.0
FADE_S = 3.0  # 0.15 s
ATTENTION_PX = 40.0  # of one line; more of them push the panels down, which is what they are for

PANEL_BOXES = """() => [...document.querySelectorAll("[data-panel]")].filter(look.seen)
    .map(n => [n.dataset.panel, ...look.box(n)])"""
# what stands at points round STOP, 6 and 12 px away, and can be pressed
NEAR_STOP = """() => {
  const {left, right, top, bottom} = document.getElementById("stop").getBoundingClientRect();
  const found = new Set();
  for (const off of [6, 11])
    for (let share = 0; share <= 1; share += 0.05) {
      const [x, y] = [left + share * (right - left), top + share * (bottom - top)];
      for (const [px, py] of [[x, top - off], [x, bottom + off], [left - off, y], [right + off, y]]) {
        const at = document.elementFromPoint(px, py)?.closest("button, input, a, [role=slider], [tabindex]");
        if (at && at.id !== "stop") found.add(look.nameOf(at));
      }
    }
  return [...found];
}"""
SMALL = """(least) => look.controls().filter(n => !n.closest("table") && n.localName !== "a" && n.type !== "checkbox")
    .map(n => [look.nameOf(n), ...look.box(n)])
    .filter(([name, , , w, h]) => w < 24 || h < 24)
    .concat([...document.querySelectorAll("#stop, #live, #unlock, [data-pump] button, [data-pump] input")]
      .filter(look.seen).map(n => [look.nameOf(n), ...look.box(n)]).filter(([, , , , h]) => h < least - 0.5))"""
TINY_TEXT = """() => [...document.querySelectorAll("body *")].filter(n => look.seen(n)
    && [...n.childNodes].some(c => c.nodeType === 3 && c.data.trim())
    && parseFloat(getComputedStyle(n).fontSize) < 11.5)
    .map(look.nameOf)"""
CUT_OFF = """() => [...document.querySelectorAll("[data-value], button, h1, h2, #phrase")].filter(look.seen)
    .filter(n => n.scrollWidth > n.clientWidth + 1 && getComputedStyle(n).display !== "inline")
    .map(n => [look.nameOf(n), n.textContent.trim(), n.scrollWidth, n.clientWidth])"""


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_page_size_fits_and_can_be_used(page_rig, open_page, shot, width, height):
    page = open_page(page_rig.url, width, height)
    has_values(page)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        until(page, "theme => document.documentElement.dataset.theme === theme", theme)
        shot(page, f"{width}x{height}-{theme}")
        if width < 1900:
            shot(page, f"{width}x{height}-{theme}-whole", full=True)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        boxes = {name: box for name, *box in page.evaluate(PANEL_BOXES)}
        assert set(boxes) == PANELS | {"arm"} if page_rig.has_arm else PANELS
        assert all(w > 100 and h > 60 for _, _, w, h in boxes.values()), boxes
        assert all(x >= 0 and x + w <= width for x, _, w, _ in boxes.values()), boxes
        pushed = max(0.0, page.evaluate("document.querySelector('.attention').offsetHeight") - ATTENTION_PX)
        below = {name for name, (_, y, _, h) in boxes.items() if y + h > height + (pushed if width < 1900 else 0)}
        if width >= 1900:
            assert below == set(), boxes
            assert page.evaluate("document.documentElement.scrollHeight") <= height
            plots = page.evaluate("[...document.querySelectorAll('canvas')].filter(look.seen).map(n => n.clientHeight)")
            assert min(plots) >= 110, plots
        elif width == 1366:
            assert below == {"account", "outputs", "storage"}, boxes
    nothing(page.evaluate(NEAR_STOP), "beside STOP")
    nothing(page.evaluate(SMALL, 44 if width <= 640 else 36), "too small to hit")
    nothing(page.evaluate(TINY_TEXT), "text under 11.5 px")
    nothing(page.evaluate(CUT_OFF), "cut off")


def weak(page):
    """What is still too weak once the fades have ended."""
    deadline = time.monotonic() + FADE_S
    while True:
        found = page.evaluate("look.contrasts()")
        assert found["checked"] > 100, found
        if not found["low"] or time.monotonic() > deadline:
            return found["low"]
        page.wait_for_timeout(100)


def complaints(page, axe):
    page.evaluate("Promise.allSettled(document.getAnimations().map(a => a.finished))")  # a fade is no colour
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
    return [
        (rule["id"], node["target"], node["failureSummary"])
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", THEMES)
def test_page_contrast_of_every_text_and_control(page_rig, open_page, shot, theme):
    page = open_page(page_rig.url, theme=theme)
    has_values(page)
    nothing(weak(page))
    page.set_viewport_size({"width": 390, "height": 844})
    nothing(weak(page))
    page.set_viewport_size({"width": 1366, "height": 768})
    page.click("header [data-does=help]")
    page.wait_for_selector("#help-dialog[open]")
    shot(page, f"help-{theme}")
    nothing(weak(page))
    page.keyboard.press("Escape")
    page.keyboard.press("Control+.")
    page.wait_for_selector("#stop[data-look=latched]")
    shot(page, f"latched-{theme}")
    nothing(weak(page))
    page_rig.pause("gateway")
    try:
        page.wait_for_selector("body[data-link=stale]")
        shot(page, f"stale-latched-{theme}")
        nothing(weak(page))
    finally:
        page_rig.resume("gateway")


def test_page_contrast_is_measured(page_rig, open_page):
    """What the test above looks for is found where it is."""
    page = open_page(page_rig.url)
    has_values(page)
    page.evaluate("""() => {
      document.getElementById("rig").style.color = "#b0b0b0";
      document.querySelector("[data-pump] input").parentElement.style.setProperty("border-color", "#eee");
      document.querySelector("[data-pump] input").style.setProperty("border-color", "#eee");
    }""")
    assert {name.split()[-1] for name, *_ in weak(page)} >= {"#rig"}
    assert any(name.endswith("input0") for name, *_ in weak(page))


@pytest.mark.parametrize("theme", THEMES)
def test_page_axe_finds_nothing_serious(page_rig, open_page, axe, theme):
    page = open_page(page_rig.url, theme=theme)
    has_values(page)
    nothing(complaints(page, axe))
    page.click("header [data-does=help]")
    page.wait_for_selector("#help-dialog[open]")
    nothing(complaints(page, axe))
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    page.keyboard.press("Control+.")
    page.wait_for_selector("#latched:not([hidden])")
    nothing(complaints(page, axe))


def test_page_values_come_and_nothing_moves(page_rig, open_page, figure):
    pages = [open_page(page_rig.url, *size) for size in ((1366, 768), (390, 844))]
    for page in pages:
        has_values(page)
        figure("all values there, ms after navigation began (bound 2000)", round(page.evaluate("performance.now()")))
    alarms = "[...document.querySelectorAll('#attention-lines li')].map(n => n.firstChild?.textContent).join()"
    for tries in range(3):
        before = [page.evaluate(alarms) for page in pages]
        watches = [page.evaluate_handle("look.watchBoxes()") for page in pages]
        pages[0].wait_for_timeout(STILL_S * 1000)
        found = [watch.evaluate("w => w.stop()") for watch in watches]
        # an attention line is the one thing that may push the others: then it is another page, and looked at again
        if before == [page.evaluate(alarms) for page in pages] or tries == 2:
            break
    for page, one in zip(pages, found, strict=True):
        assert one["controls"] > 15, one
        assert one["beside"] > 10, one
        assert one["frames"] > 30, one
        nothing(one["moved"], page.viewport_size)
