"""Years of a large hospital's records, and what the worker looks for in them by the clock."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from server import audit, emergencies, figures, publish, retention, store
from server.appointments import forgetting as of_appointments
from server.appointments import requests, upkeep
from server.availability import slots
from server.embedded import start_postgres
from server.notices import forgetting as of_notices
from server.notices import sending
from server.queue import days
from server.queue import forgetting as of_tickets
from workers import tasks

LARGE = frozenset(
    {
        "appointments",
        "audit",
        "events",
        "notices",
        "patients",
        "replies",
        "sessions",
        "slots",
        "tickets",
        "sign_in_codes",
        "streams",
    }
)
"""Tables that grow with every day."""
INSTITUTION = 1


@asynccontextmanager
async def years(count: int) -> AsyncIterator[Any]:
    """A PostgreSQL of our own with so many records of each kind: five years of them, and two months to come."""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        postgres = await asyncio.to_thread(start_postgres, Path(folder) / "postgres")
        try:
            await store.migrate(postgres.url)
            conn = await asyncpg.connect(postgres.url, server_settings={"timezone": "UTC", "jit": "off"})
            await filled(conn, count)
            yield conn
            await conn.close()
        finally:
            await asyncio.to_thread(postgres.stop)


async def filled(conn: Any, count: int) -> None:
    """Put so many records of each kind into a database that has none, and let the planner know of them."""
    await conn.execute("set session_replication_role = replica")
    for statement in FILL.split(";\n"):
        if statement.strip():
            await conn.execute(statement.replace(":count", str(count)))
    await conn.execute("set session_replication_role = origin")
    await conn.execute("vacuum analyze")


# At five years in a thousand and eight hundred days, record n of :count is from (:count - n) * 1860 / :count days ago,
# less the two months to come. What is older than a year is forgotten already; what is over is filed, sealed and sent.
FILL = """
alter table slots drop constraint slots_never_overlap;
alter table appointments drop constraint appointments_one_place_at_a_time;
insert into institutions (name, retention)
values ('Here', '{"visits_days": 365, "patients_days": 365}'), ('There', '{}');
insert into locations (institution_id, name, created_at)
select 1 + n / 4, 'Branch ' || n, now() - interval '5 years' from generate_series(0, 7) n;
insert into doctors (institution_id, name, booking)
select 1 + n / 50, 'Doctor ' || n, case when n % 2 = 0 then '{"no_show_after_minutes": 30}' else '{}' end::jsonb
from generate_series(0, 99) n;
insert into queues (institution_id, location_id, doctor_id, name, token_day)
select institution_id, (institution_id - 1) * 4 + 1 + id % 4, id, 'Queue ' || id, current_date from doctors;
insert into schedules (institution_id, doctor_id, location_id, starts_on, week, made_until, created_at)
select institution_id, id, (institution_id - 1) * 4 + 1, current_date - 1800, '[]', current_date + 61, now()
from doctors;
insert into streams (name, epoch, version) select 'board:' || id, 'epoch', :count from queues;
insert into streams (name, epoch, version, updated_at)
select 'patient:' || n, 'epoch', 1, now() - interval '1800 days' * n / :count from generate_series(1, :count) n;
insert into patients (institution_id, number, name, created_at, anonymised_at)
select 1 + n % 2, 'P' || n, 'Patient ' || n, now() - interval '1800 days' * (:count / 4 - n) / (:count / 4),
    case when n < :count / 8 then now() end
from generate_series(1, :count / 4) n;
insert into slots (institution_id, doctor_id, location_id, starts_at, ends_at, taken, filed_at)
select d.institution_id, d.id, (d.institution_id - 1) * 4 + 1 + n % 4, at, at + interval '20 minutes', 1,
    case when at < now() - interval '1 day' then at end
from generate_series(1, :count) n join doctors d on d.id = 1 + n % 100,
    lateral (select now() + interval '60 days' - interval '1860 days' * (:count - n) / :count as at) a;
insert into appointments (institution_id, number, kind, patient_id, doctor_id, location_id, state, starts_at, ends_at,
    ended_at, source, created_at, created_by, filed_at, forgotten_at)
select institution_id, 'APT-' || id, 'scheduled', 1 + id % (:count / 4), doctor_id, location_id,
    case when starts_at < now() then 'completed' else 'confirmed' end, starts_at, ends_at,
    case when starts_at < now() then ends_at end, 'online', starts_at - interval '9 days', 'user:1',
    filed_at, case when starts_at < now() - interval '365 days' then now() end
from slots;
insert into tickets (institution_id, queue_id, patient_id, day, token, state, joined_at, waiting_since, band, key, rank,
    called_at, started_at, ended_at, forgotten_at)
select q.institution_id, q.id, 1 + n % (:count / 4), at::date, 'A' || n, 'completed', at, at, 1, 0, n,
    at + interval '20 minutes', at + interval '21 minutes', at + interval '35 minutes',
    case when at < now() - interval '365 days' then now() end
from generate_series(1, :count) n join queues q on q.id = 1 + n % 100,
    lateral (select now() - interval '1800 days' * (:count - n) / :count as at) a;
insert into tickets (institution_id, queue_id, patient_id, day, token, joined_at, waiting_since, band, key, rank)
select institution_id, id, 1000000000 + id, current_date, 'B1', now(), now(), 1, 0, 0 from queues;
insert into notices (institution_id, kind, cause, person, channel, recipient, state, due_at, try_at, sent_at,
    created_at)
