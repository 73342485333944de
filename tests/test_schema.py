"""`schema.sql`: what it adds up from, what it refuses by itself, and that every statement of ours fits it."""

import asyncio
import importlib
import inspect
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import server
import workers
from server import errors, store
from server.config import ROOT
from tests import clinic
from tests.conftest import Postgres
from tests.test_queue import known_patient
from tests.world import World

CATALOGUE = {
    "columns": """
        select table_name, column_name, ordinal_position, data_type, udt_name, is_nullable, column_default,
            is_identity, identity_generation
        from information_schema.columns where table_schema = 'public'
    """,
    "constraints": """
        select conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace
    """,
    "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
    "triggers": "select tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal",
    "functions": "select proname, pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace",
    "relations": """
        select relname, relkind::text, reloptions::text from pg_class where relnamespace = 'public'::regnamespace
    """,
    "comments": "select objoid::regclass::text, objsubid, description from pg_description where objoid >= 16384",
}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    conn = await asyncpg.connect(url)
    try:
        yield conn
    finally:
        await conn.close()


async def catalogue(url: str) -> dict[str, list[str]]:
    """Everything that a schema consists of, in words."""
    async with connected(url) as conn:
        return {name: sorted(str(tuple(row)) for row in await conn.fetch(sql)) for name, sql in CATALOGUE.items()}


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    """A database without anything."""
    url = postgres.fresh("template0")
    yield url
    postgres.drop(url)


# Upgrades


async def test_the_upgrades_add_up_to_the_schema(database_url: str, empty_url: str) -> None:
    applied = await store.migrate(empty_url)
    assert applied == [one.name for one in store.upgrades()]
    made, stated = await catalogue(empty_url), await catalogue(database_url)
    assert made == stated and len(stated["columns"]) > 100


async def test_a_second_migration_applies_nothing(empty_url: str) -> None:
    assert await store.migrate(empty_url) and await store.migrate(empty_url) == []


