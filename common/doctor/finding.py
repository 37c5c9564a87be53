"""What doctor says of one thing."""

from typing import Literal

from msgspec import Struct


class Finding(Struct):
    """One thing that was looked at. mend: the command that mends it, or shows why; "" where all is well."""

    what: str
    state: Literal["ok", "warning", "missing"]
    detail: str
    mend: str = ""
