"""The robot arm on DDS. CycloneDDS is imported by `open_bridge` alone, so that the rest of a rig does without it."""

from typing import TYPE_CHECKING

from common.config.schema import DdsConfig
from common.errors import DeviceMissing

if TYPE_CHECKING:
    from common.arm.bridge import Bridge


def open_bridge(cfg: DdsConfig) -> "Bridge":
    """This process on the arm's DDS domain. Raises DeviceMissing, ConfigError."""
    try:
        from common.arm.bridge import Bridge
    except (ImportError, OSError) as e:
        raise DeviceMissing(how_to_get(e)) from None
    return Bridge(cfg)


def how_to_get(error: Exception) -> str:
    """One line for who has no cyclonedds."""
    return (
        f"the arm needs cyclonedds ({error}): .venv/bin/pip install -e '.[dds]'; on a Pi scripts/install-cyclonedds.sh"
    )
