"""`rigbus run` on a data folder that is another user's."""

import os

import pytest

from common.cli import main as cli


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize(("uid", "name"), [(4321, "#4321"), (1, "daemon")])
def test_a_data_folder_of_somebody_else_is_refused_and_left_alone(tmp_path, capsys, uid, name):
    (tmp_path / "r.toml").write_text('node = "rig"\n[highspeed]\n')
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, uid, uid)
    words = ["run", "--config", str(tmp_path / "r.toml"), "--data", str(data), "--run-dir", str(tmp_path / "run")]
    assert cli.main(words) == 1
    told = capsys.readouterr().err
    assert f"{data} belongs to {name}: sudo -u {name} rigbus run" in told
    assert len(told.splitlines()) == 1
    assert list(data.iterdir()) == []
