"""The emergency stop from the page: recorded, said once it is so, kept over a reload, hard to undo by accident."""

import pytest
from page_tools import has_values, until

from common.drivers.sim_motor import PREFIX, read

LATCHED = "#stop[data-look=latched]"
HOLD_MS = 2000
ASKED_ML, ASKED_STEPS = "30.0", 300_000  # about 30 s: it must last through a picture and the stop
# when STOP was pressed, and when the page first said that it is latched; ms of the clock that the rig has too
WITNESS = """() => {
  window.pressed = window.said = null;
  for (const type of ["pointerdown", "keydown"])
    addEventListener(type, () => (window.pressed = Date.now()), {capture: true});
  new MutationObserver(() => {
    const {look} = document.getElementById("stop").dataset;
    if (look === "latched" || !document.getElementById("latched").hidden) window.said ??= Date.now();
  }).observe(document.body, {subtree: true, attributes: true, attributeFilter: ["data-look", "hidden"]});
}"""
FREE = "document.querySelector('[data-pump=water] .primary')?.disabled === false"
MARGIN = 5  # of times that are asserted
CLOCKS_MS = 50  # by which the browser's clock and the rig's may differ


def steps(rig, pump="water"):
    """Made by the simulated motor itself."""
    return read(rig.run / f"{PREFIX}{pump}").made


def estops(rig):
    """Times in s of the recorded stops."""
    return [t / 1e9 for (t,) in rig.rows("SELECT t_ns FROM pump_events WHERE event = 'estop' ORDER BY id")]


def outcomes(rig):
    return rig.rows("SELECT event, reason FROM pump_events WHERE event IN ('done', 'stopped') ORDER BY id")


def ready(page):
    """A page whose water pump can be started."""
    has_values(page)
    button = page.locator("[data-pump=water] .primary")
    until(page, FREE)
    field = page.locator("[data-pump=water] input")
    field.fill(ASKED_ML)
    return button


def stopped(page, rig, before, figure):
    """What a press of STOP must have come to."""
    page.wait_for_selector(LATCHED)
    rig.until(lambda: len(estops(rig)) > before, "the stop is recorded")
    recorded_s = estops(rig)[before]
    pressed_ms, said_ms = page.evaluate("[window.pressed, window.said]")
    took_ms = recorded_s * 1000 - pressed_ms
    figure("estop recorded, ms after the press (bound 250)", round(took_ms))
    figure("latched on the page, ms after the press", said_ms - pressed_ms)
    assert took_ms < 250 * MARGIN
    assert said_ms >= recorded_s * 1000 - CLOCKS_MS, "the page said it before it was so"
    rig.until(lambda: tuple(outcomes(rig)[-1]) == ("stopped", "estop"), "the run ended by the stop")
    assert rig.status_of("pumps")["locked"]
    return steps(rig)


def unlocked_and_still(page, rig, made):
    """After the unlock nothing moves by itself."""
    page.wait_for_selector("#stop[data-look=ready]")
    rig.until(lambda: not rig.status_of("pumps")["locked"], "unlocked")
    assert page.is_hidden("#latched")
    moved = rig.motions()
    page.reload()
    ready(page)
    page.wait_for_timeout(1000)
    assert steps(rig) == made
    assert rig.motions() == moved
    assert not rig.busy()


def hold(page, ms):
    """The mouse on Unlock for so long by the page's own clock."""
    box = page.locator("#unlock").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.wait_for_timeout(ms)
    page.mouse.up()


