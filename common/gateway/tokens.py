"""What somebody may do, by the token that was said."""

import hmac

from common.secrets import Secret

NOTHING, READ, CONTROL = range(3)  # what somebody may do; each includes the ones before


class Tokens:
    """What the rig's owner has set. Compared in constant time, never shown.

    is_local: nobody beyond this machine can ask. Then looking needs a token only where there is one for it.
    """

    def __init__(self, read: Secret, control: Secret, *, is_local: bool = True) -> None:
        self._is_local = is_local
        self.take(read, control)

    def take(self, read: Secret, control: Secret) -> None:
        """Other ones from here on."""
        self._read, self._control = read.reveal().encode(), control.reveal().encode()

    @property
    def any(self) -> bool:
        return bool(self._read or self._control)

    @property
    def can_control(self) -> bool:
        """Whether anybody at all may move or change something."""
        return bool(self._control) or not self._read

    def level(self, token: str | None) -> int:
        """NOTHING, READ or CONTROL: what somebody with this token (None: without one) may do."""
        said = (token or "").encode("utf-8", "surrogatepass")
        # both are compared whatever the first says, so that the time tells nothing
        is_control, is_read = hmac.compare_digest(said, self._control), hmac.compare_digest(said, self._read)
        if (self._control and is_control) or (self._is_local and not self.any):
            return CONTROL
        return READ if (is_read if self._read else self._is_local) else NOTHING

    def hidden(self, text: str) -> str:
        """The text without the tokens: somebody may have put one where it does not belong."""
        for token in (self._read, self._control):
            text = text.replace(token.decode(), "***") if token else text
        return text

    def __repr__(self) -> str:
        return "…"


def token_of(authorization: str) -> str | None:
    """The token of an `Authorization` header; None where there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
