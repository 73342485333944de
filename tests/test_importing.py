"""A clinic's past comes in by the public commands: once, whatever cuts it off, and every row is placed or explained."""

import asyncio
import csv
import io
import signal
import sys
from collections import Counter
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from server import importing, store
from server.config import Config
from server.importing import FileRefused, Refused, Report, read, sessions, weeks, write_report
from tests.test_cli import callboard, rows  # noqa: F401 (a fixture)
from tests.world import World, eventually

DAYS = Path(__file__).parent / "clinic-days.csv"
"""Two mornings of two doctors, with all that befalls them, made with the public generator medscheduler (MIT)."""
HEADER = ("doctor,appointment_id,patient_id,name,dob,scheduling_date,appointment_date,appointment_time,status,"
          "check_in_time,start_time,end_time")  # fmt: skip
GOOD = {
    "doctor": "D9", "appointment_id": "A1", "patient_id": "P1", "name": "Ada Quist", "dob": "1954-05-19",
    "scheduling_date": "2026-09-27", "appointment_date": "2026-10-01", "appointment_time": "08:00:00",
    "status": "scheduled", "check_in_time": "", "start_time": "", "end_time": "",
}  # fmt: skip


def file_of(folder: Path, *rows: dict[str, str], encoding: str = "utf-8") -> Path:
    """A file of these rows, each a good one but for what is said."""
    text = io.StringIO()
    table = csv.DictWriter(text, HEADER.split(","), lineterminator="\n")
    table.writeheader()
    table.writerows(GOOD | {"appointment_id": f"A{nth}", "patient_id": f"P{nth}"} | row for nth, row in enumerate(rows))
    path = folder / "month.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    return path


async def bring(world: World, path: Path, servers: tuple[str, str], **more: Any) -> Report:
    """Import a file into the world's institution."""
    config = Config(database_url=servers[0], redis_url=servers[1])
    return await importing.run(config, path, world.name, **more)


@pytest.fixture
def servers(database_url: str, redis_url: str) -> tuple[str, str]:
    """Where this test's PostgreSQL and Valkey are."""
    return database_url, redis_url


async def everything(world: World) -> dict[str, Any]:
    """All that an import could have changed."""
    counted = "select (select count(*) from events), (select count(*) from audit), (select count(*) from patients)"
    tables = "select id, number, state, reference, patient_id, created_at, started_at from appointments order by id"
    return {"counts": await world.pool.fetchrow(counted), "rows": await world.pool.fetch(tables)}


async def states(world: World) -> Counter[str]:
    """How many appointments came to which end."""
    return Counter([row["state"] for row in await world.pool.fetch("select state from appointments")])


WANTED = {"attended": "completed", "cancelled": "cancelled", "did not attend": "no_show", "unknown": "confirmed"}


def wanted() -> Counter[str]:
    """What the file says became of them."""
    with DAYS.open() as file:
        return Counter(WANTED[row["status"]] for row in csv.DictReader(file))


# A whole cut of the month


async def test_days_come_in_whole_and_a_second_time_changes_nothing(world: World, servers: tuple[str, str]) -> None:
    first = await bring(world, DAYS, servers)
    assert (first.booked, first.known, first.refused) == (first.rows, 0, [])
    assert await states(world) == wanted()
    before = await everything(world)
    second = await bring(world, DAYS, servers)
    assert (second.booked, second.known, second.steps, second.refused) == (0, first.rows, Counter(), [])
    assert await everything(world) == before
    await world.published()


async def test_times_are_the_files_by_the_clock_of_the_place(world: World, servers: tuple[str, str]) -> None:
    await world.pool.execute("update institutions set zone = 'Europe/London'")
    await bring(world, DAYS, servers)
    with DAYS.open() as file:
        told = {row["appointment_id"]: row for row in csv.DictReader(file) if row["status"] == "attended"}
    found = await world.pool.fetch(LOCAL)
    assert {row["reference"] for row in found} == set(told)
    for row in found:
        one = told[row["reference"]]
        assert (row["starts"], row["booked"]) == (one["appointment_time"][:5], one["scheduling_date"])
        assert row["started"] == one["start_time"] and row["ended"] == one["end_time"]


LOCAL = """
select reference, to_char(starts_at at time zone 'Europe/London', 'HH24:MI') as starts,
    to_char(created_at at time zone 'Europe/London', 'YYYY-MM-DD') as booked,
    to_char(started_at at time zone 'Europe/London', 'HH24:MI:SS') as started,
    to_char(ended_at at time zone 'Europe/London', 'HH24:MI:SS') as ended
from appointments where state = 'completed'
"""


