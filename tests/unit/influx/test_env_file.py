"""`.env` after a key was put in: all else to the letter, mode 0600, and read back by what reads it."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.dotenv import read
from common.errors import RigbusError
from common.influx import env_file

TOKEN = "aB3_-xyz/+9=="


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"K={TOKEN}\n"),
        ("A=1\n", f"A=1\nK={TOKEN}\n"),
        ("A=1", f"A=1\nK={TOKEN}\n"),
        ("K=\nA=1\n", f"K={TOKEN}\nA=1\n"),
        ("# K=old\n\n  export K='old' # mine\nA=1 # K=x\n", f"# K=old\n\n  export K={TOKEN}\nA=1 # K=x\n"),
        ('A="two\nK=lines"\nK=old\n', f'A="two\nK=lines"\nK={TOKEN}\n'),
        ("K=one\nK=two\n", f"K={TOKEN}\nK={TOKEN}\n"),
        ("A=1\r\nK=old\r\n", f"A=1\r\nK={TOKEN}\r\n"),
        ("KK=1\nK\nnonsense ' here\n", f"KK=1\nK={TOKEN}\nnonsense ' here\n"),
        ("'K'=old\n", f"K={TOKEN}\n"),
    ],
)
def test_a_key_is_put_in_its_place_and_the_rest_stays(tmp_path, before, after):
    assert env_file.with_keys(before, {"K": TOKEN}) == after
    (tmp_path / ".env").write_bytes(before.encode())
    env_file.save(tmp_path / ".env", {"K": TOKEN})
    assert (tmp_path / ".env").read_bytes().decode() == after
    assert read(tmp_path / ".env")["K"] == TOKEN


@given(st.lists(st.sampled_from(["A=1", "# c", "", "export B='x y'", "K=old", "K = 'o'", "C=${A}", " D=1", "x y"])))
def test_whatever_stands_there_the_other_keys_read_as_before(tmp_path_factory, lines):
    file = tmp_path_factory.mktemp("env") / ".env"
    file.write_text("\n".join(lines))
    before = read(file)
    env_file.save(file, {"K": TOKEN})
    assert read(file) == {**before, "K": TOKEN}


def test_it_is_for_its_owner_only_whatever_it_was(tmp_path):
    file = tmp_path / ".env"
    env_file.save(file, {"K": TOKEN})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o664)
    env_file.save(file, {"L": TOKEN})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [".env"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / ".env").symlink_to(tmp_path / "there/env")
    env_file.save(tmp_path / ".env", {"K": TOKEN})
    assert (tmp_path / ".env").is_symlink()
    assert read(tmp_path / "there/env") == {"K": TOKEN}


def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text("A=1\n")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RigbusError, match="No space left"):
        env_file.save(file, {"K": TOKEN})
    assert file.read_text() == "A=1\n"
    assert [p.name for p in tmp_path.iterdir()] == [".env"]


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_refused_before_a_token_is_made(tmp_path, content):
    file = tmp_path / ".env"
    file.mkdir() if content is None else file.write_bytes(content)
    with pytest.raises(RigbusError, match=r"\.env"):
        env_file.check_writable(file)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(RigbusError, match="no permission"):
        env_file.check_writable(tmp_path / "no/.env")
