"""Two processes on lgpio never share the folder in which it makes its pipes."""

import subprocess
import sys
from pathlib import Path

OWN = "import os; from common.drivers import lgpio_folder as f; f.own(); f.own(); print(os.environ['LG_WD'])"
OWN += "; open(os.environ['LG_WD'] + '/.lgd-nfy0', 'w').close(); assert len(os.listdir(os.environ['LG_WD'])) == 1"


def folder(tmp_path: Path, **environment: str) -> Path:
    command = [sys.executable, "-c", OWN]
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path), **environment}
    return Path(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip())


def test_each_process_has_its_own_and_takes_it_away(tmp_path):
    first, second = folder(tmp_path), folder(tmp_path)
    assert first != second
    assert first.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_one_that_is_named_is_used_and_stays(tmp_path):
    assert folder(tmp_path, LG_WD=str(tmp_path)) == tmp_path
    assert [file.name for file in tmp_path.iterdir()] == [".lgd-nfy0"]
