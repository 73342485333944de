"""What an institution wants forgotten, after how many days, and the forgetting. docs/retention.md says what goes.

Invariants: nothing is forgotten where nothing is set. What is forgotten is gone from every table but the audit trail,
which is kept whole, so that its seals hold. A second run finds nothing left to forget; two at once skip what the other
holds.
"""

from datetime import datetime, timedelta
from typing import Any

import orjson
from pydantic import Field

from server import appointments, catalog, emergencies, errors, events, patients, publish, queue, waitlist
from server.access import ADMINS, Actor
from server.administration.levels import OneInstitution
from server.administration.rows import hold
from server.asks import Ask, Id, Reply
from server.notices.forgetting import forget_notices
from server.notices.forgetting import forget_of_patients as forget_letters_of
from server.queue.line import dumps
from server.settings import RetentionPartial, RetentionSettings, changed
from server.store import Command, Pool, Query, Read, Tx

AT_ONCE = 500
"""Records of one kind in one transaction: as many as can be held without anybody noticing."""
PATIENTS_AT_ONCE = 500
"""Patients that one transaction looks at; few of them have not been seen for long."""


# What is wanted


async def show_retention(view: Read, actor: Actor, ask: OneInstitution) -> RetentionSettings:
    """After how many days what is forgotten. Raises `NotFound`."""
    stored = await view.conn.fetchval(RETENTION, ask.institution_id)
    if stored is None or not actor.within(ask.institution_id):
        raise errors.NotFound("There is no such institution.")
    return RetentionSettings.model_validate_json(stored)


RETENTION = "select retention from institutions where id = $1"


class SetRetention(RetentionPartial):
    """After how many days what is to be forgotten; null keeps it."""

    institution_id: Id


async def set_retention(tx: Tx, actor: Actor, ask: Any) -> RetentionSettings:
    """Set what is forgotten, and after how many days; the worker begins within the hour. Raises `NotFound`."""
    id_ = await hold(tx, actor, ask.institution_id)
    before = orjson.loads(await tx.conn.fetchval(RETENTION, id_))
    given = ask.model_dump(exclude_unset=True, exclude={"institution_id"})
    after = changed(before, RetentionPartial.model_validate(given))
    await catalog.set_retention(tx.conn, id_, dumps(after))
    tx.about(f"retention:{id_}", before, after)
    tx.append(events.admin(id_), events.SettingsChanged(level="institution", of=id_))
    return RetentionSettings.model_validate(after)


# Forgetting


class Forget(Ask):
    """An institution, some of whose records may have become too old; of its patients, those behind this one."""

    institution_id: Id
    behind_patient: int | None = Field(default=0, description="None looks at no patients.")


class Forgotten(Reply):
    """Of how many records of each kind something was forgotten; at most `AT_ONCE` of each."""

    appointments: int = 0
    tickets: int = 0
    waits: int = 0
    emergencies: int = 0
    notices: int = 0
    events: int = 0
    patients: int = 0
    last_patient: int | None = Field(default=None, description="The one that was looked at last, if more may follow.")


