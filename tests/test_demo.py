"""The demo clinic, its replay, and what an operator does from the command line."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server import access, demo, errors, people, replay
from server.access import ANONYMOUS, Role
from server.administration.users import NewAccount
from server.config import ROOT, Config
from server.patients import NewPatient
from server.replay import Kind, NothingToPlay, Player
from server.store import connect, migrate
from tests.doors import person, served
from tests.world import PASSWORD, World, eventually

HERE = "http://clinic.test"


@pytest.fixture
async def made_by_up(database_url: str) -> str:
    """A database with the mark that only `up` writes, and with nothing in it."""
    await tell(database_url, "insert into facts (name, value) values ('origin', 'up')")
    return database_url


async def tell(url: str, statement: str, *args: Any) -> Any:
    """One statement's first value."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement, *args)
    finally:
        await connection.close()


# The seed


async def test_seed_makes_what_it_tells(made_by_up: str) -> None:
    told = await demo.seed(made_by_up, HERE)
    assert told is not None
    pool = await connect(made_by_up, 2)
    try:
        for one in told["sign_ins"]:
            signed_in = await access.sign_in(pool, one["email"], one["password"])
            assert (signed_in.actor.role, signed_in.actor.id) == (one["role"], one["id"])
        device = await access.by_device(pool, told["device"]["credential"])
        assert device is not None and device.location_id == told["ids"]["location"]
        holder = await access.by_ticket(pool, told["ticket"]["secret"])
        assert holder is not None and holder.id == told["ticket"]["id"]
        assert told["addresses"]["ticket"] == f"{HERE}/t/{told['ticket']['secret']}"
    finally:
        await pool.close()


async def test_second_seed_changes_nothing_but_the_address(made_by_up: str) -> None:
    first, second = await demo.seed(made_by_up, HERE), await demo.seed(made_by_up, "http://elsewhere.test")
    assert first and second
    assert json.dumps(first).replace(HERE, "") == json.dumps(second).replace("http://elsewhere.test", "")
    assert await tell(made_by_up, "select count(*) from tickets") == 6


async def test_two_seeds_at_once_make_one_demo(made_by_up: str) -> None:
    first, second = await asyncio.gather(demo.seed(made_by_up, HERE), demo.seed(made_by_up, HERE))
    assert first == second
    assert await tell(made_by_up, "select count(*) from institutions") == 1


async def test_seed_that_fails_midway_leaves_nothing(made_by_up: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "BEHIND", (("", "routine"),))
    with pytest.raises(ValueError, match="name"):
        await demo.seed(made_by_up, HERE)
    monkeypatch.undo()
    assert await tell(made_by_up, "select count(*) from facts where name <> 'origin'") == 0
    assert await demo.seed(made_by_up, HERE) is not None


async def test_ticket_that_is_over_gives_way_to_another(made_by_up: str) -> None:
    first = await demo.seed(made_by_up, HERE)
    assert first
    await tell(
        made_by_up, "update tickets set state = 'cancelled', ended_at = now() where id = $1", first["ticket"]["id"]
    )
    second = await demo.seed(made_by_up, HERE)
    assert second
    assert second["ticket"]["id"] > first["ticket"]["id"]
    assert second["ids"] == first["ids"]
    assert second == await demo.seed(made_by_up, HERE)


async def test_demo_goes_into_no_database_that_up_did_not_make(database_url: str) -> None:
    assert await demo.seed(database_url, HERE) is None
    assert await tell(database_url, "select count(*) from institutions") == 0


async def test_demo_goes_into_no_database_with_another_institution(made_by_up: str) -> None:
    await tell(made_by_up, "insert into institutions (name) values ('Clinic')")
    assert await demo.seed(made_by_up, HERE) is None


