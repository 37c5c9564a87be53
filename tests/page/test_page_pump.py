"""Pump commands from the page: what is pressed moves something once, however the network behaves."""

import pytest
from page_tools import has_values, until

ENDED = "document.querySelector('[data-pump=water] .message').textContent"
FREE = "document.querySelector('[data-pump=water] .primary')?.disabled === false"
QUIET_MS = 3000


@pytest.fixture
def pump(page_rig, open_page):
    """pump(ml) → (page, the button): a page whose water pump is ready for so many mL."""

    def make(ml="0.5"):
        page = open_page(page_rig.url)
        page.watch.expected = ["ERR_FAILED", "ERR_INTERNET_DISCONNECTED", "WebSocket", "404"]
        has_values(page)
        # far more than the last volume would be asked twice
        last = page_rig.status_of("pumps")["pumps"][0]["last"]
        if last and float(ml) > 4 * last["planned_ml"]:
            before = len(page_rig.motions())
            asked = {"pump": "water", "ml": float(ml) / 4, "command_id": f"before-{before}"}
            page_rig.http("/api/pumps/dispense", "POST", asked)
            page_rig.until(lambda: len(page_rig.motions()) > before, "the small run")
            page_rig.until(
                lambda: page_rig.status_of("pumps")["pumps"][0]["last"]["command_id"] == f"before-{before}", "known"
            )
        page.fill("[data-pump=water] input", ml)
        until(page, FREE)
        return page, page.locator("[data-pump=water] .primary")

    return make


def click_by_force(page):
    """As a finger does that does not know whether the button is on."""
    page.evaluate("document.querySelector('[data-pump=water] .primary').click()")


def test_page_two_presses_with_the_answer_lost_between_move_once(page_rig, pump, shot):
    page, button = pump()
    before = page_rig.motions()
    asked = []

    def answer_is_lost(route):
        asked.append(route.request.post_data_json["command_id"])
        route.fetch()
        page.context.set_offline(True)
        route.abort()

    page.route("**/api/pumps/dispense", answer_is_lost)
    button.click()
    click_by_force(page)
    until(page, "document.body.dataset.link === 'stale'")
    click_by_force(page)
    shot(page, "no-answer")
    page_rig.until(lambda: not page_rig.busy(), "the run has ended")
    page.context.set_offline(False)
    page.wait_for_selector("body[data-link=live]")
    until(page, f"{ENDED}.includes('done')")
    assert page_rig.motions() == [*before, *asked]
    assert len(asked) == 1
    page.wait_for_timeout(QUIET_MS)
    assert len(asked) == 1, "it was sent again"
    page_rig.until(lambda: page_rig.events(asked[0])[-1][0] == "done", "recorded")
    assert [event for event, *_ in page_rig.events(asked[0])] == ["intent", "started", "done"]


def test_page_a_command_that_was_lost_on_its_way_is_not_sent_again(page_rig, pump):
    page, button = pump()
    before = page_rig.motions()
    asked = []

    def lost(route):
        asked.append(route.request.post_data_json["command_id"])
        route.abort()

    page.route("**/api/pumps/dispense", lost)
    button.click()
    click_by_force(page)
    until(page, f"{ENDED}.includes('nothing moved')")
    assert len(asked) == 1
    assert page_rig.motions() == before
    page.unroute("**/api/pumps/dispense")
    until(page, FREE)
    button.click()
    page_rig.until(lambda: len(page_rig.motions()) == len(before) + 1, "a new press moves")
    assert page_rig.motions()[-1] not in asked


def test_page_a_double_click_moves_once(page_rig, pump):
    page, button = pump("2.0")
    before = len(page_rig.motions())
    button.dblclick(delay=1)
    page_rig.until(lambda: len(page_rig.motions()) > before, "it moves")
    page_rig.until(lambda: not page_rig.busy(), "the run has ended")
    until(page, f"{ENDED}.includes('done')")
    assert len(page_rig.motions()) == before + 1


def test_page_pump_tells_what_the_rig_said(page_rig, pump, shot):
    """Running after `started`, the outcome after it; Stop stands where the button stood, and stops this pump alone."""
    page, button = pump("8.0")
    place = button.bounding_box()
    button.click()
    stop = page.locator("[data-pump=water] .halt")
    stop.wait_for()
    now = stop.bounding_box()
    assert abs(now["x"] - place["x"]) < 1
    assert abs(now["y"] - place["y"]) < 1
    until(page, "document.querySelector('[data-pump=water]').innerText.includes('dispensing forward')")
    until(page, "parseFloat(document.querySelector('[data-pump=water] .delivered').textContent) > 0")
    assert "of 8.0 mL" in page.inner_text("[data-pump=water]")
    stop.click()
    until(page, f"{ENDED}.includes('stopped')")
    assert not page_rig.status_of("pumps")["locked"]
    until(page, "/stopped.*page/s.test(document.getElementById('pump-events').firstChild.innerText)")


def test_page_pump_field_says_what_is_wrong(page_rig, pump):
    page, button = pump()
    before = page_rig.motions()
    for text, words in {
        "": "How much",
        "abc": "number",
        "0": "More than 0",
        "101": "At most",
        "1,5": "point",
        "-1": "number",
    }.items():
        page.fill("[data-pump=water] input", text)
        until(page, f"words => {ENDED}.includes(words)", words)
        assert button.is_disabled(), text
        page.press("[data-pump=water] input", "Enter")
    assert page_rig.motions() == before
    # far more than the last volume: asked once more, and on the second press it goes
    page_rig.http("/api/pumps/dispense", "POST", {"pump": "water", "ml": 0.1, "command_id": f"script-{len(before)}"})
    page_rig.until(lambda: len(page_rig.motions()) == len(before) + 1 and not page_rig.busy(), "the small run")
    page.fill("[data-pump=water] input", "1.0")
    until(page, FREE)
    page_rig.until(lambda: page_rig.status_of("pumps")["pumps"][0]["last"]["planned_ml"] == pytest.approx(0.1), "known")
    page.wait_for_timeout(500)
    button.click()
    until(page, "document.querySelector('[data-pump=water] .primary').textContent.includes('Confirm 1.0')")
    assert len(page_rig.motions()) == len(before) + 1
    button.click()
    page_rig.until(lambda: len(page_rig.motions()) == len(before) + 2, "the confirmed run")
