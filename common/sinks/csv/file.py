"""A file that is open, and what a page does to it."""

import os

from common import clock


class File:
    """One that is open. bytes: what it holds as of the last page that was written whole."""

    __slots__ = ("base", "bytes", "fd", "first_id", "group", "header", "inode", "path", "used_s")

    def __init__(self, base: str, group: str, path: str, first_id: int, size: int = 0, header: bytes = b"") -> None:
        self.base, self.group, self.path, self.first_id = base, group, path, first_id
        self.bytes, self.header = size, header
        self.fd, self.inode, self.used_s = -1, 0, clock.boot_ns() / 1e9


class Change:
    """What a page does to a file."""

    __slots__ = ("close", "data", "file", "header", "new", "size")

    def __init__(self, file: File) -> None:
        self.file, self.new, self.close = file, file.bytes == 0, False
        self.header, self.size, self.data = b"", file.bytes, list[bytes]()

    def begin_with(self, header: bytes) -> None:
        """Where the file is empty as yet."""
        if self.new and not self.header:
            self.file.header = self.header = header
            self.size += len(header)

    def add(self, data: bytes) -> None:
        self.data.append(data)
        self.size += len(data)


def close(file: File) -> None:
    if file.fd >= 0:
        os.close(file.fd)
        file.fd = -1