async def forget(tx: Tx, actor: Actor, ask: Forget) -> Forgotten:
    """Forget the oldest of what the institution wants forgotten; the system's. Raises `NotFound`."""
    stored = await tx.conn.fetchval(RETENTION, ask.institution_id)
    if stored is None:
        raise errors.NotFound("There is no such institution.")
    wanted, id_ = RetentionSettings.model_validate_json(stored), ask.institution_id
    told: dict[str, int] = {}
    if wanted.visits_days is not None:
        before = tx.now - timedelta(days=wanted.visits_days)
        told["appointments"] = await appointments.forget_visits(tx.conn, id_, before, tx.now, AT_ONCE)
        told["tickets"] = await queue.forget_tickets(tx.conn, id_, before, tx.now, AT_ONCE)
        told["waits"] = await waitlist.forget_waits(tx.conn, id_, before, AT_ONCE)
        told["emergencies"] = await emergencies.forget_emergencies(tx.conn, id_, before, AT_ONCE)
    if wanted.notices_days is not None:
        before = tx.now - timedelta(days=wanted.notices_days)
        told["notices"] = await forget_notices(tx.conn, id_, before, AT_ONCE)
    if wanted.events_days is not None:
        before = tx.now - timedelta(days=wanted.events_days)
        told["events"] = await publish.forget_events(tx.conn, id_, before, AT_ONCE)
    last: int | None = None
    if wanted.patients_days is not None and ask.behind_patient is not None:
        looked = [row["id"] for row in await tx.conn.fetch(WALK, id_, ask.behind_patient, PATIENTS_AT_ONCE)]
        told["patients"] = await _anonymise(tx, looked, tx.now - timedelta(days=wanted.patients_days))
        last = looked[-1] if len(looked) == PATIENTS_AT_ONCE else None
    tx.institution_id = id_
    if any(told.values()):
        tx.about(f"forgotten:{id_}", None, {name: count for name, count in told.items() if count})
    return Forgotten(**told, last_patient=last)


async def _anonymise(tx: Tx, looked: list[int], before: datetime) -> int:
    """Forget who those of these patients are who have not been seen since then, nor are expected; answers how many.

    Their records are held before it is looked again: whoever joins or books meanwhile waits, and stays who they are.
    """
    held = [row["id"] for row in await tx.conn.fetch(HOLD_UNSEEN, looked, before)]
    gone = [row["id"] for row in await tx.conn.fetch(STILL_UNSEEN, held, before)]
    if gone:
        await patients.anonymise(tx.conn, gone, tx.now)
        await appointments.forget_of_patients(tx.conn, gone, tx.now)
        await queue.forget_of_patients(tx.conn, gone, tx.now)
        await waitlist.forget_of_patients(tx.conn, gone)
        await emergencies.forget_of_patients(tx.conn, gone)
        await forget_letters_of(tx.conn, gone)
        tx.ended += await catalog.close_accounts(tx.conn, gone)
    return len(gone)


WALK = """
select id from patients where institution_id = $1 and anonymised_at is null and id > $2 order by id limit $3
"""
# Patient by patient, each until something is found: joined as a whole, it would be everybody's visits of years.
HOLD_UNSEEN = """
select p.id from patients p
left join lateral (
    select true as seen from appointments a where a.patient_id = p.id and a.starts_at >= $2 limit 1
) a on true
left join lateral (
    select true as seen from tickets t where t.patient_id = p.id and coalesce(t.ended_at, 'infinity') >= $2 limit 1
) t on true
left join lateral (
    select true as seen from waitlist w where w.patient_id = p.id and coalesce(w.ended_at, 'infinity') >= $2 limit 1
) w on true
where p.id = any($1::bigint[]) and p.created_at < $2 and a.seen is null and t.seen is null and w.seen is null
order by p.id
for update of p skip locked
"""
STILL_UNSEEN = """
select p.id from patients p
where p.id = any($1::bigint[])
    and not exists (select from tickets t where t.patient_id = p.id and coalesce(t.ended_at, 'infinity') >= $2)
    and not exists (select from appointments a where a.patient_id = p.id and a.starts_at >= $2)
    and not exists (select from waitlist w where w.patient_id = p.id and coalesce(w.ended_at, 'infinity') >= $2)
"""


async def forgetful(pool: Pool) -> list[int]:
    """The institutions that want something forgotten."""
    return [row["id"] for row in await pool.fetch(FORGETFUL)]


FORGETFUL = "select id from institutions where retention <> '{}' order by id"
FORGET: Command[Forget, Forgotten] = Command("forget", forget, Forget, Forgotten, frozenset(), "")

COMMANDS: list[Command[Any, Any]] = [
    Command(
        "set-retention",
        set_retention,
        SetRetention,
        RetentionSettings,
        ADMINS,
        "POST /institutions/{institution_id}/retention",
    )
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "show-retention",
        show_retention,
        OneInstitution,
        RetentionSettings,
        ADMINS,
        "GET /institutions/{institution_id}/retention",
    )
]
