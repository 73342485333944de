"""Whatever happens, in whichever order: no free seat that suits somebody who waits, and no seat offered twice."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from server import appointments, errors, slots, waitlist
from server.access import Actor
from server.queue.line import dumps
from tests.clinic import account_of, now, patient_of, set_booking, slots_of, specialty_of, visit_type_of
from tests.world import Clock, World, opened

# Written from what the waitlist promises, not from how it is built: a waiter, and free time that suits them.
FORGOTTEN = """
with locked as (
    select key::bigint as slot, value::integer as locks from jsonb_each_text($2::jsonb)
), free as (
    select s.id, s.doctor_id, s.location_id, s.starts_at, s.ends_at, s.mode
    from slots s left join locked k on k.slot = s.id
    where s.institution_id = $1 and s.open and s.block_id is null
        and s.capacity - (select count(*) from seats x where x.slot_id = s.id) - coalesce(k.locks, 0) > 0
), spans as (
    select 30 as minutes, array[id] as ids, doctor_id, starts_at, ends_at, array[mode] as modes from free
    union all
    select 60, array[a.id, b.id], a.doctor_id, a.starts_at, b.ends_at, array[a.mode, b.mode]
    from free a join free b on b.doctor_id = a.doctor_id and b.location_id = a.location_id
        and b.starts_at between a.ends_at and a.ends_at + interval '30 minutes'
    where not exists (
        select from slots c where c.doctor_id = a.doctor_id and c.starts_at > a.starts_at and c.starts_at < b.starts_at
    )
)
select w.id, w.look_at is not null as marked, s.ids
from waitlist w left join visit_types v on v.id = w.visit_type_id
join spans s on s.minutes = case when coalesce(v.minutes, 0) > 30 then 60 else 30 end
join doctors d on d.id = s.doctor_id and d.active
cross join lateral (select s.starts_at at time zone 'Europe/London' as at) local
where w.institution_id = $1 and w.state = 'waiting'
    and coalesce(w.doctor_id, d.id) = d.id and coalesce(w.specialty_id, d.specialty_id) is not distinct from d.specialty_id
    and local.at::date between w.first_day and w.last_day
    and (w.parts = '{}' or (case when local.at::time < '12:00' then 'morning' when local.at::time < '17:00' then 'afternoon'
        else 'evening' end) = any(w.parts))
    and exists (
        select from (values ('in_person'), ('online')) m (mode)
        where w.mode in (m.mode, 'both') and coalesce(v.mode, 'both') in (m.mode, 'both')
            and not exists (select from unnest(s.modes) o where o not in (m.mode, 'both'))
    )
    and s.starts_at >= $3::timestamptz + interval '10 minutes'
    and not exists (
        select from offers o where o.entry_id = w.id and o.state in ('accepted', 'declined', 'expired')
            and o.slot_ids && s.ids
    )
    and not exists (
        select from appointments a where a.patient_id = w.patient_id and not a.insisted and a.kind = 'scheduled'
            and a.state in ('pending', 'confirmed', 'checked_in', 'in_progress')
            and a.starts_at < s.ends_at and a.ends_at > s.starts_at
    )
    and not exists (
        select from offers o join waitlist e on e.id = o.entry_id where e.patient_id = w.patient_id and o.state = 'open'
            and o.starts_at < s.ends_at and o.ends_at > s.starts_at
    )
    and not exists (
        select from appointments a where a.patient_id = w.patient_id and a.doctor_id = s.doctor_id
            and a.starts_at = s.starts_at and a.ended_at > w.joined_at
            and (a.state = 'rescheduled' or (a.state = 'cancelled' and a.cancelled_by = 'patient'))
    )
