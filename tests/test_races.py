"""Many consoles at one pool: each ticket is called once, and without the gate it would not be."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg
import pytest
from pydantic import BaseModel

from server import errors, events, store
from server.access import SYSTEM, Actor
from server.store import Command, Store, Tx
from tests.chaos import Clinic, clinic
from tests.watchers import Console
from tests.world import World, versions

TICKETS = 1_000
"""10,000 of them, as `python -m tests.chaos --tickets 10000` has it, take minutes."""
CONSOLES = 64


async def fill(world: World, queue: int, count: int) -> None:
    """Let one patient join, and copies of patient and ticket behind him, so that the mass costs no time."""
    first = await world.join(queue)
    for statement in (COPY_PATIENT, COPY_TICKET):
        await world.pool.execute(statement, first.ticket_id, count - 1)
    await world.pool.execute("analyze tickets, patients")


APART = 1_000_000
"""How far the copies' ids are from all others."""
COPY_PATIENT = f"""
insert into patients overriding system value
select (jsonb_populate_record(p, jsonb_build_object('id', {APART} + n, 'number', 'P' || {APART} + n))).*
from tickets t join patients p on p.id = t.patient_id, generate_series(1, $2::int) n where t.id = $1
"""
COPY_TICKET = f"""
insert into tickets overriding system value
select (jsonb_populate_record(t, jsonb_build_object(
    'id', {APART} + n, 'patient_id', {APART} + n, 'token', 'Z' || n, 'secret_hash', null,
    'key', t.key + n, 'rank', t.rank + n
))).*
from tickets t, generate_series(1, $2::int) n where t.id = $1
"""


async def desks(world: World, count: int) -> list[int]:
    """As many desks as there are consoles."""
    rows = await world.pool.fetch(
        "insert into desks (location_id, name) select $1, 'Desk ' || n from generate_series(1, $2::int) n returning id",
        world.location,
        count,
    )
    return [row["id"] for row in rows]


async def called(pool: Any, queue: int) -> list[int]:
    """The tickets of the queue's calls, in order."""
    rows = await pool.fetch(
        "select (data->>'ticket')::bigint as ticket from events "
        "where stream = $1 and type = 'patient-called' order by version",
        f"board:{queue}",
    )
    return [row["ticket"] for row in rows]


async def consistent(world: World, queue: int) -> None:
    """Hold that both streams of the queue count from 1 without a gap."""
    for stream in (f"board:{queue}", f"staff:{queue}"):
        rows = await world.pool.fetchrow(
            "select count(*) as n, min(version) as first, max(version) as last from events where stream = $1", stream
        )
        assert rows is not None and rows["first"] == 1 and rows["last"] == rows["n"]


async def cut_off(press: Awaitable[Any], after: float) -> None:
    """Begin something and abandon it somewhere in the middle."""
    with contextlib.suppress(TimeoutError, errors.QueueEmpty):
        await asyncio.wait_for(press, after)


# The mass, straight at the store


async def race(world: World, tickets: int, consoles: int, every: int = 5) -> tuple[int, list[int]]:
    """Consoles call a full pool empty, every n-th request is cut off and repeated; answers what each press got."""
    # The estimate for 64 desks at once is no part of this, and would take most of the time.
    queue = await world.queue(show_waits=False)
    await fill(world, queue, tickets)
    count = itertools.count(1)
    got: list[int] = []

    async def console(desk: int) -> None:
        for number in itertools.count():
            key, nth = f"{desk}-{number}", next(count)
            ask = {"queue_id": queue, "desk_id": desk}
            with contextlib.suppress(errors.QueueEmpty):
                if nth % every == 0:
                    await cut_off(world.do("call-next", "doctor", key, **ask), 0.001 * (nth % 40))
                answer = await world.do("call-next", "doctor", key, **ask)
                got.append(answer.ticket.ticket)
                continue
            return

    await asyncio.gather(*(console(desk) for desk in await desks(world, consoles)))
    return queue, got


async def each_once(world: World, tickets: int, consoles: int) -> None:
    """Hold that the consoles call every ticket exactly once, in order, and are answered what boards are told."""
    queue, got = await race(world, tickets, consoles)
    assert len(got) == len(set(got)) == tickets
    calls = await called(world.pool, queue)
    assert sorted(calls) == sorted(got), "what consoles were answered is what the boards were told"
    assert calls == sorted(calls), "first come, first called"
    await consistent(world, queue)


async def test_64_consoles_at_one_pool_call_each_ticket_exactly_once(world: World) -> None:
    await each_once(world, TICKETS, CONSOLES)


