"""What is done by the clock: each task looks for what is due in PostgreSQL and carries it out by the commands.

Invariant: what a task does is done under the gates of what it touches, so a second worker, or a second run, finds
nothing left to do; a refusal costs the one thing that it is about, and the task goes on.
"""

from typing import Any

from server import access, appointments, audit, due, emergencies, figures, logs, queue, retention
from server.availability import FILE_DOCTOR, GENERATE, OfDoctor
from server.queue import CLOSE_DAY, REFRESH_WAITS, CloseDay, RefreshWaits
from server.retention import FORGET, Forget
from server.settings import BookingSettings
from server.store import Command, Store

log = logs.get(__name__)

REFRESH_AFTER = 20
"""Seconds after which a queue's waits are told anew though nothing happened: a consultation may be overrunning."""


async def sweep(ctx: dict[str, Any]) -> None:
    """Publish what a process committed and could not publish."""
    swept = await ctx["publisher"].sweep()
    if swept:
        log.info("swept", streams=swept)


async def verify(ctx: dict[str, Any]) -> None:
    """Put right every stream that Redis has lost or has an older state of."""
    wrong = await ctx["publisher"].verify()
    if wrong:
        log.info("streams-repaired", streams=wrong)


async def refresh_waits(ctx: dict[str, Any]) -> None:
    """Tell the waits anew of queues where somebody waits and nothing has happened for a while."""
    things: Store = ctx["store"]
    stale = [RefreshWaits(queue_id=row["id"]) for row in await things.pool.fetch(STALE_WAITS, float(REFRESH_AFTER))]
    await due.carry_out(things, REFRESH_WAITS, stale, log.warning, "waits-not-refreshed")


STALE_WAITS = """
select q.id from queues q
where q.waits_at < now() - make_interval(secs => $1) and q.state <> 'closed'
    and exists (select from tickets t where t.queue_id = q.id and t.state = 'waiting')
    and exists (select from tickets t where t.queue_id = q.id and t.state in ('called', 'in_consultation'))
"""


async def escalate(ctx: dict[str, Any]) -> None:
    """Tell more people of the emergencies that nobody has acknowledged in time."""
    things: Store = ctx["store"]
    unanswered = [emergencies.OfEmergency(emergency_id=id_) for id_ in await emergencies.due(things.pool, things.now())]
    escalated = due.carried_out(things, emergencies.ESCALATE, unanswered, log.warning, "emergency-not-escalated")
    async for one, told in escalated:
        log.warning("emergency-escalated", emergency=one.emergency_id, level=told.level, told=told.doctors_told)


async def expire_requests(ctx: dict[str, Any]) -> None:
    """End the requests for an appointment that nobody has answered in time; their seats are free."""
    if ended := await appointments.expire_requests(ctx["store"]):
        log.info("requests-expired", count=ended)


async def note_no_shows(ctx: dict[str, Any]) -> None:
    """Note whoever did not come to their appointment, where a clinic wants that noted by the clock."""
    if missed := await appointments.note_no_shows(ctx["store"]):
        log.info("no-shows-noted", count=missed)


async def close_days(ctx: dict[str, Any]) -> None:
    """Close the day of every queue whose place has come to the end of it."""
    things: Store = ctx["store"]
    over = [CloseDay(queue_id=id_) for id_ in await queue.unclosed(things.pool, things.now())]
    async for one, closed in due.carried_out(things, CLOSE_DAY, over, log.warning, "day-not-closed"):
        if closed.closed:
            log.info("day-closed", queue=one.queue_id, **closed.model_dump(exclude={"closed"}))


async def daily_figures(ctx: dict[str, Any]) -> None:
    """Compute what the days came to that are over."""
    things: Store = ctx["store"]
    if changed := await figures.compute_due(things.pool, things.now()):
        log.info("figures-computed", changed=changed)


async def forget(ctx: dict[str, Any]) -> None:
    """Forget what institutions want forgotten, a few records at a time until nothing is left to forget."""
    things: Store = ctx["store"]
    for id_ in await retention.forgetful(things.pool):
        ask = Forget(institution_id=id_)
        while True:
            told = await things.execute(FORGET, access.SYSTEM, ask)
            counts = told.model_dump(exclude={"last_patient"})
            if any(counts.values()):
                log.info("forgotten", institution=id_, **counts)
            elif told.last_patient is None:
                break
            ask = Forget(institution_id=id_, behind_patient=told.last_patient)


async def file_appointments(ctx: dict[str, Any]) -> None:
    """Take the appointments out of sight that have been over for a day."""
    if filed := await appointments.file_all(ctx["store"]):
        log.info("appointments-filed", count=filed)


async def generate_slots(ctx: dict[str, Any]) -> None:
    """Make the slots of days that have become near enough to be booked."""
    days = BookingSettings().advance_booking_days
    await _for_doctors(ctx, GENERATE, DOCTORS_WITHOUT_SLOTS, days)


DOCTORS_WITHOUT_SLOTS = """
select distinct d.id
from schedules s join doctors d on d.id = s.doctor_id join institutions i on i.id = s.institution_id
    join locations l on l.id = s.location_id
where d.active and l.retired_at is null and (s.ends_on is null or s.made_until is null or s.made_until <= s.ends_on)
    and coalesce(s.made_until, 'epoch') <= (now() at time zone coalesce(l.zone, i.zone))::date
        + coalesce((d.booking->>'advance_booking_days')::integer, (i.booking->>'advance_booking_days')::integer, $1)
"""


async def file_slots(ctx: dict[str, Any]) -> None:
    """Show slots no more that ended a day ago."""
    await _for_doctors(ctx, FILE_DOCTOR, DOCTORS_WITH_PAST_SLOTS)


DOCTORS_WITH_PAST_SLOTS = """
select distinct doctor_id as id from slots
where filed_at is null and ends_at < now() - make_interval(days => 1)
"""


async def _for_doctors(ctx: dict[str, Any], command: Command[OfDoctor, Any], which: str, *args: int) -> None:
    """Carry a command out for each of these doctors."""
    things: Store = ctx["store"]
    doctors = [OfDoctor(doctor_id=row["id"]) for row in await things.pool.fetch(which, *args)]
    await due.carry_out(things, command, doctors, log.warning, "slots-not-kept")


async def seal_audit(ctx: dict[str, Any]) -> None:
    """Seal what has been put on the audit trail."""
    await audit.seal(ctx["store"].pool)


async def tidy(ctx: dict[str, Any]) -> None:
    """Forget what nobody can need any more: replies kept for retries, ended sessions, unused pairings."""
    for statement in (OLD_REPLIES, OLD_SESSIONS, OLD_PAIRINGS, OLD_CODES):
        await ctx["store"].pool.execute(statement)


OLD_REPLIES = "delete from replies where at < now() - interval '1 day'"
OLD_SESSIONS = "delete from sessions where expires_at < now() - interval '30 days'"
OLD_CODES = "delete from sign_in_codes where created_at < now() - interval '1 day'"
OLD_PAIRINGS = "delete from pairings where device_id is null and expires_at < now() - interval '1 day'"