"""  # noqa: E501
# Every seat is one booking's or one open offer's, every open offer has all of its seats, and slots count them rightly.
MISCOUNTED = """
select 'an offer without its seats' from offers o where o.state = 'open' and (
    select coalesce(array_agg(x.slot_id order by x.slot_id), '{}') from seats x where x.offer_id = o.id
) is distinct from (select array_agg(i order by i) from unnest(o.slot_ids) i)
union all
select 'a seat of an offer that ended' from seats x join offers o on o.id = x.offer_id where o.state <> 'open'
union all
select 'a wrong count' from slots s where s.taken <> (select count(*) from seats x where x.slot_id = s.id)
union all
select 'a place that says otherwise than its offer' from waitlist w
where (w.state = 'offered') <> exists (select from offers o where o.entry_id = w.id and o.state = 'open')
"""


@dataclass
class History:
    """A clinic in which one thing after the other happens, and who is there for it."""

    world: World
    patients: list[int] = field(default_factory=list)
    accounts: dict[int, Actor] = field(default_factory=dict)
    specialty: int = 0
    long_visit: int = 0
    tokens: list[tuple[int, str]] = field(default_factory=list)

    async def begin(self) -> None:
        """Two doctors of a specialty with a morning's slots each, one of them with two seats a slot."""
        await set_booking(self.world, cancellation_deadline_hours=0, request_expires_hours=1, open_per_patient=50)
        self.specialty = await specialty_of(self.world, 0, 1)
        self.long_visit = await visit_type_of(self.world, 60)
        await slots_of(self.world, 0, 4)
        await slots_of(self.world, 1, 3, capacity=2)
        self.patients = [await patient_of(self.world) for _ in range(5)]
        self.accounts[self.patients[0]] = await account_of(self.world, self.patients[0])

    async def pick(self, which: int, what: str) -> Any:
        """One of the institution's rows by a number that need not exist; None where there are none."""
        rows = await self.world.pool.fetch(what, self.world.institution)
        return rows[which % len(rows)] if rows else None

    async def take(self, step: "tuple[str, int, int, int]") -> None:
        """Have one thing happen, as far as it is allowed."""
        name, *numbers = step
        deed: Callable[..., Awaitable[None]] = getattr(self, name)
        with contextlib.suppress(errors.Refusal):
            await deed(*numbers)

    # What can happen

    async def book(self, a: int, b: int, c: int) -> None:
        slot = await self.pick(a, SLOTS)
        patient = self.patients[b % 5]
        await set_booking(self.world, auto_confirm_appointments=c % 2 == 0)
        whom: dict[str, Any] = {"specialty_id": self.specialty} if c % 4 == 3 else {"doctor_id": slot["doctor_id"]}
        await self.world.do("book-appointment", slot_ids=[slot["id"]], patient_id=patient, **whom)

    async def cancel(self, a: int, b: int, c: int) -> None:
        one = await self.pick(a, STANDING)
        if one is not None:
            actor = self.accounts.get(one["patient_id"], "receptionist")
            await self.world.do("cancel-appointment", actor, appointment_id=one["id"])

    async def undo(self, a: int, b: int, c: int) -> None:
        if one := await self.pick(a, ALL_APPOINTMENTS):
            await self.world.do("undo-appointment", appointment_id=one["id"])

    async def reschedule(self, a: int, b: int, c: int) -> None:
        one, slot = await self.pick(a, STANDING), await self.pick(b, SLOTS)
        if one is not None:
            await self.world.do("reschedule-appointment", appointment_id=one["id"], slot_ids=[slot["id"]])

    async def answer(self, a: int, b: int, c: int) -> None:
        if one := await self.pick(a, REQUESTS):
            verb = "accept-request" if b % 2 else "reject-request"
            more = {"doctor_id": self.world.doctors[c % 2]} if b % 2 else {"reason": "No."}
            await self.world.do(verb, appointment_id=one["id"], **more)

    async def open_or_close(self, a: int, b: int, c: int) -> None:
        slot = await self.pick(a, SLOTS)
        await self.world.do("change-slot", slot_id=slot["id"], open=b % 3 > 0, capacity=1 + c % 3)

    async def change_mode(self, a: int, b: int, c: int) -> None:
        slot = await self.pick(a, SLOTS)
        await self.world.do("change-slot", slot_id=slot["id"], mode=("both", "in_person", "online")[b % 3])

    async def add(self, a: int, b: int, c: int) -> None:
        begins = now(self.world).replace(minute=0, second=0, microsecond=0) + timedelta(days=2, minutes=30 * (a % 16))
        where: dict[str, Any] = {"doctor_id": self.world.doctors[b % 2], "location_id": self.world.location}
        await self.world.do("add-slot", starts_at=begins.isoformat(), minutes=30, capacity=1 + c % 2, **where)

    async def remove(self, a: int, b: int, c: int) -> None:
        if await self.world.pool.fetchval(HOW_MANY_SLOTS, self.world.institution) > 3:
            await self.world.do("remove-slot", slot_id=(await self.pick(a, SLOTS))["id"])

    async def block(self, a: int, b: int, c: int) -> None:
        slot = await self.pick(a, SLOTS)
        when = {
            "starts_at": slot["starts_at"].isoformat(),
            "ends_at": (slot["ends_at"] + timedelta(hours=b % 3)).isoformat(),
        }
        bookings = ("cancel", "keep", "move")[c % 3]
        await self.world.do("block-time", doctor_id=slot["doctor_id"], kind="leave", bookings=bookings, **when)

    async def unblock(self, a: int, b: int, c: int) -> None:
        if one := await self.pick(
            a, "select id from blocks where institution_id = $1 and ended_at is null order by id"
        ):
            await self.world.do("end-block", block_id=one["id"])

    async def join(self, a: int, b: int, c: int) -> None:
        today = now(self.world).date()
        patient, world = self.patients[a % 5], self.world
        ways: tuple[dict[str, int], ...] = (
            {"doctor_id": world.doctors[0]},
            {"doctor_id": world.doctors[1]},
            {"specialty_id": self.specialty},
            {"visit_type_id": self.long_visit},
            {"doctor_id": world.doctors[b % 2], "visit_type_id": self.long_visit},
        )
        ask: dict[str, Any] = {"first_day": str(today), "last_day": str(today + timedelta(days=7)), **ways[b % 5]}
        ask["parts"] = ([], ["morning"], ["afternoon"], [])[c % 4]
        ask["mode"] = ("both", "both", "online", "in_person")[(b + c) % 4]
        ask["priority"] = 1 + c % 10
        await world.do("join-waitlist", patient_id=patient, **ask)

    async def leave(self, a: int, b: int, c: int) -> None:
        if one := await self.pick(a, PLACES):
            await self.world.do("leave-waitlist", entry_id=one["id"])

    async def prioritize(self, a: int, b: int, c: int) -> None:
        if one := await self.pick(a, PLACES):
            await self.world.do("prioritize-wait", entry_id=one["id"], priority=1 + b % 10, reason="As asked.")

    async def accept(self, a: int, b: int, c: int) -> None:
        if one := await self.pick(a, OPEN_OFFERS):
            await self.world.do("accept-offer", offer_id=one["id"])

    async def decline(self, a: int, b: int, c: int) -> None:
        if one := await self.pick(a, OPEN_OFFERS):
            await self.world.do("decline-offer", offer_id=one["id"])

    async def wait(self, a: int, b: int, c: int) -> None:
        self.world.forward(minutes=(5, 31, 61)[a % 3])
        await waitlist.expire_offers(self.world.store)
        await appointments.expire_requests(self.world.store)

    async def lock(self, a: int, b: int, c: int) -> None:
        slot = await self.pick(a, SLOTS)
        held = await self.world.do("lock-slot", slot_id=slot["id"])
        self.tokens.append((slot["id"], held.token))

    async def unlock(self, a: int, b: int, c: int) -> None:
        if self.tokens:
            slot, token = self.tokens.pop(a % len(self.tokens))
            await self.world.do("unlock-slot", slot_id=slot, token=token)

    # What holds

    async def forgotten(self) -> list[Any]:
        """Who waits though something is free that suits them."""
        locks = self.world.store.locks
        assert isinstance(locks, slots.Locks)
        shown = await locks.shown(self.world.doctors)
        held = {str(slot): len(until) for one in shown.values() for slot, until in one.slots.items()}
        args = (self.world.institution, dumps(held), now(self.world))
        return list(await self.world.pool.fetch(FORGOTTEN, *args))

    async def check(self, step: "tuple[str, int, int, int]") -> None:
        """In the same transaction already, but for those that had to be marked; a moment later for all."""
        assert not await self.world.pool.fetch(MISCOUNTED), step
        found = await self.forgotten()
        if step[0] not in MAY_MARK:
            assert not [dict(one) for one in found if not one["marked"]], step
        self.world.forward(seconds=1)
        await waitlist.look_for_marked(self.world.store)
        assert not [dict(one) for one in await self.forgotten()], step


