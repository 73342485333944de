"""The records of an institution's patients: registering, correcting and searching them.

Invariants: a record's number and the keys by which it is found are written with it, here and nowhere else. Whoever
registers somebody who seems to be there already is shown whom, and says so once more before there are two.
"""

from datetime import date, datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from server import errors
from server.access import STAFF, Actor
from server.asks import Ask, Id, Reply, wrong
from server.events import Person
from server.patients import spelling
from server.patients.details import (
    FIELDS,
    Channel,
    Details,
    EmergencyContact,
    Gender,
    Insurance,
    NewPatient,
    PatientName,
    as_kept,
    read,
    stored,
)
from server.store import Command, Connection, Query, Read, Tx

Match = Literal["name", "phone", "number", "birth-date"]


class PatientRecord(Reply):
    """A patient, as staff see them."""

    id: int
    number: str
    name: str
    phone: str | None
    birth_date: date | None
    birth_year: int | None
    gender: Gender | None
    email: str | None
    address: str | None
    emergency_contact: EmergencyContact | None
    insurance: Insurance | None
    language: str | None
    channels: list[Channel]
    requirements: list[str]
    registered_at: datetime


async def add_patient(conn: Connection, institution_id: int, new: NewPatient, told: str = "") -> Person:
    """A new patient of the institution, under its next number.

    Raises `InvalidRequest`, which points below `told`, for a telephone number that nobody can have.
    """
    new = await as_kept(conn, institution_id, new, told)
    row = await conn.fetchrow(ADD_PATIENT, institution_id, *stored(new), found_by(institution_id, new))
    assert row is not None
    return Person(
        id=row["id"],
        name=new.name,
        phone=new.phone,
        birth_year=new.born,
        number=row["number"],
        birth_date=new.birth_date,
    )


def found_by(institution_id: int, patient: NewPatient) -> list[str]:
    """The keys of a record; they begin with the institution, so that a search reads nothing of another's."""
    return _of(institution_id, spelling.keys_of(patient.name, patient.phone))


def _of(institution_id: int, keys: "set[str] | list[str]") -> list[str]:
    return [f"{institution_id}{key}" for key in keys]


ADD_PATIENT = """
insert into patients (institution_id, name, phone, birth_date, birth_year, gender, email, address, emergency_contact,
    insurance, language, channels, requirements, found_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
returning id, number
"""


async def register_patient(tx: Tx, institution_id: int, new: NewPatient, told: str = "/patient") -> Person:
    """A new patient of the institution, whoever else may be there already. Raises as `add_patient` does."""
    person = await add_patient(tx.conn, institution_id, new, told)
    tx.about(f"patient:{person.id}", None, {**_trail(new), "phone": person.phone}, patient=person.id)
    return person


def _trail(patient: "NewPatient | PatientRecord") -> dict[str, Any]:
    """What the audit trail compares of a record."""
    return patient.model_dump(mode="json", include=set(FIELDS), exclude_defaults=isinstance(patient, NewPatient))


async def access_patient(tx: Tx, institution_id: int, patient_id: int) -> Person:
    """A patient of this institution, whom nobody corrects until the transaction ends.

    Raises `NotFound`, `PatientMerged`.
    """
    row = await tx.conn.fetchrow(PATIENT_UNCHANGED, patient_id, institution_id)
    if row is None:
        raise errors.NotFound(NO_PATIENT)
    if row["merged_into"] is not None:
        raise errors.PatientMerged(patient_id=row["merged_into"])
    return Person(**{name: row[name] for name in Person.model_fields})


NO_PATIENT = "There is no such patient here."
# The lock waits for a correction that is being written, so that a ticket never begins with the name before it.
PATIENT_UNCHANGED = """
select id, name, phone, birth_year, number, birth_date, merged_into from patients
where id = $1 and institution_id = $2
for key share
"""


async def patient_record(conn: Connection, actor: Actor, patient_id: int) -> PatientRecord:
    """A patient of the actor's institution.

    Raises `NotFound`, for another institution's as well, and `PatientMerged` with where the record went.
    """
    row = await conn.fetchrow(RECORD, patient_id)
    return _record(row, actor)


