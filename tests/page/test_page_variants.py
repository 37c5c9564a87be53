"""Other rigs and other viewers: with tokens, with little on it, with an empty store, with wishes of their own."""

import pytest
from page_tools import has_values, nothing, until

READ, CONTROL = "read-me-0001", "control-me-0002"
SMALL = """
[highspeed]
enabled = false
[pulse]
channel = [{ name = "import", line = 20, imp_per_kwh = 4000.0 }, { name = "export", line = 26, imp_per_kwh = 4000.0 }]
[sink.csv]
enabled = true
"""
SEEN = """() => [...document.querySelectorAll("[data-panel]")].filter(look.seen)
    .map(n => [n.dataset.panel, ...look.box(n)])"""
NUMBERS = """() => ["thermostat", "power"]
    .flatMap(name => [...document.querySelectorAll(`[data-panel=${name}] [data-value]`)])
    .filter(look.seen).map(n => [n.dataset.value, n.textContent]).filter(([, text]) => /[0-9]/.test(text))"""
FADES = """() => [...document.querySelectorAll("*")].filter(n => {
  const {transitionDuration, animationDuration} = getComputedStyle(n);
  return [...transitionDuration.split(","), ...animationDuration.split(",")].some(d => parseFloat(d) > 0.01);
}).map(look.nameOf)"""
VANISHED = """() => [...document.querySelectorAll(".swatch, .dot, .tick, #ruler .rail, #ruler .thumb")]
    .filter(n => look.seen(n) && look.edge(n) < 3).map(look.nameOf)"""


@pytest.fixture(scope="module")
def small_rig(make_page_rig):
    """Meters and outputs, no other device; tokens are set."""
    rig = make_page_rig(SMALL, arm=False, env=f"RIGBUS_READ_TOKEN={READ}\nRIGBUS_CONTROL_TOKEN={CONTROL}\n")
    return rig.begin()


def give(page, token):
    page.wait_for_selector("#token-form:not([hidden])")
    page.fill("#token", token)
    page.press("#token", "Enter")


def refused(page):
    page.watch.expected = ["401", "403", "WebSocket"]


def test_page_asks_for_a_token_and_keeps_it_for_the_tab_only(small_rig, open_page, shot):
    page = open_page(small_rig.url, live=False)
    refused(page)
    page.wait_for_selector("#token-form:not([hidden])")
    shot(page, "token")
    give(page, "wrong-token")
    until(page, "document.getElementById('token').value === '' || look.seen(document.getElementById('token-form'))")
    page.wait_for_timeout(1000)
    assert page.get_attribute("body", "data-link") != "live"
    give(page, READ)
    page.wait_for_selector("body[data-link=live]")
    assert page.is_hidden("#token-form")
    assert READ not in page.url
    assert READ not in page.content()
    page.reload()
    page.wait_for_selector("body[data-link=live]")
    stored = page.evaluate("[JSON.stringify(localStorage), document.cookie, JSON.stringify(sessionStorage)]")
    assert READ not in stored[0]
    assert READ not in stored[1]
    assert READ in stored[2]
    other = page.context.new_page()
    other.goto(small_rig.url)
    other.wait_for_selector("#token-form:not([hidden])")
    assert other.get_attribute("body", "data-link") != "live"


