"""What holds outputs back: up to which id their rows may be handed to them."""

from collections.abc import Mapping


class Gate:
    """Ids by table (not named: all of it), and why. Set by the writer's thread, read by all."""

    def __init__(self) -> None:
        self.limits: Mapping[str, int] = {}
        self.reason = ""

    def hold(self, limits: Mapping[str, int], reason: str) -> None:
        self.limits, self.reason = limits, reason

    def open(self) -> None:
        self.limits, self.reason = {}, ""