async def test_what_was_killed_goes_on_where_it_stopped(world: World, servers: tuple[str, str]) -> None:
    for least in (20, 60):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", IMPORT, str(DAYS), world.name, *servers)
        await eventually(lambda least=least: _are_there(world, least), 60)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        await process.wait()
    there = await world.pool.fetchval("select count(*) from appointments")
    report = await bring(world, DAYS, servers)
    assert (report.known, report.booked, report.refused) == (there, report.rows - there, [])
    assert await states(world) == wanted()
    assert await world.pool.fetchval("select count(*) = count(distinct reference) from appointments")


async def _are_there(world: World, least: int) -> bool:
    return bool(await world.pool.fetchval("select count(*) >= $1 from appointments", least))


IMPORT = """
import asyncio, sys
from pathlib import Path
from server import importing
from server.config import Config

file, name, database, redis = sys.argv[1:]
asyncio.run(importing.run(Config(database_url=database, redis_url=redis), Path(file), name))
"""


async def test_two_imports_at_once_are_one(world: World, servers: tuple[str, str]) -> None:
    pool = await store.connect(servers[0], 1)
    async with pool.acquire() as conn:
        assert await conn.fetchval(importing.HOLD_IMPORT, world.institution)
        with pytest.raises(FileRefused, match="under way"):
            await bring(world, DAYS, servers)
    await pool.close()
    assert await states(world) == Counter()


async def test_a_patient_who_is_here_already_is_known(world: World, servers: tuple[str, str], tmp_path: Path) -> None:
    new = await world.do("register-patient", name="Ada Quist", birth_date="1954-05-19")
    path = file_of(tmp_path, {"patient_id": "X"}, {"patient_id": "X", "doctor": "D8", "appointment_time": "09:00"})
    await bring(world, path, servers)
    assert {row["patient_id"] for row in await world.pool.fetch("select patient_id from appointments")} == {
        new.patient.id
    }


# What is refused


async def test_what_commands_refuse_is_told_remembered_and_tried_again_when_asked(
    world: World, servers: tuple[str, str], tmp_path: Path
) -> None:
    await world.pool.execute("update institutions set booking = '{\"open_per_patient\": 1}'")
    same = {"patient_id": "P", "status": "attended"}
    path = file_of(tmp_path, same, same | {"appointment_time": "08:15"}, {"name": "A" * 190 + "=" * 11})
    for booked in (1, 0):
        report = await bring(world, path, servers)
        assert report.booked == booked
        assert [(one.line, one.reference, one.code) for one in report.refused] == [
            (3, "A1", "too-many-appointments"),
            (4, "A2", "unreadable"),
        ]
    report = await bring(world, path, servers, again=True)
    assert report.booked == 1 and [one.code for one in report.refused] == ["unreadable"]


async def test_two_for_one_time_leave_one_and_a_reason(world: World, servers: tuple[str, str], tmp_path: Path) -> None:
    path = file_of(tmp_path, {}, {"name": "Bo Ek"}, {"doctor": "D8", "dob": "1700-01-01"})
    report = await bring(world, path, servers)
    assert report.booked == 1
    assert [(one.line, one.code) for one in report.refused] == [(3, "slot-full"), (4, "invalid-request")]


