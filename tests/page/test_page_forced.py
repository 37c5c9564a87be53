"""The page in states that a rig rarely has: fake_gateway.py brings them about."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_tools import until

FAKE = Path(__file__).with_name("fake_gateway.py")


@pytest.fixture(scope="module")
def fake_url() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(FAKE)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def force(fake_url: str) -> Callable[[str], int]:
    """force(state) → how many emergency stops were asked for so far."""

    def tell(state: str) -> int:
        body = json.dumps({"state": state}).encode()
        asked = urllib.request.Request(f"{fake_url}fake", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            stops: int = json.load(answer)["stops"]
        return stops

    return tell


@pytest.fixture
def look_at(force: Callable[[str], int], fake_url: str, open_page: Callable[..., Any]) -> Callable[..., Any]:
    """look_at(state, **of open_page) → the page in that state."""

    def look(state: str, **options: Any) -> Any:
        force(state)
        return open_page(fake_url, **options)

    return look


def state_of(page: Any, panel: str) -> Any:
    return page.get_attribute(f"[data-panel={panel}]", "data-state")


def hold(page: Any, ms: int) -> None:
    box = page.locator("#unlock").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.wait_for_timeout(ms)
    page.mouse.up()


def test_forced_warning_has_its_words_in_band_phrase_and_cell(look_at, shot):
    page = look_at("warning")
    page.wait_for_selector("#attention-lines li[data-state=warning]")
    assert page.inner_text("#phrase") == "1 warning"
    assert "31,204 rows wait" in page.inner_text("#attention-lines")
    assert page.inner_text("[data-cell=outputs] .now") == "1 behind of 3"
    assert page.get_attribute("[data-cell=outputs]", "data-state") == "warning"
    shot(page, "forced-warning")


def test_forced_faults_are_three_lines_and_a_button(look_at, shot):
    page = look_at("fault")
    page.wait_for_selector("#attention-lines li:nth-child(3)")
    states = page.eval_on_selector_all("#attention-lines li", "all => all.map(n => n.dataset.state)")
    assert states == ["fault", "fault", "warning"]
    assert page.inner_text("#phrase") == "2 faults"
    assert page.inner_text("#verdict") == "does not balance"
    shot(page, "forced-fault")
    page.click("#attention-more")
    assert page.locator("#attention-lines li").count() == 5


def test_forced_silent_daemon_makes_its_own_panel_stale_only(look_at, shot):
    page = look_at("thermostat")
    page.wait_for_selector("[data-panel=thermostat][data-state=stale]")
    assert page.inner_text("[data-panel=thermostat] .tag").endswith("s old")
    others = [panel for panel in ("power", "vibration", "pumps", "arm", "account") if state_of(page, panel) == "stale"]
    assert others == []
    assert page.get_attribute("[data-cell=thermostat]", "data-state") == "stale"
    shot(page, "forced-thermostat")


def test_forced_waiting_says_for_what(look_at):
    page = look_at("waiting")
    page.wait_for_selector("[data-panel=thermostat] .note:not([hidden])")
    said = page.inner_text("[data-panel=thermostat] .note")
    assert said == "Waiting for the first report · 192.168.1.26:23 · refused, try 6"


def test_forced_silence_turns_everything_off_and_back_on(look_at, force, shot):
    page = look_at("normal")
    until(page, "document.querySelector('[data-pump=food] .primary').disabled === false")
    force("stale")
    page.wait_for_selector("body[data-link=stale]")
    assert page.inner_text("#stop b") == "STOP cannot reach the rig"
    assert page.inner_text("[data-pump=food] .doing").strip() == "was idle"
    assert page.is_disabled("[data-pump=food] .primary")
    assert page.inner_text("#phrase").startswith("No data for")
    shot(page, "forced-stale")
    stood = page.inner_text("#clock")
    page.wait_for_timeout(1200)
    assert page.inner_text("#clock") == stood
    force("normal")
    page.wait_for_selector("body[data-link=live]")
    until(page, "document.querySelector('#stop').dataset.look === 'ready'")


def test_forced_stop_latches_and_only_a_long_hold_and_a_word_unlock(look_at, shot):
    page = look_at("normal", theme="dark")
    page.click("[data-pump=water] .primary")
    page.wait_for_selector("[data-pump=water][data-running]")
    page.locator("#stop").dispatch_event("pointerdown", {"pointerType": "mouse", "button": 0})
    page.wait_for_selector("#stop[data-look=latched]")
    assert "Water pump ended after" in page.inner_text("#latched")
    assert page.is_disabled("[data-pump=food] .primary")
    shot(page, "forced-latched")
    hold(page, 1000)
    assert not page.is_visible("#unlock-dialog")
    hold(page, 2300)
    page.wait_for_selector("#unlock-dialog[open]")
    assert page.evaluate("document.activeElement.id") == "unlock-keep"
    shot(page, "forced-unlock")
    page.keyboard.press("Enter")
    assert page.is_visible("#latched")
    hold(page, 2300)
    page.click("#unlock-confirm")
    page.wait_for_selector("#stop[data-look=ready]")
    assert not page.is_visible("#latched")
    assert page.locator("[data-running]").count() == 0


def test_forced_stop_and_unlock_by_keyboard(look_at, force):
    page = look_at("normal")
    before = force("normal")
    page.keyboard.press("?")
    page.keyboard.press("Control+.")
    page.wait_for_selector("#stop[data-look=latched]")
    assert force("latched") > before
    page.click("#unlock-typing")
    page.type("#unlock-typed", "unlock")
    assert page.is_disabled("#unlock-confirm")
    page.fill("#unlock-typed", "UNLOCK")
    page.click("#unlock-confirm")
    page.wait_for_selector("#stop[data-look=ready]")


def test_forced_scrolling_over_the_stop_is_no_press(look_at, force):
    page = look_at("normal", width=390, height=844, has_touch=True)
    before = force("normal")
    where = page.locator("#stop").bounding_box()
    x, y = where["x"] + 100, where["y"] + 30
    cdp = page.context.new_cdp_session(page)
    cdp.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for up in range(10, 200, 10):
        cdp.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - up}]})
    cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(500)
    assert force("normal") == before
    page.touchscreen.tap(x, y)
    page.wait_for_selector("#stop[data-look=latched]")


def test_forced_large_volume_takes_a_second_press_and_bad_ones_none(look_at):
    page = look_at("normal")
    field, button = "[data-pump=food] input", "[data-pump=food] .primary"
    page.fill(field, "100")
    page.click(button)
    assert page.inner_text(button) == "Confirm 100.0 mL"
    assert page.locator("[data-pump=food][data-running]").count() == 0
    page.click(button)
    page.wait_for_selector("[data-pump=food][data-running]")
    page.click("[data-pump=food] .halt")
    until(page, "!document.querySelector('[data-pump=food][data-running]')")
    page.fill(field, "251")
    assert page.is_disabled(button)
    assert page.inner_text("[data-pump=food] .message") == "At most 250 mL a run"


def test_forced_ranges_by_drag_keys_and_back(look_at):
    page = look_at("normal")
    ruler = page.locator("#ruler").bounding_box()
    page.mouse.move(ruler["x"] + ruler["width"] * 0.62, ruler["y"] + 13)
    page.mouse.down()
    for share in (0.5, 0.3, 0.05, 0.0):
        page.mouse.move(ruler["x"] + ruler["width"] * share, ruler["y"] + 13)
    page.mouse.up()
    assert page.evaluate("location.hash") == "#span=315576000"
    page.keyboard.press("8")
    assert page.evaluate("location.hash") == "#span=60"
    page.keyboard.press("Backspace")
    until(page, "location.hash === '#span=315576000'")
    page.go_back()
    until(page, "location.hash === ''")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    until(page, "location.hash.startsWith('#from=')")
    assert page.inner_text("#live") == "Go live"
    page.keyboard.press("l")
    until(page, "location.hash.startsWith('#span=')")
