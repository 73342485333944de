"""Appointments: asked for, confirmed, moved, and lived to their end."""

from typing import Any

from server import events
from server.store import Command, Connection, Query, Reactions

COMMANDS: list[Command[Any, Any]] = []
QUERIES: list[Query[Any, Any]] = []
REACTIONS: Reactions = {}


async def doctor_rows(conn: Connection, doctor_id: int) -> list[events.DoctorAppointment]:
    """The appointments on a doctor's stream."""
    return []


async def patient_rows(conn: Connection, patient_id: int) -> list[events.PatientAppointment]:
    """The appointments on a patient's stream."""
    return []
