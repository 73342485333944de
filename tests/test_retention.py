"""What is forgotten when an institution wants it forgotten, and what stays."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from server import audit, errors
from server.access import Role
from tests.clinic import account_of, book, patient_of, slots_of
from tests.test_waitlist import waiting
from tests.world import World
from workers import tasks

SECRET = "a lump on the left"


async def forget(world: World) -> None:
    await tasks.forget({"store": world.store})


async def everywhere(world: World, word: str, *but: str) -> set[str]:
    """The tables that hold a word, anywhere in a row."""
    tables = await world.pool.fetch(
        "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    found = set()
    for row in tables:
        name = row["relname"]
        if await world.pool.fetchval(f'select exists (select from "{name}" t where t::text ilike $1)', f"%{word}%"):
            found.add(name)
    return found - set(but)


async def visited(world: World) -> tuple[int, int]:
    """Somebody who booked, told what is the matter, and was seen; the patient, and the appointment."""
    patient = await patient_of(world, "Maya Lindgren")
    await world.pool.execute("update patients set created_at = $1", world.store.now())
    queue = await world.queue(owner=world.doctors[0])
    (slot,) = await slots_of(world, after=timedelta())
    booked = await book(world, [slot], patient_id=patient, reason=SECRET)
    world.forward(minutes=50)
    ticket = await world.do("check-in", appointment_id=booked.appointment_id, queue_id=queue)
    await world.do("prioritize", ticket_id=ticket.ticket_id, urgency="urgent", reason=SECRET)
    await world.call_next(queue)
    await world.do("write-note", "doctor", appointment_id=booked.appointment_id, kind="note", content=SECRET)
    await world.do("complete", "doctor", ticket_id=ticket.ticket_id)
    world.forward(days=3)
    await tasks.file_appointments({"store": world.store})
    return patient, int(booked.appointment_id)


KEPT = ("audit", "events", "replies")
"""What has it still: the trail, and the streams, which have a setting of their own."""


async def test_nothing_is_forgotten_where_nothing_is_set(still: World) -> None:
    await visited(still)
    before = await everywhere(still, SECRET)
    still.forward(days=4000)
    await forget(still)
    assert await everywhere(still, SECRET) == before >= {"appointments", "appointment_notes", "tickets", "decisions"}


async def test_what_was_written_about_a_visit_goes_and_the_visit_stays(still: World) -> None:
    _, appointment = await visited(still)
    await still.do("set-retention", "admin", institution_id=still.institution, visits_days=30)
    await forget(still)
    assert await everywhere(still, SECRET, *KEPT) >= {"appointments", "tickets"}, "it is not so old yet"
    still.forward(days=30)
    await forget(still)
    assert await everywhere(still, SECRET, *KEPT) == set()
    row = await still.pool.fetchrow("select state, doctor_id, starts_at from appointments where id = $1", appointment)
    assert row and row["state"] == "completed" and row["doctor_id"] and row["starts_at"]


async def test_forgetting_twice_or_at_once_changes_nothing_more(still: World) -> None:
    await visited(still)
    settings: dict[str, Any] = {"visits_days": 30, "notices_days": 7, "events_days": 7, "patients_days": 365}
    await still.do("set-retention", "admin", institution_id=still.institution, **settings)
    still.forward(days=500)
    await asyncio.gather(*(forget(still) for _ in range(3)))
    trail = await still.pool.fetchval("select count(*) from audit")
    touched = await still.pool.fetch("select xmin::text from patients union all select xmin::text from appointments")
    await forget(still)
    assert await still.pool.fetchval("select count(*) from audit") == trail
    again = await still.pool.fetch("select xmin::text from patients union all select xmin::text from appointments")
    assert again == touched


async def test_a_patient_who_has_not_come_for_long_is_nobody(still: World) -> None:
    patient, _ = await visited(still)
    await account_of(still, patient)
    await still.pool.execute(
        "update patients set medical_notes = $2, phone = '+15550001234' where id = $1", patient, SECRET
    )
    await still.do("set-retention", "admin", institution_id=still.institution, patients_days=365)
    await forget(still)
    assert "patients" in await everywhere(still, "Lindgren")
    still.forward(days=365)
    await forget(still)
    assert await everywhere(still, "Lindgren", *KEPT) == set() == await everywhere(still, SECRET, *KEPT)
    assert await everywhere(still, "15550001234", *KEPT) == set()
    row = await still.pool.fetchrow("select name = number as so, anonymised_at from patients where id = $1", patient)
    user = await still.pool.fetchrow("select active, email from users where patient_id = $1", patient)
    assert row and row["so"] and row["anonymised_at"] and user and (user["active"], user["email"]) == (False, None)


@pytest.mark.parametrize("expected", ["seen", "awaited", "waiting"])
async def test_whoever_was_seen_since_or_is_awaited_stays(still: World, expected: str) -> None:
    patient, _ = await visited(still)
    await still.do("set-retention", "admin", institution_id=still.institution, patients_days=365)
    still.forward(days=360)
    if expected == "awaited":
        await book(still, await slots_of(still, after=timedelta(days=20)), patient_id=patient)
    else:
        queue = await still.queue("Walk-ins")
        ticket = await still.do("join-queue", queue_id=queue, patient_id=patient)
        if expected == "seen":
            await still.do("cancel", ticket_id=ticket.ticket_id)
    still.forward(days=10)
    await forget(still)
    assert await still.pool.fetchval("select name from patients where id = $1", patient) == "Maya Lindgren"


async def test_messages_lose_their_address_and_what_they_said(still: World) -> None:
    patient = await patient_of(still)
    await still.pool.execute("update patients set email = 'maya@example.org' where id = $1", patient)
    await book(still, await slots_of(still), patient_id=patient)
    await still.pool.execute(
        "update notices set state = 'sent', sent_at = $1, recipient = 'maya@example.org' where state = 'pending'",
        still.store.now(),
    )
    count = await still.pool.fetchval("select count(*) from notices")
    await still.do("set-retention", "admin", institution_id=still.institution, notices_days=30)
    still.forward(days=31)
    await forget(still)
    rows = await still.pool.fetch("select recipient, facts::text as facts, state from notices")
    assert count and len(rows) == count and {tuple(row) for row in rows} == {(None, "{}", "sent")}


async def test_old_events_go_and_streams_go_on(world: World) -> None:
    queue = await world.queue()
    await world.join(queue)
    await world.published()
    theirs = await world.other()
    other = await theirs.queue()
    await theirs.join(other)
    await theirs.published()
    await world.pool.execute("update events set at = at - interval '8 days'")
    await world.do("set-retention", "admin", institution_id=world.institution, events_days=7)
    await forget(world)
    assert await world.events(f"board:{queue}") == [] and await theirs.events(f"board:{other}")
    async with world.verify(f"board:{queue}"):
        ticket = await world.join(queue)
    assert ticket.board_version == 2


async def test_the_trail_is_kept_whole(still: World) -> None:
    await visited(still)
    await audit.seal(still.pool)
    settings: dict[str, Any] = {"visits_days": 30, "notices_days": 7, "events_days": 7, "patients_days": 365}
    await still.do("set-retention", "admin", institution_id=still.institution, **settings)
    before = await still.pool.fetchval("select count(*) from audit")
    still.forward(days=500)
    await forget(still)
    await audit.seal(still.pool)
    async with still.pool.acquire() as conn:
        found: list[str] = [one async for one in audit.verify(conn)]
    assert found == [] and await still.pool.fetchval("select count(*) from audit") > before
    told = await still.pool.fetch("select changes::text as changes from audit where action = 'forget'")
    assert told and all("Lindgren" not in row["changes"] for row in told)


async def test_what_is_set_is_shown_and_limited(still: World) -> None:
    ask: dict[str, Any] = {"institution_id": still.institution}
    assert (await still.do("set-retention", "admin", **ask, visits_days=90)).visits_days == 90
    await still.do("set-retention", "admin", **ask, events_days=30)
    told = await still.ask("show-retention", "admin", **ask)
    assert (told.visits_days, told.events_days, told.patients_days) == (90, 30, None)
    assert (await still.do("set-retention", "admin", **ask, visits_days=None)).visits_days is None
    with pytest.raises(errors.InvalidRequest):
        await still.do("set-retention", "admin", **ask, patients_days=1)
    with pytest.raises(errors.NotAllowed):
        await still.do("set-retention", str(Role.receptionist.value), **ask, patients_days=400)


async def test_what_was_written_about_a_wait_goes_once_it_is_over(still: World) -> None:
    await slots_of(still)
    ended, lasts = await waiting(still), await waiting(still)
    for one in (ended, lasts):
        await still.do("prioritize-wait", entry_id=one.entry_id, priority=8, reason=SECRET)
    await still.do("leave-waitlist", entry_id=ended.entry_id)
    await still.do("set-retention", "admin", institution_id=still.institution, visits_days=30)
    still.forward(days=31)
    await forget(still)
    rows = await still.pool.fetch("select priority_reason, priority, state from waitlist order by id")
    assert [tuple(row) for row in rows] == [(None, 8, "left"), (SECRET, 8, "offered")]
    offers = await still.pool.fetch("select reasons <> '[]', secret_hash is null from offers order by id")
    assert [tuple(row) for row in offers] == [(False, True), (True, False)]


async def test_whoever_still_waits_stays_who_they_are(still: World) -> None:
    waits, gone = await patient_of(still, "Nora Blum"), await patient_of(still, "Omar Haddad")
    await still.pool.execute("update patients set created_at = $1", still.store.now())
    await waiting(still, waits)
    left = await waiting(still, gone)
    await still.do("leave-waitlist", entry_id=left.entry_id)
    await still.do("set-retention", "admin", institution_id=still.institution, patients_days=365)
    still.forward(days=370)
    await forget(still)
    names = await still.pool.fetch("select id from patients where anonymised_at is not null")
    assert [row["id"] for row in names] == [gone]
