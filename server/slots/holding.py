"""Locking a slot for the one who touched it first: whether it can be had, and who holds how much.

A patient has one lock at a time: taking another gives the former up, so that whoever looks around keeps nothing from
others. How many slots it spans, and how many one browser and one address hold together, is bounded, so that nobody
locks a whole day. People who work there have several on the phone at once, and a bound of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field

from server import access, errors
from server.access import PEOPLE, Actor, Role
from server.asks import Ask, Holding, Id, Reply
from server.doors import sender
from server.settings import BookingSettings
from server.slots import free, rules
from server.slots.locks import Bound, Locks
from server.slots.rules import Time
from server.store import LOST, Action, Read, Store

ALSO = 7
"""How many further slots a lock may span."""
OF_PATIENT, OF_DEVICE, OF_ADDRESS, OF_STAFF = ALSO + 1, 16, 40, 24
"""On how many slots locks may be held at the same time: by one patient, by all who use one browser or come from one
address (a household, or a clinic's own network), and by somebody who works there."""


class LockSlot(Ask):
    """The slot, and those that follow it where the visit is longer."""

    slot_id: Id
    also: list[Id] = Field(default=[], max_length=ALSO)


class ExtendLock(Ask):
    """A lock, by its token and one of its slots."""

    slot_id: Id
    token: str = Field(min_length=1, max_length=200, repr=False)


class UnlockSlot(Ask):
    """A lock, by its token and one of its slots."""

    slot_id: Id
    token: str = Field(min_length=1, max_length=200, repr=False, json_schema_extra={"x-header": "Lock-Token"})


class SlotsHeld(Holding):
    """The slots are the holder's, and nobody else's, until then."""

    doctor_id: int
    slot_ids: list[int]
    until: datetime
    extended: bool = Field(description="Whether it was extended; it is once.")


class Unlocked(Reply):
    """Whether there was still a lock to end."""

    ended: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """The slots that somebody wants to lock, and on which terms."""

    times: list[Time]
    institution_id: int
    active: bool
    settings: BookingSettings
    zone: ZoneInfo


async def lock_slot(store: Store, actor: Actor, ask: LockSlot) -> SlotsHeld:
    """Lock a slot, and those that follow it if the visit is longer, for a few minutes.

    Raises `NotFound`, `SlotsApart`, `SlotPast`, `SlotBlocked`, `SlotClosed`, `DoctorInactive`, `TooSoon`,
    `TooFarAhead`, `SlotFull`, `SlotLocked`, `TooManyLocks`, `LockingUnavailable`.
    """
    locks = _locks(store)
    ids = list(dict.fromkeys([ask.slot_id, *ask.also]))
    wanted = await _wanted(store, actor, ids)
    patient = actor.role is Role.patient
    if refusal := rules.refusal(wanted.times, wanted.settings, wanted.zone, not patient, store.now()):
        raise refusal
    if not wanted.active:
        raise errors.DoctorInactive()
    left = {one.id: one.left for one in wanted.times}
    if not all(value > 0 for value in left.values()):
        raise await _instead(store, wanted, patient, errors.SlotFull())
    doctor, length = wanted.times[0].doctor_id, timedelta(minutes=wanted.settings.lock_minutes)
    try:
        token, until, look_again = await locks.lock(doctor, left, length, bounds(actor), alone=patient)
    except errors.SlotLocked as locked:
        raise await _instead(store, wanted, patient, locked) from None
    if look_again and await _overtaken(store, actor, locks, doctor, ids):
        await locks.void(token)
        raise await _instead(store, wanted, patient, errors.SlotFull())
    return SlotsHeld(token=token, doctor_id=doctor, slot_ids=list(left), until=until, extended=False)


def bounds(actor: Actor) -> list[Bound]:
    """Whose locks a new one is counted with: first the person's."""
    if actor.role is not Role.patient:
        return [Bound.of_person(actor.key, OF_STAFF)]
    origin = access.ORIGIN.get(access.NOWHERE)
    address = sender({"client": (origin.address, 0)})
    if not address:
        return [Bound.of_person(actor.key, OF_PATIENT)]
    return [
        Bound.of_person(actor.key, OF_PATIENT),
        Bound(f"device {address} {origin.agent}", OF_DEVICE),
        Bound(f"address {address}", OF_ADDRESS),
    ]


async def _wanted(store: Store, actor: Actor, ids: Sequence[int]) -> Wanted:
    """The slots, in order of time. Raises `NotFound`, `SlotsApart`, `Unavailable`."""
    try:
        rows = await store.pool.fetch(WANTED, ids)
    except LOST as lost:
        raise errors.Unavailable() from lost
    if len(rows) != len(ids) or not all(actor.within(row["institution_id"]) for row in rows):
        raise errors.NotFound("There is no such time here.")
    one, last = rows[0], rows[-1]
    if len(rows) > 1 and await store.pool.fetchval(BETWEEN, one["doctor_id"], one["starts_at"], last["ends_at"], ids):
        raise errors.SlotsApart()
    settings = free.settings_of(one["of_institution"], one["of_doctor"])
    return Wanted([Time.of(row) for row in rows], one["institution_id"], one["active"], settings, ZoneInfo(one["zone"]))


WANTED = """
select s.id, s.doctor_id, s.location_id, s.starts_at, s.ends_at, s.mode, s.open, s.block_id is not null as blocked,
    s.capacity - s.taken as left, s.institution_id, d.active, i.booking::text as of_institution,
    d.booking::text as of_doctor, coalesce(l.zone, i.zone) as zone
from slots s join doctors d on d.id = s.doctor_id join institutions i on i.id = s.institution_id
join locations l on l.id = s.location_id
where s.id = any($1::bigint[]) order by s.starts_at
"""


# Another's visit, or time that cannot be booked, lies between: no visit is had around it.
BETWEEN = """
select exists (
    select from slots where doctor_id = $1 and starts_at >= $2 and starts_at < $3 and id <> all($4::bigint[])
)
"""


async def _overtaken(store: Store, actor: Actor, locks: Locks, doctor: int, ids: Sequence[int]) -> bool:
    """Whether a booking took, between the look and the lock, what the lock was counted against."""
    shown = await locks.shown([doctor])
    times = (await _wanted(store, actor, ids)).times
    return doctor not in shown or any(len(shown[doctor].slots.get(one.id, ())) > one.left for one in times)


async def _instead(store: Store, wanted: Wanted, patient: bool, refusal: errors.Refusal) -> errors.Refusal:
    """The refusal, with the nearest times that can be had instead."""
    first, last = wanted.times[0], wanted.times[-1]
    minutes = sum(int((one.ends_at - one.starts_at).total_seconds()) // 60 for one in wanted.times)
    async with store.snapshot() as view:
        near = await free.nearest(
            Read(view.conn, view.now, store.locks),
            wanted.institution_id,
            doctor_id=first.doctor_id,
            around=first.starts_at,
            minutes=minutes if first is not last else 0,
            patient=patient,
        )
    refusal.extra["alternatives"] = [one.model_dump(mode="json") for one in near]
    return refusal


async def extend_lock(store: Store, actor: Actor, ask: ExtendLock) -> SlotsHeld:
    """Give a lock its time once more. Raises `LockLost`, `LockExtended`, `LockingUnavailable`."""
    held = await _locks(store).extend(ask.token, actor.key, ask.slot_id)
    return SlotsHeld(token=ask.token, doctor_id=held.doctor_id, slot_ids=held.slot_ids, until=held.until, extended=True)


async def unlock_slot(store: Store, actor: Actor, ask: UnlockSlot) -> Unlocked:
    """Release a lock; one that has ended stays so. Raises `LockingUnavailable`."""
    return Unlocked(ended=await _locks(store).release(ask.token, actor.key, ask.slot_id))


def _locks(store: Store) -> Locks:
    """Raises `LockingUnavailable` where there are none."""
    if not isinstance(store.locks, Locks):
        raise errors.LockingUnavailable()
    return store.locks


COMMANDS: list[Action[Any, Any]] = [
    Action.of("lock-slot", lock_slot, LockSlot, SlotsHeld, PEOPLE, "POST /slots/{slot_id}/lock", status=201),
    Action.of("extend-lock", extend_lock, ExtendLock, SlotsHeld, PEOPLE, "POST /slots/{slot_id}/lock/extend"),
    Action.of("unlock-slot", unlock_slot, UnlockSlot, Unlocked, PEOPLE, "DELETE /slots/{slot_id}/lock"),
]