async def test_schema_itself_refuses_demo_people_elsewhere(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SET_FACT", "select $1::text, $2::text")
    monkeypatch.setattr(demo, "FACT", "select case $1 when 'origin' then 'up' end")
    with pytest.raises(asyncpg.CheckViolationError, match="callboard up"):
        await demo.seed(database_url, HERE)
    assert await tell(database_url, "select count(*) from institutions") == 0


async def test_account_is_not_made_a_demo_one_later(world: World) -> None:
    await world.account(Role.admin, "admin@clinic.example")
    with pytest.raises(asyncpg.CheckViolationError, match="callboard up"):
        await world.pool.execute("update users set demo = true")


async def test_mark_is_written_only_as_the_schema_is_made(postgres: Any) -> None:
    url = postgres.fresh("template0")
    await migrate(url)
    await migrate(url, origin="up")
    assert await tell(url, "select count(*) from facts") == 0
    postgres.drop(url)


# The day


def visits(tmp_path: Path, *lines: str) -> Path:
    """A file of visits."""
    file = tmp_path / "visits.csv"
    head = "doctor,appointment_date,status,check_in_time,start_time,end_time,name,dob\n"
    file.write_text(head + "\n".join(lines) + "\n")
    return file


def test_shipped_day_has_a_day_for_each_of_the_demos_doctors() -> None:
    days = replay.read(replay.DAY)
    assert len(days) == 1
    assert {one.doctor for one in days[0]} == {"D1", "D2", "D3"}
    kinds = [one.kind for one in days[0]]
    assert {kinds.count(kind) for kind in Kind} == {len(kinds) // 4}
    assert len(kinds) > 300


def test_visit_becomes_four_happenings_and_whoever_is_done_leaves_first(tmp_path: Path) -> None:
    file = visits(
        tmp_path,
        "D1,2026-03-02,attended,08:55,09:00,09:20,Ada Lovelace,1990-01-01",
        "D1,2026-03-02,attended,09:20,09:20,09:40,Ben Okri,",
        "D1,2026-03-02,cancelled,,,,Cy Twombly,1928-04-25",
        "D1,2026-03-03,attended,,09:00,,,",
    )
    first, second = replay.read(file)
    assert [(one.at.strftime("%H:%M"), one.kind.name, one.visit) for one in first] == [
        ("08:55", "arrives", 1),
        ("09:00", "is_called", 1),
        ("09:01", "starts", 1),
        ("09:20", "ends", 1),
        ("09:20", "arrives", 2),
        ("09:20", "is_called", 2),
        ("09:21", "starts", 2),
        ("09:40", "ends", 2),
    ]
    assert first[0].patient == NewPatient(name="Ada Lovelace", birth_year=1990)
    assert second[0].patient == NewPatient(name="Patient 3")
    assert second[-1].at == datetime(2026, 3, 3, 9, 15)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"name,dob\nAda,1990\n", "no column 'doctor'"),
        (b"doctor,appointment_date,start_time\n", "no visit to replay"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"doctor,appointment_date,start_time,name\nD1,2026-03-02,09:00,Zach\x07arias\n", "nobody can have"),
        (b"doctor,appointment_date,start_time,dob\nD1,2026-03-02,09:00,1066-10-14\n", "nobody can have"),
        (None, "No such file"),
    ],
)
def test_file_that_cannot_be_played_is_refused_with_its_reason(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "visits.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NothingToPlay, match=said) as refused:
        replay.read(file)
    assert "arias" not in str(refused.value)


async def test_replay_without_a_demo_says_so(database_url: str, redis_url: str) -> None:
    with pytest.raises(NothingToPlay, match="no demo clinic"):
        await replay.run(Config(database_url=database_url, redis_url=redis_url))


async def test_whole_day_is_played_by_the_public_commands(made_by_up: str, redis_url: str) -> None:
    told = await demo.seed(made_by_up, HERE)
    assert told
    async with served(made_by_up, redis_url) as house:
        player = Player(house.world.store, told["ids"], speed=1e9)
        (day,) = replay.read(replay.DAY)
        await asyncio.wait_for(player.play(day), 60)
        states = dict(
            await house.world.pool.fetch(
                "select state, count(*) from tickets where queue_id = any($1) group by state", told["ids"]["queues"][:3]
            )
        )
        assert states == {"completed": len(day) // 4}
        for queue in told["ids"]["queues"][:3]:
            types = [type_ for _, type_, _ in await house.world.events(f"board:{queue}")]
            for type_ in ("ticket-joined", "patient-called", "consultation-started", "consultation-completed"):
                assert types.count(type_) > 25
        assert await house.world.pool.fetchval("select count(*) from tickets where urgency = 'urgent'") > 5


@asynccontextmanager
async def playing(made_by_up: str, redis_url: str) -> AsyncIterator[tuple[Any, dict[str, Any], Any]]:
    """A served demo clinic whose day plays, and somebody who works there."""
    told = await demo.seed(made_by_up, HERE)
    assert told
    async with served(made_by_up, redis_url) as house:
        doctor = person((await access.sign_in(house.world.pool, told["sign_ins"][0]["email"], demo.PASSWORD)).token)
        config = Config(database_url=made_by_up, redis_url=redis_url)
        run = asyncio.create_task(replay.run(config, speed=36_000))
        try:
            yield house, told, doctor
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


async def test_day_pauses_and_goes_on_as_staff_say(
    made_by_up: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "LOOK_EVERY", 0.02)
    async with playing(made_by_up, redis_url) as (house, told, doctor):
        queue = told["ids"]["queues"][0]

        async def happened() -> int:
            return len(await house.world.events(f"board:{queue}"))

        await eventually(happened)

        async def say(state: str) -> Any:
            return await house.http.post("/api/v1/demo/replay", json={"state": state}, headers=doctor.headers)

        assert (await say("paused")).json() == {"state": "paused", "speed": demo.SPEED}
        shown = await house.http.get("/api/v1/demo/replay", headers=doctor.headers)
        assert shown.json()["state"] == "paused"
        # The happening that was under way when it was said may still come; after it nothing does.
        await asyncio.sleep(0.3)
        then = await happened()
        await asyncio.sleep(0.3)
        assert await happened() == then
        await say("playing")

        async def goes_on() -> bool:
            return await happened() > then

        await eventually(goes_on)


async def test_day_goes_on_whatever_people_do_meanwhile(made_by_up: str, redis_url: str) -> None:
    async with playing(made_by_up, redis_url) as (house, told, doctor):
        queue, desk = told["ids"]["queues"][0], told["ids"]["desks"][3]
        codes = set()
        for _ in range(30):
            answer = await house.http.post(
                f"/api/v1/queues/{queue}/call-next", json={"desk_id": desk}, headers=doctor.headers
            )
            codes.add(answer.status_code)
        assert codes <= {200, 409}

        async def completed() -> bool:
            done = "select count(*) from tickets where queue_id = $1 and state = 'completed'"
            return int(await house.world.pool.fetchval(done, queue)) > 10

        await eventually(completed, 30)


async def test_another_institution_sees_no_demo(made_by_up: str, redis_url: str) -> None:
    await demo.seed(made_by_up, HERE)
    async with served(made_by_up, redis_url) as house:
        stranger = await house.sign_in(Role.admin)
        for answer in (
            await house.http.get("/api/v1/demo/replay", headers=stranger.headers),
            await house.http.post("/api/v1/demo/replay", json={"state": "paused"}, headers=stranger.headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert await house.world.pool.fetchval(demo.FACT, "demo-replay") == "playing"


# The command line's hands


def newcomer(**told: Any) -> NewAccount:
    """Somebody to add."""
    given = {"email": "Ada@Clinic.example", "role": Role.doctor, "name": "Dr. Ada", "institution": "Clinic"}
    return NewAccount(**{**given, "password": PASSWORD, **told})


async def test_added_person_signs_in_and_the_institution_is_made(database_url: str) -> None:
    said = await people.add_user(database_url, newcomer(zone="Asia/Kolkata"))
    assert "Clinic was made" in said and "Asia/Kolkata" in said
    said = await people.add_user(database_url, newcomer(email="b@clinic.example", role=Role.patient, name="Ben"))
    assert "was made" not in said
    pool = await connect(database_url, 2)
    doctor = (await access.sign_in(pool, " ADA@clinic.example ", PASSWORD)).actor
    patient = (await access.sign_in(pool, "b@clinic.example", PASSWORD)).actor
    await pool.close()
    assert doctor.doctor_id and patient.patient_id
    assert doctor.institution_id == patient.institution_id
    assert PASSWORD not in repr(newcomer())


@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"role": Role.super_admin}, "invalid-request"),
        ({"institution": None}, "invalid-request"),
        ({"institution": "77"}, "not-found"),
        ({"zone": "Mars/Olympus"}, "invalid-request"),
        ({"role": Role.device}, "invalid-request"),
    ],
)
async def test_person_who_fits_nowhere_is_refused_and_nothing_made(
    database_url: str, told: dict[str, Any], code: str
) -> None:
    with pytest.raises(errors.Refusal) as refused:
        await people.add_user(database_url, newcomer(**told))
    assert refused.value.code == code
    assert await tell(database_url, "select count(*) from institutions") == 0


