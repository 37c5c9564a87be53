"""Rows that a server refuses, on a running rig: the others arrive, the command sends them again or gives them up."""

import json
import sys

from rig import ROOT, MakeRig

sys.path.append(str(ROOT / "tests" / "influx"))
from faults import Faults, Pass, refuse

CONFIG = """
[highspeed]
enabled = false
[sink.influx]
enabled = true
url = "{url}"
downsampling = "tasks"
samples = "off"
"""


def test_refused_rows_are_sent_again_or_given_up(make_rig: MakeRig) -> None:
    with Faults() as faults:
        rig = make_rig(CONFIG.format(url=faults.url))
        faults.otherwise = refuse(400, lambda line: b"PulseType=Export" in line, "no exports")
        rig.start("bus", "sink", "pulse")
        rig.ready("sink", "pulse")
        count = "SELECT count(*) FROM quarantine WHERE output = 'influx'"
        rig.until(lambda: rig.rows(count)[0][0] >= 20, "20 rows are refused")
        faults.otherwise = Pass()
        rig.until(lambda: rig.status("sink")["outputs"]["influx"]["behind"] == 0, "nothing is behind")
        listed = json.loads(rig.command("quarantine", "list", "--json", "--limit", "5").stdout)
        assert [row["reason"] for row in listed] == ["400: no exports"] * 5
        given_up = [str(row["id"]) for row in listed[:2]]
        done = rig.command("quarantine", "drop", *given_up)
        assert (done.returncode, done.stdout) == (0, "2 rows dropped\n"), done.stderr
        done = rig.command("quarantine", "requeue", "ALL")
        assert (done.returncode, done.stderr) == (0, "")
        rig.until(lambda: rig.rows(count)[0][0] == 0, "the quarantine is empty")
        done = rig.command("quarantine", "requeue", given_up[0])
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        rig.stop("pulse")
        rig.until(lambda: rig.status("sink")["outputs"]["influx"]["behind"] == 0, "nothing is behind")
        rig.end()
        stored = {t for (t,) in rig.rows("SELECT t_ns FROM pulses WHERE channel = 'export'")}
        sent = {int(line.rsplit(b" ", 1)[1]) for _, line in faults.taken if b"PulseType=Export" in line}
        assert sent < stored
        assert len(stored - sent) == 2
        assert rig.ledger("quarantine_dropped") == [("influx/pulses", "row", 2, "dropped by command")]
        said = rig.log("sink").read_text()
        assert said.count("refused rows go to quarantine") == 1