def _record(row: Any, actor: Actor) -> PatientRecord:
    if row is None or not actor.within(row["institution_id"]):
        raise errors.NotFound(NO_PATIENT)
    if row["merged_into"] is not None:
        raise errors.PatientMerged(patient_id=row["merged_into"])
    return PatientRecord(id=row["id"], number=row["number"], registered_at=row["registered_at"], **read(row))


COLUMNS_KEPT = (
    "name, phone, birth_date, birth_year, gender, email, address, emergency_contact, insurance, language, channels,"
    " requirements"
)
RECORD = f"""
select id, institution_id, number, merged_into, created_at as registered_at, {COLUMNS_KEPT}
from patients where id = $1
"""  # noqa: S608 (a constant)
RECORD_TO_CHANGE = RECORD + "for update"


def _institution(actor: Actor, institution_id: int | None) -> int:
    """Whose patients are meant: the actor's own institution's; who stands above them all names one."""
    if institution_id is None and actor.institution_id is None:
        raise wrong(("/institution_id", "This field is needed: you belong to no one institution."))
    meant = institution_id or actor.institution_id
    if not actor.within(meant):
        raise errors.NotFound("There is no such institution here.")
    return meant or 0


# Search


class SearchPatients(Ask):
    """What somebody has typed so far: words of a name, digits of a phone, a number, a birth date or year."""

    q: str = Field(min_length=1, max_length=200)
    limit: int = Field(default=10, ge=1, le=50)
    institution_id: Id | None = Field(default=None, description="Needed only by those who belong to none.")


class FoundPatient(Reply):
    """A patient who may be meant: by what, and how well it fits, from 0 to 1."""

    id: int
    number: str
    name: str
    phone: str | None
    birth_date: date | None
    birth_year: int | None
    match: Match
    score: float


class FoundPatients(Reply):
    """The best matches, best first."""

    items: list[FoundPatient]


async def search_patients(view: Read, actor: Actor, ask: SearchPatients) -> FoundPatients:
    """Patients by name, phone, number or birth date, as they are typed, tolerant of spelling and accents."""
    institution_id = _institution(actor, ask.institution_id)
    asked = spelling.read(ask.q)
    cards = await _of_card(view.conn, institution_id, asked.number)
    fits = [_fit(row, asked, cards) for row in await _candidates(view.conn, institution_id, asked, ask.limit)]
    best = sorted((one for one in fits if one.score >= WORTH_SHOWING), key=lambda one: (-one.score, one.name, one.id))
    return FoundPatients(items=best[: ask.limit])


WORTH_SHOWING = 0.3
LOOKED_AT = 200
"""How many records of each kind are read and ranked: more than this many answers call for another letter."""


async def _candidates(conn: Connection, institution_id: int, asked: spelling.Asked, enough: int) -> list[Any]:
    found: dict[int, Any] = {}

    async def look(sql: str, *arguments: Any) -> None:
        found.update({row["id"]: row for row in await conn.fetch(sql, institution_id, *arguments, LOOKED_AT)})

    if asked.number:
        await look(NUMBERED, asked.number)
    for dialled in spelling.dialled(asked.digits):
        await look(KEYED, _of(institution_id, spelling.phone_keys(dialled)))
    if not asked.words:
        if asked.years:
            await look(BORN, list(asked.years), list(asked.dates))
        return list(found.values())
    years = list(asked.years)
    begun = _of(institution_id, [f"^{word[: spelling.KEPT]}" for word in asked.words])
    whole = _of(institution_id, [f"~{word[: spelling.KEPT]}" for word in asked.words])
    await look(NAMED, whole, begun, years)
    if len(found) < enough:
        near = [_of(institution_id, _near_or_begun(word)) for word in _telling(asked.words)]
        await look(NAMED_NEARLY, *near, years)
    if not found:
        # The year may be wrong, a word too many, two words one, or only half of a word right.
        loose = {key for word in asked.words if len(word) > 2 for key in _near_or_begun(word, loose=True)}
        loose |= _near_or_begun("".join(asked.words))
        await look(KEYED_ANY, _of(institution_id, loose))
    return list(found.values())