@pytest.mark.parametrize(
    "told",
    [
        {"email": "ada"},
        {"email": "a b@c.d"},
        {"email": "a\0@c.d"},
        {"name": ""},
        {"name": "A\nB"},
        {"password": "short"},
        {"institution": "x" * 201},
        {"institution": "a\0b"},
        {"role": "nurse"},
        {"colour": "red"},
    ],
)
def test_person_of_a_wrong_form_is_none(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        newcomer(**told)


async def test_address_in_use_is_refused_also_when_two_add_it_at_once(database_url: str) -> None:
    await people.add_user(database_url, newcomer(email="first@clinic.example"))
    tries = [people.add_user(database_url, newcomer(name=f"Dr. {n}")) for n in range(3)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["NameTaken", "NameTaken", "str"]
    assert await tell(database_url, "select count(*) from doctors") == 2


async def test_what_the_command_line_added_is_on_the_trail_and_told_to_admins(database_url: str) -> None:
    await people.add_user(database_url, newcomer())
    await people.add_user(database_url, newcomer(email="b@clinic.example", name="Dr. Bo"))
    connection = await asyncpg.connect(database_url)
    kept = await connection.fetch("select actor, institution_id, asked::text, changes::text from audit order by id")
    told = await connection.fetch("select type from events where stream like 'admin:%' order by version")
    await connection.close()
    assert [(row["actor"], row["institution_id"]) for row in kept] == [("system", 1)] * 2
    assert PASSWORD not in str(kept) and "Dr. Bo" in kept[1]["changes"]
    newly = ["doctor-changed", "user-changed"]
    assert [row["type"] for row in told] == ["institution-changed", *newly, *newly]


async def test_operator_enrols_lists_and_revokes_a_screen(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url) as house:
        config = Config(database_url=database_url, redis_url=redis_url)
        assert await people.list_devices(database_url) == "No device is enrolled."
        pairing = await house.world.do("open-pairing", ANONYMOUS)
        said = await people.enroll_device(config, code=pairing.code, location_id=house.world.location, name="Hall")
        assert said.startswith("Hall is device ")
        device = await access.by_device(house.world.pool, pairing.secret)
        assert device is not None
        assert "Hall\tenrolled" in await people.list_devices(database_url)
        assert "opens nothing" in await people.revoke_device(config, device_id=device.id)
        assert await access.by_device(house.world.pool, pairing.secret) is None
        assert "\trevoked " in await people.list_devices(database_url)


async def test_operators_slip_is_a_refusal(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url) as house:
        config = Config(database_url=database_url, redis_url=redis_url)
        code = (await house.world.do("open-pairing", ANONYMOUS)).code
        with pytest.raises(errors.NotFound):
            await people.enroll_device(config, code=code, location_id=999, name="Hall")
        with pytest.raises(errors.PairingUnknown):
            await people.enroll_device(config, code="AAA-AAA", location_id=house.world.location, name="Hall")
        for wrong in ({"code": "nonsense!"}, {"name": ""}, {"kind": "toaster"}, {"location_id": -1}):
            given: dict[str, Any] = {"code": code, "location_id": house.world.location, "name": "Hall", **wrong}
            with pytest.raises(errors.InvalidRequest):
                await people.enroll_device(config, **given)
        with pytest.raises(errors.NotFound):
            await people.revoke_device(config, device_id=999)


def test_demo_files_are_shipped() -> None:
    assert replay.DAY.is_relative_to(ROOT / "server")
    assert timedelta(0) < replay.LONGEST_PAUSE
