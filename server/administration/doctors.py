"""Doctors: added, described, shown by a photo, and taken off the list of those who can be booked.

Invariants: a doctor's name reaches every board and console that shows it in the same transaction; what is chosen of a
doctor (specialty, locations, visit types) is the institution's own and in use.
"""

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from server import appointments, catalog, errors, events
from server.access import ADMINS, PEOPLE, STAFF, Actor
from server.administration.places import OfInstitution, gate_queues
from server.administration.rows import access_row, audit, doctor_rows, hold, specialty_rows, tell, visit_type_rows
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor, wrong
from server.catalog import Fee, Label, Language, Name, Practice
from server.events import AdminDoctor
from server.queue.line import load_line
from server.queue.queries import Page
from server.store import Command, Download, Query, Read, Tx

NO_DOCTOR = "There is no such doctor here."
Licence = Label
Several = Annotated[list[Id], Field(max_length=200)]
Spoken = Annotated[list[Language], Field(max_length=20)]


class NewDoctor(OfInstitution):
    """A new doctor; whoever signs in as one is invited as a user."""

    name: Name
    specialty_id: Id | None = None
    licence: Licence | None = None
    fee: Fee | None = None
    languages: Spoken = Field(default=[], description="Those spoken with patients.")
    active: bool = Field(default=True, description="Whether appointments can be made with them.")
    location_ids: Several = Field(default=[], description="Where they work.")
    visit_type_ids: Several = Field(default=[], description="The visit types that they take; none for all.")


async def create_doctor(tx: Tx, actor: Actor, ask: NewDoctor) -> AdminDoctor:
    """Add a doctor. Raises `NotFound`, and `NameTaken` for a licence that another doctor has."""
    institution_id = await hold(tx, actor, ask.within(actor))
    practice = Practice(ask.name, ask.specialty_id, ask.licence, ask.fee, ask.languages, ask.active)
    return await add_doctor(tx, institution_id, practice, ask.location_ids, ask.visit_type_ids)


async def add_doctor(
    tx: Tx, institution_id: int, practice: Practice, locations: Sequence[int] = (), visit_types: Sequence[int] = ()
) -> AdminDoctor:
    """Add a doctor to an institution that is held. Raises `NotFound`, `NameTaken`."""
    await _check_choices(tx, institution_id, practice.specialty, locations, visit_types)
    id_ = await catalog.add_doctor(tx.conn, institution_id, practice.name)
    await catalog.change_doctor(tx.conn, id_, practice)
    await catalog.place_doctor(tx.conn, institution_id, id_, locations)
    await catalog.limit_doctor(tx.conn, institution_id, id_, visit_types)
    return await _doctor_changed(tx, institution_id, id_, None)


async def _check_choices(
    tx: Tx, institution_id: int, specialty: int | None, locations: Sequence[int], visit_types: Sequence[int]
) -> None:
    """Raise `NotFound` for what is nowhere, elsewhere or retired."""
    if specialty is not None and not await specialty_rows(tx.conn, institution_id, specialty):
        raise errors.NotFound("There is no such specialty here.")
    if await tx.conn.fetchval(COUNT_PLACES, institution_id, list(locations)) < len(set(locations)):
        raise errors.NotFound("There is no such location here.")
    offered = {one.visit_type for one in await visit_type_rows(tx.conn, institution_id)} if visit_types else set()
    if set(visit_types) - offered:
        raise errors.NotFound("There is no such visit type here.")


COUNT_PLACES = (
    "select count(*) from locations where institution_id = $1 and id = any($2::bigint[]) and retired_at is null"
)


async def _doctor_changed(tx: Tx, institution_id: int, doctor_id: int, before: AdminDoctor | None) -> AdminDoctor:
    after = (await doctor_rows(tx.conn, institution_id, doctor_id))[0]
    audit(tx, before, after)
    await tell(tx, institution_id, events.DoctorChanged(doctor=doctor_id), [after])
    return after


class EditDoctor(Ask):
    """What is to change of a doctor; what is left out stays; null takes a specialty, licence or fee away."""

    doctor_id: Id
    name: Name = ""
    specialty_id: Id | None = None
    licence: Licence | None = None
    fee: Fee | None = None
    languages: Spoken = Field(default=[])
    active: bool = True
    location_ids: Several = Field(default=[])
    visit_type_ids: Several = Field(default=[])

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.model_fields_set == {"doctor_id"}:
            raise ValueError("say what is to change")
        return self


async def edit_doctor(tx: Tx, actor: Actor, ask: EditDoctor) -> AdminDoctor:
    """Change a doctor; their name changes on every board and console that shows it. Raises `NotFound`, `NameTaken`."""
    institution_id, before = await access_doctor(tx, actor, ask.doctor_id)
    queues = await gate_queues(tx, QUEUES_OF_DOCTOR, ask.doctor_id, also=[events.doctor(ask.doctor_id)])
    given = ask.model_dump(exclude_unset=True)
    locations = given.get("location_ids", before.locations)
    visit_types = given.get("visit_type_ids", before.visit_types)
    practice = Practice(
        name=given.get("name", before.name),
        specialty=given.get("specialty_id", before.specialty),
        licence=given.get("licence", before.licence),
        fee=given.get("fee", before.fee),
        languages=given.get("languages", before.languages),
        active=given.get("active", before.active),
    )
    await _check_choices(tx, institution_id, practice.specialty, locations, visit_types)
    await catalog.change_doctor(tx.conn, ask.doctor_id, practice)
    await catalog.place_doctor(tx.conn, institution_id, ask.doctor_id, locations)
    await catalog.limit_doctor(tx.conn, institution_id, ask.doctor_id, visit_types)
    if practice.name != before.name:
        for one in queues:
            line, _ = await load_line(tx, actor, one)
            await line.settle()
        await appointments.retell(tx, "doctor", ask.doctor_id)
    return await _doctor_changed(tx, institution_id, ask.doctor_id, before)


