"""Assembly: the parts of one web process, wired and given their lifetime. Only entry points import this module."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import socketio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from server import (
    access,
    accounts,
    administration,
    appointments,
    audit,
    availability,
    contract,
    demo,
    devices,
    emergencies,
    events,
    figures,
    jobs,
    notices,
    patients,
    pauses,
    publish,
    queue,
    retention,
    slots,
    store,
    waitlist,
    web,
)
from server.config import ROOT, Config
from server.doors import Doors
from server.fanout import DirectServer, make_server
from server.live import Live
from server.pages import Clients, build_hash
from server.publish import Publisher, Rows
from server.queue.waits import Pace, ranges
from server.store import Command, Pool, Query, Store, reactions

COMMANDS: list[Command[Any, Any]] = [
    *patients.COMMANDS,
    *queue.COMMANDS,
    *availability.COMMANDS,
    *slots.COMMANDS,
    *appointments.COMMANDS,
    *waitlist.COMMANDS,
    *emergencies.COMMANDS,
    *notices.COMMANDS,
    *accounts.COMMANDS,
    *figures.COMMANDS,
    *devices.COMMANDS,
    *administration.COMMANDS,
    *retention.COMMANDS,
    *demo.COMMANDS,
]
QUERIES: list[Query[Any, Any]] = [
    *patients.QUERIES,
    *queue.QUERIES,
    *availability.QUERIES,
    *slots.QUERIES,
    *appointments.QUERIES,
    *waitlist.QUERIES,
    *emergencies.QUERIES,
    *notices.QUERIES,
    *accounts.QUERIES,
    *figures.QUERIES,
    *devices.QUERIES,
    *administration.QUERIES,
    *retention.QUERIES,
    *audit.QUERIES,
    *demo.QUERIES,
]
"""Everything that can be asked of Callboard; nothing registers itself at import."""

SLICES = (
    "settings",
    "catalog",
    "patients",
    "queue",
    "availability",
    "slots",
    "appointments",
    "waitlist",
    "emergencies",
    "notices",
    "accounts",
    "figures",
    "devices",
    "administration",
    "retention",
    "audit",
    "demo",
)
"""The declared order: a slice imports only earlier ones; a test parses the imports and holds it.

Appointments stand behind the queue: a step of an appointment that has a ticket needs the gates of the ticket's queue
before it begins, while a step of a ticket tells its appointment by a reaction, which needs no gate.
"""

REACTIONS = reactions(appointments.REACTIONS, waitlist.REACTIONS, emergencies.REACTIONS, notices.REACTIONS)
"""What later slices do about earlier ones' events, in the declared order."""


def together(*parts: Rows) -> Rows:
    """The rows of a stream that several slices fill."""

    async def rows(conn: store.Connection, id_: int) -> list[events.Row]:
        return [row for part in parts for row in await part(conn, id_)]

    return rows


ROWS: dict[str, Rows] = {
    "board": queue.board_rows,
    "staff": queue.staff_rows,
    "patient": together(queue.patient_rows, appointments.patient_rows, waitlist.patient_rows, notices.patient_rows),
    "waitlist": waitlist.desk_rows,
    "doctor": together(appointments.doctor_rows, emergencies.doctor_rows),
    "slots": availability.slot_rows,
    "admin": together(administration.admin_rows, emergencies.admin_rows),
}
"""How each kind of stream is read afresh from PostgreSQL."""


@asynccontextmanager
async def connected(config: Config, connections: int) -> AsyncIterator[tuple[Pool, Publisher]]:
    """PostgreSQL with so many connections, and a publisher that publishes to Redis."""
    async with AsyncExitStack() as stack:
        pool = await store.connect(config.database_url, connections)
        stack.push_async_callback(pool.close)
        client = publish.connect(config.redis_url)
        stack.push_async_callback(client.aclose)
        yield pool, await stack.enter_async_context(Publisher(pool, client, ROWS).running())


@asynccontextmanager
async def opened(config: Config, connections: int) -> AsyncIterator[tuple[Store, Publisher]]:
    """The store of a process that serves or works, with the locks and all reactions."""
    async with connected(config, connections) as (pool, publisher):
        clock = await store.clock_of(pool, config.clock_ahead)
        # What somebody is about to book is not offered to anybody else.
        async with slots.Locks(publisher.redis, clock).running() as locks:
            kept = Store(
                pool,
                publisher,
                base_url=config.base_url,
                secret_key=config.secret_key,
                clock=clock,
                reactions=REACTIONS,
                locks=locks,
            )
            yield kept, publisher


