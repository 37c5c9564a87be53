"""What every route of the application keeps to: nothing that changes something is open to who may only look."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute

from common.config.load import load
from common.gateway import app, guard
from common.gateway.page_files import PageFiles
from common.gateway.routes import arm, docs, metrics, pumps, query, rig, sensor, series, thermostat
from common.gateway.site import Site, open_site
from common.gateway.tokens import Tokens
from common.log import Log
from common.paths import Folders
from common.secrets import Secret

FACES = (rig, query, series, thermostat, pumps, arm, sensor, metrics, docs)
# they change nothing, or only stop something
LOOKING = {
    "/api/estop", "/pump/stop-all", "/api/pumps/stop",
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    config = load("config/rigbus.toml", {}).config
    assert config.gateway is not None
    tokens = Tokens(Secret("r", "test"), Secret("c", "test"))
    folders = Folders(tmp_path / "d", tmp_path / "r")
    made = open_site(config, config.gateway, folders, Log("test"), tokens, lambda _: 1)
    yield made
    made.daemons.close()
    made.estop.close()
    made.stored.close()


def http_routes() -> list[APIRoute]:
    return [route for face in FACES for route in face.router.routes if isinstance(route, APIRoute)]


def test_what_changes_something_needs_control():
    open_ = {
        route.path
        for route in http_routes()
        if not route.methods <= {"GET", "HEAD"} and guard.control not in {d.call for d in route.dependant.dependencies}
    }
    assert open_ - LOOKING == set()


def test_the_description_is_whole_and_every_route_says_what_it_does(site):
    made = app.make(site)
    spec = made._app.openapi()
    paths = {route.path.replace(":path", "") for route in http_routes() if route.include_in_schema}
    assert set(spec["paths"]) == paths
    silent = [route.path for route in http_routes() if route.include_in_schema and not route.description]
    assert silent == []


def test_sockets_are_those_of_the_documents():
    text = (Path(__file__).parents[3] / "docs/http.md").read_text()
    found = {route.path for face in FACES for route in face.router.routes if isinstance(route, APIWebSocketRoute)}
    assert "/live" in found
    assert all(f"`{path}`" in text for path in found)


def test_the_sections_are_those_of_the_documents(site):
    text = (Path(__file__).parents[3] / "docs/http.md").read_text()
    table = text.partition("## The status")[2].partition("\n## ")[0]
    documented = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert documented == site.now.names
    sections = site.now.sections()
    for line in table.splitlines():
        name = line.split("`")[1] if line.startswith("| `") else ""
        if isinstance(found := sections.get(name), dict) and name not in ("daemons", "streams"):
            assert [key for key in found if f"`{key}`" not in line] == []


# ---- the page's files


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "js").mkdir()
    (tmp_path / "index.html").write_text("<p>")
    (tmp_path / "js/a.js").write_text("1")
    (tmp_path / "secret.py").write_text("x = 1")
    return tmp_path


def test_only_files_of_the_page_are_served(page):
    files = PageFiles(True, page)
    assert files.find("/").path == page / "index.html"
    assert files.find("/js/a.js").type.startswith("text/javascript")
    for path in ("/secret.py", "/js", "/js/", "/../index.html", "/js/../index.html", "//index.html", "/js/a.js/", ""):
        assert files.find(path) is None


def test_another_file_is_another_page(page):
    before = PageFiles(True, page)
    assert PageFiles(True, page).version == before.version
    (page / "js/a.js").write_text("2")
    after = PageFiles(True, page)
    assert after.version != before.version
    assert after.find("/js/a.js").etag != before.find("/js/a.js").etag
    assert after.find("/").etag == before.find("/").etag


def test_without_the_dashboard_there_is_no_page(page):
    assert PageFiles(False, page).find("/") is None