async def access_doctor(tx: Tx, actor: Actor, doctor_id: int) -> tuple[int, AdminDoctor]:
    """Hold the institution of a doctor whom the asker administers; answers both. Raises `NotFound`."""
    return await access_row(tx, actor, doctor_id, INSTITUTION_OF_DOCTOR, doctor_rows, NO_DOCTOR)


INSTITUTION_OF_DOCTOR = "select institution_id from doctors where id = $1"
QUEUES_OF_DOCTOR = """
select q.id from queues q
where q.retired_at is null and (
    q.doctor_id = $1 or exists (select from queue_doctors s where s.queue_id = q.id and s.doctor_id = $1)
    or exists (select from serving s where s.queue_id = q.id and s.doctor_id = $1)
) order by q.id
"""


class ListDoctors(OfInstitution, Page):
    """The doctors of an institution."""


class Doctors(Reply):
    """A page of an institution's doctors; `next` is the cursor of the following page."""

    items: list[AdminDoctor]
    next: str | None


async def list_doctors(view: Read, actor: Actor, ask: ListDoctors) -> Doctors:
    """The doctors of the asker's institution, by id. Raises `NotFound`."""
    start = decode_cursor("doctors", ask.cursor, int)[0] if ask.cursor else 0
    rows = await doctor_rows(view.conn, ask.within(actor), after=start, most=ask.limit + 1)
    items = rows[: ask.limit]
    return Doctors(items=items, next=encode_cursor("doctors", items[-1].doctor) if len(rows) > ask.limit else None)


# Photos

PHOTO_MOST = 512 * 1024
"""Bytes of a photo, as in the database."""
KINDS = ((b"\x89PNG\r\n\x1a\n", 0, "image/png"), (b"\xff\xd8\xff", 0, "image/jpeg"), (b"WEBP", 8, "image/webp"))
"""How a picture's content begins, where, and what it then is: what its sender calls it counts for nothing."""


class SetPhoto(Ask):
    """A photo of a doctor: PNG, JPEG or WebP, at most 512 KiB."""

    doctor_id: Id
    content: Annotated[str, StringConstraints(min_length=1, max_length=4 * (PHOTO_MOST // 3 + 1))] = Field(
        description="In base64.", repr=False
    )


async def set_photo(tx: Tx, actor: Actor, ask: SetPhoto) -> AdminDoctor:
    """Show a doctor by this photo, wherever patients choose. Raises `NotFound`."""
    institution_id, before = await access_doctor(tx, actor, ask.doctor_id)
    await catalog.set_photo(tx.conn, ask.doctor_id, _picture(ask.content), tx.now)
    return await _doctor_changed(tx, institution_id, ask.doctor_id, before)


def _picture(encoded: str) -> tuple[str, bytes]:
    """A picture's media type and content. Raises `InvalidRequest` for anything that is none."""
    try:
        content = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise wrong(("/content", "Should be base64.", "no-picture")) from None
    if len(content) > PHOTO_MOST:
        raise wrong(("/content", "Should be at most 512 KiB.", "picture-too-large"))
    for beginning, at, kind in KINDS:
        if content[at:].startswith(beginning):
            return kind, content
    raise wrong(("/content", "Should be a PNG, JPEG or WebP picture.", "no-picture"))


class OfDoctor(Ask):
    """One doctor."""

    doctor_id: Id


async def remove_photo(tx: Tx, actor: Actor, ask: OfDoctor) -> AdminDoctor:
    """Show a doctor without a photo. Raises `NotFound`."""
    institution_id, before = await access_doctor(tx, actor, ask.doctor_id)
    await catalog.set_photo(tx.conn, ask.doctor_id, None, tx.now)
    return await _doctor_changed(tx, institution_id, ask.doctor_id, before)


class ShowPhoto(OfDoctor):
    """A doctor's photo; `of` is any number, by which a browser knows a new one from what it has."""

    of: int | None = None


async def show_photo(view: Read, actor: Actor, ask: ShowPhoto) -> Download:
    """A doctor's photo. Raises `NotFound`."""
    row = await view.conn.fetchrow(PHOTO, ask.doctor_id)
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound("There is no such photo here.")
    return Download(content=row["content"], kind=row["kind"], name=None)


PHOTO = """
select d.institution_id, p.kind, p.content from doctor_photos p join doctors d on d.id = p.doctor_id
where p.doctor_id = $1
"""


COMMANDS: list[Command[Any, Any]] = [
    Command("create-doctor", create_doctor, NewDoctor, AdminDoctor, ADMINS, "POST /doctors", status=201),
    Command("edit-doctor", edit_doctor, EditDoctor, AdminDoctor, ADMINS, "POST /doctors/{doctor_id}"),
    Command(
        "set-doctor-photo",
        set_photo,
        SetPhoto,
        AdminDoctor,
        ADMINS,
        "POST /doctors/{doctor_id}/photo",
        body_limit=800 * 1024,
    ),
    Command("remove-doctor-photo", remove_photo, OfDoctor, AdminDoctor, ADMINS, "DELETE /doctors/{doctor_id}/photo"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("list-doctors", list_doctors, ListDoctors, Doctors, STAFF, "GET /doctors"),
    Query("doctor-photo", show_photo, ShowPhoto, Download, PEOPLE, "GET /doctors/{doctor_id}/photo"),
]
