"""The audit trail: complete, unalterable, and found out where somebody altered it all the same."""

from datetime import timedelta
from typing import Any, get_args

import asyncpg
import pytest
from pydantic import BaseModel

from server import audit
from server.access import Actor, Role
from server.app import QUERIES
from tests.doors import served
from tests.world import World, eventually


async def trail(world: World, **ask: Any) -> list[audit.AuditEntry]:
    page: audit.AuditPage = await world.ask("read-audit", "admin", **ask)
    return page.items


async def broken(world: World) -> list[str]:
    async with world.pool.acquire() as conn:
        return [found async for found in audit.verify(conn)]  # type: ignore[arg-type]


async def test_a_command_leaves_who_what_before_and_after(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue, "Noor Haddad")
    await world.call_next(queue)
    entry = (await trail(world, action="call-next"))[0]
    assert (entry.actor, entry.role) == (world.actors["doctor"].key, Role.doctor)
    assert entry.asked == {"queue_id": queue, "desk_id": world.desks[0]}
    change = next(one for one in entry.changes if one.subject == f"ticket:{joined.ticket_id}")
    assert change.before is not None and change.after is not None
    assert (change.before["state"], change.after["state"]) == ("waiting", "called")
    assert len(entry.patients) == 1


async def test_a_refused_command_leaves_nothing(world: World) -> None:
    queue = await world.queue()
    with pytest.raises(Exception, match="Nobody is waiting"):
        await world.call_next(queue)
    assert await trail(world, action="call-next") == []


async def test_who_looked_at_this_patient(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue, "Noor Haddad")
    other = await world.join(queue, "Sam Carter")
    seen = await world.ask("show-ticket", "doctor", ticket_id=joined.ticket_id)
    await world.ask("show-ticket", "receptionist", ticket_id=other.ticket_id)
    patient = seen.ticket.patient.id
    views = await trail(world, patient_id=patient, viewed=True)
    assert [(one.actor, one.action) for one in views] == [(world.actors["doctor"].key, "show-ticket")]


async def test_whoever_follows_a_list_of_patients_has_looked_at_those_on_it(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url) as house:
        queue = await house.world.queue()
        await house.world.join(queue, "Noor Haddad")
        await house.world.join(await house.world.queue("Cardiology"), "Sam Carter")
        peer = await house.knock(await house.sign_in(Role.receptionist))
        for stream in (f"staff:{queue}", f"board:{queue}"):
            assert "ok" in await peer.call("subscribe", {"stream": stream})
        views = [one for one in await trail(house.world, viewed=True) if one.action == "subscribe"]
        assert [(one.asked["stream"], [each.name for each in one.people]) for one in views] == [
            (f"staff:{queue}", ["Noor Haddad"])
        ]


async def test_whoever_followed_the_list_while_a_patient_was_on_it_has_looked_at_them(
    database_url: str, redis_url: str
) -> None:
    async with served(database_url, redis_url) as house:
        world, queue = house.world, await house.world.queue()
        other = await world.queue("Cardiology")
        early, late, elsewhere = [await house.knock(await house.sign_in(Role.receptionist)) for _ in range(3)]
        await early.follow(f"staff:{queue}")
        await elsewhere.follow(f"staff:{other}")
        await early.call("unsubscribe", {"stream": f"staff:{queue}"})
        await late.follow(f"staff:{queue}")
        joined = await world.join(queue, "Noor Haddad")
        patient = await world.pool.fetchval("select patient_id from tickets where id = $1", joined.ticket_id)
        (view,) = await trail(world, patient_id=patient, viewed=True)
        assert (view.action, [one.name for one in view.people], view.until) == ("subscribe", ["Noor Haddad"], None)
        assert view.asked["stream"] == f"staff:{queue}" and view.patients == []
        await late.ws.close()
        await eventually(lambda: ended(world, view.id))
        day = {"patient_id": patient, "viewed": True}
        assert [one.id for one in await trail(world, **day, since=view.at.isoformat())] == [view.id]
        assert await trail(world, **day, until=view.at.isoformat()) == []
        await world.do("cancel", ticket_id=joined.ticket_id)
        await early.follow(f"staff:{queue}")
        assert [one.id for one in await trail(world, **day)] == [view.id], "the patient had gone"
        await audit.seal(world.pool)
        assert await broken(world) == []


async def ended(world: World, entry: int) -> bool:
    """Whether the trail knows until when somebody followed a list."""
    return any(one.until for one in await trail(world, action="subscribe") if one.id == entry)


