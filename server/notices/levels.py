"""Settings of notices at two levels: what is set at an institution or of a doctor, and what holds there by it.

Invariant: only what was set at a level is stored at it. What changes at an institution or a doctor marks the level:
the reminders of what is booked there already are written anew (`anew`).
"""

from typing import Any

import orjson

from server import catalog, errors, events
from server.access import ADMINS, STAFF, Actor
from server.asks import Ask, Id
from server.settings import Levels, NoticePartial, NoticeSettings, changed
from server.store import Command, Connection, Query, Read, Tx


class NoticeLevels(Levels[NoticeSettings]):
    """What is set at a level itself, what holds there, and where each of those values comes from."""


class InstitutionsNotices(Ask):
    """One institution."""

    institution_id: Id


class DoctorsNotices(Ask):
    """One doctor."""

    doctor_id: Id


async def institution_notices(view: Read, actor: Actor, ask: InstitutionsNotices) -> NoticeLevels:
    """What holds for what the institution's patients are told. Raises `NotFound`."""
    await access_institution(view.conn, actor, ask.institution_id)
    return NoticeLevels.of(institution=await stored_at(view.conn, ask.institution_id))


async def doctor_notices(view: Read, actor: Actor, ask: DoctorsNotices) -> NoticeLevels:
    """What holds for what a doctor's patients are told. Raises `NotFound`."""
    institution_id = await _institution_of(view.conn, actor, ask.doctor_id)
    above = await stored_at(view.conn, institution_id)
    return NoticeLevels.of(institution=above, doctor=await stored_at(view.conn, institution_id, ask.doctor_id))


async def access_institution(conn: Connection, actor: Actor, institution_id: int) -> None:
    """Raise `NotFound` for an institution that is not the actor's to see."""
    if not actor.within(institution_id) or not await conn.fetchval(INSTITUTION, institution_id):
        raise errors.NotFound("There is no such institution.")


INSTITUTION = "select true from institutions where id = $1"


async def hold(tx: Tx, institution_id: int) -> None:
    """Have two who change what an institution says do so one after the other."""
    await catalog.hold_institution(tx.conn, institution_id)
    tx.institution_id = institution_id


async def _institution_of(conn: Connection, actor: Actor, doctor_id: int) -> int:
    institution_id: int | None = await conn.fetchval(OF_DOCTOR, doctor_id)
    if institution_id is None or not actor.within(institution_id):
        raise errors.NotFound("There is no such doctor here.")
    return institution_id


OF_DOCTOR = "select institution_id from doctors where id = $1"


async def stored_at(
    conn: Connection, institution_id: int, doctor_id: int | None = None, patient_id: int | None = None
) -> dict[str, Any]:
    """What is set at a level itself."""
    found = await conn.fetchval(STORED, institution_id, doctor_id, patient_id)
    return dict(orjson.loads(found)) if found else {}


STORED = """
select settings from notice_settings
where institution_id = $1 and doctor_id is not distinct from $2 and patient_id is not distinct from $3
"""


async def keep(
    tx: Tx, institution_id: int, settings: dict[str, Any], doctor_id: int | None = None, patient_id: int | None = None
) -> None:
    """Store what is set at a level, and mark it: a patient's own reminders are written anew at once."""
    changed_at = tx.now if patient_id is None else None
    await tx.conn.execute(KEEP, institution_id, doctor_id, patient_id, orjson.dumps(settings).decode(), changed_at)


KEEP = """
insert into notice_settings (institution_id, doctor_id, patient_id, settings, changed_at) values ($1, $2, $3, $4, $5)
on conflict on constraint notice_settings_once do update
set settings = excluded.settings, changed_at = excluded.changed_at
"""


class SetInstitutionNotices(NoticePartial):
    """Settings of notices at the institution; null resets one to the default."""

    institution_id: Id


async def set_institution_notices(tx: Tx, actor: Actor, ask: Any) -> NoticeLevels:
    """Set what holds for what patients are told, where no doctor's settings say otherwise. Raises `NotFound`."""
    await access_institution(tx.conn, actor, ask.institution_id)
    await hold(tx, ask.institution_id)
    before = await stored_at(tx.conn, ask.institution_id)
    after = changed(before, ask, "institution_id")
    await keep(tx, ask.institution_id, after)
    _tell(tx, ask.institution_id, "institution", ask.institution_id, before, after)
    return NoticeLevels.of(institution=after)


class SetDoctorNotices(NoticePartial):
    """Settings of notices of one doctor; null resets one to the institution's."""

    doctor_id: Id


async def set_doctor_notices(tx: Tx, actor: Actor, ask: Any) -> NoticeLevels:
    """Set what holds for what this doctor's patients are told. Raises `NotFound`."""
    institution_id = await _institution_of(tx.conn, actor, ask.doctor_id)
    await hold(tx, institution_id)
    before = await stored_at(tx.conn, institution_id, ask.doctor_id)
    after = changed(before, ask, "doctor_id")
    await keep(tx, institution_id, after, ask.doctor_id)
    _tell(tx, institution_id, "doctor", ask.doctor_id, before, after)
    return NoticeLevels.of(institution=await stored_at(tx.conn, institution_id), doctor=after)


def _tell(tx: Tx, institution_id: int, level: Any, of: int, before: dict[str, Any], after: dict[str, Any]) -> None:
    tx.institution_id = institution_id
    tx.about(f"{level}-notices:{of}", before, after)
    tx.append(events.admin(institution_id), events.SettingsChanged(level=level, of=of))


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "set-institution-notices",
        set_institution_notices,
        SetInstitutionNotices,
        NoticeLevels,
        ADMINS,
        "POST /institutions/{institution_id}/notices",
    ),
    Command(
        "set-doctor-notices",
        set_doctor_notices,
        SetDoctorNotices,
        NoticeLevels,
        ADMINS,
        "POST /doctors/{doctor_id}/notices",
    ),
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "show-institution-notices",
        institution_notices,
        InstitutionsNotices,
        NoticeLevels,
        STAFF,
        "GET /institutions/{institution_id}/notices",
    ),
    Query(
        "show-doctor-notices", doctor_notices, DoctorsNotices, NoticeLevels, STAFF, "GET /doctors/{doctor_id}/notices"
    ),
]
