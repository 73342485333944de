"""Doctors' time: weekly schedules, blocked periods, and the slots that are made of them."""

from typing import Any

from server.availability import blocks, slots
from server.availability.blocks import (
    Block,
    BlockKind,
    Scope,
    access_scope,
    add_block,
    blocked_slots,
    doctors_concerned,
    free_block,
)
from server.availability.slots import slot_rows, tell_slots
from server.store import Command, Query

COMMANDS: list[Command[Any, Any]] = [*slots.COMMANDS, *blocks.COMMANDS]
QUERIES: list[Query[Any, Any]] = [*blocks.QUERIES]

__all__ = [
    "COMMANDS",
    "QUERIES",
    "Block",
    "BlockKind",
    "Scope",
    "access_scope",
    "add_block",
    "blocked_slots",
    "doctors_concerned",
    "free_block",
    "slot_rows",
    "tell_slots",
]
