"""The audit trail: who did what to what, from where and when, and who was shown whose record.

Invariants:
- A command's entry is committed with the command (`store.Tx.finish`), a view's before its answer is given.
- Entries are never altered: the schema's triggers refuse it, and since a superuser can drop triggers, every entry is
  soon sealed. A seal is the SHA-256 of the seal before it and of its entries in order; there is one chain for each
  institution, so that no clinic waits for another. Changing, removing or adding a sealed entry breaks the chain from
  there on. Whoever keeps the newest seal's hash elsewhere can also tell that the end was cut off.
"""

import csv
import hashlib
import io
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import orjson
from pydantic import AwareDatetime, Field

from server import access
from server.access import ADMINS, Actor, Role
from server.asks import Id, Reply, decode_cursor, encode_cursor
from server.queue.queries import Page
from server.store import Command, Connection, Download, Pool, Query, Read

GENESIS = bytes(32)
"""What the first seal of a chain follows."""
BATCH = 2000


# Sealing


async def seal(pool: Pool) -> int:
    """Seal every entry that is not sealed yet; answers how many. Safe on several workers at once."""
    sealed = 0
    async with pool.acquire() as borrowed:
        conn: Any = borrowed
        while True:
            async with conn.transaction():
                if not await conn.fetchval(TRY_LOCK):
                    return sealed
                entries = await conn.fetch(UNSEALED, BATCH)
                if not entries:
                    return sealed
                chains: dict[int | None, list[asyncpg.Record]] = {}
                for entry in entries:
                    chains.setdefault(entry["institution_id"], []).append(entry)
                for institution_id, batch in chains.items():
                    previous = await conn.fetchval(LAST_HASH, institution_id) or GENESIS
                    seal_id = await conn.fetchval(
                        ADD_SEAL, institution_id, previous, digest(previous, batch), len(batch)
                    )
                    await conn.execute(MARK_SEALED, [entry["id"] for entry in batch], seal_id)
                sealed += len(entries)


