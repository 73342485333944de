"""How messages leave: one small interface, and a module for each way out."""

from typing import Protocol

from server.notices import Message


class Refused(Exception):
    """The provider does not take this message, and never will: another try cannot help."""


class Later(Exception):
    """The provider cannot take it now, or gave no answer: the same message is tried again under the same key."""


class Sender(Protocol):
    """One way out of the house."""

    async def send(self, message: Message, key: str) -> str | None:
        """Hand a message over; answers the provider's name for it. Raises `Refused` or `Later`.

        `key` is the same for every try, so that a provider can know a repeat.
        """
