"""Telling a patient: how they can be reached and what they said of it, and the notices that follow from that.

Invariant: what they said is read under a lock that keeps them from saying otherwise until the transaction ends, so no
notice is written by an answer that was taken back before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from server.notices import rules
from server.notices.rules import Kind, Quiet, Reach
from server.notices.writing import Wanted, write
from server.settings import NoticeSettings, effective_notices
from server.store import Connection, Tx


@dataclass(frozen=True, slots=True)
class Reader:
    """A patient as somebody who is told things."""

    patient_id: int
    institution_id: int
    institution: str
    name: str
    zone: str
    """Of the clinic: the times that they are told are its."""
    reach: Reach
    settings: NoticeSettings
    quiet: Quiet
    language: str | None
    """The one that they asked for, where it is not their record's."""

    @property
    def person(self) -> str:
        """How their notices name them."""
        return f"patient:{self.patient_id}"


async def reader(tx: Tx, patient_id: int, doctor_id: int | None = None, location_id: int | None = None) -> Reader:
    """A patient who is to be told of something of a doctor's, or somewhere; take this lock before any notice's."""
    await tx.conn.execute(HOLD_PATIENT, patient_id)
    return await reader_of(tx.conn, patient_id, doctor_id, location_id)


# Waits for whoever is writing down what they want, and keeps the next one waiting.
HOLD_PATIENT = "select id from patients where id = $1 for key share"


async def reader_of(
    conn: Connection, patient_id: int, doctor_id: int | None = None, location_id: int | None = None
) -> Reader:
    """The same as it is this moment."""
    row = await conn.fetchrow(READER, patient_id, doctor_id, location_id)
    assert row is not None
    choices = {tuple(name.split("/")): said for name, said in orjson.loads(row["choices"]).items()}
    levels = orjson.loads(row["levels"])
    own: Mapping[str, Any] = next((one["settings"] for one in levels if one["own"]), {})
    settings = settled([one["settings"] for one in levels])
    return Reader(
        patient_id=row["id"],
        institution_id=row["institution_id"],
        institution=row["institution"],
        name=row["name"],
        zone=row["zone"],
        reach=Reach(
            row["email"], row["phone"], row["pushed"], row["account"], row["channels"], choices, row["stopped"]
        ),
        settings=settings,
        quiet=Quiet(own.get("zone") or row["zone"], settings.quiet_from, settings.quiet_to),
        language=own.get("language"),
    )


PERSONAL = ("zone", "language")
"""What stands beside a patient's settings and is nobody else's to set."""


def settled(levels: Sequence[Mapping[str, Any]]) -> NoticeSettings:
    """The settings that hold, from what is set at each level."""
    return effective_notices(*({name: one[name] for name in one if name not in PERSONAL} for one in levels))


READER = """
select p.id, p.institution_id, p.name, p.email, p.phone, p.channels, i.name as institution,
    coalesce(l.zone, i.zone) as zone,
    exists (select from users u where u.patient_id = p.id and u.active) as account,
    exists (select from push_subscriptions s where s.person = 'patient:' || p.id) as pushed,
    array(select o.channel from opt_outs o where o.recipient = p.phone) as stopped,
    (
        select coalesce(jsonb_object_agg(c.kind || '/' || c.channel, c.allowed), '{}') from preferences c
        where c.patient_id = p.id
    ) as choices,
    (
        select coalesce(jsonb_agg(jsonb_build_object('settings', s.settings, 'own', s.patient_id is not null)
            order by s.doctor_id is not null, s.patient_id is not null), '[]')
        from notice_settings s
        where s.institution_id = p.institution_id and (s.doctor_id is null or s.doctor_id = $2)
            and (s.patient_id is null or s.patient_id = p.id)
    ) as levels
from patients p join institutions i on i.id = p.institution_id left join locations l on l.id = $3
where p.id = $1
"""


async def tell(
    tx: Tx,
    to: Reader,
    kind: Kind,
    cause: str,
    facts: Mapping[str, Any],
    *,
    at: datetime | None = None,
    until: datetime | None = None,
    appointment_id: int | None = None,
    secret: str | None = None,
) -> None:
    """Tell a patient of something now or at a time, over the channels by which they are told of it.

    `until`: it says nothing new after that, and does not wait for the morning that comes later.
    """
    due = at or tx.now
    wanted = [
        Wanted(
            kind=kind,
            cause=cause,
            person=to.person,
            channel=channel,
            due_at=rules.due(kind, channel, due, to.quiet, until),
            institution_id=to.institution_id,
            patient_id=to.patient_id,
            appointment_id=appointment_id,
            language=to.language,
            facts={"institution": to.institution, "patient": to.name, "zone": to.zone, **facts},
            secret=secret,
            worthless_at=until,
        )
        for channel in rules.told_over(kind, to.reach, to.settings.channels)
    ]
    await write(tx, wanted)
