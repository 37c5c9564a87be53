"""The page's pure JavaScript, by node's own test runner."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REQUIRED = os.environ.get("RIGBUS_TEST_SERVERS") == "required"


def test_page_units() -> None:
    node = shutil.which("node")
    if node is None and not REQUIRED:
        pytest.skip("node: not installed (apt install nodejs)")
    assert node is not None, "node is not installed"
    files = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    assert files
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
