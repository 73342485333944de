"""Doctors' time: weekly schedules, blocked periods, and the slots that are made of them."""

from typing import Any

from server.availability import blocks, schedules, slots
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
from server.availability.rules import Period, days_in, instant, local_day
from server.availability.schedules import GENERATE, doctors_at, follow_clock, leave_location
from server.availability.slots import FILE_DOCTOR, OfDoctor, slot_rows, tell_slots
from server.store import Command, Query

COMMANDS: list[Command[Any, Any]] = [*schedules.COMMANDS, *slots.COMMANDS, *blocks.COMMANDS]
QUERIES: list[Query[Any, Any]] = [*schedules.QUERIES, *blocks.QUERIES]

__all__ = [
    "COMMANDS",
    "FILE_DOCTOR",
    "GENERATE",
    "QUERIES",
    "Block",
    "BlockKind",
    "OfDoctor",
    "Period",
    "Scope",
    "access_scope",
    "add_block",
    "blocked_slots",
    "days_in",
    "doctors_at",
    "doctors_concerned",
    "follow_clock",
    "free_block",
    "instant",
    "leave_location",
    "local_day",
    "slot_rows",
    "tell_slots",
]