MAY_MARK = frozenset({"unlock", "wait"})
"""A lock that ended is told by nobody in PostgreSQL: whoever waits for it was marked when it was seen, or is now."""
SLOTS = "select id, doctor_id, starts_at, ends_at from slots where institution_id = $1 order by id"
HOW_MANY_SLOTS = "select count(*) from slots where institution_id = $1"
STANDING = """
select id, patient_id from appointments where institution_id = $1 and state in ('pending', 'confirmed') order by id
"""
ALL_APPOINTMENTS = "select id from appointments where institution_id = $1 order by id desc"
REQUESTS = "select id from appointments where institution_id = $1 and state = 'pending' order by id"
PLACES = "select id from waitlist where institution_id = $1 and state in ('waiting', 'offered') order by id"
OPEN_OFFERS = "select id from offers where institution_id = $1 and state = 'open' order by id"
DEEDS = (
    "book", "book", "book", "cancel", "cancel", "undo", "reschedule", "answer", "open_or_close", "change_mode", "add",
    "remove", "block", "unblock", "join", "join", "join", "leave", "prioritize", "accept", "decline", "wait", "lock",
    "unlock",
)  # fmt: skip
STEP = st.tuples(st.sampled_from(DEEDS), st.integers(0, 11), st.integers(0, 11), st.integers(0, 11))