class App:
    """One web process: pages, HTTP and Socket.IO. Connections are made in the lifespan, on the server's loop."""

    def __init__(self, config: Config, build: str | None = None, alone: bool = False) -> None:
        self.config = config
        self.alone = alone
        self.clients = Clients(ROOT / "clients", build or build_hash(ROOT / "clients", ROOT / "server"))
        self.inner: ASGIApp | None = None
        self.live: Live | None = None
        self.store: Store | None = None
        self.publisher: Publisher | None = None
        self._router = Router(lifespan=self._lifespan, default=self._pass_on)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._router(scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.inner is not None, "requests come after startup"
        await self.inner(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _router: Any) -> AsyncIterator[None]:
        config = self.config
        async with AsyncExitStack() as stack:
            kept, publisher = await stack.enter_async_context(opened(config, config.pool_size))
            pool, client = kept.pool, publisher.redis
            kept.wake = notices.Waker(client).wake
            kept.push_inside = config.push_inside
            await notices.push.keys(pool, config.secret_key)
            doors = Doors(config, client)
            sio = make_server(
                cors_allowed_origins=origins(config),
                transports=list(config.transports),
                ping_interval=20,
                ping_timeout=20,
                enter=doors.enter,
                left=doors.left,
                heard=doors.heard,
            )
            live = await stack.enter_async_context(
                Live(sio, kept, publisher, COMMANDS, self.clients.build, doors).running()
            )
            # Builds the tables that the first estimate would otherwise wait for.
            ranges(Pace(), [], 1, 1)
            self.store, self.publisher, self.live = kept, publisher, live
            seen = jobs.Seen(pool)

            async def beaten(noted: dict[int, float]) -> None:
                await seen.look()
                await note_devices(live, kept, noted)

            self.inner = edge = web.build(
                config=config,
                store=kept,
                commands=COMMANDS,
                queries=QUERIES,
                clients=self.clients,
                documents={
                    "/openapi.json": contract.openapi(COMMANDS, QUERIES, web.OPERATIONS),
                    "/asyncapi.json": contract.asyncapi(COMMANDS),
                },
                checks={"postgresql": _select_one(pool), "redis": client.ping},
                collect=lambda: measured(live, publisher, sio, pool, doors, seen.at(kept.now())),
                doors=doors,
                routes=[*notices.callbacks.routes(lambda: kept, config), *notices.oneclick.routes(lambda: kept)],
                around=lambda router: socketio.ASGIApp(sio, other_asgi_app=router),
            )
            await stack.enter_async_context(
                administration.beating(
                    pool,
                    "web",
                    self.clients.build,
                    lambda: described(live, publisher, sio, edge),
                    partial(beaten, {}),
                )
            )
            if self.alone:
                handed_out = lambda: sio.manager.delivered_direct + sio.manager.delivered_queued  # noqa: E731
                await stack.enter_async_context(pauses.seldom(handed_out))
            yield
            await sio.shutdown()


def create_app(config: Config, build: str | None = None, alone: bool = False) -> App:
    """The ASGI application of one web process; `build` names what pages compare, instead of a hash of all files.

    `alone`: nothing else runs in this process, and its memory is looked through for our sake alone.
    """
    return App(config, build, alone)


def _select_one(pool: Pool) -> Callable[[], Awaitable[object]]:
    async def check() -> object:
        return await pool.fetchval("select 1")

    return check


def origins(config: Config) -> Callable[[str, Mapping[str, Any]], bool]:
    """Whether a page of this origin may open a socket: one of ours, or one that is allowed by name.

    A list of origins would shut out our own pages, whose browsers name theirs as well. Which of our two schemes a page
    came by is unknown behind a proxy that is not trusted to tell it.
    """
    named = frozenset({config.base_url, *config.allowed_origins})
    schemes = ("https",) if config.secure_cookies else ("https", "http")

    def allowed(origin: str, environ: Mapping[str, Any]) -> bool:
        host = environ.get("HTTP_HOST", "")
        return origin in named or origin in [f"{scheme}://{host}" for scheme in schemes]

    return allowed


def described(live: Live, publisher: Publisher, sio: DirectServer, edge: web.Edge) -> dict[str, Any]:
    """What a web process tells of itself on the status page."""
    sockets: dict[str, int] = {}
    for socket in live.sockets.values():
        kind = socket.actor.role.value
        sockets[kind] = sockets.get(kind, 0) + 1
    streams: dict[str, dict[str, int]] = {}
    for feed in live.feeds.values():
        of_kind = streams.setdefault(feed.stream.kind, {"streams": 0, "sockets": 0})
        of_kind["streams"] += 1
        of_kind["sockets"] += len(feed.sids)
    return {
        "sockets": sockets,
        "streams": streams,
        "sockets_cut": sio.manager.cut_slow,
        "backlog": publisher.backlog,
        "published": publisher.published,
        "repaired": publisher.repaired,
        "publish_failures": publisher.failed,
        "resyncs": live.resyncs,
        "errors": edge.meters.failed(),
    }


async def note_devices(live: Live, things: Store, noted: dict[int, float]) -> None:
    """Keep the last sign of life of every device that is connected here, of each once a minute; `noted` says when."""
    now = time.monotonic()
    here = live.devices_here()
    for device in noted.keys() - here.keys():
        del noted[device]
    signs = [
        devices.Sign(device_id=device, build=build, shown={str(queue): version for queue, version in shown.items()})
        for device, (build, shown) in here.items()
        if noted.get(device, -60.0) + devices.SEEN_EVERY.total_seconds() < now
    ]
    if signs:
        await things.execute(devices.NOTE_SIGNS_OF_LIFE, access.SYSTEM, devices.NoteSigns(signs=signs))
        noted.update({one.device_id: now for one in signs})


def measured(
    live: Live, publisher: Publisher, sio: DirectServer, pool: Pool, doors: Doors, scheduled: Sequence[jobs.Job]
) -> Iterable[Metric]:
    """What the live parts count, for `/metrics`; labels hold kinds and never ids of people."""
    sockets = GaugeMetricFamily("callboard_sockets", "Open sockets by kind of credential.", labels=["kind"])
    kinds: dict[str, int] = {}
    for socket in live.sockets.values():
        kinds[socket.actor.role] = kinds.get(socket.actor.role, 0) + 1
    for kind, count in kinds.items():
        sockets.add_metric([kind], count)
    yield sockets
    followed = GaugeMetricFamily("callboard_streams_followed", "Streams followed by kind.", labels=["kind"])
    streams: dict[str, int] = {}
    for feed in live.feeds.values():
        streams[feed.stream.kind] = streams.get(feed.stream.kind, 0) + 1
    for kind, count in streams.items():
        followed.add_metric([kind], count)
    yield followed
    delivered = CounterMetricFamily("callboard_deliveries", "Events written to sockets, by path.", labels=["path"])
    delivered.add_metric(["direct"], sio.manager.delivered_direct)
    delivered.add_metric(["queued"], sio.manager.delivered_queued)
    yield delivered
    yield CounterMetricFamily("callboard_sockets_cut", "Sockets cut for being slow.", value=sio.manager.cut_slow)
    yield CounterMetricFamily("callboard_streams_resynced", "Rooms brought in line with Redis.", value=live.resyncs)
    yield CounterMetricFamily("callboard_streams_reset", "Rooms told to subscribe anew.", value=live.resets)
    yield CounterMetricFamily("callboard_events_published", "Events published at once.", value=publisher.published)
    yield CounterMetricFamily("callboard_events_repaired", "Events published by repair.", value=publisher.repaired)
    yield CounterMetricFamily("callboard_publish_failures", "Events Redis did not take.", value=publisher.failed)
    yield GaugeMetricFamily("callboard_publish_backlog", "Committed events not published yet.", value=publisher.backlog)
    shut = CounterMetricFamily(
        "callboard_doors_shut", "Requests, events and connections beyond a limit.", labels=["door"]
    )
    for door, times in doors.refused.items():
        shut.add_metric([door], times)
    yield shut
    yield from of_jobs(scheduled)
    yield GaugeMetricFamily("callboard_database_connections", "Open connections.", value=pool.get_size())
    yield GaugeMetricFamily("callboard_database_idle", "Idle connections.", value=pool.get_idle_size())


def of_jobs(scheduled: Sequence[jobs.Job]) -> Iterable[Metric]:
    """How late each job of the worker is, how long it took, and whether it went wrong."""
    lag = GaugeMetricFamily("callboard_job_lag_seconds", "Seconds since a job has been due.", labels=["name"])
    took = GaugeMetricFamily("callboard_job_seconds", "Seconds that a job's last run took.", labels=["name"])
    failing = GaugeMetricFamily("callboard_job_failing", "1 where a job's last run went wrong.", labels=["name"])
    for one in scheduled:
        lag.add_metric([one.name], one.lag_s)
        took.add_metric([one.name], one.last_seconds or 0.0)
        failing.add_metric([one.name], float(one.failing))
    yield from (lag, took, failing)