def models(shape: Any, known: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Every model within an answer."""
    if isinstance(shape, type) and issubclass(shape, BaseModel) and shape not in known:
        known.add(shape)
        for one in shape.model_fields.values():
            models(one.annotation, known)
    for inner in get_args(shape):
        models(inner, known)
    return known


UNNOTED = {
    "read-mailbox": "letters instead of records, read again every two seconds while no provider is configured",
    "doctor-photo": "a doctor's",
    "import-template": "an empty form",
    "my-preferences": "the asker's own",
}
"""Queries whose answers have a field for a person, and yet show staff nobody's record."""


def test_every_query_that_shows_a_person_says_whose_record_it_shows() -> None:
    told = {"patient", "patient_id", "patients", "patient_name", "phone", "birth_date", "birth_year", "recipient"}
    silent = {
        query.name
        for query in QUERIES
        if query.patients is None and any(told & set(one.model_fields) for one in models(query.reply, set()))
    }
    assert silent == set(UNNOTED)


async def test_reading_the_trail_is_on_the_trail(world: World) -> None:
    await trail(world)
    assert [one.action for one in await trail(world, action="read-audit")] == ["read-audit"]


async def test_an_admin_sees_their_own_institution_only(world: World) -> None:
    other = await world.other()
    await other.join(await other.queue())
    await world.join(await world.queue())
    entries = await trail(world, action="join-queue", institution_id=other.institution)
    assert [one.actor for one in entries] == [world.actors["receptionist"].key]


async def test_secrets_never_reach_the_trail(world: World) -> None:
    pairing_and_code = await world.device()
    rows = await world.pool.fetch("select asked::text as asked, changes::text as changes from audit")
    assert pairing_and_code[1] not in str([dict(row) for row in rows])
    assert '"code": "***"' in str([row["asked"] for row in rows])


async def test_entries_cannot_be_altered_or_deleted(world: World) -> None:
    await world.join(await world.queue())
    await audit.seal(world.pool)
    for statement in (
        "update audit set actor = 'user:0'",
        "delete from audit",
        "update seals set rows = 0",
        "delete from seals",
    ):
        with pytest.raises(asyncpg.CheckViolationError, match="cannot be altered"):
            await world.pool.execute(statement)


async def test_a_whole_trail_verifies_after_several_seals(world: World) -> None:
    other = await world.other()
    for clinic in (world, other, world):
        await clinic.join(await clinic.queue(f"Queue {clinic.joined}"))
        assert await audit.seal(world.pool) > 0
    assert await audit.seal(world.pool) == 0
    assert await broken(world) == []


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        ("update audit set actor = 'user:0' where id = (select min(id) from audit)", "altered"),
        ("update audit set at = at + interval '1 hour' where id = (select min(id) from audit)", "altered"),
        ("delete from audit where id = (select min(id) from audit)", "now holds"),
        (
            "insert into audit (institution_id, at, actor, role, action, seal_id)"
            " select institution_id, at, actor, role, action, seal_id from audit limit 1",
            "now holds",
        ),
        (
            "with gone as (delete from audit where seal_id = (select min(id) from seals))"
            " delete from seals where id = (select min(id) from seals)",
            "does not follow",
        ),
    ],
)
async def test_tampering_with_the_triggers_off_is_found_out(world: World, tampering: str, told: str) -> None:
    queue = await world.queue()
    for _ in range(2):
        await world.join(queue)
        await audit.seal(world.pool)
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute("set local session_replication_role = replica")
        await conn.execute(tampering)
    assert any(told in one for one in await broken(world))


async def test_patients_are_named_to_the_reader_and_kept_by_id(world: World) -> None:
    queue = await world.queue()
    patient = (await world.join(queue, "Noor Haddad")).ticket_id
    id_ = await world.pool.fetchval("select patient_id from tickets where id = $1", patient)
    await world.do("correct-patient", patient_id=id_, name="Nour Haddad")
    for entry in await trail(world, patient_id=id_):
        assert [(one.id, one.name, one.number) for one in entry.people] == [(id_, "Nour Haddad", "P000001")]
    kept = await world.pool.fetch("select asked::text, changes::text, patients from audit where action = 'join-queue'")
    assert [row["patients"] for row in kept] == [[id_]]
    exported = (await world.ask("export-audit", "admin", patient_id=id_)).content
    assert "P000001 Nour Haddad" in exported


async def test_above_the_institutions_each_patient_is_named(world: World) -> None:
    other = await world.other()
    for clinic in (world, other):
        await clinic.join(await clinic.queue(), f"Patient of {clinic.name}")
    root = world.actors["super_admin"]
    items = (await world.ask("read-audit", root, action="join-queue")).items
    assert [one.people[0].name for one in items] == ["Patient of Elsewhere", "Patient of Riverside"]
    own = (await world.ask("read-audit", root, action="join-queue", institution_id=other.institution)).items
    assert [one.people[0].name for one in own] == ["Patient of Elsewhere"]


async def test_an_export_defuses_formulas(world: World) -> None:
    queue = await world.queue()
    await world.join(queue, reason="=1+1", name="=HYPERLINK(1)")
    exported = await world.ask("export-audit", "admin", action="join-queue")
    assert exported.kind == "text/csv"
    cells = [cell for line in audit.csv.reader(exported.content.splitlines()) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]


async def test_pages_and_times_narrow_the_trail(still: World) -> None:
    assert still.clock is not None
    queue = await still.queue()
    await still.join(queue)
    still.forward(hours=2)
    await still.join(queue)
    since = still.clock.now - timedelta(hours=1)
    assert len(await trail(still, action="join-queue", since=since.isoformat())) == 1
    first = await still.ask("read-audit", "admin", action="join-queue", limit=1)
    second = await still.ask("read-audit", "admin", action="join-queue", limit=1, cursor=first.next)
    assert first.items[0].id > second.items[0].id and second.next is None


async def test_staff_other_than_admins_cannot_read_it(world: World) -> None:
    for who in ("doctor", "receptionist", Actor(Role.ticket, 1, world.institution)):
        with pytest.raises(Exception, match="not allowed"):
            await world.ask("read-audit", who)
