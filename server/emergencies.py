"""Emergencies: told to those on duty, and to ever more people, until somebody is on the way."""

from typing import Any

from server import events
from server.store import Command, Connection, Query, Reactions

COMMANDS: list[Command[Any, Any]] = []
QUERIES: list[Query[Any, Any]] = []
REACTIONS: Reactions = {}


async def doctor_rows(conn: Connection, doctor_id: int) -> list[events.Emergency]:
    """The emergencies on a doctor's stream."""
    return []


async def admin_rows(conn: Connection, institution_id: int) -> list[events.Emergency]:
    """The emergencies on an institution's stream."""
    return []
