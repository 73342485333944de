"""One place on the waitlist: loading it, telling of it, and the rows that its patient and the desk see.

Invariants: whoever changes a place, or makes an offer, holds the institution's line (`hold_line`) from before they look
until the transaction ends, so that no two times are offered for one wish, and rows are told in the order of what they
say. The line is taken after all gates, patients and numbers, and nothing is waited for behind it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from server import catalog, errors, events
from server.access import DESK, Actor, Role
from server.events import PatientWait, Person, StaffWait, VisitType, WaitlistOffer, WaitState
from server.store import Connection, Tx

NO_ENTRY = "There is no such place on the waitlist here."
LIVE = frozenset({"waiting", "offered"})


async def hold_line(tx: Tx, institution_id: int) -> None:
    """Let nobody else change the institution's waitlist until the transaction ends."""
    await catalog.hold_institution(tx.conn, institution_id)


@dataclass(frozen=True, slots=True)
class Place:
    """A place on the waitlist as PostgreSQL has it, with the names of all that it points at."""

    row: StaffWait
    """As the desk sees it."""
    institution_id: int
    has_account: bool
    visit_minutes: int
    visit_mode: str
    appointment_id: int | None
    slot_ids: list[int]
    """Those that its open offer holds."""

    @property
    def id(self) -> int:
        """The entry's id."""
        return self.row.entry

    @property
    def live(self) -> bool:
        """Whether it is still in the line, or has an offer."""
        return self.row.state in LIVE

    def patient_row(self) -> PatientWait:
        """As its own patient sees it."""
        return PatientWait(**{name: getattr(self.row, name) for name in PatientWait.model_fields})

    def trail(self) -> dict[str, Any]:
        """What the audit trail compares of it."""
        told = {"state", "priority", "priority_reason", "doctor_name", "specialty_name", "first_day", "last_day"}
        offer = self.row.offer
        return {
            **self.row.model_dump(mode="json", include=told),
            "patient": self.row.patient.id,
            "offered": offer.starts_at.isoformat() if offer else None,
        }

    def now(self, state: WaitState, offer: WaitlistOffer | None = None) -> "Place":
        """The same place in another state."""
        return replace(self, row=self.row.model_copy(update={"state": state, "offer": offer}))


PLACE = """
select w.id, w.institution_id, w.doctor_id, d.name as doctor_name, w.specialty_id, s.name as specialty_name,
    w.location_id, l.name as location_name, w.mode, w.first_day, w.last_day, w.parts, w.state, w.joined_at, w.priority,
    w.priority_reason, w.appointment_id,
    v.id as visit_type_id, v.name as visit_type_name, v.colour as visit_type_colour, v.minutes, v.mode as visit_mode,
    p.id as patient_id, p.name as patient_name, p.phone, p.birth_year, p.number as patient_number, p.birth_date,
    exists (select from users u where u.patient_id = p.id) as has_account,
    o.id as offer_id, o.doctor_id as offer_doctor, od.name as offer_doctor_name, o.location_id as offer_location,
    ol.name as offer_location_name, o.mode as offer_mode, o.starts_at, o.ends_at, o.offered_at, o.expires_at, o.slot_ids
from waitlist w
join patients p on p.id = w.patient_id
left join doctors d on d.id = w.doctor_id
left join specialties s on s.id = w.specialty_id
left join locations l on l.id = w.location_id
left join visit_types v on v.id = w.visit_type_id
left join offers o on o.entry_id = w.id and o.state = 'open'
left join doctors od on od.id = o.doctor_id
left join locations ol on ol.id = o.location_id
"""
"""The columns of `place_of`, for the queries below to narrow."""
PLAIN = (
    "doctor_name", "specialty_name", "location_name", "mode", "first_day", "last_day", "parts", "state", "joined_at",
    "priority", "priority_reason",
)  # fmt: skip


def place_of(row: asyncpg.Record) -> Place:
    """A row of `PLACE` as a place on the waitlist."""
    visit = row["visit_type_id"]
    staff = StaffWait(
        **{name: row[name] for name in PLAIN},
        entry=row["id"],
        doctor=row["doctor_id"],
        specialty=row["specialty_id"],
        location=row["location_id"],
        visit_type=VisitType(id=visit, name=row["visit_type_name"], colour=row["visit_type_colour"]) if visit else None,
        offer=_offer_of(row) if row["offer_id"] else None,
        patient=Person(
            id=row["patient_id"],
            name=row["patient_name"],
            phone=row["phone"],
            birth_year=row["birth_year"],
            number=row["patient_number"],
            birth_date=row["birth_date"],
        ),
    )
    return Place(
        staff,
        row["institution_id"],
        row["has_account"],
        row["minutes"] or 0,
        row["visit_mode"] or "both",
        row["appointment_id"],
        list(row["slot_ids"] or ()),
    )