def _near_or_begun(word: str, loose: bool = False) -> set[str]:
    keys = spelling.near(word) | {f"^{word[: spelling.KEPT]}"}
    return keys | {f"^{word[: max(3, len(word) // 2)]}"} if loose and len(word) > 4 else keys


def _telling(words: tuple[str, ...]) -> tuple[str, str, str]:
    """The three longest words; of fewer, one of them again."""
    longest = sorted(words, key=len, reverse=True)[:3]
    first, second, third = (longest * 3)[:3]
    return first, second, third


COLUMNS = "id, institution_id, number, name, phone, birth_date, birth_year"
# The number of a record that went over into another leads to the one that stays.
NUMBERED = f"""
select {COLUMNS} from patients
where id = (select coalesce(merged_into, id) from patients where institution_id = $1 and number = $2) limit $3
"""  # noqa: S608 (a constant)
BORN = f"""
select {COLUMNS} from patients
where institution_id = $1 and birth_year = any($2::smallint[]) and merged_into is null
    and (cardinality($3::date[]) = 0 or birth_date is null or birth_date = any($3))
order by birth_date = any($3) desc nulls last limit $4
"""  # noqa: S608 (a constant)
# Keys are looked up in a materialised part of their own. PostgreSQL plans that for all its rows, and so by the index,
# and still reads no more of them than the limit outside wants; with the limit inside it would read the whole table.
KEYED = f"""
with found as materialized (select {COLUMNS} from patients where found_by @> $2)
select {COLUMNS} from found where institution_id = $1 limit $3
"""  # noqa: S608 (a constant)
KEYED_ANY = f"""
with found as materialized (select {COLUMNS} from patients where found_by && $2)
select {COLUMNS} from found where institution_id = $1 limit $3
"""  # noqa: S608 (a constant)
# Whole words first: whoever asks for Mar finds Mar, however many Marias there are.
NAMED = f"""
with whole as materialized (select {COLUMNS} from patients where found_by @> $2),
    begun as materialized (select {COLUMNS} from patients where found_by @> $3)
(
    select {COLUMNS} from whole
    where institution_id = $1 and (cardinality($4::smallint[]) = 0 or birth_year = any($4)) limit $5
)
union all
(
    select {COLUMNS} from begun
    where institution_id = $1 and (cardinality($4::smallint[]) = 0 or birth_year = any($4)) limit $5
)
"""  # noqa: S608 (a constant)
NAMED_NEARLY = f"""
with near as materialized (
    select {COLUMNS} from patients where found_by && $2 and found_by && $3 and found_by && $4
)
select {COLUMNS} from near
where institution_id = $1 and (cardinality($5::smallint[]) = 0 or birth_year = any($5)) limit $6
"""  # noqa: S608 (a constant)


async def _of_card(conn: Connection, institution_id: int, number: str | None) -> set[int]:
    """The patient whose card has this number, or had it before two records of theirs became one."""
    rows = await conn.fetch(NUMBERED, institution_id, number, 1) if number else []
    return {row["id"] for row in rows}


def _fit(row: Any, asked: spelling.Asked, of_card: set[int]) -> FoundPatient:
    """How well a record fits, by the best of the ways in which it may be meant."""
    ways: list[tuple[float, Match]] = []
    if row["id"] in of_card:
        ways.append((1.0, "number"))
    if asked.digits and row["phone"]:
        number = spelling.digits(row["phone"])
        if spelling.same_phone(number, asked.digits):
            ways.append((1.0, "phone"))
        elif inside := [one for one in spelling.dialled(asked.digits) if one in number]:
            ways.append((0.9 if any(map(number.endswith, inside)) else 0.8, "phone"))
    born = _born(row, asked)
    if asked.words:
        doubt = 0.75 if asked.years and not born else 1.0
        ways.append((doubt * spelling.likeness(asked.words, row["name"]), "name"))
    elif born:
        ways.append((born, "birth-date"))
    score, match = max(ways, default=(0.0, "name"))
    return _found(row, match, score)


