"""Blocked periods: time in which a doctor, a location or the whole institution takes nobody.

Invariant: a slot is blocked while some period in force that concerns it lies over any of it, and names one of them
(`slots.block_id`); taking a period back frees the slots that no other covers. Bookings in a blocked slot stay until
somebody moves or cancels them. Whoever blocks or frees time holds the slots gates of all doctors whom it concerns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from server import errors, events
from server.access import STAFF, Actor, Role
from server.asks import Ask, Id, Reply
from server.availability.slots import OWN, tell_arranged, tell_gone, tell_slots
from server.store import Command, Connection, Query, Read, Tx

BlockKind = Literal["leave", "holiday", "emergency", "other"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a period blocks: one doctor, one location, or with neither the whole institution."""

    institution_id: int
    doctor_id: int | None = None
    location_id: int | None = None


class Block(BaseModel):
    """A blocked period."""

    model_config = ConfigDict(frozen=True)

    id: int
    institution_id: int
    doctor_id: int | None
    location_id: int | None
    kind: BlockKind
    reason: str | None
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    whole_days: bool
    ended_at: AwareDatetime | None


def block_of(row: Any) -> Block:
    """The block that a row with these columns is."""
    return Block(**{name: row[name] for name in Block.model_fields})


async def doctors_concerned(conn: Connection, scope: Scope) -> list[int]:
    """The doctors whose gates a block of this scope needs: whoever has, or may come to have, time there."""
    if scope.doctor_id is not None:
        return [scope.doctor_id]
    return [row["id"] for row in await conn.fetch(DOCTORS_CONCERNED, scope.institution_id)]


DOCTORS_CONCERNED = "select id from doctors where institution_id = $1 order by id"


def access_scope(actor: Actor, scope: Scope) -> None:
    """Whether the asker may block this: doctors their own time, the desk what lies at its locations.

    Raises `NotFound` for another institution's, `NotAllowed`.
    """
    if not actor.within(scope.institution_id):
        raise errors.NotFound("There is nothing like that here.")
    if actor.role is Role.doctor and scope.doctor_id != actor.doctor_id:
        raise errors.NotAllowed("You may block your own time.")
    if scope.location_id is not None and not actor.at(scope.location_id):
        raise errors.NotAllowed("That is not one of your locations.")
    if scope.location_id is None and actor.location_ids and scope.doctor_id != actor.doctor_id:
        raise errors.NotAllowed("You may block time at your own locations.")


async def blocked_slots(conn: Connection, scope: Scope, starts_at: datetime, ends_at: datetime) -> list[int]:
    """The slots that a period would lie over, booked and blocked ones included."""
    rows = await conn.fetch(BLOCKED_SLOTS, scope.institution_id, scope.doctor_id, scope.location_id, starts_at, ends_at)
    return [row["id"] for row in rows]


BLOCKED_SLOTS = """
select id from slots
where institution_id = $1 and ($2::bigint is null or doctor_id = $2) and ($3::bigint is null or location_id = $3)
    and starts_at < $5 and ends_at > $4 order by starts_at, id
"""


async def add_block(
    tx: Tx,
    scope: Scope,
    starts_at: datetime,
    ends_at: datetime,
    *,
    kind: BlockKind,
    reason: str | None = None,
    whole_days: bool = False,
) -> Block:
    """Block a period: its slots are shown no more. The gates of all doctors concerned are held."""
    block = block_of(
        await tx.conn.fetchrow(
            ADD_BLOCK,
            scope.institution_id,
            scope.doctor_id,
            scope.location_id,
            kind,
            reason,
            starts_at,
            ends_at,
            whole_days,
            tx.now,
        )
    )
    tx.about(f"block:{block.id}", None, block.model_dump(mode="json"))
    slots = await blocked_slots(tx.conn, scope, starts_at, ends_at)
    gone: dict[int, list[int]] = {}
    for row in await tx.conn.fetch(MARK_BLOCKED, slots, block.id):
        if row["open"] and row["filed_at"] is None:
            gone.setdefault(row["doctor_id"], []).append(row["id"])
    for doctor_id in await doctors_concerned(tx.conn, scope):
        if doctor_id in gone:
            tell_gone(tx, doctor_id, gone[doctor_id])
        else:
            tell_arranged(tx, doctor_id)
    return block


ADD_BLOCK = """
insert into blocks
    (institution_id, doctor_id, location_id, kind, reason, starts_at, ends_at, whole_days, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
returning id, institution_id, doctor_id, location_id, kind, reason, starts_at, ends_at, whole_days, ended_at
"""
MARK_BLOCKED = """
update slots set block_id = $2 where id = any($1::bigint[]) and block_id is null
returning id, doctor_id, open, filed_at
"""