async def test_migrations_at_once_apply_each_upgrade_once(empty_url: str) -> None:
    applied = await asyncio.gather(*(store.migrate(empty_url) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(store.upgrades())]


async def test_an_upgrade_that_was_edited_is_refused(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in store.upgrades():
        (tmp_path / f"{one.name}.sql").write_text(one.sql)
    monkeypatch.setattr(store.upgrades, "__defaults__", (tmp_path,))
    await store.migrate(empty_url)
    first = store.upgrades()[0]
    (tmp_path / f"{first.name}.sql").write_text(first.sql + "\n-- one line more\n")
    with pytest.raises(store.UpgradeChanged, match=first.name):
        await store.migrate(empty_url)


async def test_an_upgrade_that_fails_leaves_nothing_of_itself(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = store.upgrades()
    for one in good:
        (tmp_path / f"{one.name}.sql").write_text(one.sql)
    (tmp_path / "9999_broken.sql").write_text("create table half (id bigint); select nonsense;")
    monkeypatch.setattr(store.upgrades, "__defaults__", (tmp_path,))
    with pytest.raises(asyncpg.PostgresError):
        await store.migrate(empty_url)
    async with connected(empty_url) as conn:
        assert await conn.fetchval("select to_regclass('half')") is None
        assert await conn.fetchval("select count(*) from upgrades") == len(good)


# Statements

KEYWORDS = re.compile(r"\s*(select|insert|update|delete|with)\b", re.IGNORECASE)


def statements() -> dict[str, str]:
    """Every SQL constant of the server and its workers, by its module and name."""
    found: dict[str, str] = {}
    for package in (server, workers):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if info.name.endswith("__main__"):
                continue
            module = importlib.import_module(info.name)
            source = inspect.getsource(module)
            for name, value in vars(module).items():
                here = re.search(rf"^{name}\b.* = ", source, re.MULTILINE)
                if here and name.isupper() and isinstance(value, str) and KEYWORDS.match(value):
                    found[f"{info.name}.{name}"] = value
    return found


async def test_every_statement_fits_the_schema(database_url: str) -> None:
    wrong = {}
    async with connected(database_url) as conn:
        for name, sql in statements().items():
            try:
                await conn.prepare(sql)
            except asyncpg.PostgresError as misfit:
                wrong[name] = str(misfit)
    assert wrong == {} and len(statements()) > 80


def test_every_statement_stands_in_a_constant() -> None:
    # What runs must be what was prepared above; DDL of upgrades, and the locks around them, are not.
    call = re.compile(r"\.(?:fetch|fetchrow|fetchval|execute|executemany)\(\s*(f?[\"'].*)")
    inline = {
        f"{file.relative_to(ROOT)}: {found}"
        for folder in ("server", "workers")
        for file in (ROOT / folder).rglob("*.py")
        for found in call.findall(file.read_text())
        if not re.match(r"f?[\"'](select 1[\"']|select pg_advisory_lock|select to_regclass)", found)
    }
    assert inline == set()


def test_no_statement_selects_everything() -> None:
    assert [name for name, sql in statements().items() if re.search(r"select\s+(\w+\.)?\*", sql)] == []


# Constraints and the refusals that they become

OUT_OF_REACH = re.compile(
    # Random secrets, and the parents of the composite keys that keep a row within one institution.
    r"\w+_(secret|credential)_unique|sessions_token_unique|\w+_of_(institution|location)"
    # Versions are counted under the stream's row, tokens under the queue's gate; a pairing draws another code.
    r"|events_version_unique|tickets_token_unique|pairings_code_unique|patients_number_unique"
    # A later link ends the one before it in the same transaction, under the institution's lock.
    r"|invitations_one_open"
    # Counted under the day's row; one command makes a ticket's appointment; capacity is part of a seat's parent key.
    r"|appointments_number_unique|appointments_ticket_unique|slots_of_capacity"
    # What is there already is left as it is; an account is looked for under its patient's lock.
    r"|notices_once|mailbox_notice_unique|push_subscriptions_once|users_patient_unique"
    r"|notice_settings_(once|by_doctor|by_patient)"
    # Offers are made under the institution's line, each to somebody who has none.
    r"|offers_one_open_per_entry"
    # A day's figures are written over.
    r"|daily_figures_once"
    # One process seals at a time, under an advisory lock.
    r"|seals_no_fork"
)
"""Unique constraints that no request can violate, so that a violation is a bug and not a refusal."""


async def unique_names(url: str) -> set[str]:
    async with connected(url) as conn:
        rows = await conn.fetch(
            "select indexrelid::regclass::text as name from pg_index"
            " where indisunique and not indisprimary and indrelid::regclass::text !~ '^pg_'"
        )
    return {row["name"] for row in rows}


async def test_every_constraint_with_a_refusal_exists(database_url: str) -> None:
    async with connected(database_url) as conn:
        rows = await conn.fetch(
            "select conname from pg_constraint union select relname from pg_class where relkind = 'i'"
        )
    assert set(errors.CONSTRAINTS) <= {row["conname"] for row in rows}


async def test_every_unique_constraint_is_a_refusal_or_out_of_reach(database_url: str) -> None:
    named = await unique_names(database_url)
    assert [name for name in named - set(errors.CONSTRAINTS) if not OUT_OF_REACH.fullmatch(name)] == []


async def test_every_check_has_a_name_that_says_what_it_prevents(database_url: str) -> None:
    async with connected(database_url) as conn:
        rows = await conn.fetch(
            "select conname from pg_constraint"
            " where contype in ('c', 'u', 'x') and connamespace = 'public'::regnamespace"
        )
    unnamed = [row["conname"] for row in rows if re.search(r"_(check|key)\d*$", row["conname"])]
    assert unnamed == []


# What the database refuses alone, with every check of the application bypassed


async def violates(world: World, constraint: str, sql: str, *args: Any) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as violation:
        await world.pool.execute(sql, *args)
    assert violation.value.constraint_name == constraint


AT_DESK_NOW = "update tickets set state = $2, desk_id = $3, called_at = now() where id = $1"


@pytest.mark.parametrize("first", ["called", "in_consultation"])
@pytest.mark.parametrize("second", ["called", "in_consultation"])
async def test_a_desk_never_has_two_patients(world: World, first: str, second: str) -> None:
    queues = await world.queue(), await world.queue("Other")
    tickets = [(await world.join(queue)).ticket_id for queue in queues]
    await world.pool.execute(AT_DESK_NOW, tickets[0], first, world.desks[0])
    await violates(world, "tickets_one_patient_per_desk", AT_DESK_NOW, tickets[1], second, world.desks[0])
    await world.pool.execute(AT_DESK_NOW, tickets[1], second, world.desks[1])


async def test_five_hundred_raw_calls_to_one_desk_leave_one(world: World) -> None:
    queue = await world.queue()
    tickets = [(await world.join(queue)).ticket_id for _ in range(50)]

    async def call(ticket: int) -> bool:
        try:
            await world.pool.execute(AT_DESK_NOW, ticket, "called", world.desks[0])
        except asyncpg.UniqueViolationError:
            return False
        return True

    assert sum(await asyncio.gather(*(call(ticket) for ticket in tickets * 10))) >= 1
    assert await world.pool.fetchval("select count(*) from tickets where state = 'called'") == 1


COPY_TICKET = """
insert into tickets (institution_id, queue_id, patient_id, day, token, joined_at, waiting_since, band, key, rank,
    urgency)
select coalesce($2, institution_id), coalesce($3, queue_id), coalesce($4, patient_id), day, $5, joined_at,
    waiting_since, coalesce($6, band), key, rank + 1, urgency
from tickets where id = $1
"""


async def test_a_patient_never_stands_twice_in_a_queue_nor_a_token_twice_on_a_day(world: World) -> None:
    joined = await world.join(await world.queue())
    copy = (COPY_TICKET, joined.ticket_id, None, None)
    await violates(world, "tickets_one_active_per_patient", *copy, None, "A999", None)
    patient = await known_patient(world)
    await violates(world, "tickets_token_unique", *copy, patient, joined.token, None)
    await violates(world, "tickets_emergency_first", *copy, patient, "A999", 0)
    await world.pool.execute(*copy, patient, "A999", None)


async def test_no_row_straddles_two_institutions(world: World) -> None:
    other = await world.other()
    here, there = await world.queue(), await other.queue("Theirs")
    ours, theirs = await world.join(here), await other.join(there)
    patient = await world.pool.fetchval("select patient_id from tickets where id = $1", theirs.ticket_id)
    ticket = (COPY_TICKET, ours.ticket_id)
    await violates(world, "tickets_patient_same_institution", *ticket, None, None, patient, "X", None)
    await violates(world, "tickets_queue_same_institution", *ticket, None, there, None, "X", None)
    for sql, constraint in (
        ("update queues set location_id = $2 where id = $1", "queues_location_same_institution"),
        ("update queues set doctor_id = $3 where id = $1 and $2 > 0", "queues_doctor_same_institution"),
    ):
        args = (here, other.location, other.doctors[0]) if "$3" in sql else (here, other.location)
        await violates(world, constraint, sql, *args)


async def test_a_called_ticket_has_a_desk(world: World) -> None:
    joined = await world.join(await world.queue())
    sql = "update tickets set state = 'called' where id = $1"
    await violates(world, "tickets_called_has_desk", sql, joined.ticket_id)


ADD_DEMO_USER = """
insert into users (institution_id, email, name, role, password_hash, demo)
values ($1, $2, 'Demo', 'receptionist', 'x', $3) returning id
"""


async def test_demo_sign_ins_exist_only_where_up_made_the_database(world: World) -> None:
    demo = (world.institution, "demo@example.org", True)
    await violates(world, "users_demo_only_in_up", ADD_DEMO_USER, *demo)
    plain = await world.pool.fetchval(ADD_DEMO_USER, world.institution, "plain@example.org", False)
    await violates(world, "users_demo_only_in_up", "update users set demo = true where id = $1", plain)
    await world.pool.execute("insert into facts (name, value) values ('origin', 'up')")
    await world.pool.execute(ADD_DEMO_USER, *demo)


async def test_only_a_new_database_can_be_of_ups_making(empty_url: str) -> None:
    await store.migrate(empty_url)
    await store.migrate(empty_url, origin="up")
    async with connected(empty_url) as conn:
        assert await conn.fetchval("select value from facts where name = 'origin'") is None


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("role = 'king', doctor_id", None, "users_role_known"),
        ("email", "Upper@example.org", "users_email_lower"),
        ("institution_id", None, "users_institution_by_role"),
        ("role = 'doctor', doctor_id", None, "users_doctor_by_role"),
        ("role = 'patient', patient_id", None, "users_patient_by_role"),
    ],
)
async def test_a_user_is_what_its_role_says(world: World, column: str, value: str | None, constraint: str) -> None:
    user = await world.pool.fetchval(ADD_DEMO_USER, world.institution, "plain@example.org", False)
    stated = "null" if value is None else f"'{value}'"
    await violates(world, constraint, f"update users set {column} = {stated} where id = $1", user)


ADD_WAIT = """
insert into waitlist (institution_id, patient_id, doctor_id, first_day, last_day, joined_at, created_by)
values ($1, $2, $3, '2031-01-01', '2031-01-02', now(), 'user:1') returning id
"""
ADD_OFFER = """
insert into offers (institution_id, entry_id, doctor_id, location_id, slot_ids, mode, starts_at, ends_at, offered_at,
    expires_at)
select institution_id, $2, doctor_id, location_id, array[id], 'in_person', starts_at, ends_at, now(),
    now() + interval '30 minutes' from slots where id = $1 returning id
"""
HOLD_SEAT = "insert into seats (slot_id, number, capacity, appointment_id, offer_id) values ($1, 1, 1, $2, $3)"


async def test_a_seat_is_a_bookings_or_an_offers_and_never_both_or_two(world: World) -> None:
    booked_slot, slot = await clinic.slots_of(world, count=2)
    booked = (await clinic.book(world, [booked_slot])).appointment_id
    patient = await clinic.patient_of(world)
    entry = await world.pool.fetchval(ADD_WAIT, world.institution, patient, world.doctors[0])
    offer = await world.pool.fetchval(ADD_OFFER, slot, entry)
    await violates(world, "seats_taken_by_one", HOLD_SEAT, slot, booked, offer)
    await violates(world, "seats_taken_by_one", HOLD_SEAT, slot, None, None)
    await violates(world, "seats_pkey", HOLD_SEAT, booked_slot, None, offer)
    await world.pool.execute(HOLD_SEAT, slot, None, offer)
    await violates(world, "seats_pkey", HOLD_SEAT, slot, booked, None)
    await violates(world, "offers_one_open_per_entry", ADD_OFFER, slot, entry)
