"""How messages leave: one small interface, and a module for each way out."""

from datetime import datetime
from typing import Protocol

from server.notices import Message


class Refused(Exception):
    """The provider does not take this message, and never will: another try cannot help."""


class Later(Exception):
    """The provider cannot take it now, or gave no answer: the same message is tried again under the same key.

    `down`: it is the provider that is in trouble, or out of reach, and not this message. `wait`: the seconds that it
    asked for; such a try does not count. `alone`: it asked that of this message's sender alone. `settles`: the seconds
    within which it will have taken what it may have taken: no other try comes before.
    """

    def __init__(
        self, text: str, *, down: bool = False, wait: float | None = None, alone: bool = False, settles: float = 0.0
    ) -> None:
        super().__init__(text)
        self.down, self.wait, self.alone, self.settles = down, wait, alone, settles


class Sender(Protocol):
    """One way out of the house."""

    provider: str
    """Whom it hands messages to: limits and the breaker are a provider's, whatever the channels it serves."""

    async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
        """Hand a message over; answers the provider's name for it. Raises `Refused` or `Later`.

        `key` is the same for every try, so that a provider can know a repeat. `since` is given with every try but the
        first: from then on an earlier one may have handed it over, and its answer been lost.
        """