class OneBlock(Ask):
    """One blocked period."""

    block_id: Id


async def end_block(tx: Tx, actor: Actor, ask: OneBlock) -> Block:
    """Take a blocked period back: its slots are free again unless another covers them.

    Raises `NotFound`, `NotAllowed`.
    """
    row = await tx.conn.fetchrow(ONE_BLOCK, ask.block_id)
    if row is None:
        raise errors.NotFound("There is no such blocked period here.")
    scope = Scope(row["institution_id"], row["doctor_id"], row["location_id"])
    access_scope(actor, scope)
    concerned = await doctors_concerned(tx.conn, scope)
    await tx.gate(*(events.slots(one) for one in concerned))
    tx.institution_id = scope.institution_id
    before = block_of(await tx.conn.fetchrow(ONE_BLOCK, ask.block_id))
    if before.ended_at is not None:
        return before
    await free_block(tx, before, concerned)
    return block_of(await tx.conn.fetchrow(ONE_BLOCK, ask.block_id))


ONE_BLOCK = """
select id, institution_id, doctor_id, location_id, kind, reason, starts_at, ends_at, whole_days, ended_at
from blocks where id = $1
"""


async def free_block(tx: Tx, block: Block, concerned: Sequence[int]) -> None:
    """End a block whose doctors' gates are held, hand its slots to another that covers them, and tell of the rest."""
    await tx.conn.execute(END_BLOCK, block.id, tx.now)
    tx.about(f"block:{block.id}", {"ended_at": None}, {"ended_at": tx.now.isoformat()})
    rows = await tx.conn.fetch(FREE_SLOTS, block.id)
    free = [row["id"] for row in rows if row["block_id"] is None]
    await tell_slots(tx, free, events.SlotAdded)
    shown = {row["doctor_id"] for row in rows if row["block_id"] is None and row["open"] and row["filed_at"] is None}
    for doctor_id in sorted(set(concerned) - shown):
        tell_arranged(tx, doctor_id)


END_BLOCK = "update blocks set ended_at = $2 where id = $1"
FREE_SLOTS = """
update slots s set block_id = (
    select b.id from blocks b
    where b.institution_id = s.institution_id and b.ended_at is null
        and b.starts_at < s.ends_at and b.ends_at > s.starts_at
        and (b.doctor_id is null or b.doctor_id = s.doctor_id)
        and (b.location_id is null or b.location_id = s.location_id)
    order by b.id limit 1
)
where s.block_id = $1 returning s.id, s.doctor_id, s.block_id, s.open, s.filed_at
"""


# Which there are


class BlocksOf(Ask):
    """The periods in force that concern a doctor, a location or, with neither, anybody of the institution."""

    institution_id: Id | None = None
    doctor_id: Id | None = None
    location_id: Id | None = None


class Blocks(Reply):
    """Blocked periods that are not over, the soonest first."""

    items: list[Block]


async def list_blocks(view: Read, actor: Actor, ask: BlocksOf) -> Blocks:
    """Periods that are blocked now or will be; each of them concerns the whole institution, a location or a doctor.

    Raises `NotFound` for another institution's.
    """
    institution_id = ask.institution_id or actor.institution_id
    if institution_id is None or not actor.within(institution_id):
        raise errors.NotFound("There is no such institution.")
    rows = await view.conn.fetch(BLOCKS, institution_id, view.now, ask.doctor_id, ask.location_id)
    return Blocks(items=[told(actor, block_of(row)) for row in rows])


BLOCKS = """
select id, institution_id, doctor_id, location_id, kind, reason, starts_at, ends_at, whole_days, ended_at
from blocks
where institution_id = $1 and ended_at is null and ends_at > $2
    and ($3::bigint is null or doctor_id is null or doctor_id = $3)
    and ($4::bigint is null or location_id is null or location_id = $4)
order by starts_at, id limit 500
"""


def told(actor: Actor, block: Block) -> Block:
    """A block as the asker may see it: why a colleague is away is between them and the desk."""
    if actor.role is Role.doctor and block.doctor_id not in (None, actor.doctor_id):
        return block.model_copy(update={"reason": None, "kind": "other"})
    return block


COMMANDS: list[Command[Any, Any]] = [
    Command("end-block", end_block, OneBlock, Block, OWN, "POST /blocks/{block_id}/end"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("list-blocks", list_blocks, BlocksOf, Blocks, STAFF, "GET /blocks"),
]
