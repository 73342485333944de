"""Institutions, locations, desks and queues: made, renamed, arranged, and closed for good.

Invariants: what is closed for good stays in the record and is gone from every list, board and console in the same
transaction; a desk or a queue with a patient is never closed. Boards learn that they are to ask anew what to show
(`location-changed`); names that streams show are told to each of them.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from server import access, appointments, availability, catalog, devices, errors, events, queue
from server.access import ADMINS, STAFF, Actor, Role
from server.administration.rows import (
    access_row,
    audit,
    doctor_rows,
    hold,
    institution_row,
    location_rows,
    queue_rows,
    tell,
    user_rows,
)
from server.asks import Ask, Id, Reply, wrong
from server.catalog import Label, Language, Name
from server.events import AdminInstitution, AdminLocation, AdminQueue
from server.patients import phones
from server.patients.details import Phone
from server.queue.line import load_line
from server.queue.queries import Nothing
from server.store import Command, Query, Read, Tx

SUPER = frozenset({Role.super_admin})
NO_LOCATION = "There is no such location here."


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise errors.Misfit("no-such-zone", "There is no time zone of that name.")
    return name


def _known_country(code: str) -> str:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("There is no country of that code.")
    return code


def _told_once(languages: list[str]) -> list[str]:
    if len(set(languages)) < len(languages):
        raise ValueError("Name each language once.")
    return languages


Zone = Annotated[str, Field(max_length=60, examples=["Europe/London"]), AfterValidator(_known_zone)]
Country = Annotated[str, AfterValidator(_known_country), Field(description="ISO 3166, such as GB.", max_length=2)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(description="ISO 4217, such as GBP.")]
Languages = Annotated[list[Language], Field(min_length=1, max_length=5), AfterValidator(_told_once)]


# Institutions


class NewInstitution(Ask):
    """A new tenant."""

    name: Name
    zone: Zone = "UTC"
    languages: Languages = Field(default=["en"])


async def create_institution(tx: Tx, actor: Actor, ask: NewInstitution) -> AdminInstitution:
    """Make an institution, with nobody in it yet. Raises `NameTaken`."""
    tx.institution_id = await catalog.add_institution(tx.conn, ask.name, ask.zone, tuple(ask.languages))
    row = await institution_row(tx.conn, tx.institution_id)
    assert row is not None
    audit(tx, None, row)
    await tell(tx, row.institution, events.InstitutionChanged(), [row])
    return row


class EditInstitution(Ask):
    """What is to change of an institution; what is left out stays."""

    institution_id: Id
    name: Name | None = None
    zone: Zone | None = None
    languages: Languages | None = None
    require_totp: bool | None = Field(default=None, description="Whether staff need a second factor.")
    country: Country | None = Field(default=None, description="Where phone numbers without a prefix are from, or null.")
    currency: Currency | None = None


async def edit_institution(tx: Tx, actor: Actor, ask: EditInstitution) -> AdminInstitution:
    """Change an institution. Requiring a second factor ends the sessions of those who have none.

    Raises `NotFound`, `NameTaken`, and `SecondFactorRequired` where the asker has none themselves.
    """
    id_ = await hold(tx, actor, ask.institution_id)
    before = await institution_row(tx.conn, id_)
    assert before is not None
    moved = [row["id"] for row in await tx.conn.fetch(BY_ITS_CLOCK, id_)] if ask.zone not in (None, before.zone) else []
    doctors = await availability.doctors_at(tx.conn, moved, tx.now)
    await gate_queues(tx, QUEUES_OF_INSTITUTION, id_, also=doctors)
    await catalog.change_institution(
        tx.conn,
        id_,
        name=ask.name,
        zone=ask.zone,
        languages=ask.languages,
        require_totp=ask.require_totp,
        country=ask.country if "country" in ask.model_fields_set else before.country,
        currency=ask.currency,
    )
    after = await institution_row(tx.conn, id_)
    assert after is not None
    if after.require_totp and not before.require_totp:
        if actor.institution_id is not None and not actor.second_factor:
            raise errors.SecondFactorRequired("Set up your own second factor before you require it of others.")
        tx.ended += await access.end_sessions_without_factor(tx.conn, id_, tx.now)
    for location_id in moved:
        await availability.follow_clock(tx, location_id, ZoneInfo(before.zone))
    audit(tx, before, after)
    if (before.name, before.zone, before.languages) != (after.name, after.zone, after.languages):
        for row in await tx.conn.fetch(QUEUES_OF_INSTITUTION, id_):
            _tell_place(tx, [row["id"]], row["location_id"])
    await tell(tx, id_, events.InstitutionChanged(), [after])
    return after


BY_ITS_CLOCK = "select id from locations where institution_id = $1 and zone is null and retired_at is null order by id"
QUEUES_OF_INSTITUTION = """
select id, location_id from queues where institution_id = $1 and retired_at is null order by id
"""


class Institutions(Reply):
    """The institutions that the asker administers."""

    items: list[AdminInstitution]


async def list_institutions(view: Read, actor: Actor, ask: Nothing) -> Institutions:
    """The asker's own institution; every one for a super_admin."""
    rows = await view.conn.fetch(INSTITUTIONS, actor.institution_id, actor.role is Role.super_admin)
    return Institutions(items=[AdminInstitution(**dict(row)) for row in rows])


