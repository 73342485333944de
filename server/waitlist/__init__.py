"""The waitlist: whoever waits for a seat is offered the next that is freed, and the offer holds it."""

from typing import Any

from server.store import Command, Query, Reactions

COMMANDS: list[Command[Any, Any]] = []
QUERIES: list[Query[Any, Any]] = []
REACTIONS: Reactions = {}
