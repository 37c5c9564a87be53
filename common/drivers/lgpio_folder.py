"""Where lgpio puts its files. Call `own()` before lgpio, or what stands on it, is imported.

It makes a pipe `.lgd-nfy<n>` there as it is imported, n counted by process: two processes in one folder would take the
edges out of each other's pipe, and neither would know.
"""

import atexit
import os
import shutil
import tempfile


def own() -> None:
    """A folder for this process, gone with it; one that LG_WD names stays the one."""
    if "LG_WD" not in os.environ:
        os.environ["LG_WD"] = tempfile.mkdtemp(prefix="rigbus-lgpio-")
        atexit.register(shutil.rmtree, os.environ["LG_WD"], ignore_errors=True)