INSTITUTIONS = """
select id as institution, name, zone, languages, require_totp, country, currency from institutions
where $2 or id = $1 order by id
"""


# What all of them do


async def gate_queues(tx: Tx, which: str, *args: Any, also: Sequence[events.Stream[Any]] = ()) -> list[int]:
    """Take the gates of all these queues, and the `also` ones, in one statement; answers the queues.

    None can appear meanwhile, since the institution is held.
    """
    ids = [row["id"] for row in await tx.conn.fetch(which, *args)]
    if ids or also:
        await tx.gate(*also, *(events.board(one) for one in ids))
    return ids


def _tell_place(tx: Tx, queue_ids: Sequence[int], location_id: int) -> None:
    """Tell the boards and consoles of these queues, whose gates are held, to ask anew what is there."""
    for one in queue_ids:
        tx.append(events.board(one), events.LocationChanged(location=location_id))
        tx.append(events.staff(one), events.LocationChanged(location=location_id))


class OfInstitution(Ask):
    """An institution; left out, the asker's own."""

    institution_id: Id | None = None

    def within(self, actor: Actor) -> int:
        """The institution that is meant. Raises `NotFound` for another's, or where none is named and none is theirs."""
        id_ = self.institution_id or actor.institution_id
        if id_ is None or not actor.within(id_):
            raise errors.NotFound("There is no such institution.")
        return id_


# Locations and desks


class NewLocation(OfInstitution):
    """A new branch or waiting room; without a zone the institution's holds."""

    name: Name
    zone: Zone | None = None


async def create_location(tx: Tx, actor: Actor, ask: NewLocation) -> AdminLocation:
    """Open a location. Raises `NotFound`, `NameTaken`."""
    institution_id = await hold(tx, actor, ask.within(actor))
    id_ = await catalog.add_location(tx.conn, institution_id, ask.name, ask.zone)
    return await _location_changed(tx, institution_id, id_, None)


class EditLocation(Ask):
    """What is to change of a location; a zone of null is the institution's again."""

    location_id: Id
    name: Name | None = None
    zone: Zone | None = None
    telephone: Phone | None = Field(default=None, description="Whom patients call there, or null.")


async def edit_location(tx: Tx, actor: Actor, ask: EditLocation) -> AdminLocation:
    """Rename a location, say whom to call there, or move it to another zone, whose hours unbooked slots keep.

    Raises `NotFound`, `NameTaken`, and `InvalidRequest` for a number that nobody can have.
    """
    institution_id, before = await access_location(tx, actor, ask.location_id)
    renamed = ask.name is not None and ask.name != before.name
    doctors = await appointments.every_doctor(tx.conn, institution_id) if renamed else []
    doctors += await availability.doctors_at(tx.conn, [ask.location_id], tx.now)
    queues = await gate_queues(tx, QUEUES_AT, ask.location_id, also=doctors)
    zone = ask.zone if "zone" in ask.model_fields_set else before.zone
    phone = before.telephone
    if "telephone" in ask.model_fields_set:
        phone = await _callable(tx, institution_id, ask.telephone)
    was = await tx.conn.fetchval(CLOCK, ask.location_id)
    await catalog.change_location(tx.conn, ask.location_id, name=ask.name, zone=zone, phone=phone)
    if await tx.conn.fetchval(CLOCK, ask.location_id) != was:
        await availability.follow_clock(tx, ask.location_id, ZoneInfo(was))
    _tell_place(tx, queues, ask.location_id)
    if renamed:
        await appointments.retell(tx, "location", ask.location_id)
    return await _location_changed(tx, institution_id, ask.location_id, before)