async def live_through(database_url: str, redis_url: str, steps: list[tuple[str, int, int, int]]) -> None:
    clock = Clock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    async with opened(database_url, redis_url, clock) as world:
        try:
            history = History(world)
            await history.begin()
            streams = [f"waitlist:{world.institution}", *(f"slots:{one}" for one in world.doctors)]
            async with world.verify(*streams, f"patient:{history.patients[0]}"):
                for step in steps:
                    await history.take(step)
                    await history.check(step)
        finally:
            # The next history begins in a house of the same name.
            await world.pool.execute("update institutions set name = name || id where id = $1", world.institution)


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(steps=st.lists(STEP, min_size=12, max_size=40))
def test_no_seat_is_free_that_somebody_waits_for_and_none_is_offered_twice(
    database_url: str, redis_url: str, steps: list[tuple[str, int, int, int]]
) -> None:
    asyncio.run(live_through(database_url, redis_url, steps))


def test_histories_offer_and_book(database_url: str, redis_url: str) -> None:
    """What is held above is not held of nothing."""
    steps = [("book", n, n, 0) for n in range(5)] + [("join", n, 2, n) for n in range(5)] + [("cancel", 0, 0, 0)] * 3
    asyncio.run(live_through(database_url, redis_url, [*steps, ("accept", 0, 0, 0), ("decline", 0, 0, 0)]))


def test_a_history_in_which_freed_seats_are_forgotten_is_noticed(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(*_: Any) -> None:
        """Nothing is offered."""

    monkeypatch.setattr(waitlist.offering, "serve", forget)
    steps = [("book", 0, 0, 0), ("join", 1, 0, 0)]
    with pytest.raises(AssertionError):
        asyncio.run(live_through(database_url, redis_url, steps))