def test_page_stop_by_mouse(page_rig, open_page, shot, figure):
    page = open_page(page_rig.url)
    button = ready(page)
    before = len(estops(page_rig))
    page.evaluate(WITNESS)
    made_before = steps(page_rig)
    button.click()
    page_rig.until(lambda: steps(page_rig) > made_before, "the pump moves")
    until(page, "document.querySelector('[data-pump=water]').innerText.includes('dispensing')")
    shot(page, "dispensing")
    box = page.locator("#stop").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()  # on the press, not on the release
    made = stopped(page, page_rig, before, figure)
    page.mouse.up()
    until(page, "document.getElementById('latched').innerText.includes('Water pump ended after')")
    assert made < made_before + ASKED_STEPS
    shot(page, "latched-after-a-run")

    page.reload()
    page.wait_for_selector(LATCHED)
    hold(page, HOLD_MS / 2)
    page.wait_for_timeout(HOLD_MS)
    assert page.locator("#unlock-dialog[open]").count() == 0
    assert page_rig.status_of("pumps")["locked"]

    hold(page, HOLD_MS + 500)
    page.wait_for_selector("#unlock-dialog[open]")
    shot(page, "unlock")
    assert page.evaluate("document.activeElement.id") == "unlock-keep"
    page.keyboard.press("Enter")  # where the focus is: stays locked
    until(page, "!document.getElementById('unlock-dialog').open")
    assert page_rig.status_of("pumps")["locked"]
    hold(page, HOLD_MS + 500)
    page.wait_for_selector("#unlock-dialog[open]")
    page.click("#unlock-confirm")
    unlocked_and_still(page, page_rig, made)


def tab_to(page, selector):
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"no Tab leads to {selector}")


@pytest.mark.parametrize("key", ["Enter", " "])
def test_page_stop_by_keyboard_alone(page_rig, open_page, figure, key):
    page = open_page(page_rig.url)
    has_values(page)
    until(page, FREE)
    before = len(estops(page_rig))
    page.evaluate(WITNESS)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "stop"
    made = steps(page_rig)
    tab_to(page, "[data-pump=water] input")
    page.keyboard.press("Control+a")
    page.keyboard.type(ASKED_ML)
    tab_to(page, "[data-pump=water] .primary")
    page.keyboard.press("Enter")
    page_rig.until(lambda: steps(page_rig) > made, "the pump moves")
    page.keyboard.press("Control+.")
    made = stopped(page, page_rig, before, figure)

    page.reload()
    page.wait_for_selector(LATCHED)
    until(page, "!document.getElementById('unlock').disabled")
    tab_to(page, "#unlock")

    def press(ms):
        """A key that is held repeats, as keyboards do."""
        page.keyboard.down(key)
        for _ in range(round(ms / 50)):
            page.wait_for_timeout(50)
            page.keyboard.down(key)
        page.keyboard.up(key)

    press(HOLD_MS / 2)
    page.wait_for_timeout(HOLD_MS)
    assert page.locator("#unlock-dialog[open]").count() == 0
    press(HOLD_MS + 1500)  # the key still repeats when the dialog is there: it must press nothing in it
    page.wait_for_selector("#unlock-dialog[open]")
    assert page_rig.status_of("pumps")["locked"]
    tab_to(page, "#unlock-confirm")
    page.keyboard.press("Enter")
    unlocked_and_still(page, page_rig, made)


def test_page_stop_in_a_dialog_and_by_touch(page_rig, open_page, browser):
    page = open_page(page_rig.url, 390, 844, has_touch=True, is_mobile=True)
    has_values(page)
    # a finger that scrolls over STOP stops nothing
    session = page.context.new_cdp_session(page)
    box = page.locator("#stop").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for up in range(20, 200, 20):
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - up}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(1000)
    assert not page_rig.status_of("pumps")["locked"]
    page.touchscreen.tap(x, y)
    page.wait_for_selector(LATCHED)
    page_rig.until(lambda: page_rig.status_of("pumps")["locked"], "the status, which is renewed later, says so")
    page_rig.unlock()
    page.wait_for_selector("#stop[data-look=ready]")
    # Ctrl+. also in a dialog and in a field
    page.locator("[data-does=help]:visible").first.click()
    page.wait_for_selector("#help-dialog[open]")
    page.keyboard.press("Control+.")
    page_rig.until(lambda: page_rig.status_of("pumps")["locked"], "stopped from a dialog")
    page.keyboard.press("Escape")
    page.wait_for_selector(LATCHED)