async def _callable(tx: Tx, institution_id: int, typed: str | None) -> str | None:
    """A telephone number that can be called from anywhere. Raises `InvalidRequest`."""
    clinic = await institution_row(tx.conn, institution_id)
    if typed is None or clinic is None:
        return None
    try:
        number = phones.kept(typed, clinic.country)
    except ValueError as misfit:
        raise wrong(("/telephone", str(misfit))) from None
    if not number.startswith("+"):
        raise wrong(("/telephone", "Give it with its country's prefix, such as +44."))
    return number


CLOCK = """
select coalesce(l.zone, i.zone) from locations l join institutions i on i.id = l.institution_id where l.id = $1
"""
QUEUES_AT = "select id from queues where location_id = $1 and retired_at is null order by id"


async def access_location(tx: Tx, actor: Actor, location_id: int) -> tuple[int, AdminLocation]:
    """Hold the institution of a location that the asker administers; answers both. Raises `NotFound`."""
    return await access_row(tx, actor, location_id, INSTITUTION_OF_LOCATION, location_rows, NO_LOCATION)


INSTITUTION_OF_LOCATION = "select institution_id from locations where id = $1 and retired_at is null"


async def _location_changed(
    tx: Tx, institution_id: int, location_id: int, before: AdminLocation | None
) -> AdminLocation:
    after = (await location_rows(tx.conn, institution_id, location_id))[0]
    audit(tx, before, after)
    await tell(tx, institution_id, events.LocationChanged(location=location_id), [after])
    return after


class RetireLocation(Ask):
    """A location that is to be closed for good."""

    location_id: Id


class LocationRetired(Reply):
    """The location that is no more, and how many screens went dark with it."""

    location_id: int
    devices_revoked: int


async def retire_location(tx: Tx, actor: Actor, ask: RetireLocation) -> LocationRetired:
    """Close a location for good, with its queues and desks; its screens go dark, and who works elsewhere too goes on.

    Raises `NotFound`, and `LocationInUse` while patients wait or are awaited there, or somebody works nowhere else.
    """
    institution_id, before = await access_location(tx, actor, ask.location_id)
    doctors = await availability.doctors_at(tx.conn, [ask.location_id], tx.now)
    queues = await gate_queues(tx, QUEUES_AT, ask.location_id, also=doctors)
    await _nobody_there(tx, ask.location_id)
    screens = [row["id"] for row in await tx.conn.fetch(SCREENS_AT, ask.location_id)]
    for one in screens:
        await devices.revoke_device(tx, actor, devices.RevokeDevice(device_id=one))
    for row in await queue_rows(tx.conn, institution_id):
        if row.queue in queues:
            audit(tx, row, None)
            await tell(tx, institution_id, await _close(tx, row.queue), [], drop=[row.key])
    for desk in before.desks:
        await queue.take_desk_away(tx.conn, desk.desk)
    await availability.leave_location(tx, ask.location_id)
    await catalog.retire_location(tx.conn, ask.location_id, tx.now)
    audit(tx, before, None)
    await tell(tx, institution_id, events.LocationChanged(location=ask.location_id), [], drop=[before.key])
    await _works_there_no_more(tx, institution_id, ask.location_id)
    await _sees_nobody_there(tx, institution_id, ask.location_id)
    return LocationRetired(location_id=ask.location_id, devices_revoked=len(screens))


SCREENS_AT = "select id from devices where location_id = $1 and revoked_at is null order by id"


async def _nobody_there(tx: Tx, location_id: int) -> None:
    """Raise `LocationInUse` where somebody would be turned away, or be limited to nothing."""
    counts = await tx.conn.fetchrow(STILL_THERE, location_id)
    assert counts is not None
    if any(counts.values()):
        raise errors.LocationInUse(**dict(counts))


STILL_THERE = """
select
    (
        select count(*) from tickets t join queues q on q.id = t.queue_id
        where q.location_id = $1 and t.state in ('waiting', 'called', 'in_consultation', 'on_hold')
    ) as tickets,
    (
        select count(*) from appointments
        where location_id = $1 and kind = 'scheduled' and state in ('pending', 'confirmed', 'checked_in', 'in_progress')
    ) as appointments,
    (
        select count(*) from user_locations mine
        where mine.location_id = $1
            and not exists (select from user_locations o where o.user_id = mine.user_id and o.location_id <> $1)
    ) as people
"""