BAD: dict[str, tuple[dict[str, str], str]] = {
    "a date that is none": ({"appointment_date": "2026-02-30"}, "appointment_date is no date"),
    "a date of another order": ({"scheduling_date": "27/09/2026"}, "scheduling_date is no date"),
    "a year that is a slip": ({"appointment_date": "9999-12-31"}, "appointment_date is not between 1970 and 2100"),
    "a time that is none": ({"appointment_time": "25:00"}, "appointment_time is no time"),
    "a time of another zone": ({"start_time": "08:00:00+02:00"}, "start_time is no time"),
    "nothing where something is needed": ({"name": " ", "patient_id": ""}, "patient_id, name is empty"),
    "a state that nobody knows": ({"status": "=1+1"}, "status is none that is known"),
    "a formula for a name": ({"name": '=HYPERLINK("http://x","y")'}, "name begins like a formula"),
    "a formula for a reference": ({"appointment_id": "@SUM(A1)"}, "appointment_id begins like a formula"),
    "a huge cell": ({"name": "x" * 100_000}, "name is too long"),
    "a cell beyond all bounds": ({"name": "x" * 200_000}, "its quotes do not close, or a cell is too long"),
    "a zero byte": ({"patient_id": "P\0"}, "patient_id has control characters"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_row_that_cannot_be_read_is_told_and_costs_no_other(bad: tuple[dict[str, str], str], tmp_path: Path) -> None:
    rows, refused = read(file_of(tmp_path, {}, bad[0], {}))
    assert [row.line for row in rows] == [2, 4]
    assert [(one.line, one.code, one.why) for one in refused] == [(3, "unreadable", bad[1])]


def test_rows_of_another_width_or_quoting_or_twice_are_told(tmp_path: Path) -> None:
    path = file_of(tmp_path, {}, {})
    good = path.read_text().splitlines()
    lines = [
        *good,
        good[1],
        good[1] + ",more",
        "D9,A7",
        "",
        good[2].replace("A1", '"A"8"'),
        good[2].replace("A1", "A9"),
    ]
    path.write_text("\n".join([*lines, '"never closed']))
    rows, refused = read(path)
    assert [row.reference for row in rows] == ["A0", "A1", "A9"]
    assert [(one.line, one.why) for one in refused] == [
        (4, "its appointment_id stands in line 2 already"),
        (5, "it has 13 cells instead of 12"),
        (6, "it has 2 cells instead of 12"),
        (8, "its quotes do not close, or a cell is too long"),
        (10, "its quotes do not close, or a cell is too long"),
    ]


def test_files_of_spreadsheets_are_read_with_their_mark_and_other_encodings_told(tmp_path: Path) -> None:
    rows, refused = read(file_of(tmp_path, {"name": "Zoë Quist"}, encoding="utf-8-sig"))
    assert rows[0].name == "Zoë Quist" and refused == []
    rows, refused = read(file_of(tmp_path, {"name": "Zoë Quist"}, {}, encoding="latin-1"))
    assert len(rows) == 1 and [(one.line, one.why) for one in refused] == [(2, "name is not written in UTF-8")]
    with pytest.raises(FileRefused, match="UTF-16"):
        read(file_of(tmp_path, {}, encoding="utf-16"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has no column doctor"),
        (b"doctor,name\nD1,Ada\n", "has no column appointment_id, patient_id"),
        (HEADER.replace("check_in_time", "name").encode(), "has the column name more than once"),
        (b'"' + b"x" * 200_000, "is no CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "has no column doctor"),
    ],
)
def test_a_file_that_is_no_list_of_appointments_is_refused_by_name(content: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "what.csv"
    path.write_bytes(content)
    with pytest.raises(FileRefused, match=f"what.csv {why}"):
        read(path)
    with pytest.raises(FileRefused, match="cannot be read: No such file"):
        read(tmp_path / "nowhere.csv")


def test_the_report_opens_in_a_spreadsheet_and_runs_nothing(tmp_path: Path) -> None:
    write_report(
        tmp_path / "out.csv", [Refused(3, "=cmd|' /C calc'!A0", "not-found", 'book: "No", so'), Refused(4, *"abc")]
    )
    text = (tmp_path / "out.csv").read_bytes().decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text))) == [
        ["line", "appointment_id", "code", "why"],
        ["3", "'=cmd|' /C calc'!A0", "not-found", 'book: "No", so'],
        ["4", "a", "b", "c"],
    ]


# The time that they take


def test_slots_are_made_for_the_days_of_the_file_alone() -> None:
    days = {date(2026, 10, day) for day in (1, 2, 5, 6, 12, 13, 28)}
    assert list(weeks(days)) == [
        (date(2026, 9, 28), date(2026, 10, 4), [3, 4]),
        (date(2026, 10, 5), date(2026, 10, 18), [0, 1]),
        (date(2026, 10, 26), date(2026, 11, 1), [2]),
    ]


def test_sessions_are_the_stretches_between_which_nobody_comes() -> None:
    assert list(sessions({time(8), time(8, 15), time(8, 30), time(14), time(14, 15)})) == [
        (time(8), time(8, 45), 15),
        (time(14), time(14, 30), 15),
    ]
    assert sessions({time(8), time(8, 1)})[0] == (time(8), time(8, 5), 5)


def test_command_line_says_what_was_done_and_writes_what_was_not(
    callboard: Any,  # noqa: F811
    database_url: str,
    tmp_path: Path,
) -> None:
    who = ("--role", "admin", "--institution", "Clinic", "--name", "Ada")
    assert callboard("user", "add", "ada@example.org", *who, password="correct horse\n").exit_code == 0
    path, report = file_of(tmp_path, {}, {"status": "gone"}), tmp_path / "out.csv"
    done = callboard("import", str(path), "--report", str(report))
    assert done.exit_code == 1 and "There is no such location." in done.output
    rows(database_url, "insert into locations (institution_id, name) select id, 'Main' from institutions")
    for said in ("2 rows: 1 new, 0 there already; refused something: 1.", "2 rows: 0 new, 1 there already"):
        done = callboard("import", str(path), "--report", str(report))
        assert done.exit_code == 0 and said in done.output and "100 %: 1 of 1 done" in done.output
        assert report.read_text("utf-8-sig").splitlines()[1:] == ["3,A1,unreadable,status is none that is known"]
    assert "line 3: status is none that is known (unreadable)" in callboard("import", str(path)).output
