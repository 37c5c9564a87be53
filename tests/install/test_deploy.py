"""scripts/deploy.sh with the real rsync; its ssh works in a folder of this machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from install_machine import CHECKOUT

MODULE = "common/paths.py"


@pytest.fixture
def checkout(tmp_path):
    """A small one, with what git does not have beside what it has."""
    folder = tmp_path / "checkout"
    for name in ("scripts/deploy.sh", MODULE, "Makefile"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, folder / name)
    git = ["git", "-C", str(folder), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    (folder / ".env").write_text("INFLUX_TOKEN=secret\n")
    (folder / "note.txt").write_text("mine\n")
    return folder


@pytest.fixture
def deploy(checkout, recorder, tmp_path):
    """deploy(**variables) → the script's run; tmp_path/there is the other machine's home folder."""
    if not shutil.which("rsync"):
        pytest.skip("needs rsync (make test-deps)")
    there = tmp_path / "there"
    there.mkdir()
    # what comes after the options and the machine is run by a shell in the home folder, as sshd does
    at = "while [[ $1 == -* ]]; do shift; [[ $1 == *@* ]] || shift; done; shift"
    recorder("ssh", does=f'{at}; cd {there}; bash -c "$*"; exit $?')
    recorder("sudo")

    def run(**variables):
        environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
        return subprocess.run(
            [checkout / "scripts/deploy.sh"],
            env=environment | {"HOST": "pi.local", "USER": "pi"} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )

    return run


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def installs(tmp_path: Path) -> list[str]:
    return [line for line in (tmp_path / "calls").read_text().splitlines() if line.startswith("sudo ")]


def test_without_a_yes_it_shows_what_would_change_and_changes_nothing(deploy, tmp_path):
    done = deploy()
    assert done.returncode == 1
    assert MODULE in done.stdout
    assert "YES=1" in done.stdout
    assert files(tmp_path / "there") == set()
    assert installs(tmp_path) == []


def test_what_git_has_is_copied_and_installed(deploy, tmp_path):
    done = deploy(YES="1")
    assert done.returncode == 0, done.stdout
    there = tmp_path / "there" / "rigbus"
    assert files(there) == {"scripts/deploy.sh", MODULE, "Makefile"}
    assert (there / MODULE).read_bytes() == (CHECKOUT / MODULE).read_bytes()
    assert os.access(there / "scripts/deploy.sh", os.X_OK)
    assert installs(tmp_path) == ["sudo make install"]


def test_a_second_time_only_what_differs_goes_and_what_is_theirs_stays(deploy, checkout, tmp_path):
    there = tmp_path / "there" / "rigbus"
    assert deploy(YES="1").returncode == 0
    theirs = {"var/data/rigbus.db", ".venv/bin/python", ".env", ".git/config", "config/conf.d/meters.toml"}
    for name in theirs:
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("theirs")
    (there / "common/gone.py").write_text("a module that this version no longer has")
    (checkout / MODULE).write_text("# edited, not committed\n")
    (checkout / "Makefile").unlink()
    shown = deploy().stdout
    assert MODULE in shown
    assert "deleting   common/gone.py" in shown
    assert "scripts/deploy.sh" not in shown
    assert deploy(YES="1").returncode == 0
    assert (there / MODULE).read_text() == "# edited, not committed\n"
    assert files(there) == theirs | {"scripts/deploy.sh", MODULE}
    assert (there / ".env").read_text() == "theirs"


@pytest.mark.parametrize("git", ["rm -rf .git", "git rm -rq --cached ."], ids=["no repository", "nothing in it"])
def test_without_files_of_git_nothing_is_deleted_there(deploy, checkout, tmp_path, git):
    assert deploy(YES="1").returncode == 0
    before = files(tmp_path / "there")
    subprocess.run(git, shell=True, cwd=checkout, check=True)
    done = deploy(YES="1")
    assert done.returncode == 1
    assert "deploy: git" in done.stdout
    assert files(tmp_path / "there") == before


def test_wheels_go_along(deploy, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "a.whl").touch()
    assert deploy(YES="1", WHEELS=str(tmp_path / "wheels")).returncode == 0
    assert files(tmp_path / "there" / "rigbus-wheels") == {"a.whl"}
    assert installs(tmp_path) == ["sudo make install WHEELS=../rigbus-wheels"]


def test_an_installation_that_fails_there_fails_here(deploy, recorder):
    recorder("sudo", code=3)
    assert deploy(YES="1").returncode == 3


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"HOST": ""}, "to which machine?"),
        ({"HOST": "-oProxyCommand=x", "USER": ""}, "no name of a machine"),
        ({"HOST": "a b"}, "no name of a machine"),
        ({"USER": "x;reboot"}, "no name of a machine"),
        ({"WHEELS": "/nowhere"}, "is no folder"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_called(deploy, tmp_path, variables, words):
    done = deploy(YES="1", **variables)
    assert done.returncode == 1
    assert words in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert (tmp_path / "calls").read_text() == ""


def test_a_machine_that_is_not_reached_is_said(deploy, recorder):
    recorder("ssh", code=255)
    done = deploy(YES="1")
    assert done.returncode == 1
    assert "does not reach pi@pi.local" in done.stdout
