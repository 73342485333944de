"""Two records of one person become one: the record that stays gets what only the other one had.

Invariant: whoever asks for the record that went is told where it went, by its number too; it is found no more by what
it said. What hangs on the records (tickets, appointments, accounts) is moved by whoever owns it.
"""

from datetime import datetime
from typing import Any

from server import errors
from server.patients.details import EmergencyContact, Insurance, NewPatient, read, stored
from server.patients.records import COLUMNS_KEPT, NO_PATIENT, found_by
from server.store import Connection


async def hold_records(conn: Connection, institution_id: int, one: int, other: int) -> None:
    """Let nobody change or begin anything with these two records until the transaction ends.

    Raises `NotFound` for a record of nowhere or elsewhere, `PatientMerged` for one that went already.
    """
    rows = {row["id"]: row for row in await conn.fetch(HOLD_RECORDS, institution_id, sorted((one, other)))}
    for id_ in (one, other):
        if id_ not in rows:
            raise errors.NotFound(NO_PATIENT)
        if rows[id_]["merged_into"] is not None:
            raise errors.PatientMerged(patient_id=rows[id_]["merged_into"])


HOLD_RECORDS = """
select id, merged_into from patients where institution_id = $1 and id = any($2::bigint[]) order by id for update
"""


async def merge_record(conn: Connection, gone: int, into: int, at: datetime) -> dict[str, Any]:
    """Let one record go over into another, both held; answers the fields of the one that stays which it changed.

    What the one that stays does not say is taken from the other; needs and medical history are joined.
    """
    rows = {row["id"]: row for row in await conn.fetch(BOTH, [gone, into])}
    before, other = read(rows[into]), read(rows[gone])
    after = _joined(before, other)
    record = NewPatient.model_construct(**after)
    await conn.execute(GO_OVER, gone, into, at)
    await conn.execute(BECOME, into, *stored(record), found_by(rows[into]["institution_id"], record))
    await conn.execute(JOIN_HISTORY, into, gone)
    return {name: value for name, value in after.items() if value != before[name]}


def _joined(staying: dict[str, Any], gone: dict[str, Any]) -> dict[str, Any]:
    """Fields of both; where they differ, those of the record that stays."""
    joined = {name: staying[name] or gone[name] for name in staying}
    joined["requirements"] = list(dict.fromkeys([*staying["requirements"], *gone["requirements"]]))[:20]
    if staying["birth_year"]:
        # Another's date would not be of the year that is known.
        same = gone["birth_year"] == staying["birth_year"]
        joined["birth_date"] = staying["birth_date"] or (gone["birth_date"] if same else None)
        joined["birth_year"] = staying["birth_year"]
    return {name: _typed(name, value) for name, value in joined.items()}


def _typed(name: str, value: Any) -> Any:
    if value is not None and name == "emergency_contact":
        return EmergencyContact.model_validate(value)
    return Insurance.model_validate(value) if value is not None and name == "insurance" else value


BOTH = f"select id, institution_id, {COLUMNS_KEPT} from patients where id = any($1::bigint[])"  # noqa: S608 (a constant)
# Whoever went into the one that goes now goes with it, so that one step always leads to the record that is there.
GO_OVER = """
update patients set merged_into = $2, merged_at = coalesce(merged_at, $3), found_by = '{}'
where id = $1 or merged_into = $1
"""
BECOME = """
update patients set name = $2, phone = $3, birth_date = $4, birth_year = $5, gender = $6, email = $7, address = $8,
    emergency_contact = $9, insurance = $10, language = $11, channels = $12, requirements = $13, found_by = $14
where id = $1
"""
JOIN_HISTORY = """
update patients p set medical_notes = left(concat_ws(E'\\n\\n', p.medical_notes, o.medical_notes), 20000)
from patients o where p.id = $1 and o.id = $2 and o.medical_notes is not null
"""