async def _works_there_no_more(tx: Tx, institution_id: int, location_id: int) -> None:
    """Take the location from those who work at others, too; their sockets are let in again with what is left."""
    for row in await tx.conn.fetch(LEAVE_LOCATION, location_id):
        told = await user_rows(tx.conn, institution_id, row["user_id"])
        await tell(tx, institution_id, events.UserChanged(user=row["user_id"]), told)
        tx.ended.append(f"{access.AGAIN}user:{row['user_id']}")


LEAVE_LOCATION = "delete from user_locations where location_id = $1 returning user_id"


async def _sees_nobody_there(tx: Tx, institution_id: int, location_id: int) -> None:
    """Tell of each doctor who worked at a location that is closed for good: it is among theirs no more."""
    for row in await tx.conn.fetch(DOCTORS_AT, location_id):
        told = await doctor_rows(tx.conn, institution_id, row["doctor_id"])
        await tell(tx, institution_id, events.DoctorChanged(doctor=row["doctor_id"]), told)


DOCTORS_AT = "select doctor_id from doctor_locations where location_id = $1 order by doctor_id"


class Locations(Reply):
    """The locations of an institution."""

    items: list[AdminLocation]


async def list_locations(view: Read, actor: Actor, ask: OfInstitution) -> Locations:
    """The locations that the asker works at, with their desks."""
    rows = await location_rows(view.conn, ask.within(actor))
    return Locations(items=[row for row in rows if actor.at(row.location)])


class OfLocation(Ask):
    """One location."""

    location_id: Id


class Desks(Reply):
    """The desks of a location that are in use."""

    items: list[events.AdminDesk]


async def list_desks(view: Read, actor: Actor, ask: OfLocation) -> Desks:
    """The desks of a location of the asker's. Raises `NotFound`."""
    institution_id = await view.conn.fetchval(INSTITUTION_OF_LOCATION, ask.location_id)
    if not actor.within(institution_id) or not actor.at(ask.location_id):
        raise errors.NotFound(NO_LOCATION)
    return Desks(items=(await location_rows(view.conn, institution_id, ask.location_id))[0].desks)


class NewDesk(Ask):
    """A new room or counter."""

    location_id: Id
    name: Label


async def create_desk(tx: Tx, actor: Actor, ask: NewDesk) -> AdminLocation:
    """Put up a desk. Raises `NotFound`, `NameTaken`."""
    institution_id, before = await access_location(tx, actor, ask.location_id)
    queues = await gate_queues(tx, QUEUES_AT, ask.location_id)
    await catalog.add_desk(tx.conn, ask.location_id, ask.name)
    _tell_place(tx, queues, ask.location_id)
    return await _location_changed(tx, institution_id, ask.location_id, before)


class EditDesk(Ask):
    """What is to change of a desk; `retired` takes it down for good."""

    desk_id: Id
    name: Label | None = None
    retired: Annotated[bool, Field(description="Only true: a desk that was taken down does not come back.")] = False


async def edit_desk(tx: Tx, actor: Actor, ask: EditDesk) -> AdminLocation:
    """Rename a desk, wherever it is shown, or take it down. Raises `NotFound`, `NameTaken`, `DeskInUse`."""
    location_id = await tx.conn.fetchval(LOCATION_OF_DESK, ask.desk_id)
    if location_id is None:
        raise errors.NotFound("There is no such desk here.")
    institution_id = await tx.conn.fetchval(INSTITUTION_OF_LOCATION, location_id)
    await hold(tx, actor, institution_id, "There is no such desk here.")
    before = (await location_rows(tx.conn, institution_id, location_id))[0]
    if all(one.desk != ask.desk_id for one in before.desks):
        raise errors.NotFound("There is no such desk here.")
    queues = await gate_queues(tx, QUEUES_AT, location_id)
    if ask.retired:
        token = await tx.conn.fetchval(AT_DESK, ask.desk_id)
        if token is not None:
            raise errors.DeskInUse(token=token)
    await catalog.change_desk(tx.conn, ask.desk_id, name=ask.name, retired_at=tx.now if ask.retired else None)
    serving = {row["queue_id"] for row in await tx.conn.fetch(SERVED_FROM, ask.desk_id)}
    if ask.retired:
        await queue.take_desk_away(tx.conn, ask.desk_id)
    for one in queues:
        await _desk_changed(tx, actor, one, ask.desk_id, serves=one in serving)
    _tell_place(tx, queues, location_id)
    return await _location_changed(tx, institution_id, location_id, before)