def _found(row: Any, match: Match, score: float) -> FoundPatient:
    fields = {name: row[name] for name in ("id", "number", "name", "phone", "birth_date", "birth_year")}
    return FoundPatient(**fields, match=match, score=round(score, 3))


def _born(row: Any, asked: spelling.Asked) -> float:
    if row["birth_date"] in asked.dates:
        return 0.95
    if row["birth_year"] not in asked.years:
        return 0.0
    return 0.0 if asked.dates and row["birth_date"] else 0.6


# Registering


class RegisterPatient(NewPatient):
    """A new patient; `confirm_new` says that none of the candidates shown is the same person."""

    confirm_new: bool = False
    institution_id: Id | None = Field(default=None, description="Needed only by those who belong to none.")


class Registered(Reply):
    """The new record, and those that it might have repeated."""

    patient: PatientRecord
    duplicates: list[FoundPatient]


async def register(tx: Tx, actor: Actor, ask: RegisterPatient) -> Registered:
    """Register somebody who is not there yet. Raises `PossibleDuplicate` with candidates, unless confirmed."""
    institution_id = _institution(actor, ask.institution_id)
    must_be_born(tx, ask)
    # One after the other from here on: of two desks that register the same person, the second is told of the first's.
    if await tx.conn.fetchval(HOLD_NUMBERS, institution_id) is None:
        raise errors.NotFound("There is no such institution here.")
    duplicates = await duplicates_of(tx.conn, institution_id, await as_kept(tx.conn, institution_id, ask))
    if duplicates and not ask.confirm_new:
        raise errors.PossibleDuplicate(candidates=[one.model_dump(mode="json") for one in duplicates])
    person = await register_patient(tx, institution_id, ask, told="")
    tx.institution_id = institution_id
    return Registered(patient=await patient_record(tx.conn, actor, person.id), duplicates=duplicates)


HOLD_NUMBERS = """
insert into patient_numbers (institution_id, last) select id, 0 from institutions where id = $1
on conflict (institution_id) do update set last = patient_numbers.last returning last
"""


def must_be_born(tx: Tx, new: NewPatient) -> None:
    """Raise where a birth is to come, wherever on earth the day has begun."""
    tomorrow = (tx.now + timedelta(days=1)).date()
    if new.birth_date and new.birth_date > tomorrow:
        raise wrong(("/birth_date", "Should not be in the future.", "in-future"))
    if new.birth_year and new.birth_year > tomorrow.year:
        raise wrong(("/birth_year", "Should not be in the future.", "in-future"))


async def duplicates_of(conn: Connection, institution_id: int, new: NewPatient) -> list[FoundPatient]:
    """Records that may be the same person: of the same phone, or of a similar name and the same birth."""
    found: dict[int, FoundPatient] = {}
    names = spelling.words(new.name)
    if names:
        near = [_of(institution_id, _near_or_begun(word)) for word in _telling(tuple(names))]
        rows = await conn.fetch(NAMED_NEARLY, institution_id, *near, [], LOOKED_AT * 5)
        for row in rows:
            if likely := _same_person(new, names, row):
                found[row["id"]] = _found(row, "name", likely)
    phone = spelling.digits(new.phone or "")
    for dialled in spelling.dialled(phone):
        keys = _of(institution_id, spelling.phone_keys(dialled))
        for row in await conn.fetch(KEYED, institution_id, keys, LOOKED_AT):
            if row["phone"] and spelling.same_phone(phone, spelling.digits(row["phone"])):
                found[row["id"]] = _found(row, "phone", 1.0)
    return sorted(found.values(), key=lambda one: (-one.score, one.name, one.id))[:CANDIDATES]


CANDIDATES = 10
"""How many possible duplicates are shown."""


class OfRecord(Ask):
    """One patient."""

    patient_id: Id