def _offer_of(row: asyncpg.Record) -> WaitlistOffer:
    return WaitlistOffer(
        offer=row["offer_id"],
        doctor=row["offer_doctor"],
        doctor_name=row["offer_doctor_name"],
        location=row["offer_location"],
        location_name=row["offer_location_name"],
        mode=row["offer_mode"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        offered_at=row["offered_at"],
        expires_at=row["expires_at"],
    )


async def place(conn: Connection, entry_id: int) -> Place:
    """A place as it is now. Raises `NotFound`."""
    row = await conn.fetchrow(PLACE_BY_ID, entry_id)
    if row is None:
        raise errors.NotFound(NO_ENTRY)
    return place_of(row)


PLACE_BY_ID = PLACE + " where w.id = $1"


async def place_as(conn: Connection, actor: Actor, entry_id: int) -> Place:
    """A place, for somebody whose business it is. Raises `NotFound`, `NotAllowed`."""
    found = await place(conn, entry_id)
    if not actor.within(found.institution_id) or (
        actor.role is Role.patient and actor.patient_id != found.row.patient.id
    ):
        raise errors.NotFound(NO_ENTRY)
    if actor.role is Role.doctor and not await conn.fetchval(CONCERNS, entry_id, actor.doctor_id):
        raise errors.NotAllowed("Nobody waits for you there.")
    if actor.role in DESK | {Role.doctor} and found.row.location and not actor.at(found.row.location):
        raise errors.NotAllowed("That is not at one of your locations.")
    return found


MEANT = """
(w.doctor_id is null or w.doctor_id = d.id) and (w.specialty_id is null or w.specialty_id = d.specialty_id)
and (w.visit_type_id is null or not exists (select from doctor_visit_types t where t.doctor_id = d.id)
    or exists (select from doctor_visit_types t where t.doctor_id = d.id and t.visit_type_id = w.visit_type_id))
"""
"""Whether somebody who waits (w) could be seen by a doctor (d) of the same institution."""
CONCERNS = f"""
select exists (
    select from waitlist w join doctors d on d.institution_id = w.institution_id
    where w.id = $1 and d.id = $2 and {MEANT}
)
"""  # noqa: S608 (a constant)


async def doctors_meant(conn: Connection, entry_id: int) -> list[int]:
    """The active doctors who could see whoever waits there: their gates are held where somebody begins to wait."""
    return [row["id"] for row in await conn.fetch(DOCTORS_MEANT, entry_id)]


DOCTORS_MEANT = f"""
select d.id from waitlist w join doctors d on d.institution_id = w.institution_id and d.active
where w.id = $1 and {MEANT} order by d.id
"""  # noqa: S608 (a constant)


def tell(tx: Tx, after: Place, event: events.Event) -> None:
    """Tell the desk, and the patient where they have an account, what became of a place; one that ended goes."""
    desk = events.waitlist(after.institution_id)
    if after.live:
        tx.append(desk, event, put=[after.row])
    else:
        tx.append(desk, event, drop=[after.row.key])
    if after.has_account:
        own = events.patient(after.row.patient.id)
        if after.live:
            tx.append(own, event, put=[after.patient_row()])
        else:
            tx.append(own, event, drop=[after.row.key])


def note(tx: Tx, before: Place | None, after: Place) -> None:
    """Put on the trail what differs."""
    tx.about(f"waitlist:{after.id}", before.trail() if before else None, after.trail(), patient=after.row.patient.id)


# Rows read afresh, for rebuilding a stream


async def patient_rows(conn: Connection, patient_id: int) -> list[PatientWait]:
    """What a patient waits for."""
    return [place_of(row).patient_row() for row in await conn.fetch(LIVE_OF_PATIENT, patient_id)]


LIVE_OF_PATIENT = PLACE + " where w.patient_id = $1 and w.state in ('waiting', 'offered') order by w.id"


async def desk_rows(conn: Connection, institution_id: int) -> list[StaffWait]:
    """Who waits at an institution."""
    return [place_of(row).row for row in await conn.fetch(LIVE_OF_INSTITUTION, institution_id)]


LIVE_OF_INSTITUTION = PLACE + " where w.institution_id = $1 and w.state in ('waiting', 'offered') order by w.id"


def reasons_of(row: asyncpg.Record) -> list[dict[str, Any]]:
    """Why an offer was made, as it was recorded."""
    return list(orjson.loads(row["reasons"]))


def ended(state: WaitState, at: datetime) -> datetime | None:
    """When a place in this state ended."""
    return None if state in LIVE else at
