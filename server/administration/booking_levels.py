"""Settings of booking at two levels: what is set at an institution or of a doctor, and what holds there by it.

Invariant: only what was set at a level is stored at it; a doctor without a value goes by the institution's.
"""

from typing import Any

import orjson

from server import catalog, errors, events
from server.access import ADMINS, STAFF, Actor
from server.administration.doctors import NO_DOCTOR, OfDoctor, access_doctor
from server.administration.levels import OneInstitution
from server.administration.rows import hold
from server.asks import Id
from server.queue.line import dumps
from server.settings import BookingPartial, BookingSettings, Levels, changed
from server.store import Command, Query, Read, Tx


class BookingLevels(Levels[BookingSettings]):
    """What is set at a level itself, what holds there, and where each of those values comes from."""


async def show_institution_booking(view: Read, actor: Actor, ask: OneInstitution) -> BookingLevels:
    """What holds for booking doctors of the institution who do not say otherwise. Raises `NotFound`."""
    stored = await view.conn.fetchval(OF_INSTITUTION, ask.institution_id)
    if stored is None or not actor.within(ask.institution_id):
        raise errors.NotFound("There is no such institution.")
    return BookingLevels.of(institution=orjson.loads(stored))


async def show_doctor_booking(view: Read, actor: Actor, ask: OfDoctor) -> BookingLevels:
    """What holds for booking a doctor. Raises `NotFound`."""
    row = await view.conn.fetchrow(OF_DOCTOR, ask.doctor_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound(NO_DOCTOR)
    return BookingLevels.of(institution=orjson.loads(row["institution"]), doctor=orjson.loads(row["doctor"]))


OF_INSTITUTION = "select booking from institutions where id = $1"
OF_DOCTOR = """
select d.institution_id, d.booking as doctor, i.booking as institution
from doctors d join institutions i on i.id = d.institution_id where d.id = $1
"""


class SetInstitutionBooking(BookingPartial):
    """Settings of booking at the institution; null resets one to the default."""

    institution_id: Id


async def set_institution_booking(tx: Tx, actor: Actor, ask: Any) -> BookingLevels:
    """Set what holds for booking every doctor who does not say otherwise. Raises `NotFound`."""
    id_ = await hold(tx, actor, ask.institution_id)
    before = orjson.loads(await tx.conn.fetchval(OF_INSTITUTION, id_))
    after = changed(before, ask, "institution_id")
    await catalog.set_institution_booking(tx.conn, id_, dumps(after))
    tx.about(f"institution-booking:{id_}", before, after)
    tx.append(events.admin(id_), events.SettingsChanged(level="institution", of=id_))
    return BookingLevels.of(institution=after)


class SetDoctorBooking(BookingPartial):
    """Settings of booking one doctor; null resets one to the institution's."""

    doctor_id: Id


async def set_doctor_booking(tx: Tx, actor: Actor, ask: Any) -> BookingLevels:
    """Set what holds for booking this doctor alone. Raises `NotFound`."""
    institution_id, _ = await access_doctor(tx, actor, ask.doctor_id)
    row = await tx.conn.fetchrow(OF_DOCTOR, ask.doctor_id)
    assert row is not None
    before = orjson.loads(row["doctor"])
    after = changed(before, ask, "doctor_id")
    await catalog.set_doctor_booking(tx.conn, ask.doctor_id, dumps(after))
    tx.about(f"doctor-booking:{ask.doctor_id}", before, after)
    tx.append(events.admin(institution_id), events.SettingsChanged(level="doctor", of=ask.doctor_id))
    return BookingLevels.of(institution=orjson.loads(row["institution"]), doctor=after)


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "set-institution-booking",
        set_institution_booking,
        SetInstitutionBooking,
        BookingLevels,
        ADMINS,
        "POST /institutions/{institution_id}/booking",
    ),
    Command(
        "set-doctor-booking",
        set_doctor_booking,
        SetDoctorBooking,
        BookingLevels,
        ADMINS,
        "POST /doctors/{doctor_id}/booking",
    ),
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "show-institution-booking",
        show_institution_booking,
        OneInstitution,
        BookingLevels,
        STAFF,
        "GET /institutions/{institution_id}/booking",
    ),
    Query(
        "show-doctor-booking", show_doctor_booking, OfDoctor, BookingLevels, STAFF, "GET /doctors/{doctor_id}/booking"
    ),
]