LOCATION_OF_DESK = "select location_id from desks where id = $1"
AT_DESK = "select token from tickets where desk_id = $1 and state in ('called', 'in_consultation')"
SERVED_FROM = "select queue_id from serving where desk_id = $1"


async def _desk_changed(tx: Tx, actor: Actor, queue_id: int, desk_id: int, serves: bool) -> None:
    """Tell a queue, whose gate is held, whatever it shows of the desk."""
    line, _ = await load_line(tx, actor, queue_id)
    there = [one for one in await line.shown() if one.desk_id == desk_id]
    if there or serves:
        line.tell(events.QueueUpdated(), *there)
        await line.settle()


# Queues


class NewQueue(Ask):
    """A new queue: its owner's, or a pool that `doctors` serve."""

    location_id: Id
    name: Label
    department: Label | None = None
    owner: Id | None = None
    doctors: list[Id] = Field(default=[], max_length=200)


async def create_queue(tx: Tx, actor: Actor, ask: NewQueue) -> AdminQueue:
    """Open a queue; its tokens get the next letter free at the location. Raises `NotFound`, `NameTaken`."""
    institution_id, _ = await access_location(tx, actor, ask.location_id)
    doctors = await _doctors(tx, institution_id, ask.owner, ask.doctors)
    others = await gate_queues(tx, QUEUES_AT, ask.location_id)
    id_ = await queue.add_queue(
        tx.conn,
        institution_id=institution_id,
        location_id=ask.location_id,
        name=ask.name,
        doctors=doctors,
        owner=ask.owner,
    )
    await queue.set_department(tx.conn, id_, ask.department)
    _tell_place(tx, others, ask.location_id)
    if not others:
        # A board that follows no queue hears of its first one by coming in anew.
        tx.ended += [f"{access.AGAIN}device:{row['id']}" for row in await tx.conn.fetch(SCREENS_AT, ask.location_id)]
    return await _queue_configured(tx, institution_id, id_, None)


async def _doctors(tx: Tx, institution_id: int, owner: int | None, doctors: Sequence[int]) -> list[int]:
    """All who serve the queue, its owner among them. Raises `NotFound` for a doctor of nowhere or elsewhere."""
    ids = sorted({*doctors, *([owner] if owner else [])})
    if await tx.conn.fetchval(COUNT_DOCTORS, institution_id, ids) < len(ids):
        raise errors.NotFound("There is no such doctor here.")
    return ids


COUNT_DOCTORS = "select count(*) from doctors where institution_id = $1 and id = any($2::bigint[])"


async def _queue_configured(tx: Tx, institution_id: int, queue_id: int, before: AdminQueue | None) -> AdminQueue:
    after = (await queue_rows(tx.conn, institution_id, queue_id))[0]
    audit(tx, before, after)
    await tell(tx, institution_id, events.QueueConfigured(queue=queue_id), [after])
    return after


