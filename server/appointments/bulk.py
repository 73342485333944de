"""Many appointments at once: confirmed, called off or completed, with what became of each.

Invariant: all gates are taken together, sorted as always, so two lists that overlap wait for each other and never
deadlock; each row stands or falls alone.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import Field

from server import errors
from server.access import STAFF, Actor
from server.appointments import requests, visits
from server.appointments.records import Appointment, gate_appointments, load_appointment
from server.asks import Ask, Id, Reply, Text
from server.events import AppointmentState
from server.store import Command, Tx

Action = Literal["confirm", "cancel", "complete"]


class Bulk(Ask):
    """One thing to do with each of these."""

    action: Action
    appointment_ids: list[Id] = Field(min_length=1, max_length=200)
    reason: Text | None = Field(default=None, description="Of calling them off.")


class Done(Reply):
    """What became of one: its state, or the problem that kept it."""

    appointment_id: int
    state: AppointmentState | None
    problem: dict[str, Any] | None


class BulkDone(Reply):
    """What became of each, in the order asked."""

    items: list[Done]


Do = Callable[[Tx, Actor, Appointment, str | None], Awaitable[Appointment]]


async def _confirm(tx: Tx, _: Actor, appointment: Appointment, __: str | None) -> Appointment:
    return await requests.confirmed(tx, appointment)


async def _complete(tx: Tx, actor: Actor, appointment: Appointment, _: str | None) -> Appointment:
    return await visits.over(tx, actor, appointment)


DOES: dict[str, Do] = {"confirm": _confirm, "cancel": visits.called_off, "complete": _complete}


async def bulk(tx: Tx, actor: Actor, ask: Bulk) -> BulkDone:
    """Do the same with each of these appointments, and say of each whether it was done."""
    ids = list(dict.fromkeys(ask.appointment_ids))
    await gate_appointments(tx, actor, ids)
    return BulkDone(items=[await _one(tx, actor, id_, ask) for id_ in ids])


async def _one(tx: Tx, actor: Actor, appointment_id: int, ask: Bulk) -> Done:
    try:
        async with tx.attempt():
            before = await load_appointment(tx, actor, appointment_id)
            after = await DOES[ask.action](tx, actor, before, ask.reason)
    except errors.Refusal as refusal:
        return Done(appointment_id=appointment_id, state=None, problem=errors.problem(refusal))
    return Done(appointment_id=appointment_id, state=after.state, problem=None)


COMMANDS: list[Command[Any, Any]] = [
    Command("change-appointments", bulk, Bulk, BulkDone, STAFF, "POST /appointments/bulk"),
]
