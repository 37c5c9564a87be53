"""The text of /metrics: what is not known has no sample, labels are escaped, counters are called so."""

import re

from common.gateway.exposition import Page, exposition

EMPTY = {
    "rig": {"node": "rig", "version": "1", "clock_set": None}, "daemons": {}, "streams": {}, "pulse": None,
    "vibration": None, "thermostat": None, "pumps": None, "arm": None, "record": None, "outputs": [], "account": None,
    "storage": None, "attention": [],
}  # fmt: skip
LOST = {"stream": "samples/v/", "unit": "sample", "cause": "overrun"}
T = 1_000_000_000_000


def lines(sections, sources=(), cpu=None):
    return exposition({**EMPTY, **sections}, T, cpu or {}, sources).splitlines()


def test_a_rig_of_which_nothing_is_known_says_nothing_of_it():
    text = "\n".join(lines({}))
    assert "None" not in text
    assert "nan" not in text.lower()
    for name in ("rigbus_account_ok", "rigbus_frames", "rigbus_record", "rigbus_clock_set", "rigbus_disk"):
        assert name not in text
    assert text.count("rigbus_attention{") == 3


def test_each_metric_has_help_and_type_before_its_samples_and_stands_once():
    found = lines({
        "daemons": {"sink": {"state": "running", "rss_bytes": 5, "missed_ticks": 0, "journal": None, "lateness_us":
                             {"p50": 1, "p99": 2, "p999": 3, "max": 4_000_000}}},
        "streams": {"pulse/a/": {"kind": "pulse", "rate_hz": 2.5, "nominal_hz": None, "heard_t": T - 2 * 10**9,
                                 "state": "normal"}},
        "account": {"ok": False, "devices": [{**LOST, "count": None}, {**LOST, "count": 3}]},
    }, [{"src": "pulse", "published": 9, "stored": 7, "lost": 1, "pending": 1, "unknown": 0}])  # fmt: skip
    seen = []
    for i, line in enumerate(found):
        if line.startswith("# HELP"):
            name = line.split()[2]
            assert found[i + 1].startswith(f"# TYPE {name} ")
            assert found[i + 2].startswith(name)
            assert (found[i + 1].split()[-1] == "counter") == name.endswith("_total")
            seen.append(name)
    assert len(seen) == len(set(seen))
    assert 'rigbus_daemon_lateness_seconds{daemon="sink",percentile="100"} 4.0' in found
    assert 'rigbus_stream_lag_seconds{stream="pulse/a/",kind="pulse"} 2.0' in found
    assert 'rigbus_frames_stored_total{src="pulse"} 7' in found
    assert "rigbus_account_ok 0" in found
    # the count that is known, and that some of it is not
    assert [line for line in found if line.startswith("rigbus_lost")] == [
        'rigbus_lost_total{stream="samples/v/",unit="sample",cause="overrun"} 3',
        'rigbus_lost_unknown{stream="samples/v/",unit="sample",cause="overrun"} 1',
    ]
    assert not [line for line in found if re.search(r"nominal|journal", line)]


def test_text_of_others_cannot_break_a_line():
    page = Page()
    page.put("x", "gauge", "X.", [({"a": 'b"\\\n} 5'}, True)])
    assert page.text() == '# HELP x X.\n# TYPE x gauge\nx{a="b\\"\\\\\\n} 5"} 1\n'


def test_numbers_are_as_exact_as_they_are_known():
    page = Page()
    page.put("x", "gauge", "X.", [({}, 2**62), ({"a": "b"}, 0.1), ({"a": "c"}, 1e-9), ({"a": "d"}, None)])
    assert page.text().splitlines()[2:] == [f"x {2**62}", 'x{a="b"} 0.1', 'x{a="c"} 1e-09']
