"""Bringing in spreadsheets: tried first, every bad row told, all or nothing, and nothing the second time."""

import pytest

from server import errors
from server.administration.imports import ROWS_MOST
from tests.world import World

PATIENTS = """name,phone,birth_date,requirements
Ada Byron,+44 20 7946 0958,1980-12-10,wheelchair;interpreter
Ben Okri,,1959-03-15,
"""


async def brought(world: World, kind: str, content: str, trial: bool = False) -> object:
    return await world.do("import-file", "admin", kind=kind, content=content, trial=trial)


async def count(world: World, table: str) -> int:
    return int(await world.pool.fetchval(f"select count(*) from {table} where institution_id = $1", world.institution))


async def test_trial_tells_all_and_changes_nothing(world: World) -> None:
    tried = await world.do("import-file", "admin", kind="patients", content=PATIENTS)
    assert (tried.trial, tried.rows, tried.added, tried.bad) == (True, 2, 2, [])
    assert await count(world, "patients") == 0
    assert await world.events(f"admin:{world.institution}") == []


async def test_file_brought_in_twice_changes_nothing_the_second_time(world: World) -> None:
    files = {
        "specialties": "name\nCardiology\n",
        "visit-types": "name;minutes;fee\nConsultation;30;80.50\n",
        "doctors": "name,specialty,licence,locations\nDr. Noor,cardiology,L-1,main waiting room\n",
        "patients": PATIENTS,
    }
    for kind, content in files.items():
        async with world.verify(f"admin:{world.institution}"):
            first = await world.do("import-file", "admin", kind=kind, content=content, trial=False)
        again = await world.do("import-file", "admin", kind=kind, content=content, trial=False)
        assert (first.added, again.added, again.there) == (first.rows, 0, first.rows), kind
    row = await world.pool.fetchrow("select phone, requirements from patients where name = 'Ada Byron'")
    assert dict(row) == {"phone": "+442079460958", "requirements": ["wheelchair", "interpreter"]}


async def test_every_bad_row_is_told_and_none_is_brought_in(world: World) -> None:
    lines = ["name,phone,birth_date,email", "Good One,,,", ",123456,,", "Late,,2190-01-01,", "Ada,+44 1,,", "=cmd(),,,"]
    content = "\n".join([*lines, "Odd,,,nobody", ""])
    tried = await world.do("import-file", "admin", kind="patients", content=content)
    told = [(one.line, one.column) for one in tried.bad]
    assert told == [(3, "name"), (4, "birth_date"), (5, "phone"), (6, "name"), (7, "email")]
    with pytest.raises(errors.BadRows) as refused:
        await brought(world, "patients", content)
    assert len(refused.value.extra["bad"]) == 5 and await count(world, "patients") == 0


async def test_doctor_of_a_specialty_nobody_offers_is_a_bad_row(world: World) -> None:
    tried = await world.do("import-file", "admin", kind="doctors", content="name,specialty\nDr. Noor,Alchemy\n")
    assert [(one.line, one.column) for one in tried.bad] == [(2, "specialty")]


async def test_somebody_who_may_be_registered_is_told_beside(world: World) -> None:
    known = await world.do("register-patient", name="Ada Byrne", phone="+44 20 7946 0958")
    tried = await world.do("import-file", "admin", kind="patients", content=PATIENTS)
    assert [(one.line, one.number) for one in tried.doubts] == [(2, known.patient.number)]


@pytest.mark.parametrize("content", ["", "phone\n1\n", "name,shoe\nAda,9\n", "name,name\na,b\n", 'name\n"Ada\n'])
async def test_file_that_cannot_be_read_is_refused(world: World, content: str) -> None:
    with pytest.raises(errors.BadFile):
        await world.do("import-file", "admin", kind="patients", content=content)


async def test_too_long_a_file_is_refused(world: World) -> None:
    with pytest.raises(errors.BadFile):
        await world.do("import-file", "admin", kind="specialties", content="name\n" + "x\n" * (ROWS_MOST + 1))


async def test_mark_against_formulas_is_taken_off_again(world: World) -> None:
    await brought(world, "patients", "name,phone\nAda,'+44 20 7946 0958\n")
    assert await world.pool.fetchval("select phone from patients") == "+442079460958"


async def test_admin_brings_nothing_in_elsewhere_and_content_is_not_on_the_trail(world: World) -> None:
    other = await world.other()
    with pytest.raises(errors.NotFound):
        await world.do(
            "import-file", "admin", kind="patients", content=PATIENTS, trial=False, institution_id=other.institution
        )
    await brought(world, "patients", PATIENTS)
    asked = await world.pool.fetchval("select asked::text from audit where action = 'import-file'")
    assert "Byron" not in asked and await count(other, "patients") == 0
