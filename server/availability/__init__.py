"""Doctors' time: weekly schedules, blocked periods, and the slots that are made of them."""

from typing import Any

from server import events
from server.store import Command, Connection, Query

COMMANDS: list[Command[Any, Any]] = []
QUERIES: list[Query[Any, Any]] = []


async def slot_rows(conn: Connection, doctor_id: int) -> list[events.Slot]:
    """The rows of a doctor's slots stream."""
    return []
