"""Free slots: searched by whoever wants to book, and locked for the one who touched them first."""

from typing import Any

from server.slots import free, holding
from server.slots.free import FreeSlot, nearest
from server.slots.locks import Locks
from server.store import Command, Query

COMMANDS: list[Command[Any, Any]] = [*holding.COMMANDS]
QUERIES: list[Query[Any, Any]] = [*free.QUERIES]

__all__ = ["COMMANDS", "QUERIES", "FreeSlot", "Locks", "nearest"]
