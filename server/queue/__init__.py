"""The live queue: tickets, calls, their order and its reasons, and honest waits."""

from server.queue import commands, queries, reception, undo
from server.queue.commands import (
    REFRESH_WAITS,
    RefreshWaits,
    add_queue,
    change_queue,
    retire_queue,
    set_department,
    take_desk_away,
)
from server.queue.days import CLOSE_DAY, CloseDay, DayClosed, unclosed
from server.queue.forgetting import forget_of_patients, forget_tickets
from server.queue.line import board_rows, patient_rows, staff_rows

COMMANDS = [*commands.COMMANDS, *undo.COMMANDS, *reception.COMMANDS]
QUERIES = [*queries.QUERIES, *reception.QUERIES]

__all__ = [
    "CLOSE_DAY",
    "COMMANDS",
    "QUERIES",
    "REFRESH_WAITS",
    "CloseDay",
    "DayClosed",
    "RefreshWaits",
    "add_queue",
    "board_rows",
    "change_queue",
    "forget_of_patients",
    "forget_tickets",
    "patient_rows",
    "retire_queue",
    "set_department",
    "staff_rows",
    "take_desk_away",
    "unclosed",
]
