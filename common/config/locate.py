"""Which files are the configuration, and which folders it works in."""

import os
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import common
from common.config.schema import Config, Paths
from common.errors import ConfigError, UsageError
from common.paths import MAX_SOCKET_PATH, Folders

SYSTEM_FILE = Path("/etc/rigbus/rigbus.toml")
SYSTEM_FOLDERS = (Path("/var/lib/rigbus"), Path("/run/rigbus"))  # as the units' StateDirectory, and tmpfiles.d
CHECKOUT = Path(common.__file__).parent.parent
_IN_CHECKOUT = Path("config/rigbus.toml")
_LONGEST_NAME = "thermostat"  # of the daemons: its socket has the longest path


def find(path: str | None, environ: Mapping[str, str]) -> Path:
    """The main file: `path`, else RIGBUS_CONFIG, else the first there is. ConfigError if there is none.

    A file that is named need not exist, nor one that is found be readable: reading it says what is wrong.
    """
    named = path if path is not None else environ.get("RIGBUS_CONFIG") or None
    if named is not None:
        return _expanded(named)
    candidates = (SYSTEM_FILE, _IN_CHECKOUT, CHECKOUT / _IN_CHECKOUT)
    for candidate in candidates:
        if _is_there(candidate):
            return candidate
    raise ConfigError(f"no configuration: neither --config nor RIGBUS_CONFIG, nor {', '.join(map(str, candidates))}")


def _is_there(path: Path) -> bool:
    try:
        path.lstat()  # not exists(): a dangling link or a folder closed to us is a mistake to report, not to pass over
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def conf_d(main: Path) -> list[Path]:
    """The files of `conf.d` beside the main file, sorted by name. Hidden files (editors' leftovers) do not count."""
    folder = main.parent / "conf.d"
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {why(error, folder)}") from error
    return [folder / name for name in names if name.endswith(".toml") and not name.startswith(".")]


def why(error: OSError, path: Path) -> str:
    """What the system says; of the services' configuration also who may read it."""
    if isinstance(error, PermissionError) and path.is_relative_to(SYSTEM_FILE.parent):
        return (
            f"{error.strerror}: it is for root (sudo) and the group rigbus (sudo usermod -aG rigbus YOU, a new login)"
        )
    return error.strerror or str(error)


def resolve_paths(config: Config, main: Path, data: str | None = None, run_dir: str | None = None) -> Folders:
    """The folders to work in: the command line (`data`, `run_dir`), else the configuration, else by where `main` is.

    They are absolute and may not exist. Relative ones count: on the command line from the current folder, in the
    configuration from the folder that the defaults are in, for a file under /etc/rigbus from `/`.
    UsageError when sockets in the run folder would have too long a path.
    """
    base, defaults = _defaults(main)
    folders = Folders(
        data=_folder(data, config.paths.data, base, defaults[0]),
        run=_folder(run_dir, config.paths.run, base, defaults[1]),
    )
    socket = os.fsencode(folders.ctl(_LONGEST_NAME))
    if len(socket) > MAX_SOCKET_PATH:
        raise UsageError(
            f"{folders.run}: too long for a run folder: its sockets would have paths of {len(socket)} bytes, "
            f"and {MAX_SOCKET_PATH} are allowed; choose another by --run-dir or paths.run"
        )
    return folders


def folders_at_any_rate(path: str | None, environ: Mapping[str, str], data: str | None, run_dir: str | None) -> Folders:
    """The folders though the configuration is wrong: for what must reach a rig that runs. UsageError, ConfigError.

    `paths` counts from each file that can be read; what is wrong elsewhere does not matter.
    """
    main = find(path, environ)
    paths: dict[str, str] = {}
    files = [main]
    with suppress(ConfigError):
        files += conf_d(main)
    for file in files:
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8")).get("paths")
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            paths |= {key: value for key, value in found.items() if key in ("data", "run") and isinstance(value, str)}
    for key in ("data", "run"):
        paths[key] = environ.get(f"RIGBUS__PATHS__{key.upper()}") or paths.get(key, "")
    return resolve_paths(Config(paths=Paths(**paths)), main, data, run_dir)


def _defaults(main: Path) -> tuple[Path, tuple[Path, Path]]:
    file = Path(os.path.abspath(main))  # not resolve(): a link in /etc/rigbus is still a system's configuration
    if file.is_relative_to(SYSTEM_FILE.parent):
        return Path("/"), SYSTEM_FOLDERS
    is_checkout = Path(*file.parts[-2:]) == _IN_CHECKOUT
    base = file.parent.parent if is_checkout else file.parent
    return base, (base / "var/data", base / "var/run")


def _folder(argument: str | None, configured: str, base: Path, default: Path) -> Path:
    for path in (argument, configured):
        if path and "\0" in path:
            raise UsageError(f"{path!r}: a path holds no NUL")
    if argument:
        return Path(os.path.abspath(_expanded(argument)))
    if configured:
        return Path(os.path.abspath(base / _expanded(configured)))
    return default


def _expanded(path: str) -> Path:
    return Path(os.path.expanduser(path))  # Path.expanduser raises where there is no such user
