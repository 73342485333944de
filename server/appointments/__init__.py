"""Appointments: asked for, confirmed, moved, and lived to their end."""

from typing import Any

from server.appointments import blocking, booking, bulk, life, lists, merging, money, notes, requests, retelling, visits
from server.appointments.forgetting import forget_of_patients, forget_visits
from server.appointments.records import doctor_rows, patient_rows
from server.appointments.retelling import every_doctor, gate_doctors, retell
from server.appointments.upkeep import expire_requests, file_all, note_no_shows
from server.store import Command, Query, Reactions

COMMANDS: list[Command[Any, Any]] = [
    *blocking.COMMANDS,
    *booking.COMMANDS,
    *bulk.COMMANDS,
    *requests.COMMANDS,
    *life.COMMANDS,
    *merging.COMMANDS,
    *money.COMMANDS,
    *notes.COMMANDS,
    *retelling.COMMANDS,
    *visits.COMMANDS,
]
QUERIES: list[Query[Any, Any]] = [*lists.QUERIES, *notes.QUERIES, *visits.QUERIES]
REACTIONS: Reactions = {**visits.REACTIONS}

__all__ = [
    "COMMANDS",
    "QUERIES",
    "REACTIONS",
    "doctor_rows",
    "every_doctor",
    "expire_requests",
    "file_all",
    "forget_of_patients",
    "forget_visits",
    "gate_doctors",
    "note_no_shows",
    "patient_rows",
    "retell",
]
