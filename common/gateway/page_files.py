"""The page's own files, found once at the start: no path of a request is ever joined to anything."""

import hashlib
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml",
    ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2", ".LICENSE": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json", ".txt": "text/plain; charset=utf-8",
}  # fmt: skip


class PageFile(NamedTuple):
    path: Path
    type: str
    etag: str


class PageFiles:
    """version: of all files together; another one is another page. Empty where the page is not served."""

    def __init__(self, served: bool, root: Path = _ROOT) -> None:
        self._root = root if served else None
        self.files: dict[str, PageFile] = {}
        self.version = ""
        self.look()

    def look(self) -> None:
        """Reads what is there: again where a file has changed since (`git pull` under a running rig)."""
        files, whole = {}, hashlib.sha256()
        for path in sorted(self._root.rglob("*")) if self._root else ():
            if not path.is_file() or path.suffix not in _TYPES:
                continue
            name, digest = f"/{path.relative_to(self._root or path).as_posix()}", hashlib.sha256(path.read_bytes())
            whole.update(name.encode() + b"\0" + digest.digest())
            files[name] = PageFile(path, _TYPES[path.suffix], f'"{digest.hexdigest()[:20]}"')
        if "/index.html" in files:
            files["/"] = files["/index.html"]
        self.files, self.version = files, whole.hexdigest()[:16]

    def find(self, path: str) -> PageFile | None:
        """The file of a request's path."""
        return self.files.get(path)
