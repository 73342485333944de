"""Free slots: searched by whoever wants to book, and locked for the one who touched them first."""

from typing import Any

from server.slots.locks import Locks
from server.store import Command, Query

COMMANDS: list[Command[Any, Any]] = []
QUERIES: list[Query[Any, Any]] = []


__all__ = ["COMMANDS", "QUERIES", "Locks"]