def test_page_of_a_rig_with_little_on_it(small_rig, open_page, shot):
    """Panels of devices that are not there are absent, and the others take their place."""
    page = open_page(small_rig.url, live=False)
    refused(page)
    give(page, CONTROL)
    page.wait_for_selector("body[data-link=live]")
    has_panels = f"({SEEN})().map(n => n[0]).sort().join() === 'account,outputs,power,storage'"
    until(page, has_panels)
    for width, height in ((1366, 768), (1920, 1080), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        shot(page, f"little-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        boxes = {name: box for name, *box in page.evaluate(SEEN)}
        # nothing is left empty where the vibration panel would be
        assert boxes["power"][2] > 0.9 * width, boxes
    cells = page.evaluate("[...document.querySelectorAll('[data-cell]')].filter(look.seen).map(n => n.dataset.cell)")
    assert not {"vibration", "thermostat", "pumps", "arm"} & set(cells)
    # nothing can be stopped: no button that promises it
    assert page.is_hidden("#stop")


@pytest.fixture(scope="module")
def new_rig(make_page_rig):
    """Its thermostat answers nobody, and no meter ever pulses: nothing is stored of them."""
    silent = """
[pulse]
channel = [{ name = "import", line = 20, imp_per_kwh = 0.001 }, { name = "export", line = 26, imp_per_kwh = 0.001 }]
[thermostat]
cpu = "none"
device = [{ name = "bench", host = "127.0.0.1", port = 9 }]
"""
    return make_page_rig(silent, arm=False).begin()


def test_page_waits_where_nothing_ever_came(new_rig, open_page, shot):
    page = open_page(new_rig.url)
    until(page, "document.querySelector('[data-panel=thermostat]').innerText.includes('Waiting for the first report')")
    until(page, "document.querySelector('[data-panel=thermostat]').innerText.includes('127.0.0.1:9')")
    shot(page, "waiting")
    until(page, "document.querySelector('[data-panel=power]').innerText.includes('Waiting')", timeout_s=20)
    shown = page.evaluate(NUMBERS)
    nothing(shown, "numbers of what was never heard of")


def test_page_moves_less_for_who_asks_for_it(page_rig, open_page, figure):
    page = open_page(page_rig.url, reduced_motion="reduce")
    has_values(page)
    count = "look.canvases('vibration').map(look.frames)"
    until(page, f"({count}).length === 3 && ({count}).every(n => n > 0)")
    before, began = page.evaluate(f"[{count}, performance.now()]")
    page.wait_for_timeout(6000)
    after, ended = page.evaluate(f"[{count}, performance.now()]")
    rates = [(b - a) / (ended - began) * 1000 for a, b in zip(before, after, strict=True)]
    figure("pictures a second with reduced motion (bound 1)", [round(rate, 2) for rate in rates])
    assert max(rates) <= 1.5
    assert max(rates) > 0
    fades = page.evaluate(FADES)
    nothing(fades, "still fade")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_keeps_shapes_and_words_in_forced_colours(page_rig, open_page, shot, theme):
    page = open_page(page_rig.url, theme=theme, forced_colors="active")
    has_values(page)
    page.keyboard.press("Control+.")
    page.wait_for_selector("#latched:not([hidden])")
    shot(page, f"forced-colours-{theme}")
    assert page.evaluate("matchMedia('(forced-colors: active)').matches")
    icons = page.evaluate("""() => [...document.querySelectorAll("svg.icon")].filter(look.seen).length""")
    assert icons > 8
    assert "Stopped at" in page.inner_text("#latched")
    # shapes that are a background elsewhere still have something to be seen by
    shapes = page.evaluate(VANISHED)
    nothing(shapes, "shapes that vanish")
    # a button is told from its surroundings by an edge
    edges = page.evaluate("""() => [...document.querySelectorAll("button")].filter(look.seen)
      .filter(n => !n.matches(".bare, .quiet, table button, #ruler-labels button, .chart button"))
      .filter(n => {
        const {borderTopStyle, borderTopWidth, textDecorationLine} = getComputedStyle(n);
        return (borderTopStyle === "none" || parseFloat(borderTopWidth) === 0) && textDecorationLine === "none";
      }).map(look.nameOf)""")
    nothing(edges, "buttons without an edge")


def test_page_theme_is_the_viewers_until_chosen_and_then_kept(page_rig, open_page):
    page = open_page(page_rig.url, theme="dark")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.click("header [data-does=theme]")
    assert page.evaluate(theme) == "light"
    page.reload()
    assert page.evaluate(theme) == "light"
    page.emulate_media(color_scheme="light")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(theme) == "light"


def test_page_without_javascript_points_elsewhere(page_rig, open_page):
    page = open_page(page_rig.url, live=False, java_script_enabled=False)
    assert page.locator("noscript, .noscript").first.inner_text().strip()
    links = [link.get_attribute("href") for link in page.locator(".noscript a").all()]
    assert {"/api/status", "/docs"} <= set(links)


def test_page_whose_charts_did_not_come_says_so_and_can_still_stop(page_rig, open_page):
    page = open_page(page_rig.url)
    page.watch.expected = ["main.js", "Failed to", "ERR_FAILED"]
    page.route("**/charts/main.js", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("body[data-link=live]")
    for panel in ("power", "vibration", "thermostat"):
        until(page, f"document.querySelector('[data-panel={panel}]').innerText.includes('charts were not loaded')")
    assert page.is_enabled("#stop")
    page.unroute("**/charts/main.js")
    with page.expect_navigation():
        page.click("[data-panel=power] button:has-text('Reload')")
    page.wait_for_selector("[data-panel=power] canvas")
    has_values(page)
