"""Patients, doctors, specialties and visit types from a spreadsheet: tried first, then brought in, all rows or none.

Invariants: a file with a bad row changes nothing, and every bad row is told with its number, its column and why. What
is there already is left as it is, so that a file brought in twice changes nothing the second time. A trial carries out
the very import and takes it back.
"""

import csv
import io
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from server import errors, patients
from server.access import ADMINS, Actor
from server.administration.catalogue import NewSpecialty, NewVisitType, add_specialty, add_visit_type
from server.administration.doctors import NewDoctor, add_doctor
from server.administration.places import OfInstitution
from server.administration.rows import doctor_rows, hold, location_rows, specialty_rows, visit_type_rows
from server.asks import Ask, Reply, code_of
from server.catalog import Practice, Visits
from server.patients import NewPatient
from server.patients.spelling import fold
from server.store import Command, Download, Query, Read, Tx

Kind = Literal["patients", "doctors", "specialties", "visit-types"]
ROWS_MOST = 2000
"""Rows of one file."""
CONTENT_MOST = 2 * 1024 * 1024
"""Characters of one file."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would take for a formula."""

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "patients": (
        "name",
        "phone",
        "birth_date",
        "birth_year",
        "gender",
        "email",
        "address",
        "emergency_name",
        "emergency_phone",
        "emergency_relation",
        "insurer",
        "policy",
        "language",
        "channels",
        "requirements",
    ),
    "doctors": ("name", "specialty", "licence", "fee", "languages", "active", "locations", "visit_types"),
    "specialties": ("name",),
    "visit-types": ("name", "minutes", "fee", "colour", "mode"),
}
"""The columns of each kind of file; a name must be there, and minutes of visit types. Lists are parted by `;`."""
LISTS = frozenset({"languages", "locations", "visit_types", "channels", "requirements"})


class Import(OfInstitution):
    """A file in CSV, parted by commas, semicolons or tabs, its first line naming the columns."""

    kind: Kind
    content: str = Field(max_length=CONTENT_MOST, repr=False)
    trial: bool = Field(default=True, description="Whether only to say what would become of it.")


class BadRow(Reply):
    """A row that cannot be brought in: its line in the file, the column where one is to blame, and why.

    `code` is a refusal's, or that of a place that is filled in wrongly; None where only `detail` tells.
    """

    line: int
    column: str | None
    code: str | None
    detail: str


class Doubt(Reply):
    """A row that may be somebody who is registered already, under this number."""

    line: int
    number: str
    name: str


class Imported(Reply):
    """What became of a file, or would: rows in it, brought in, there already, bad; and those to look at twice."""

    trial: bool
    rows: int
    added: int
    there: int
    bad: list[BadRow]
    doubts: list[Doubt]


@dataclass
class Batch:
    """One import under way."""

    tx: Tx
    actor: Actor
    institution_id: int
    bad: list[BadRow] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    there: int = 0
    known: dict[str, Any] = field(default_factory=dict)


class Misfit(Exception):
    """A row that cannot be brought in: the column to blame, and why."""

    def __init__(self, column: str, code: errors.Wrong, detail: str) -> None:
        super().__init__(detail)
        self.column, self.code, self.detail = column, code, detail


Row = dict[str, str]
Bring = Callable[[Batch, int, Row], Awaitable[bool]]
"""Brings one row in; answers whether it is new."""


class TakenBack(Exception):
    """Ends the inner transaction of a trial, or of a file with a bad row."""


async def import_file(tx: Tx, actor: Actor, ask: Import) -> Imported:
    """Bring in every row of a file, or none where one is bad; a trial says what would come of it. Raises `NotFound`."""
    institution_id = await hold(tx, actor, ask.within(actor))
    rows = list(rows_of(ask.kind, ask.content))
    batch = Batch(tx, actor, institution_id)
    quiet = Tx(tx.conn, actor, tx.now, fixed=True) if ask.trial else tx
    quiet.institution_id = institution_id
    batch.tx = quiet
    added = 0
    try:
        async with tx.conn.transaction():
            for line, row in rows:
                added += await _brought(batch, ask.kind, line, row)
            if ask.trial or batch.bad:
                raise TakenBack
    except TakenBack:
        if not ask.trial:
            raise errors.BadRows(bad=[one.model_dump() for one in batch.bad]) from None
    return Imported(trial=ask.trial, rows=len(rows), added=added, there=batch.there, bad=batch.bad, doubts=batch.doubts)