class EditQueue(Ask):
    """What is to change of a queue; an owner of null makes it a pool, a department of null takes it out of one."""

    queue_id: Id
    name: Label | None = None
    department: Label | None = None
    owner: Id | None = None
    doctors: list[Id] | None = Field(default=None, max_length=200, description="All who may serve it.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.model_fields_set == {"queue_id"}:
            raise ValueError("say what is to change")
        return self


async def edit_queue(tx: Tx, actor: Actor, ask: EditQueue) -> AdminQueue:
    """Rename a queue or change who owns and serves it; who serves it no more follows it no more.

    Raises `NotFound`, `NameTaken`.
    """
    institution_id, before = await _access_queue(tx, actor, ask.queue_id)
    others = await gate_queues(tx, QUEUES_AT, before.location)
    owner = ask.owner if "owner" in ask.model_fields_set else before.owner
    served_by = before.doctors if ask.doctors is None else ask.doctors
    doctors = await _doctors(tx, institution_id, owner, served_by)
    await queue.change_queue(tx.conn, ask.queue_id, name=ask.name, owner=owner, doctors=doctors)
    if "department" in ask.model_fields_set:
        await queue.set_department(tx.conn, ask.queue_id, ask.department)
    gone = sorted(set(before.doctors) - set(doctors))
    tx.ended += [f"{access.AGAIN}user:{row['id']}" for row in await tx.conn.fetch(ACCOUNTS_OF_DOCTORS, gone)]
    line, _ = await load_line(tx, actor, ask.queue_id)
    # The patient's own page shows the queue's name.
    line.tell(events.QueueUpdated(), *(one for one in await line.shown() if one.has_account))
    await line.settle()
    _tell_place(tx, others, before.location)
    return await _queue_configured(tx, institution_id, ask.queue_id, before)


ACCOUNTS_OF_DOCTORS = "select id from users where doctor_id = any($1::bigint[]) and active"


async def _access_queue(tx: Tx, actor: Actor, queue_id: int) -> tuple[int, AdminQueue]:
    """Hold the institution of a queue that the asker administers; answers both. Raises `NotFound`."""
    return await access_row(tx, actor, queue_id, INSTITUTION_OF_QUEUE, queue_rows, "There is no such queue here.")


INSTITUTION_OF_QUEUE = "select institution_id from queues where id = $1"


class RetireQueue(Ask):
    """A queue that is to be closed for good."""

    queue_id: Id


class Retired(Reply):
    """The queue that is no more."""

    queue_id: int


async def retire_queue(tx: Tx, actor: Actor, ask: RetireQueue) -> Retired:
    """Close a queue for good: it leaves every list and board. Raises `NotFound`, and `QueueInUse` with patients."""
    institution_id, before = await _access_queue(tx, actor, ask.queue_id)
    others = await gate_queues(tx, QUEUES_AT, before.location)
    tickets = await tx.conn.fetchval(COUNT_ACTIVE, ask.queue_id)
    if tickets:
        raise errors.QueueInUse(tickets=tickets)
    event = await _close(tx, ask.queue_id)
    _tell_place(tx, others, before.location)
    audit(tx, before, None)
    await tell(tx, institution_id, event, [], drop=[before.key])
    return Retired(queue_id=ask.queue_id)


async def _close(tx: Tx, queue_id: int) -> events.QueueRetired:
    """Close a queue for good, whose gate is held, and clear its board and its consoles."""
    event = events.QueueRetired(queue=queue_id)
    on_board, at_desks = await queue.board_rows(tx.conn, queue_id), await queue.staff_rows(tx.conn, queue_id)
    tx.append(events.board(queue_id), event, drop=[row.key for row in on_board])
    tx.append(events.staff(queue_id), event, drop=[row.key for row in at_desks])
    await queue.retire_queue(tx.conn, queue_id, tx.now)
    return event


COUNT_ACTIVE = """
select count(*) from tickets where queue_id = $1 and state in ('waiting', 'called', 'in_consultation', 'on_hold')
"""


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "create-institution",
        create_institution,
        NewInstitution,
        AdminInstitution,
        SUPER,
        "POST /institutions",
        status=201,
    ),
    Command(
        "edit-institution",
        edit_institution,
        EditInstitution,
        AdminInstitution,
        ADMINS,
        "POST /institutions/{institution_id}",
    ),
    Command("create-location", create_location, NewLocation, AdminLocation, ADMINS, "POST /locations", status=201),
    Command("edit-location", edit_location, EditLocation, AdminLocation, ADMINS, "POST /locations/{location_id}"),
    Command(
        "retire-location",
        retire_location,
        RetireLocation,
        LocationRetired,
        ADMINS,
        "POST /locations/{location_id}/retire",
    ),
    Command("create-desk", create_desk, NewDesk, AdminLocation, ADMINS, "POST /desks", status=201),
    Command("edit-desk", edit_desk, EditDesk, AdminLocation, ADMINS, "POST /desks/{desk_id}"),
    Command("create-queue", create_queue, NewQueue, AdminQueue, ADMINS, "POST /queues", status=201),
    Command("edit-queue", edit_queue, EditQueue, AdminQueue, ADMINS, "POST /queues/{queue_id}"),
    Command("retire-queue", retire_queue, RetireQueue, Retired, ADMINS, "POST /queues/{queue_id}/retire"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("list-institutions", list_institutions, Nothing, Institutions, ADMINS, "GET /institutions"),
    Query("list-locations", list_locations, OfInstitution, Locations, STAFF, "GET /locations"),
    Query("list-desks", list_desks, OfLocation, Desks, STAFF, "GET /locations/{location_id}/desks"),
]
