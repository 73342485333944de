"""Callboard itself for the bench: its databases, a clinic with people waiting, and `callboard serve` on its core."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import asyncpg

from server import demo, store
from server.access import Actor, Role
from server.app import REACTIONS
from server.embedded import start_postgres, start_redis
from server.patients import NewPatient
from server.queue.commands import COMMANDS, CallNext, JoinQueue
from server.store import Command, Pool, Store
from tests.bench import harness

QUEUE = 3  # the demo's pool queue, which all its doctors serve


@dataclass
class Clinic:
    """A seeded clinic, and where to find it."""

    database: str
    copies: list[str]
    redis: str
    queue: int
    desks: list[int]
    device: dict[str, str]
    sign_in: dict[str, str]

    @property
    def call(self) -> dict[str, int]:
        """What the first desk asks for by "call next"."""
        return {"queue_id": self.queue, "desk_id": self.desks[0]}

    def calls(self, count: int) -> list[dict[str, int]]:
        """The same, from all desks in turn."""
        return [{"queue_id": self.queue, "desk_id": self.desks[one % len(self.desks)]} for one in range(count)]


class Nobody:
    """Publishes nothing: what is committed here is found in PostgreSQL by whoever subscribes."""

    def hand_over(self, committed: Any) -> None:
        pass

    def end(self, actors: Any) -> None:
        pass


def _command(name: str) -> Command[Any, Any]:
    return next(one for one in COMMANDS if one.name == name)


@asynccontextmanager
async def clinic(waiting: int, copies: int = 0) -> AsyncIterator[Clinic]:
    """Start PostgreSQL (with fsync) and Valkey, and fill the demo's pool queue; `copies` of the database beside it."""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        postgres = await asyncio.to_thread(start_postgres, Path(folder) / "postgres")
        redis = await asyncio.to_thread(start_redis, Path(folder) / "redis")
        try:
            await store.migrate(postgres.url, origin="up")
            told = await demo.seed(postgres.url, "http://bench.example")
            assert told is not None
            await _fill(postgres.url, told, waiting)
            names = [f"copy_{number}" for number in range(copies)]
            conn = await asyncpg.connect(postgres.url.replace("@/callboard?", "@/postgres?"))
            for name in names:
                await conn.execute(f"create database {name} template callboard")
            await conn.close()
            yield Clinic(
                database=postgres.url,
                copies=[postgres.url.replace("@/callboard?", f"@/{name}?") for name in names],
                redis=f"{redis.url}?db=0",
                queue=told["ids"]["queues"][QUEUE],
                desks=told["ids"]["desks"],
                device={"device": told["device"]["credential"]},
                sign_in=next(one for one in told["sign_ins"] if one["role"] == Role.doctor),
            )
        finally:
            await asyncio.to_thread(redis.stop)
            await asyncio.to_thread(postgres.stop)


async def _fill(url: str, told: dict[str, Any], waiting: int) -> None:
    pool = await store.connect(url, 4)
    await pool.execute("""update institutions set settings = '{"max_length": 50000, "walk_ins_per_day": 100000}'""")
    things = Store(pool, Nobody(), reactions=REACTIONS)
    actor = Actor(Role.system, institution_id=told["ids"]["institution"])
    for number in range(waiting):
        patient = NewPatient(name=f"Patient {number}")
        ask = JoinQueue(queue_id=told["ids"]["queues"][QUEUE], patient=patient)
        await things.execute(_command("join-queue"), actor, ask)
    await pool.close()


@contextmanager
def _free_port() -> Any:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@asynccontextmanager
async def serving(place: Clinic) -> AsyncIterator[tuple[int, dict[str, str]]]:
    """Run `callboard serve` on the server's core; yields its port and a doctor's credentials."""
    with _free_port() as port:
        env = {
            **os.environ,
            "DATABASE_URL": place.database,
            "REDIS_URL": place.redis,
            "PORT": str(port),
            "LOG_LEVEL": "warning",
            # One address and one person here are thousands.
            **dict.fromkeys(("LIMIT_ADDRESS", "LIMIT_PERSON", "LIMIT_DEVICE", "LIMIT_SOCKET"), "off"),
            "SOCKETS_PER_ADDRESS": "20000",
        }
    cpu = harness.cores()[0]

    def pin() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    argv = [sys.executable, "-m", "server.cli", "serve", "--drain", "0.2"]
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, cwd=harness.ROOT, preexec_fn=pin, stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as http:
            await _ready(http, url)
            keys = {"email": place.sign_in["email"], "password": place.sign_in["password"]}
            async with http.post(f"{url}/api/v1/session", json=keys) as answer:
                answer.raise_for_status()
                token = (await answer.json())["token"]
        yield port, {"token": token}
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                async with http.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


class One:
    """A pool of one connection, whose statements can be listened to."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn

    @asynccontextmanager
    async def acquire(self, **_: Any) -> AsyncIterator[Any]:
        yield self.conn


Statement = tuple[str, tuple[Any, ...]]
DOCTOR = "select id, institution_id, doctor_id from users where email = $1"


async def recorded(place: Clinic, calls: int) -> list[Statement]:
    """Every statement, in order, that this many "call next" run, on the first copy of the database."""
    conn = await asyncpg.connect(place.copies[0], server_settings={"timezone": "UTC", "jit": "off"})
    statements: list[Statement] = []
    conn.add_query_logger(lambda query: statements.append((query.query, tuple(query.args or ()))))
    things = Store(cast(Pool, One(conn)), Nobody(), reactions=REACTIONS)
    row = await conn.fetchrow(DOCTOR, place.sign_in["email"])
    assert row is not None
    doctor = Actor(Role.doctor, row["id"], row["institution_id"], doctor_id=row["doctor_id"])
    statements.clear()
    for call in place.calls(calls):
        await things.execute(_command("call-next"), doctor, CallNext(**call))
    await conn.close()
    return statements


async def replayed(place: Clinic, statements: list[Statement]) -> float:
    """Run them on the second copy by asyncpg alone; answers the seconds."""
    conn = await asyncpg.connect(place.copies[1], server_settings={"timezone": "UTC", "jit": "off"})
    begun = time.monotonic()
    for query, arguments in statements:
        if arguments and all(isinstance(one, tuple) for one in arguments):
            await conn.executemany(query, arguments)
        elif arguments:
            await conn.fetch(query, *arguments)
        else:
            await conn.execute(query)
    seconds = time.monotonic() - begun
    await conn.close()
    return seconds