select 1 + n % 2, 'reminder', 'appointment:' || n, 'patient:' || n, 'email', 'somebody@example.org',
    case when at < now() then 'sent' else 'pending' end, at, at, case when at < now() then at end, at
from generate_series(1, :count) n,
    lateral (select now() + interval '60 days' - interval '1860 days' * (:count - n) / :count as at) a;
insert into events (stream, version, type, data, actor, at, published_at)
select 'board:' || 1 + n % 100, 1 + n / 100, 'queue-updated', '{}', 'system', at, at
from generate_series(1, :count) n,
    lateral (select now() - interval '1800 days' * (:count - n) / :count as at) a;
insert into emergencies (institution_id, location_id, reason, raised_by, raised_at, ended_at)
select 1, 1, '-', 'user:1', at, at from generate_series(1, :count / 20) n,
    lateral (select now() - interval '1800 days' * n * 20 / :count as at) a;
insert into audit (institution_id, at, actor, role, action, seal_id)
select 1, now() - interval '1800 days' * (:count - n) / :count, 'user:1', 'doctor', 'call-next', 1
from generate_series(1, :count) n;
insert into replies (actor, key, request, reply, at)
select 'user:1', 'key-' || n, '', '{}', now() - interval '1 day' * n / :count from generate_series(1, :count) n;
insert into users (email, name, role) values ('root@example.org', 'Root', 'super_admin');
insert into sessions (user_id, token_hash, csrf, expires_at)
select 1, sha256(n::text::bytea), '', now() + interval '30 days' * n / :count from generate_series(1, :count) n;
insert into sign_in_codes (contact, salt, code_hash, network, created_at, expires_at)
select 'a@example.org', '', '', '', now() - interval '1 day' * n / :count, now() from generate_series(1, :count) n
"""


def scans(now: datetime) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """What each job looks for, as it looks for it."""
    old = now - timedelta(days=365)
    day = now.date() - timedelta(days=1)
    channels = ["email", "sms", "whatsapp", "voice", "push", "app"]
    return {
        "send-notices": (sending.CLAIM, (now, now + timedelta(minutes=1), 40, channels)),
        "publish": (publish.UNPUBLISHED, (1.0,)),
        "verify-streams": (publish.STREAMS, ("", publish.STREAMS_AT_ONCE)),
        "refresh-waits": (tasks.STALE_WAITS, (20.0,)),
        "escalate-emergencies": (emergencies.DUE, (now,)),
        "expire-requests": (requests.DUE, (now,)),
        "note-no-shows": (upkeep.UNATTENDED, (now, 500)),
        "close-days": (days.UNCLOSED, (now,)),
        "daily-figures, days": (figures.DUE, (now, 500)),
        "daily-figures, one day": (figures.COMPUTE, (INSTITUTION, 1, day, "UTC", now)),
        "seal-audit": (audit.UNSEALED, (2000,)),
        "generate-slots": (tasks.DOCTORS_WITHOUT_SLOTS, (60,)),
        "file-slots, doctors": (tasks.DOCTORS_WITH_PAST_SLOTS, ()),
        "file-slots": (slots.FILE_SLOTS, (1, now, now - timedelta(days=1), 2000)),
        "file-appointments, doctors": (upkeep.DOCTORS_DUE, (now - timedelta(days=1),)),
        "file-appointments": (upkeep.FILE, (1, now - timedelta(days=1), now, 500)),
        "forget, appointments": (of_appointments.FORGET, (INSTITUTION, old, now, 500)),
        "forget, tickets": (of_tickets.FORGET, (INSTITUTION, old, now, 500)),
        "forget, emergencies": (emergencies.FORGET, (INSTITUTION, old, 500)),
        "forget, notices": (of_notices.FORGET, (INSTITUTION, now - timedelta(days=1800), 500)),
        "forget, events": (publish.FORGET_EVENTS, (INSTITUTION, now - timedelta(days=1800), 500)),
        "forget, patients": (retention.WALK, (INSTITUTION, 0, retention.PATIENTS_AT_ONCE)),
        "forget, those not seen": (retention.HOLD_UNSEEN, (list(range(1, 1 + retention.PATIENTS_AT_ONCE)), old)),
        "tidy, replies": (tasks.OLD_REPLIES, ()),
        "tidy, sessions": (tasks.OLD_SESSIONS, ()),
        "tidy, codes": (tasks.OLD_CODES, ()),
        "tidy, pairings": (tasks.OLD_PAIRINGS, ()),
    }


async def read_whole(conn: Any, sql: str, args: tuple[Any, ...]) -> set[str]:
    """The large tables that PostgreSQL would read from end to end for this statement."""
    plan = await conn.fetchval(f"explain (format json) {sql}", *args)
    found = set(re.findall(r'"Seq Scan"[^{}]*?"Relation Name":"(\w+)"', orjson.dumps(orjson.loads(plan)).decode()))
    return found & LARGE


async def timed(conn: Any, sql: str, args: tuple[Any, ...]) -> float:
    """Seconds that a statement takes; what it changed is taken back."""
    transaction = conn.transaction()
    await transaction.start()
    begun = time.perf_counter()
    await conn.fetch(sql, *args)
    seconds = time.perf_counter() - begun
    await transaction.rollback()
    return seconds


def this_instant() -> datetime:
    """Now."""
    return datetime.now(UTC)