async def other_records(view: Read, actor: Actor, ask: OfRecord) -> FoundPatients:
    """Other records that may be the same person's, the likeliest first. Raises `NotFound`, `PatientMerged`."""
    record = await patient_record(view.conn, actor, ask.patient_id)
    institution_id = await view.conn.fetchval(INSTITUTION_OF_RECORD, record.id)
    new = NewPatient.model_validate(record.model_dump(include=set(FIELDS)))
    found = await duplicates_of(view.conn, institution_id, new)
    return FoundPatients(items=[one for one in found if one.id != record.id])


INSTITUTION_OF_RECORD = "select institution_id from patients where id = $1"


def _same_person(new: NewPatient, names: list[str], row: Any) -> float:
    """How likely a record of a similar name is the same person's; 0 where their births say otherwise."""
    likeness = min(spelling.likeness(names, row["name"]), spelling.likeness(spelling.words(row["name"]), new.name))
    if new.birth_date and row["birth_date"]:
        return likeness if new.birth_date == row["birth_date"] and likeness >= 0.5 else 0.0
    if new.born and row["birth_year"]:
        return likeness if new.born == row["birth_year"] and likeness >= 0.6 else 0.0
    return likeness * 0.9 if likeness == 1.0 else 0.0


# Correcting


class EditPatient(Details):
    """What is to be corrected; null takes something away, and another year of birth takes the date away."""

    patient_id: Id
    name: PatientName = ""


async def edit_patient(tx: Tx, actor: Actor, ask: EditPatient) -> PatientRecord:
    """Write a correction, and whatever it changes of the keys; nobody begins a ticket of theirs meanwhile.

    Whoever shows the patient has to be told by the caller. Raises `NotFound`, `PatientMerged`, `InvalidRequest`.
    """
    row = await tx.conn.fetchrow(RECORD_TO_CHANGE, ask.patient_id)
    before = _record(row, actor)
    assert row is not None
    institution_id = row["institution_id"]
    after = _corrected(before, ask)
    must_be_born(tx, after)
    if ask.model_fields_set & {"phone", "emergency_contact"}:
        after = await as_kept(tx.conn, institution_id, after)
    await tx.conn.execute(SAVE_PATIENT, before.id, *stored(after), found_by(institution_id, after))
    saved = await patient_record(tx.conn, actor, before.id)
    tx.institution_id = institution_id
    tx.about(f"patient:{saved.id}", _trail(before), _trail(saved), patient=saved.id)
    return saved


def _corrected(before: PatientRecord, ask: EditPatient) -> NewPatient:
    given = ask.model_dump(exclude_unset=True, exclude={"patient_id"})
    kept = before.model_dump(include=set(FIELDS) - {"birth_year"})
    if given.get("birth_date"):
        given.setdefault("birth_year", given["birth_date"].year)
    elif "birth_year" in given and before.birth_date and given["birth_year"] != before.birth_date.year:
        given["birth_date"] = None
    try:
        return NewPatient.model_validate({**kept, "birth_year": before.birth_year, **given})
    except ValueError:
        raise wrong(("/birth_year", "Should be the year of the birth date.", "birth-years-differ")) from None


SAVE_PATIENT = """
update patients set name = $2, phone = $3, birth_date = $4, birth_year = $5, gender = $6, email = $7, address = $8,
    emergency_contact = $9, insurance = $10, language = $11, channels = $12, requirements = $13, found_by = $14
where id = $1
"""


COMMANDS: list[Command[Any, Any]] = [
    Command("register-patient", register, RegisterPatient, Registered, STAFF, "POST /patients", status=201),
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "search-patients",
        search_patients,
        SearchPatients,
        FoundPatients,
        STAFF,
        "POST /patients/search",
        patients=lambda found: [one.id for one in found.items],
    ),
    Query(
        "other-records",
        other_records,
        OfRecord,
        FoundPatients,
        STAFF,
        "GET /patients/{patient_id}/duplicates",
        patients=lambda found: [one.id for one in found.items],
    ),
]
