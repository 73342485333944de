"""The worker: what is due by the clock, run by arq on any number of machines.

Invariant: every task can run twice, late or not at all without harm: PostgreSQL has the truth, and each run does
whatever is due by then. Without Redis nothing runs; the worker waits for it and goes on.
"""

import asyncio
import contextlib
import signal
from email.utils import parseaddr
from typing import Any, ClassVar

from arq import Worker, cron, func
from arq.connections import RedisSettings
from redis.exceptions import RedisError

from server import access, administration, appointments, audit, emergencies, errors, logs, publish, store
from server.app import REACTIONS, ROWS
from server.availability import FILE_DOCTOR, GENERATE, OfDoctor
from server.config import Config
from server.notices.waking import JOB
from server.publish import Publisher
from server.queue import REFRESH_WAITS, RefreshWaits
from server.settings import BookingSettings
from server.store import LOST, Store
from workers import notices
from workers.senders.email import EmailSender
from workers.senders.mailbox import MailboxSender

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
    for row in await things.pool.fetch(STALE_WAITS, float(REFRESH_AFTER)):
        try:
            await things.execute(REFRESH_WAITS, access.SYSTEM, RefreshWaits(queue_id=row["id"]))
        except errors.Refusal as refusal:
            log.warning("waits-not-refreshed", queue=row["id"], code=refusal.code)


STALE_WAITS = """
select q.id from queues q
where q.waits_at < now() - make_interval(secs => $1) and q.state <> 'closed'
    and exists (select from tickets t where t.queue_id = q.id and t.state = 'waiting')
    and exists (select from tickets t where t.queue_id = q.id and t.state in ('called', 'in_consultation'))
"""


async def escalate(ctx: dict[str, Any]) -> None:
    """Tell more people of the emergencies that nobody has acknowledged in time."""
    things: Store = ctx["store"]
    for id_ in await emergencies.due(things.pool, things.now()):
        try:
            told = await things.execute(emergencies.ESCALATE, access.SYSTEM, emergencies.OfEmergency(emergency_id=id_))
            log.warning("emergency-escalated", emergency=id_, level=told.level, told=told.doctors_told)
        except errors.Refusal as refusal:
            log.warning("emergency-not-escalated", emergency=id_, code=refusal.code)


async def expire_requests(ctx: dict[str, Any]) -> None:
    """End the requests for an appointment that nobody has answered in time; their seats are free."""
    if ended := await appointments.expire_requests(ctx["store"]):
        log.info("requests-expired", count=ended)


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
where d.active and (s.ends_on is null or s.made_until is null or s.made_until <= s.ends_on)
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


async def _for_doctors(ctx: dict[str, Any], command: "store.Command[OfDoctor, Any]", which: str, *args: int) -> None:
    """Carry a command out for each of these doctors."""
    things: Store = ctx["store"]
    for row in await things.pool.fetch(which, *args):
        try:
            await things.execute(command, access.SYSTEM, OfDoctor(doctor_id=row["id"]))
        except errors.Refusal as refusal:
            log.warning("slots-not-kept", command=command.name, doctor=row["id"], code=refusal.code)


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


async def start_up(ctx: dict[str, Any]) -> None:
    """Open what the tasks work with."""
    config: Config = ctx["config"]
    stack = ctx["stack"] = contextlib.AsyncExitStack()
    pool = await store.connect(config.database_url, 4)
    stack.push_async_callback(pool.close)
    client = publish.connect(config.redis_url)
    stack.push_async_callback(client.aclose)
    publisher = await stack.enter_async_context(Publisher(pool, client, ROWS).running())
    ctx.update(
        publisher=publisher,
        store=Store(pool, publisher, base_url=config.base_url, secret_key=config.secret_key, reactions=REACTIONS),
    )
    ctx["post"] = post(ctx["store"], config)
    figures = lambda: {"backlog": publisher.backlog, "repaired": publisher.repaired}  # noqa: E731
    await stack.enter_async_context(administration.beating(pool, "worker", "", figures))


def post(things: Store, config: Config) -> notices.Post:
    """The ways out that are configured; into the mailbox for all else."""
    senders = {"email": EmailSender(things, config.smtp_url, config.mail_from)} if config.smtp_url else {}
    address = parseaddr(config.mail_from)[1] or "callboard@localhost"
    return notices.Post(things, senders, MailboxSender(things), mail_from=address)


async def shut_down(ctx: dict[str, Any]) -> None:
    """Close it."""
    if stack := ctx.pop("stack", None):
        await stack.aclose()


class Settings:
    """arq's settings: short timeouts and no kept results, because a killed job runs again only after its timeout."""

    functions: ClassVar[list[Any]] = [func(notices.send_notices, name=JOB, keep_result=0)]
    on_startup = start_up
    on_shutdown = shut_down
    job_timeout = 20
    keep_result = 0
    max_tries = 1
    poll_delay = 0.1
    health_check_interval = 5
    handle_signals = False
    log_results = False
    cron_jobs: ClassVar[list[Any]] = [
        cron(notices.send_notices, second=set(range(60)), run_at_startup=True, keep_result=0),
        cron(sweep, second=set(range(60)), run_at_startup=True, keep_result=0),
        cron(verify, second=set(range(0, 60, 5)), run_at_startup=True, keep_result=0),
        cron(refresh_waits, second=set(range(0, 60, 10)), keep_result=0),
        cron(escalate, second=set(range(1, 60, 5)), run_at_startup=True, keep_result=0),
        cron(expire_requests, second=set(range(5, 60, 10)), run_at_startup=True, keep_result=0),
        cron(file_appointments, minute={23}, second={0}, keep_result=0),
        cron(seal_audit, second=set(range(3, 60, 10)), keep_result=0),
        cron(generate_slots, second={30}, run_at_startup=True, keep_result=0),
        cron(file_slots, minute={7}, second={0}, run_at_startup=True, keep_result=0),
        cron(tidy, minute={17}, second={0}, keep_result=0),
    ]


def run(config: Config) -> None:
    """Work until a signal; what runs then is finished first. A lost Redis or PostgreSQL is waited for."""
    logs.configure(level=config.log_level, json=config.log_json)
    asyncio.run(_run(config))


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        worker = _worker(config)
        working = asyncio.create_task(worker.async_run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            await _drain(worker, working)
            return
        await _close(worker)
        try:
            await working
        except (RedisError, OSError, *LOST) as lost:
            log.warning("worker-waits", error=type(lost).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await stop.wait()


async def _drain(worker: Worker, working: "asyncio.Task[None]") -> None:
    """Let running jobs finish, take no new ones."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.5):
            await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    working.cancel()
    with contextlib.suppress(BaseException):
        await working
    await _close(worker)


async def _close(worker: Worker) -> None:
    """Close everything, also where arq stops half-way because Redis is away: what stays open would gather."""
    with contextlib.suppress(Exception):
        await worker.close()
    with contextlib.suppress(Exception):
        await shut_down(worker.ctx)


def _worker(config: Config) -> Worker:
    settings = {name: value for name, value in vars(Settings).items() if not name.startswith("_")}
    return Worker(
        **settings,
        redis_settings=_redis_settings(config.redis_url),
        ctx={"config": config},
    )


def _redis_settings(url: str) -> RedisSettings:
    settings = RedisSettings.from_dsn(url)
    settings.conn_retries = 0
    return settings
