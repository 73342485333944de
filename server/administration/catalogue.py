"""What an institution offers: specialties and visit types, made and retired; and all of it with the doctors, to choose.

Invariant: what is retired is offered nowhere from then on, while everything that happened under it keeps its name.
"""

from typing import Annotated, Any, Self

import orjson
from pydantic import Field, StringConstraints, model_validator

from server import appointments, catalog, errors, events
from server.access import ADMINS, PEOPLE, Actor
from server.administration.places import OfInstitution
from server.administration.rows import (
    access_row,
    audit,
    doctor_rows,
    hold,
    institution_row,
    location_rows,
    specialty_rows,
    tell,
    visit_type_rows,
)
from server.asks import Ask, Id, Reply
from server.catalog import Fee, Label, Visits
from server.events import AdminSpecialty, AdminVisitType, SlotMode
from server.settings import BookingSettings, effective_booking
from server.store import Command, Connection, Query, Read, Tx

Minutes = Annotated[int, Field(ge=5, le=720)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$", to_lower=True)]


# Specialties


class NewSpecialty(OfInstitution):
    """A specialty that is offered from here on."""

    name: Label


async def create_specialty(tx: Tx, actor: Actor, ask: NewSpecialty) -> AdminSpecialty:
    """Offer a specialty. Raises `NotFound`, `NameTaken`."""
    institution_id = await hold(tx, actor, ask.within(actor))
    return await add_specialty(tx, institution_id, ask.name)


async def add_specialty(tx: Tx, institution_id: int, name: str) -> AdminSpecialty:
    """Add a specialty to an institution that is held. Raises `NameTaken`."""
    id_ = await catalog.add_specialty(tx.conn, institution_id, name)
    row = AdminSpecialty(specialty=id_, name=name)
    await _catalogue_changed(tx, institution_id, None, row)
    return row


async def _catalogue_changed(
    tx: Tx,
    institution_id: int,
    before: AdminSpecialty | AdminVisitType | None,
    after: AdminSpecialty | AdminVisitType | None,
) -> None:
    audit(tx, before, after)
    put, drop = ([after], []) if after else ([], [before.key] if before else [])
    await tell(tx, institution_id, events.CatalogueChanged(), put, drop)


class EditSpecialty(Ask):
    """A specialty's new name."""

    specialty_id: Id
    name: Label


async def edit_specialty(tx: Tx, actor: Actor, ask: EditSpecialty) -> AdminSpecialty:
    """Rename a specialty. Raises `NotFound`, `NameTaken`."""
    institution_id, before = await _access_specialty(tx, actor, ask.specialty_id)
    await appointments.gate_doctors(tx, institution_id)
    await catalog.change_specialty(tx.conn, ask.specialty_id, name=ask.name, retired_at=None)
    await appointments.retell(tx, "specialty", ask.specialty_id)
    after = AdminSpecialty(specialty=ask.specialty_id, name=ask.name)
    await _catalogue_changed(tx, institution_id, before, after)
    return after


async def _access_specialty(tx: Tx, actor: Actor, specialty_id: int) -> tuple[int, AdminSpecialty]:
    """Hold the institution of a specialty that the asker administers; answers both. Raises `NotFound`."""
    missing = "There is no such specialty here."
    return await access_row(tx, actor, specialty_id, INSTITUTION_OF_SPECIALTY, specialty_rows, missing)


INSTITUTION_OF_SPECIALTY = "select institution_id from specialties where id = $1"


class OfSpecialty(Ask):
    """One specialty."""

    specialty_id: Id


class SpecialtyRetired(Reply):
    """The specialty that is offered no more."""

    specialty_id: int


async def retire_specialty(tx: Tx, actor: Actor, ask: OfSpecialty) -> SpecialtyRetired:
    """Offer a specialty no more. Raises `NotFound`, and `SpecialtyInUse` while doctors have it."""
    institution_id, before = await _access_specialty(tx, actor, ask.specialty_id)
    doctors = await tx.conn.fetchval(COUNT_OF_SPECIALTY, ask.specialty_id)
    if doctors:
        raise errors.SpecialtyInUse(doctors=doctors)
    await catalog.change_specialty(tx.conn, ask.specialty_id, name=before.name, retired_at=tx.now)
    await _catalogue_changed(tx, institution_id, before, None)
    return SpecialtyRetired(specialty_id=ask.specialty_id)


COUNT_OF_SPECIALTY = "select count(*) from doctors where specialty_id = $1"


class Specialties(Reply):
    """The specialties that an institution offers."""

    items: list[AdminSpecialty]


async def list_specialties(view: Read, actor: Actor, ask: OfInstitution) -> Specialties:
    """The specialties that the asker's institution offers."""
    return Specialties(items=await specialty_rows(view.conn, ask.within(actor)))


# Visit types


class NewVisitType(OfInstitution):
    """Something that a visit can be for from here on."""

    name: Label
    minutes: Minutes
    fee: Fee | None = Field(default=None, description="Null: the doctor's own.")
    colour: Colour = "#3d6fd1"
    mode: SlotMode = "both"


async def create_visit_type(tx: Tx, actor: Actor, ask: NewVisitType) -> AdminVisitType:
    """Offer a visit type, with every doctor who is not limited to others. Raises `NotFound`, `NameTaken`."""
    institution_id = await hold(tx, actor, ask.within(actor))
    return await add_visit_type(tx, institution_id, Visits(ask.name, ask.minutes, ask.fee, ask.colour, ask.mode))


async def add_visit_type(tx: Tx, institution_id: int, new: Visits) -> AdminVisitType:
    """Add a visit type to an institution that is held. Raises `NameTaken`."""
    id_ = await catalog.add_visit_type(tx.conn, institution_id, new)
    row = (await visit_type_rows(tx.conn, institution_id, id_))[0]
    await _catalogue_changed(tx, institution_id, None, row)
    return row


class EditVisitType(Ask):
    """What is to change of a visit type; what is left out stays; a fee of null is the doctor's own."""

    visit_type_id: Id
    name: Label = ""
    minutes: Minutes = 30
    fee: Fee | None = None
    colour: Colour = ""
    mode: SlotMode = "both"

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.model_fields_set == {"visit_type_id"}:
            raise ValueError("say what is to change")
        return self


async def edit_visit_type(tx: Tx, actor: Actor, ask: EditVisitType) -> AdminVisitType:
    """Change a visit type, for what is booked from here on. Raises `NotFound`, `NameTaken`."""
    institution_id, before = await _access_visit_type(tx, actor, ask.visit_type_id)
    stored = before.model_dump(include={"name", "minutes", "fee", "colour", "mode"})
    given = ask.model_dump(exclude_unset=True, exclude={"visit_type_id"})
    await appointments.gate_doctors(tx, institution_id)
    await catalog.change_visit_type(tx.conn, ask.visit_type_id, Visits(**{**stored, **given}))
    after = (await visit_type_rows(tx.conn, institution_id, ask.visit_type_id))[0]
    if (after.name, after.colour) != (before.name, before.colour):
        await appointments.retell(tx, "visit-type", ask.visit_type_id)
    await _catalogue_changed(tx, institution_id, before, after)
    return after


async def _access_visit_type(tx: Tx, actor: Actor, visit_type_id: int) -> tuple[int, AdminVisitType]:
    """Hold the institution of a visit type that the asker administers; answers both. Raises `NotFound`."""
    missing = "There is no such visit type here."
    return await access_row(tx, actor, visit_type_id, INSTITUTION_OF_VISIT_TYPE, visit_type_rows, missing)


INSTITUTION_OF_VISIT_TYPE = "select institution_id from visit_types where id = $1"


class OfVisitType(Ask):
    """One visit type."""

    visit_type_id: Id


class VisitTypeRetired(Reply):
    """The visit type that is offered no more."""

    visit_type_id: int


async def retire_visit_type(tx: Tx, actor: Actor, ask: OfVisitType) -> VisitTypeRetired:
    """Offer a visit type no more. Raises `NotFound`, and `VisitTypeInUse` while doctors take nothing else."""
    institution_id, before = await _access_visit_type(tx, actor, ask.visit_type_id)
    doctors = await tx.conn.fetchval(COUNT_TAKING_NOTHING_ELSE, ask.visit_type_id)
    if doctors:
        raise errors.VisitTypeInUse(doctors=doctors)
    limited = await tx.conn.fetch(TAKING, ask.visit_type_id)
    await catalog.retire_visit_type(tx.conn, ask.visit_type_id, tx.now)
    await _catalogue_changed(tx, institution_id, before, None)
    for one in limited:
        row = (await doctor_rows(tx.conn, institution_id, one["doctor_id"]))[0]
        await tell(tx, institution_id, events.DoctorChanged(doctor=row.doctor), [row])
    return VisitTypeRetired(visit_type_id=ask.visit_type_id)


COUNT_TAKING_NOTHING_ELSE = """
select count(*) from (
    select doctor_id from doctor_visit_types group by doctor_id having array_agg(visit_type_id) = array[$1::bigint]
) d
"""
TAKING = "select doctor_id from doctor_visit_types where visit_type_id = $1 order by doctor_id"


class VisitTypes(Reply):
    """What visits to an institution can be for."""

    items: list[AdminVisitType]


async def list_visit_types(view: Read, actor: Actor, ask: OfInstitution) -> VisitTypes:
    """What visits to the asker's institution can be for."""
    return VisitTypes(items=await visit_type_rows(view.conn, ask.within(actor)))


# All of it, for whoever books


class Clinic(Reply):
    """An institution, as those see it who book there."""

    id: int
    name: str
    zone: str
    country: str | None
    currency: str


class OfferedSpecialty(Reply):
    """A specialty."""

    id: int
    name: str


class OfferedVisitType(Reply):
    """What a visit can be for: minutes it takes, its fee (null: the doctor's), and how the patient may come."""

    id: int
    name: str
    minutes: int
    fee: str | None
    colour: str
    mode: SlotMode


class OfferedDoctor(Reply):
    """A doctor with whom appointments can be made; without visit types they take all of them."""

    id: int
    name: str
    specialty_id: int | None
    fee: str | None
    languages: list[str]
    photo: str | None
    location_ids: list[int]
    visit_type_ids: list[int]
    confirms: bool = Field(description="Whether a booking stands at once, and is no request that has to be answered.")
    change_hours: int = Field(description="How long before a visit a patient can still cancel or move it.")
    waitlist: bool = Field(description="Whether people may wait for time of theirs that is freed.")


class OfferedLocation(Reply):
    """A location, the zone of its local days, and whom to call there."""

    id: int
    name: str
    zone: str
    telephone: str | None


class Catalogue(Reply):
    """Everything that an appointment is chosen from; fees are decimals in the institution's currency."""

    institution: Clinic
    specialties: list[OfferedSpecialty]
    visit_types: list[OfferedVisitType]
    doctors: list[OfferedDoctor]
    locations: list[OfferedLocation]


async def show_catalogue(view: Read, actor: Actor, ask: OfInstitution) -> Catalogue:
    """What the asker's institution offers, and who. Raises `NotFound`."""
    institution_id = ask.within(actor)
    clinic = await institution_row(view.conn, institution_id)
    if clinic is None:
        raise errors.NotFound("There is no such institution.")
    terms = await _booking_of_doctors(view.conn, institution_id)
    return Catalogue(
        institution=Clinic(
            id=institution_id, name=clinic.name, zone=clinic.zone, country=clinic.country, currency=clinic.currency
        ),
        specialties=[
            OfferedSpecialty(id=one.specialty, name=one.name) for one in await specialty_rows(view.conn, institution_id)
        ],
        visit_types=[
            OfferedVisitType(id=one.visit_type, **one.model_dump(exclude={"visit_type"}))
            for one in await visit_type_rows(view.conn, institution_id)
        ],
        doctors=[
            _offered(one, terms[one.doctor]) for one in await doctor_rows(view.conn, institution_id) if one.active
        ],
        locations=[
            OfferedLocation(id=one.location, name=one.name, zone=one.zone or clinic.zone, telephone=one.telephone)
            for one in await location_rows(view.conn, institution_id)
        ],
    )


async def _booking_of_doctors(conn: Connection, institution_id: int) -> dict[int, BookingSettings]:
    """On which terms each doctor can be booked."""
    rows = await conn.fetch(BOOKING_OF_DOCTORS, institution_id)
    return {row["id"]: effective_booking(orjson.loads(row["whole"]), orjson.loads(row["own"])) for row in rows}


BOOKING_OF_DOCTORS = """
select d.id, d.booking::text as own, i.booking::text as whole
from doctors d join institutions i on i.id = d.institution_id where i.id = $1
"""


def _offered(doctor: events.AdminDoctor, terms: BookingSettings) -> OfferedDoctor:
    return OfferedDoctor(
        id=doctor.doctor,
        name=doctor.name,
        specialty_id=doctor.specialty,
        fee=doctor.fee,
        languages=doctor.languages,
        photo=doctor.photo,
        location_ids=doctor.locations,
        visit_type_ids=doctor.visit_types,
        confirms=terms.auto_confirm_appointments,
        change_hours=terms.cancellation_deadline_hours,
        waitlist=terms.waitlist,
    )


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "create-specialty", create_specialty, NewSpecialty, AdminSpecialty, ADMINS, "POST /specialties", status=201
    ),
    Command(
        "edit-specialty", edit_specialty, EditSpecialty, AdminSpecialty, ADMINS, "POST /specialties/{specialty_id}"
    ),
    Command(
        "retire-specialty",
        retire_specialty,
        OfSpecialty,
        SpecialtyRetired,
        ADMINS,
        "POST /specialties/{specialty_id}/retire",
    ),
    Command(
        "create-visit-type", create_visit_type, NewVisitType, AdminVisitType, ADMINS, "POST /visit-types", status=201
    ),
    Command(
        "edit-visit-type", edit_visit_type, EditVisitType, AdminVisitType, ADMINS, "POST /visit-types/{visit_type_id}"
    ),
    Command(
        "retire-visit-type",
        retire_visit_type,
        OfVisitType,
        VisitTypeRetired,
        ADMINS,
        "POST /visit-types/{visit_type_id}/retire",
    ),
]
QUERIES: list[Query[Any, Any]] = [
    Query("show-catalogue", show_catalogue, OfInstitution, Catalogue, PEOPLE, "GET /catalogue"),
    Query("list-specialties", list_specialties, OfInstitution, Specialties, PEOPLE, "GET /specialties"),
    Query("list-visit-types", list_visit_types, OfInstitution, VisitTypes, PEOPLE, "GET /visit-types"),
]
