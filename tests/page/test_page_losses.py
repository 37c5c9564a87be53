"""Losses and ranges on the charts: a gap is a gap, with its time and cause; one gesture from seconds to years."""

import time

import pytest
from page_tools import has_values, nothing, until

ROWS = """SELECT from_t_ns, to_t_ns, count FROM ledger WHERE cause = 'fifo_overflow' ORDER BY id"""
STREAM = "samples/vibration/"


def overrun(rig):
    """Keeps the vibration sensor's daemon from running for longer than the chip's FIFO holds → (from, to, count)."""
    before = len(rig.rows(ROWS))
    rig.pause("highspeed")
    time.sleep(1.0)
    rig.resume("highspeed")
    rig.until(lambda: len(rig.rows(ROWS)) > before, "the overflow is in the ledger")
    from_ns, to_ns, count = rig.rows(ROWS)[-1]
    return from_ns / 1e9, to_ns / 1e9, count


def test_page_an_overrun_is_hatched_named_and_crossed_by_no_line(page_rig, open_page, shot, figure):
    page = open_page(f"{page_rig.url}/#span=60")
    has_values(page)
    rows = "document.querySelectorAll('#ledger-rows tr').length"
    before = page.evaluate(rows)
    from_s, to_s, count = overrun(page_rig)
    assert count > 100
    flag = f"{count:,} samples · FIFO overrun"
    until(page, "words => look.canvases('vibration').some(c => look.texts(c).some(t => t[0].includes(words)))", flag)
    late_s = page.evaluate("Date.now() / 1000") - to_s
    figure("flag on the chart, s after the overrun ended (bound 3)", round(late_s, 2))
    until(page, f"before => {rows} > before", before)
    row = until(
        page,
        """words => [...document.querySelectorAll("#ledger-rows tr")].map(n => n.innerText)
            .find(text => text.includes(words))""",
        f"{count:,}",
    )
    assert "vibration" in row
    assert "fifo" in row.lower(), row
    shot(page, "overrun-live-light")
    page.emulate_media(color_scheme="dark")
    shot(page, "overrun-live-dark")
    page.emulate_media(color_scheme="light")

    # on a range that stands still every pixel has its time; raw values once they are stored
    begin, end = from_s - 5.0, to_s + 5.0  # no range is under 10 s
    series = f"/api/series?name={STREAM}x&from={begin}&to={end}&columns=400&source=0"
    page_rig.until(
        lambda: max(page_rig.http(series)[1]["series"][f"{STREAM}x"]["t"]) > end - 0.2, "what follows is stored"
    )
    page.goto(f"{page_rig.url}/#from={begin:.3f}&to={end:.3f}")
    page.reload()
    until(page, "words => look.canvases('vibration').some(c => look.texts(c).some(t => t[0].includes(words)))", flag)
    until(page, "look.columnsOf('vibration', 'ink', 60).counts.filter(n => n).length > 100")
    found = page.evaluate("""() => ({
      line: look.columnsOf("vibration", "ink", 25).counts, band: look.columnsOf("vibration", "ink", 60).counts,
      loss: look.columnsOf("vibration", "loss", 60).counts, view: look.chart("vibration")})""")
    shot(page, "overrun-still-light")
    wide = len(found["line"])
    first, last = (round((t - begin) / (end - begin) * wide) for t in (from_s, to_s))
    assert last - first > 10, (first, last)
    hatched = [x for x, n in enumerate(found["loss"]) if n]
    assert hatched, "no hatch"
    assert abs(hatched[0] - first) <= 4, (hatched[0], first)
    assert abs(hatched[-1] - last) <= 4, (hatched[-1], last)
    inside = range(first + 3, last - 3)
    assert all(found["loss"][x] for x in inside), "the hatch has holes"
    nothing([x for x in inside if found["line"][x]], "pixels of the line in the gap")
    outside = [*range(3, first - 6), *range(last + 6, wide - 3)]
    covered = sum(found["band"][x] > 0 for x in outside) / len(outside)
    assert covered > 0.95, covered


def axis(page, panel):
    """Levels of a chart's y axis as drawn: value at 0 px, value per px, from its labels at the left."""
    found = page.evaluate(
        """panel => { const {canvas, left} = look.chart(panel); return [look.texts(canvas), left] }""", panel
    )
    texts, left = found
    levels = []
    for words, x, y in texts:
        number = words.replace(",", "").replace("−", "-")
        if x < left and number.lstrip("-").replace(".", "", 1).isdigit():
            levels.append((y, float(number)))
    assert len(levels) >= 2, texts
    (y0, v0), (y1, v1) = min(levels), max(levels)
    per_px = (v1 - v0) / (y1 - y0)
    return v0 - y0 * per_px, per_px