def rows_of(kind: Kind, content: str) -> Iterator[tuple[int, Row]]:
    """The rows of a file that say something, with their lines. Raises `BadFile`."""
    text = content.removeprefix("\ufeff")
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [one.strip().lower().replace(" ", "_") for one in next(reader, [])]
        _check_columns(kind, names)
        for count, cells in enumerate((one for one in reader if any(map(str.strip, one))), start=1):
            if count > ROWS_MOST:
                raise errors.BadFile(f"A file has at most {ROWS_MOST} rows.", most=ROWS_MOST)
            yield reader.line_num, {name: plain(cell) for name, cell in zip(names, cells, strict=False) if plain(cell)}
    except csv.Error:
        raise errors.BadFile(f"Line {reader.line_num} is not CSV.", line=reader.line_num) from None


def _check_columns(kind: Kind, names: list[str]) -> None:
    unknown = [one for one in names if one not in COLUMNS[kind]]
    if "name" not in names or unknown or len(set(names)) < len(names):
        raise errors.BadFile(f"The first line names the columns: {', '.join(COLUMNS[kind])}.", columns=COLUMNS[kind])


def plain(cell: str) -> str:
    """A cell as it was meant: without the mark that keeps a spreadsheet from taking it for a formula."""
    kept = cell.strip()
    return kept[1:] if kept.startswith("'") and kept[1:].startswith(FORMULA) else kept


async def _brought(batch: Batch, kind: Kind, line: int, row: Row) -> bool:
    """Bring one row in, in a transaction of its own, so that a bad one spoils none after it."""
    try:
        _refuse_formulas(row)
        async with batch.tx.conn.transaction():
            new = await BRING[kind](batch, line, row)
    except Misfit as misfit:
        batch.bad.append(BadRow(line=line, column=misfit.column, code=misfit.code, detail=misfit.detail))
        return False
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False)[:3]:
            column = COLUMN_OF.get(".".join(map(str, error["loc"])), str(error["loc"][0]) if error["loc"] else None)
            detail = error["msg"].removeprefix("Value error, ").rstrip(".") + "."
            batch.bad.append(BadRow(line=line, column=column, code=code_of(error), detail=detail))
        return False
    except errors.Refusal as refusal:
        place = next(iter(refusal.extra.get("errors", ())), {"code": refusal.code, "detail": refusal.detail})
        where = place.get("pointer", "").strip("/").replace("/", ".")
        column = COLUMN_OF.get(where, where) or None
        batch.bad.append(BadRow(line=line, column=column, code=place.get("code"), detail=place["detail"]))
        return False
    batch.there += not new
    return new


COLUMN_OF = {
    "emergency_contact.name": "emergency_name",
    "emergency_contact.phone": "emergency_phone",
    "emergency_contact.relation": "emergency_relation",
    "insurance.insurer": "insurer",
    "insurance.policy": "policy",
}


def _refuse_formulas(row: Row) -> None:
    """Raise for a text that whoever opens an export of it would carry out; a number may have its sign."""
    for column, value in row.items():
        if value.startswith(FORMULA) and not (column.endswith("phone") and value.startswith("+")):
            raise Misfit(column, "formula", "Should not begin like a formula.")


def _lists(row: Row) -> dict[str, Any]:
    """The row with its lists taken apart."""
    return {
        name: [part.strip() for part in value.split(";") if part.strip()] if name in LISTS else value
        for name, value in row.items()
    }


def _validated(model: type[BaseModel], given: dict[str, Any]) -> Any:
    return model.model_validate(given)


async def _bring_specialty(batch: Batch, _line: int, row: Row) -> bool:
    new = _validated(NewSpecialty, dict(row))
    known = {one.name.lower() for one in await specialty_rows(batch.tx.conn, batch.institution_id)}
    if new.name.lower() in known:
        return False
    await add_specialty(batch.tx, batch.institution_id, new.name)
    return True


