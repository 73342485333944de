"""Appointments: asked for, confirmed, moved, and lived to their end."""

from typing import Any

from server.appointments import booking
from server.appointments.records import doctor_rows, patient_rows
from server.store import Command, Query, Reactions

COMMANDS: list[Command[Any, Any]] = [*booking.COMMANDS]
QUERIES: list[Query[Any, Any]] = []
REACTIONS: Reactions = {}

__all__ = ["COMMANDS", "QUERIES", "REACTIONS", "doctor_rows", "patient_rows"]
