"""The worker's process: it wakes for what `workers.jobs` lists, by arq, on any number of machines.

Invariant: without Redis nothing runs; the worker waits for it and goes on. A signal lets what runs finish first.
"""

import asyncio
import contextlib
import signal
from datetime import UTC
from email.utils import parseaddr
from typing import Any, ClassVar

import httpx2
import uvloop
from arq import Worker, func
from arq.connections import RedisSettings
from redis.exceptions import RedisError

from server import administration, jobs, logs
from server.app import opened
from server.config import Config, Rate
from server.notices.waking import JOB
from server.store import LOST, Store
from workers import notices
from workers.jobs import JOBS, crons
from workers.senders import Sender
from workers.senders.app import AppSender
from workers.senders.email import EmailSender
from workers.senders.mailbox import MailboxSender
from workers.senders.push import PushSender
from workers.senders.twilio import TwilioSender
from workers.throttle import Throttle

log = logs.get(__name__)

CONNECTIONS = 4
"""To PostgreSQL, of one worker."""
OUTWARD = httpx2.Limits(max_connections=100, max_keepalive_connections=40, keepalive_expiry=30)
JOBS_WITHIN = 0.7
"""Seconds that jobs have for finishing when the worker is told to stop: what is cut off is done by the next run."""
DRAINED_WITHIN = notices.WITHIN + 1.0
"""Seconds for what is on its way to providers when the worker is told to stop."""


async def start_up(ctx: dict[str, Any]) -> None:
    """Open what the tasks work with."""
    config: Config = ctx["config"]
    stack = ctx["stack"] = contextlib.AsyncExitStack()
    things, publisher = await stack.enter_async_context(opened(config, CONNECTIONS))
    ctx.update(publisher=publisher, store=things)
    http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, limits=OUTWARD))
    throttle = Throttle(publisher.redis, rates(config))
    ways = ctx["post"] = post(things, config, http, throttle)
    if isinstance(mail := ways.senders.get("email"), EmailSender):
        stack.push_async_callback(mail.close)

    def figures() -> dict[str, Any]:
        return {"backlog": publisher.backlog, "repaired": publisher.repaired, "resting": throttle.resting()}

    ctx["worker"] = await stack.enter_async_context(administration.beating(things.pool, "worker", "", figures))
    await jobs.declare(things.pool, [job.name for job in JOBS], things.now())


def post(things: Store, config: Config, client: httpx2.AsyncClient, throttle: Throttle | None = None) -> notices.Post:
    """The ways out that are configured; into the mailbox for all else. Push services are their browsers' choice."""
    address = parseaddr(config.mail_from)[1] or "callboard@localhost"
    secure = config.base_url.startswith("https://")
    contact = config.base_url if secure else f"mailto:{address}"
    senders: dict[str, Sender] = {
        "app": AppSender(things),
        "push": PushSender(things, client, contact, config.push_inside),
    }
    if config.smtp_url:
        senders["email"] = EmailSender(things, config.smtp_url, config.mail_from)
    numbers = {"sms": config.twilio_sms, "whatsapp": config.twilio_whatsapp, "voice": config.twilio_voice}
    if numbers := {channel: number for channel, number in numbers.items() if number}:
        callbacks = f"{config.base_url}/callbacks/twilio" if config.public_url else ""
        template = config.twilio_whatsapp_template
        account = (config.twilio_url, config.twilio_account, config.twilio_token)
        senders |= dict.fromkeys(numbers, TwilioSender(things, client, *account, numbers, callbacks, template))
    return notices.Post(things, senders, MailboxSender(things), mail_from=address, throttle=throttle)


def rates(config: Config) -> dict[str, Rate | None]:
    """How often each provider may be asked."""
    return {"mail": config.limit_mail, "twilio": config.limit_twilio, "push": config.limit_push}


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
    cron_jobs: ClassVar[list[Any]] = crons()
    timezone = UTC


def run(config: Config) -> None:
    """Work until a signal; what runs then is finished first. A lost Redis or PostgreSQL is waited for."""
    logs.configure(level=config.log_level, json=config.log_json)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(config))


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
    """Take no new jobs, and let what is on its way to a provider get its answer noted; nothing else is waited for."""
    ways: notices.Post | None = worker.ctx.get("post")
    if ways is not None:
        ways.stopping.set()
    if running := set(worker.tasks.values()):
        await asyncio.wait(running, timeout=JOBS_WITHIN)
    if ways is not None and (under_way := ways.under_way()):
        await asyncio.wait(under_way, timeout=DRAINED_WITHIN)
    working.cancel()
    with contextlib.suppress(BaseException):
        await working
    await _close(worker)


async def _close(worker: Worker) -> None:
    """Close everything, also where arq stops half-way because Redis is away: what stays open would gather."""
    # arq would hand on that its jobs were cut off, as if the worker itself had been told to stop.
    cut_off = list(worker.tasks.values())
    worker.tasks.clear()
    for job in cut_off:
        job.cancel()
    await asyncio.gather(*cut_off, return_exceptions=True)
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
