"""Drivers by name: the shipped ones, those of other packages, and what is said where there is none."""

import ast
import sys
from pathlib import Path

import pytest

from common import drivers
from common.config.schema import Channel, HighspeedConfig, PulseConfig
from common.drivers.chip_fifo import FifoSampler
from common.drivers.edges_sim import SimEdges
from common.errors import ConfigError, DeviceMissing


def pulse(driver):
    return PulseConfig(driver=driver, channel=[Channel(name="import", line=20)])


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Packages with entry points, as pip would have installed them."""

    def add(package, points, group="rigbus.edges", source=""):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        (tmp_path / f"{package}.py").write_text(source)
        monkeypatch.delitem(sys.modules, package, raising=False)

    monkeypatch.syspath_prepend(tmp_path)
    return add


def test_sim_is_the_default_of_both():
    with drivers.open_edges(pulse(PulseConfig().driver)) as edges:
        assert isinstance(edges, SimEdges)
    with drivers.open_sampler(HighspeedConfig()) as sampler:
        assert isinstance(sampler, FifoSampler)


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"no driver 'gpoid' for edges; there are: gpiod, rpigpio, sim$") as error:
        drivers.open_edges(pulse("gpoid"))
    assert error.value.exit_code == 78
    with pytest.raises(ConfigError, match=r"no driver 'x' for samplers; there are: .*sim"):
        drivers.open_sampler(HighspeedConfig(driver="x"))


def test_a_driver_of_another_package_is_found_by_its_name_and_listed(install):
    install("mine", {"own": "mine:Own"}, source="class Own:\n    def __init__(self, cfg): self.cfg = cfg\n")
    cfg = pulse("own")
    assert drivers.open_edges(cfg).cfg is cfg
    with pytest.raises(ConfigError, match="gpiod, own, rpigpio, sim"):
        drivers.open_edges(pulse("other"))


def test_an_edge_driver_is_no_sampler(install):
    install("mine", {"own": "mine:Own"}, group="rigbus.edges", source="class Own: ...\n")
    with pytest.raises(ConfigError, match="no driver 'own' for samplers"):
        drivers.open_sampler(HighspeedConfig(driver="own"))


def test_a_name_that_a_shipped_driver_has_is_refused(install):
    install("mine", {"sim": "mine:Own"})
    with pytest.raises(ConfigError, match="driver 'sim' is given twice, once by mine:Own"):
        drivers.open_edges(pulse("sim"))


def test_two_packages_with_one_name_are_refused_whichever_is_meant(install):
    install("mine", {"own": "mine:Own"})
    install("theirs", {"own": "theirs:Other"})
    for name in ("own", "sim"):
        with pytest.raises(ConfigError, match=r"driver 'own' is given twice, once by (mine:Own|theirs:Other)"):
            drivers.open_edges(pulse(name))


def test_only_the_driver_that_is_meant_is_imported(install):
    install("broken", {"bad": "broken:Bad"}, source="raise AssertionError('imported')\n")
    drivers.open_edges(pulse("sim")).close()
    assert "broken" not in sys.modules


@pytest.mark.parametrize(
    ("source", "told"),
    [("import no_such_library\n", "no_such_library"), ("", "Own"), ("raise RuntimeError('not a Pi')\n", "not a Pi")],
)
def test_a_plug_in_that_cannot_be_loaded_is_one_line_with_its_place(install, source, told):
    install("mine", {"own": "mine:Own"}, source=source)
    with pytest.raises(DeviceMissing, match=told) as error:
        drivers.open_edges(pulse("own"))
    assert "mine:Own" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("driver", "library"), [("gpiod", "gpiod"), ("rpigpio", "RPi")])
def test_a_library_that_is_not_there_names_the_extra_to_install(monkeypatch, driver, library):
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, f"common.drivers.edges_{driver}", raising=False)
    with pytest.raises(DeviceMissing, match=rf"driver {driver}: .*{library}") as error:
        drivers.open_edges(pulse(driver))
    assert "pip install -e '.[rpi]'" in str(error.value)
    assert error.value.exit_code == 69


@pytest.mark.parametrize("place", [*drivers.EDGES.values(), *drivers.SAMPLERS.values()])
def test_the_table_names_what_is_there(place):
    """Read, not imported: the libraries of real devices need not be here."""
    module, _, name = place.partition(":")
    source = Path(*module.split(".")).with_suffix(".py")
    tree = ast.parse((Path(drivers.__file__).parents[2] / source).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