def test_page_peaks_of_raw_data_lie_within_what_is_drawn(page_rig, open_page):
    """Power as drawn, read back from the pixels by the labels of the axis, against the raw edges."""
    page = open_page(f"{page_rig.url}/#span=60")
    has_values(page)
    names = "&".join(f"name=energy/{name}" for name in ("import", "export", "generate"))

    def raw(begin, end):
        _, answer = page_rig.http(f"/api/series?{names}&from={begin}&to={end}&columns=4000&source=0")
        return {
            name.split("/")[1]: (min(one["min"]), max(one["max"])) for name, one in answer["series"].items() if one["t"]
        }

    page_rig.until(lambda: len(raw(time.time() - 20, time.time())) == 3, "edges are stored")
    end = time.time() - 2
    page.goto(f"{page_rig.url}/#from={end - 20:.3f}&to={end:.3f}")
    page.reload()
    has_values(page)
    until(page, "['s1', 's2', 's3'].every(token => look.columnsOf('power', token).counts.filter(n => n).length > 50)")
    zero, per_px = axis(page, "power")
    found = raw(end - 20, end)
    for channel, token in (("import", "s1"), ("export", "s2"), ("generate", "s3")):
        pixels = page.evaluate("token => look.columnsOf('power', token)", token)
        highest, lowest = min(y for y in pixels["highest"] if y >= 0), max(pixels["lowest"])
        top, bottom = sorted((zero + highest * per_px, zero + lowest * per_px))[::-1]
        low, high = found[channel]
        if bottom < 0:  # what is exported is drawn below zero
            low, high = -high, -low
        slack = 3 * abs(per_px)
        assert bottom - slack <= low, (channel, bottom, low)
        assert high <= top + slack, (channel, top, high)


@pytest.mark.parametrize("back", ["browser", "key"])
def test_page_ruler_goes_from_seconds_to_years_and_back(page_rig, open_page, shot, figure, back):
    page = open_page(f"{page_rig.url}/#span=10")
    has_values(page)
    hash_of = "location.hash"
    for label in ("1 min", "1 h", "10 s"):
        page.get_by_role("group", name="Ranges").get_by_text(label, exact=True).click()
    steps = ["#span=10", "#span=60", "#span=3600", "#span=10"]
    assert page.evaluate(hash_of) == steps[-1]
    box = page.locator("#ruler").bounding_box()
    thumb = page.locator("#ruler .thumb").bounding_box()
    middle = thumb["y"] + thumb["height"] / 2
    page.evaluate("""() => {
      window.moves = [];
      document.getElementById("ruler").addEventListener("pointermove", () => {
        const began = performance.now(), canvas = look.canvases("power")[0], before = look.frames(canvas);
        const poll = () => look.frames(canvas) > before ? moves.push(performance.now() - began)
          : performance.now() - began < 5000 && requestAnimationFrame(poll);
        requestAnimationFrame(poll);
      });
    }""")
    page.mouse.move(thumb["x"] + thumb["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 1, middle, steps=25)
    until(page, f"{hash_of} === '#span=315576000'")
    page.mouse.up()
    assert page.get_attribute("#ruler", "aria-valuetext").endswith("10 years")
    until(page, "moves.length > 0")
    waits = sorted(page.evaluate("moves"))
    figure(
        "ruler dragged: ms to the next picture, p50 and most (bound 100)",
        (round(waits[len(waits) // 2]), round(waits[-1])),
    )
    until(page, "![...document.querySelectorAll('button')].some(n => n.textContent === 'Retry' && look.seen(n))")
    shot(page, "ten-years")
    # the whole gesture is one step
    for step in reversed(steps):
        if back == "browser":
            page.go_back()
        else:
            page.locator("#ruler").focus()
            page.keyboard.press("Backspace")
        until(page, f"step => {hash_of} === step", step)
        span = "#from" if "from" in step else step
        assert span in page.url


def test_page_a_range_before_the_first_data_says_so(page_rig, open_page, shot):
    page = open_page(f"{page_rig.url}/#from=1000000000&to=1000003600")
    until(page, "[...document.querySelectorAll('[data-panel]')].some(n => n.innerText.includes('Nothing stored here'))")
    button = page.get_by_role("button", name="Show it").first
    button.wait_for()
    assert "First data" in page.inner_text("[data-panel=power]")
    shot(page, "before-the-first-data")
    button.click()
    until(page, "!location.hash.includes('from=1000000000')")