@asynccontextmanager
async def without_gates(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Let commands read what they would gate, and think that they have it."""

    async def plain_read(self: Tx, *streams: events.Stream[Any]) -> None:
        rows = await self.conn.fetch(
            "select name, version, clock_timestamp() as at from streams where name = any($1::text[])",
            [stream.name for stream in streams],
        )
        self._versions = {row["name"]: row["version"] for row in rows}
        self.now = rows[0]["at"]

    with monkeypatch.context() as patch:
        patch.setattr(Tx, "gate", plain_read)
        yield


async def test_without_the_gate_one_patient_would_be_called_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with without_gates(monkeypatch):
        queue, got = await race(world, 100, 8, every=10_000)
    calls = Counter(await called(world.pool, queue))
    assert any(number > 1 for number in calls.values())
    assert len(got) > len(set(got))


async def test_two_presses_with_one_key_at_once_call_one_patient(world: World) -> None:
    queue = await world.queue()
    for _ in range(5):
        await world.join(queue)
    answers = await asyncio.gather(*(world.call_next(queue, key="one-press") for _ in range(12)))
    assert len({answer.ticket.ticket for answer in answers}) == 1
    assert len(await called(world.pool, queue)) == 1


async def test_two_presses_with_one_key_for_the_last_patient_both_get_him(world: World) -> None:
    """The second finds the queue empty when it comes through the gate, and must not say so."""
    queue = await world.queue()
    for number in range(8):
        joined = await world.join(queue)
        answers = await asyncio.gather(*(world.call_next(queue, key=f"press-{number}") for _ in range(4)))
        assert {answer.ticket.ticket for answer in answers} == {joined.ticket_id}


# Gates


class Both(BaseModel):
    first: int
    second: int


class Done(BaseModel):
    at: str = ""


async def gate_both(tx: Tx, _actor: Actor, ask: Both) -> Done:
    await tx.gate(events.board(ask.first), events.board(ask.second))
    return Done()


async def gate_as_asked(tx: Tx, _actor: Actor, ask: Both) -> Done:
    """What a command would do that took its gates one by one."""
    for number in (ask.first, ask.second):
        await tx.conn.execute("select 1 from streams where name = $1 for update", f"board:{number}")
        await asyncio.sleep(0.001)
    return Done()


async def cross(world: World, run: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Many commands gate the same two queues, in both orders; answers how many PostgreSQL ended as deadlocked."""
    one, two = await world.queue("One"), await world.queue("Two")
    command = Command("both", run, Both, Done, frozenset(), "POST /both")
    deadlocks = 0
    attempt = Store._attempt

    async def counted(self: Store, *args: Any) -> Any:
        nonlocal deadlocks
        try:
            return await attempt(self, *args)
        except asyncpg.DeadlockDetectedError:
            deadlocks += 1
            raise

    monkeypatch.setattr(Store, "_attempt", counted)

    async def one_after_another(order: tuple[int, int]) -> None:
        for _ in range(20):
            with contextlib.suppress(errors.Unavailable):
                await world.store.execute(command, SYSTEM, Both(first=order[0], second=order[1]))

    await asyncio.gather(*(one_after_another(order) for order in [(one, two), (two, one)] * 3))
    return deadlocks


async def test_commands_that_gate_two_queues_never_deadlock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await cross(world, gate_both, monkeypatch) == 0


async def test_gates_taken_one_by_one_would_deadlock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RETRIES", 0)
    await world.pool.execute("alter system set deadlock_timeout = '20ms'")
    await world.pool.execute("select pg_reload_conf()")
    try:
        assert await cross(world, gate_as_asked, monkeypatch) > 0
    finally:
        await world.pool.execute("alter system reset deadlock_timeout")
        await world.pool.execute("select pg_reload_conf()")


async def test_a_second_gate_is_refused(world: World) -> None:
    one, two = await world.queue("One"), await world.queue("Two")
    async with world.store.transaction(SYSTEM) as (tx, _):
        await tx.gate(events.board(one))
        with pytest.raises(RuntimeError):
            await tx.gate(events.board(two))


async def test_time_never_runs_back_within_a_stream(world: World) -> None:
    one, two = await world.queue("One"), await world.queue("Two")

    async def shuffle() -> None:
        for _ in range(6):
            joined = await world.join(one)
            await world.do("transfer", ticket_id=joined.ticket_id, queue_id=two, keep_wait=True)
            await world.join(two)

    await asyncio.gather(*(shuffle() for _ in range(6)))
    for queue in (one, two):
        rows = await world.pool.fetch("select at from events where stream = $1 order by version", f"board:{queue}")
        times = [row["at"] for row in rows]
        assert times == sorted(times)


# Over HTTP, with lines that are cut


async def press_over_http(place: Clinic, desk: int, cut: Callable[[], bool]) -> list[int]:
    """One console at real processes: now and then it drops its connection in mid-request and presses again."""
    console, got = Console(place.token, *place.urls), []
    try:
        for number in itertools.count():
            body = {"queue_id": place.queue, "desk_id": desk}
            path, key = f"/queues/{body.pop('queue_id')}/call-next", f"{desk}-{number}"
            if cut():
                with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                    await asyncio.wait_for(console.post(path, body, key), 0.004 * (1 + number % 8))
            status, answer, _ = await console.post(path, body, key)
            if status == 409:
                assert answer["code"] == "queue-empty", answer
                return got
            assert status == 200, answer
            got.append(answer["ticket"]["ticket"])
    finally:
        await console.close()
    raise AssertionError


async def test_consoles_at_two_processes_with_cut_connections_call_each_ticket_once() -> None:
    many: list[int] = []

    async def prepare(world: World) -> None:
        queue = await world.pool.fetchval(
            "update queues set settings = settings || jsonb_build_object('show_waits', false) returning id"
        )
        await fill(world, queue, 320)
        many.extend(await desks(world, CONSOLES))

    async with clinic(webs=2, worker=False, prepare=prepare) as place:
        count = itertools.count(1)
        got = await asyncio.gather(*(press_over_http(place, desk, lambda: next(count) % 5 == 0) for desk in many))
        tickets = [ticket for one in got for ticket in one]
        assert len(tickets) == len(set(tickets)) == 320
        known = await place.events()
        assert sorted(ticket for _, type_, ticket in known if type_ == "patient-called") == sorted(tickets)
        assert versions(known) == list(range(1, len(known) + 1))
