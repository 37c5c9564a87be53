"""What the Flux tasks sum up, and when: their schedule run over late data, as nothing here can run Flux itself.

Their syntax and types are checked in tests/influx/test_flux_parser.py.
"""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.schema import InfluxConfig
from common.influx import flux

CONFIG = InfluxConfig()
DAY_S = 86400
OFFSETS_S = {"10s": 10, "20s": 20, "30s": 30}


def test_the_seeds_names_and_times():
    texts = [flux.task(window, CONFIG) for window in flux.WINDOWS]
    heads = [re.search(r"option task = \{(.*)\}", text)[1] for text in texts]
    assert heads == [
        'name: "powerlogger_downsample_1m", every: 1m, offset: 10s',
        'name: "powerlogger_downsample_5m", every: 5m, offset: 20s',
        'name: "powerlogger_downsample_1h", every: 1h, offset: 30s',
    ]
    chain = [(re.search(r'from\(bucket: "(.*?)"', t)[1], re.search(r'to\(bucket: "(.*?)"', t)[1]) for t in texts]
    names = ["PowerLogger_raw", "PowerLogger_1m", "PowerLogger_5m", "PowerLogger_1h"]
    assert chain == list(pairwise(names))
    measured = [re.findall(r'"(PowerPulse\w*)"', t) for t in texts]
    names = ["PowerPulse", "PowerPulse_1m", "PowerPulse_5m", "PowerPulse_1h"]
    assert measured == [list(pair) for pair in pairwise(names)]
    assert [re.findall(r'r\._field == "(\w+)"', t) for t in texts] == [["Pulse"], ["PulseCount"], ["PulseCount"]]
    for text, name in zip(texts, ("1m", "5m", "1h"), strict=True):
        assert 'timeSrc: "_start"' in text  # without it chained tasks shift the last window into the next
        assert f'set(key: "window", value: "{name}")' in text
        assert 'set(key: "_field", value: "PulseCount")' in text


def test_configured_names_are_used_and_make_tasks_of_their_own():
    mine = InfluxConfig(raw_bucket="r", b1m_bucket="m", b5m_bucket="f", measurement="Meter")
    first, second, third = (flux.task(window, mine) for window in flux.WINDOWS)
    assert 'from(bucket: "r")' in first
    assert 'to(bucket: "m")' in first
    assert '"Meter_1m"' in first
    assert 'from(bucket: "m")' in second
    assert 'from(bucket: "f")' in third
    names = [flux.task_name(window, mine) for window in flux.WINDOWS]
    assert names == ["powerlogger_downsample_1m (m)", "powerlogger_downsample_5m (f)", "powerlogger_downsample_1h"]


def test_a_look_back_begins_at_the_start_of_a_window_within_what_is_kept():
    kept_s = [720 * 3600, 2160 * 3600, 8760 * 3600]  # of the bucket that is read
    for window, kept in zip(flux.WINDOWS, kept_s, strict=True):
        for look in window.looks:
            assert look.back_s % window.every_s == 0
            assert look.back_s < kept
        assert window.looks[-1].hour is window.looks[-1].minute is None


def test_the_schedule_here_is_the_one_in_the_text():
    units = {"h": 3600, "d": DAY_S}
    for window in flux.WINDOWS:
        choice = re.search(r"^back = (.*)$", flux.task(window, CONFIG), re.MULTILINE)[1]
        for hour in range(24):
            for minute in range(60):
                python = re.sub(r"(\d+)([hd])\b", lambda m: str(int(m[1]) * units[m[2]]), choice)
                parts = [re.fullmatch(r"if (.*) then (\d+)|(\d+)", part) for part in python.split(" else ")]
                back_s = next(
                    int(p[2] or p[3]) for p in parts if p[3] or eval(p[1], {}, {"hour": hour, "minute": minute})
                )
                assert back_s == flux.look_back_s(window, hour, minute)


class Server:
    """The schedule as InfluxDB keeps it: a run a window, at its time plus the offset, over `[stop - back, stop)`."""

    def __init__(self):
        self.raw, self.sums, self.runs = [], [{}, {}, {}], 0  # raw: (time, when it was there), in s

    def run(self, until_s, since_s):
        due = sorted(
            (at + OFFSETS_S[window.offset], level, at)
            for level, window in enumerate(flux.WINDOWS)
            for at in range(-(-since_s // window.every_s) * window.every_s, until_s, window.every_s)
        )
        for now, level, at in due:
            window = flux.WINDOWS[level]
            start = at - flux.look_back_s(window, at // 3600 % 24, at // 60 % 60)
            source = [(t, 1) for t, there in self.raw if there <= now] if not level else self.sums[level - 1].items()
            found = {}
            for t, count in source:
                if start <= t < at:
                    begin = t // window.every_s * window.every_s
                    found[begin] = found.get(begin, 0) + count
            self.sums[level] |= found
            self.runs += 1


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * 3600), st.sampled_from([0, 5, 300, 3700, 7300, 20_000, DAY_S, 2 * DAY_S])),
        min_size=1, max_size=8,
    ),
    st.integers(0, 23),
)  # fmt: skip
def test_late_points_reach_every_level_and_each_counts_once(points, hour):
    begin = 20_000 * DAY_S + hour * 3600
    server = Server()
    server.raw = [(begin + t, begin + t + late) for t, late in points]
    last = max(there for _, there in server.raw)
    server.run(last + DAY_S + 2 * 3600 + 60, begin)
    for level, window in enumerate(flux.WINDOWS):
        true = {}
        for t, _ in server.raw:
            start = t // window.every_s * window.every_s
            true[start] = true.get(start, 0) + 1
        assert server.sums[level] == true


def test_in_step_with_the_clock_every_window_is_there_at_once():
    begin = 20_000 * DAY_S
    server = Server()
    server.raw = [(t, t) for t in range(begin, begin + 3600, 7)]
    server.run(begin + 3601, begin)
    assert server.sums[2] == {begin: len(server.raw)}


@pytest.mark.parametrize("text", ['a"b', "${now()}", "\\", "\n", "ü", "a\\${b"])
def test_a_literal_holds_no_bare_quote_line_end_or_brace(text):
    inner = flux.literal(text)[1:-1]
    bare = re.sub(r'\\(?:[\\"nrt]|\$\{)', "", inner)
    assert "${" not in bare
    assert not set('"\n\\') & set(bare)


def test_a_foreign_task_that_writes_to_our_sums_is_seen():
    text = 'from(bucket: "PowerLogger_raw") |> range(start: -5m) |> to(bucket: "PowerLogger_1m", org: "me")'
    assert flux.writes_to(text, CONFIG) == ["PowerLogger_1m"]
    assert flux.writes_to('from(bucket: "PowerLogger_1m") |> range(start: -1h) |> yield()', CONFIG) == []