async def _bring_visit_type(batch: Batch, _line: int, row: Row) -> bool:
    new = _validated(NewVisitType, dict(row))
    known = {one.name.lower() for one in await visit_type_rows(batch.tx.conn, batch.institution_id)}
    if new.name.lower() in known:
        return False
    await add_visit_type(batch.tx, batch.institution_id, Visits(new.name, new.minutes, new.fee, new.colour, new.mode))
    return True


async def _bring_doctor(batch: Batch, _line: int, row: Row) -> bool:
    conn, institution_id = batch.tx.conn, batch.institution_id
    given = _lists(row)
    named = {
        "specialty": {one.name.lower(): one.specialty for one in await specialty_rows(conn, institution_id)},
        "locations": {one.name.lower(): one.location for one in await location_rows(conn, institution_id)},
        "visit_types": {one.name.lower(): one.visit_type for one in await visit_type_rows(conn, institution_id)},
    }
    chosen = {name: _named(name, given.pop(name), known) for name, known in named.items() if given.get(name)}
    renamed = {"specialty": "specialty_id", "locations": "location_ids", "visit_types": "visit_type_ids"}
    new = _validated(NewDoctor, {**given, **{renamed[name]: ids for name, ids in chosen.items()}})
    for there in await doctor_rows(conn, institution_id):
        same = (there.licence or "").lower() == (new.licence or "").lower()
        if new.licence and there.licence and same and fold(there.name) != fold(new.name):
            raise Misfit("licence", "licence-taken", "Another doctor has this licence.")
        if fold(there.name) == fold(new.name) and (same or not (new.licence and there.licence)):
            return False
    practice = Practice(new.name, new.specialty_id, new.licence, new.fee, new.languages, new.active)
    await add_doctor(batch.tx, institution_id, practice, new.location_ids, new.visit_type_ids)
    return True


def _named(column: str, value: Any, known: dict[str, int]) -> Any:
    """The ids of what is named. Raises `Misfit`."""
    names = value if isinstance(value, list) else [value]
    if missing := [one for one in names if one.lower() not in known]:
        raise Misfit(column, "no-such-name", f"There is nothing here called {missing[0]}.")
    ids = [known[one.lower()] for one in names]
    return ids if isinstance(value, list) else ids[0]


async def _bring_patient(batch: Batch, line: int, row: Row) -> bool:
    given = _lists(row)
    contact = {name: given.pop(f"emergency_{name}", None) for name in ("name", "phone", "relation")}
    cover = {name: given.pop(name, None) for name in ("insurer", "policy")}
    given["emergency_contact"] = contact if any(contact.values()) else None
    given["insurance"] = cover if any(cover.values()) else None
    new: NewPatient = _validated(NewPatient, given)
    patients.must_be_born(batch.tx, new)
    new = await patients.as_kept(batch.tx.conn, batch.institution_id, new)
    likely = await patients.duplicates_of(batch.tx.conn, batch.institution_id, new)
    for one in likely:
        if fold(one.name).split() == fold(new.name).split() and _agree(new, one):
            return False
    await patients.register_patient(batch.tx, batch.institution_id, new, told="")
    batch.doubts += [Doubt(line=line, number=one.number, name=one.name) for one in likely[:1]]
    return True


def _agree(new: NewPatient, there: Any) -> bool:
    """Whether a record of the very name is the row's, brought in before: nothing that both say differs."""
    births = (new.birth_date, there.birth_date), (new.born, there.birth_year), (new.phone, there.phone)
    return all(one is None or other is None or one == other for one, other in births)


BRING: dict[Kind, Bring] = {
    "patients": _bring_patient,
    "doctors": _bring_doctor,
    "specialties": _bring_specialty,
    "visit-types": _bring_visit_type,
}


class OfKind(Ask):
    """A kind of file."""

    kind: Kind


async def show_template(view: Read, actor: Actor, ask: OfKind) -> Download:
    """An empty file with the columns of a kind."""
    return Download(content=",".join(COLUMNS[ask.kind]) + "\r\n", kind="text/csv", name=f"{ask.kind}.csv")


COMMANDS: list[Command[Any, Any]] = [
    Command("import-file", import_file, Import, Imported, ADMINS, "POST /imports", body_limit=3 * CONTENT_MOST),
]
QUERIES: list[Query[Any, Any]] = [
    Query("import-template", show_template, OfKind, Download, ADMINS, "GET /imports/{kind}"),
]