def digest(previous: bytes, entries: "list[asyncpg.Record]") -> bytes:
    """The hash of a seal: of the one before it, and of everything that its entries say."""
    total = hashlib.sha256(previous)
    for entry in entries:
        said = [entry[name] for name in SEALED_COLUMNS]
        total.update(orjson.dumps(said, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
    return total.digest()


SEALED_COLUMNS = (
    "id", "institution_id", "at", "actor", "role", "action", "asked", "changes", "patients", "viewed", "address",
    "agent", "request_id",
)  # fmt: skip
TRY_LOCK = "select pg_try_advisory_xact_lock(20021)"
UNSEALED = """
select id, institution_id, at, actor, role, action, asked::text as asked, changes::text as changes, patients, viewed,
    address, agent, request_id
from audit where seal_id is null order by id limit $1
"""
LAST_HASH = "select hash from seals where institution_id is not distinct from $1 order by id desc limit 1"
ADD_SEAL = """
insert into seals (institution_id, previous, hash, rows, at) values ($1, $2, $3, $4, now()) returning id
"""
MARK_SEALED = "update audit set seal_id = $2 where id = any($1::bigint[])"


async def verify(conn: Connection) -> AsyncIterator[str]:
    """Every place where the trail is not what was sealed, in words; nothing where it is whole."""
    heads: dict[int | None, bytes] = {}
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        async for one in conn.cursor(ALL_SEALS):
            whose = f"institution {one['institution_id']}" if one["institution_id"] else "above the institutions"
            entries = await conn.fetch(ENTRIES_OF_SEAL, one["id"])
            if one["previous"] != heads.get(one["institution_id"], GENESIS):
                yield f"Seal {one['id']} ({whose}) does not follow the seal before it: a seal is missing or forged."
            if len(entries) != one["rows"]:
                yield f"Seal {one['id']} ({whose}) held {one['rows']} entries and now holds {len(entries)}."
            elif digest(one["previous"], entries) != one["hash"]:
                ids = f"{entries[0]['id']} to {entries[-1]['id']}" if entries else "none"
                yield f"Seal {one['id']} ({whose}) is broken: one of the entries {ids} was altered."
            heads[one["institution_id"]] = one["hash"]


ALL_SEALS = "select id, institution_id, previous, hash, rows from seals order by id"
ENTRIES_OF_SEAL = """
select id, institution_id, at, actor, role, action, asked::text as asked, changes::text as changes, patients, viewed,
    address, agent, request_id
from audit where seal_id = $1 order by id
"""


async def heads(conn: Connection) -> dict[str, str]:
    """The newest seal's hash of each chain, for keeping elsewhere."""
    rows = await conn.fetch(HEADS)
    return {str(row["institution_id"] or "above"): row["hash"].hex() for row in rows}


HEADS = """
select distinct on (institution_id) institution_id, hash from seals order by institution_id, id desc
"""


# Reading


class Trail(Page):
    """Which entries: by time, by who, by whose record, by what was done or to what."""

    institution_id: Id | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    actor: str | None = Field(default=None, max_length=60, description="A kind and an id, such as user:7.")
    patient_id: Id | None = None
    action: str | None = Field(default=None, max_length=60)
    subject: str | None = Field(default=None, max_length=60, description="What was changed, such as ticket:5.")
    viewed: bool | None = Field(default=None, description="Only views of records, or only commands.")


class Change(Reply):
    """What became of one subject: the fields that differ. None means that it was not there."""

    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class PatientNamed(Reply):
    """A patient of an entry, as they are called now; the trail itself keeps nothing but the id."""

    id: int
    number: str
    name: str


class AuditEntry(Reply):
    """One entry. `who` is the actor's name, where a person or device has one; `people` are the patients by name.

    Whoever began to follow a list of patients did so `until` then, as far as the end is known; asked for one patient,
    the trail tells of it wherever the patient came onto the list meanwhile.
    """

    id: int
    at: datetime
    until: datetime | None
    actor: str
    who: str | None
    role: str
    action: str
    asked: dict[str, Any]
    changes: list[Change]
    patients: list[int]
    people: list[PatientNamed]
    viewed: bool
    address: str
    agent: str
    request_id: str
    sealed: bool


class AuditPage(Reply):
    """A page of the trail, newest first."""

    items: list[AuditEntry]
    next: str | None


async def read_trail(view: Read, actor: Actor, ask: Trail) -> AuditPage:
    """The entries that match, newest first."""
    before = decode_cursor("audit", ask.cursor, int)[0] if ask.cursor else 2**62
    items = await _entries(view.conn, actor, ask, before, ask.limit + 1)
    following = encode_cursor("audit", items[ask.limit - 1].id) if len(items) > ask.limit else None
    return AuditPage(items=items[: ask.limit], next=following)


async def _entries(conn: Connection, actor: Actor, ask: Trail, before: int, limit: int) -> list[AuditEntry]:
    everything = actor.role is Role.super_admin and ask.institution_id is None
    institution_id = ask.institution_id if actor.role is Role.super_admin else actor.institution_id
    wanted = (everything, institution_id, ask.actor, ask.action, ask.subject, ask.viewed, before, limit)
    followed: set[int] = set()
    if ask.patient_id is None:
        rows = await conn.fetch(TRAIL, *wanted, ask.since, ask.until)
    else:
        span = (ask.since, ask.until, ask.patient_id)
        found = await conn.fetch(FOLLOWED, everything, institution_id, *span, access.SESSION_LIFE)
        followed = {row["id"] for row in found}
        rows = await conn.fetch(AMONG, *wanted, [*followed, *(row["id"] for row in await conn.fetch(NAMING, *span))])
    ends = {row["id"]: row["until"] for row in await conn.fetch(ENDS, [row["id"] for row in rows])}
    met = {row["id"]: [ask.patient_id] for row in rows if row["id"] in followed}
    ids = sorted({patient for row in rows for patient in (*row["patients"], *met.get(row["id"], ()))})
    people = {one["id"]: PatientNamed(**dict(one)) for one in await conn.fetch(NAMED, ids, everything, institution_id)}
    return [
        AuditEntry(
            **{name: row[name] for name in ("id", "at", "actor", "who", "role", "action", "patients", "viewed")},
            until=ends.get(row["id"]),
            people=[people[one] for one in dict.fromkeys((*met.get(row["id"], ()), *row["patients"])) if one in people],
            address=row["address"],
            agent=row["agent"],
            request_id=row["request_id"],
            sealed=row["sealed"],
            asked=orjson.loads(row["asked"]),
            changes=[Change.model_validate(one) for one in orjson.loads(row["changes"])],
        )
        for row in rows
    ]


ENTRIES = r"""
select a.id, a.at, a.actor, coalesce(u.name, d.name) as who, a.role, a.action, a.asked::text as asked,
    a.changes::text as changes, a.patients, a.viewed, a.address, a.agent, a.request_id, a.seal_id is not null as sealed
from audit a
left join users u on u.id = substring(a.actor from '^user:(\d+)$')::bigint
left join devices d on d.id = substring(a.actor from '^device:(\d+)$')::bigint
where ($1 or a.institution_id = $2)
    and ($3::text is null or a.actor = $3)
    and ($4::text is null or a.action = $4)
    and ($5::text is null or a.changes @> jsonb_build_array(jsonb_build_object('subject', $5::text)))
    and ($6::boolean is null or a.viewed = $6)
    and a.id < $7
"""
IN_TIME = "($9::timestamptz is null or a.at >= $9) and ($10::timestamptz is null or a.at < $10)"
TRAIL = f"{ENTRIES} and {IN_TIME} order by a.id desc limit $8"
AMONG = f"{ENTRIES} and a.id = any($9::bigint[]) order by a.id desc limit $8"

# Asked for on its own, or all entries would be gone through backwards for a page of one patient's.
NAMING = """
select id from audit
where patients && array(select $3::bigint union all select id from patients where merged_into = $3)
    and ($1::timestamptz is null or at >= $1) and ($2::timestamptz is null or at < $2)
"""

# Who followed a stream while a patient was on it, within the time that is asked about. An end that was never noted (a
# process was killed) is at the latest that of the longest session.
FOLLOWED = """
with shown as (
    select 'staff:' || t.queue_id as stream, t.joined_at as since, t.ended_at as until
    from tickets t
    where t.patient_id in (select $5::bigint union all select id from patients where merged_into = $5)
    union all
    select 'doctor:' || coalesce(o.doctor_id, a.doctor_id), a.created_at, coalesce(a.ended_at, a.ends_at)
    from appointments a left join appointment_doctors o on o.appointment_id = a.id
    where a.patient_id in (select $5::bigint union all select id from patients where merged_into = $5)
    union all
    select 'waitlist:' || w.institution_id, w.joined_at, w.ended_at
    from waitlist w
    where w.patient_id in (select $5::bigint union all select id from patients where merged_into = $5)
)
select distinct a.id
from shown s
join audit a on a.action = 'subscribe' and a.asked ->> 'stream' = s.stream and ($1 or a.institution_id = $2)
    and a.at > s.since - $6::interval and a.at < coalesce(least(s.until, $4::timestamptz), 'infinity')
left join lateral (
    select min(u.at) as at from audit u
    where u.institution_id is not distinct from a.institution_id and u.actor = a.actor and u.action = 'unsubscribe'
        and u.at >= a.at and u.request_id = a.request_id and u.asked -> 'streams' ? s.stream
) left_it on true
where greatest(a.at, s.since, $3::timestamptz)
    < least(coalesce(left_it.at, a.at + $6::interval), s.until, $4::timestamptz)
"""
ENDS = """
select a.id, min(u.at) as until
from audit a join audit u on u.institution_id is not distinct from a.institution_id and u.actor = a.actor
    and u.action = 'unsubscribe' and u.at >= a.at and u.request_id = a.request_id
    and u.asked -> 'streams' ? (a.asked ->> 'stream')
where a.id = any($1::bigint[]) and a.action = 'subscribe' group by a.id
"""

NAMED = "select id, number, name from patients where id = any($1::bigint[]) and ($2 or institution_id = $3)"

EXPORT_MOST = 50_000
"""Entries of one export; a longer trail is exported by stretches of time."""


async def export_trail(view: Read, actor: Actor, ask: Trail) -> Download:
    """The entries that match as CSV, newest first, at most 50,000."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["id", "at", "until", "actor", "who", "role", "action", "asked", "changes", "patients", "people",
                     "viewed", "address", "agent", "request_id"])  # fmt: skip
    for one in await _entries(view.conn, actor, ask, 2**62, EXPORT_MOST):
        writer.writerow(
            cell(value)
            for value in (
                one.id,
                one.at.isoformat(),
                one.until.isoformat() if one.until else "",
                one.actor,
                one.who or "",
                one.role,
                one.action,
                orjson.dumps(one.asked).decode(),
                orjson.dumps([change.model_dump(mode="json") for change in one.changes]).decode(),
                " ".join(map(str, one.patients)),
                "; ".join(f"{each.number} {each.name}" for each in one.people),
                one.viewed,
                one.address,
                one.agent,
                one.request_id,
            )
        )
    return Download(content=table.getvalue(), kind="text/csv", name="audit.csv")


def cell(value: Any) -> str:
    """A CSV cell that no spreadsheet takes for a formula."""
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


COMMANDS: list[Command[Any, Any]] = []
QUERIES: list[Query[Any, Any]] = [
    Query("read-audit", read_trail, Trail, AuditPage, ADMINS, "GET /audit", patients=lambda _: []),
    Query("export-audit", export_trail, Trail, Download, ADMINS, "GET /audit/export", patients=lambda _: []),
]
