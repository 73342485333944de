"""The live queue: tickets, calls, their order and its reasons, and honest waits."""

from server.queue.commands import COMMANDS, REFRESH_WAITS, RefreshWaits, add_queue
from server.queue.line import board_rows, patient_rows, staff_rows
from server.queue.queries import QUERIES

__all__ = [
    "COMMANDS",
    "QUERIES",
    "REFRESH_WAITS",
    "RefreshWaits",
    "add_queue",
    "board_rows",
    "patient_rows",
    "staff_rows",
]
