"""A patient's record without the patient: that there was somebody under this number stays, and nothing else.

Invariant: it is nobody's record any more: no search finds it, and no field of it says who that was.
"""

from collections.abc import Sequence
from datetime import datetime

from server.store import Connection


async def anonymise(conn: Connection, patients: Sequence[int], now: datetime) -> None:
    """Forget who these patients are; the caller holds their records."""
    await conn.execute(ANONYMISE, list(patients), now)


ANONYMISE = """
update patients set name = number, phone = null, birth_date = null, birth_year = null, gender = null, email = null,
    address = null, emergency_contact = null, insurance = null, medical_notes = null, language = null, channels = '{}',
    requirements = '{}', found_by = '{}', anonymised_at = $2
where id = any($1::bigint[])
"""
