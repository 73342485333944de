"""A clinic whose processes are killed at random while people work: `python -m tests.chaos --boards 50 --kills 300`.

Invariant held at the end: every board has seen each event that PostgreSQL has, from its first answer on, once and in
order; its rows are PostgreSQL's; and every command that was acknowledged is there, done once.
"""

import argparse
import asyncio
import collections
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import redis.asyncio as redis

from server import store, tether
from server.config import ROOT
from server.embedded import Running, start_postgres, start_redis
from tests.watchers import Board, Console, signed_in
from tests.world import World, opened


@dataclass
class Clinic:
    """Real processes on a folder: PostgreSQL, Valkey, web processes, a worker; each can be killed and comes back."""

    folder: Path
    postgres: Running
    redis: Running
    ports: list[int]
    pipe: tuple[int, int] = field(default_factory=os.pipe)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = ""
    queue: int = 0
    desks: list[int] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)

    @property
    def urls(self) -> list[str]:
        """Where its web processes answer."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def board(self) -> str:
        """The stream that boards follow."""
        return f"board:{self.queue}"

    def start(self, name: str) -> None:
        """Start a web process (by its port) or the worker; tethered, so that none is left behind."""
        env = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "PORT": name,
            "LOG_LEVEL": "warning",
            tether.PIPE: f"{os.getpid()}:{self.pipe[0]}",
        }
        command = ["worker"] if name == "worker" else ["serve", "--drain", "2"]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "server.cli", *command],
                cwd=ROOT,
                env=env | ({} if name != "worker" else {"PORT": "0"}),
                pass_fds=(self.pipe[0],),
                stdout=log,
                stderr=log,
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """End a process; answers its exit status."""
        process = self.processes[name]
        process.send_signal(number)
        return process.wait(10)

    async def kill_redis(self) -> None:
        """End Valkey as a power cut does, and bring it back with what its disk has."""
        self.redis.process.kill()
        await asyncio.to_thread(self.redis.process.wait)
        self.redis = await asyncio.to_thread(start_redis, self.folder / "redis")

    async def kill_postgres(self, number: int = signal.SIGQUIT) -> None:
        """End PostgreSQL at once; it recovers from its log when it comes back."""
        self.postgres.process.send_signal(number)
        await asyncio.to_thread(self.postgres.process.wait)

    async def revive_postgres(self) -> None:
        """Bring PostgreSQL back."""
        self.postgres = await asyncio.to_thread(_postgres, self.folder)

    async def up(self, name: str, patience: float = 30.0) -> None:
        """Return once the web process at this port answers that it is alive."""
        async with asyncio.timeout(patience), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{name}/healthz") as response:
                        if response.status == 200:
                            return
                assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()[-2000:]
                await asyncio.sleep(0.05)

    async def events(self, stream: str | None = None) -> list[tuple[int, str, Any]]:
        """What PostgreSQL has: (version, type, ticket)."""
        async with self.database() as conn:
            rows = await conn.fetch(EVENTS, stream or self.board)
        return [(row["version"], row["type"], row["ticket"]) for row in rows]

    @asynccontextmanager
    async def database(self) -> AsyncIterator[store.Connection]:
        """A connection of the test's own."""
        conn: store.Connection = await asyncpg.connect(self.postgres.url)
        try:
            yield conn
        finally:
            await conn.close()

    @asynccontextmanager
    async def at_redis(self) -> AsyncIterator["redis.Redis"]:
        """A client of the test's own."""
        client: redis.Redis = redis.Redis.from_url(self.redis.url)
        try:
            yield client
        finally:
            await client.aclose()

    def watch(self, number: int = 0, stream: str | None = None, **options: Any) -> Board:
        """A board at one of the web processes; it is a doctor's screen, so that it may see any stream."""
        return Board(self.urls[number % len(self.urls)], stream or self.board, {"token": self.token}, **options)


EVENTS = "select version, type, (data->>'ticket')::bigint as ticket from events where stream = $1 order by version"


def _postgres(folder: Path) -> Running:
    # Without fsync, but written out at each commit: what a killed process leaves, the kernel still has.
    return start_postgres(folder / "postgres", durable=False, settings=("synchronous_commit=on",))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def clinic(
    webs: int = 1, worker: bool = True, prepare: Callable[[World], Awaitable[None]] | None = None
) -> AsyncIterator[Clinic]:
    """A clinic of real processes with one queue and one signed-in doctor."""
    with tempfile.TemporaryDirectory(prefix="callboard-chaos-") as name:
        folder = Path(name)
        postgres, valkey = await asyncio.gather(
            asyncio.to_thread(_postgres, folder), asyncio.to_thread(start_redis, folder / "redis")
        )
        place = Clinic(folder, postgres, valkey, [free_port() for _ in range(webs)])
        try:
            await store.migrate(postgres.url)
            async with opened(postgres.url, valkey.url) as world:
                place.queue, place.desks = await world.queue(), world.desks
                place.token = await signed_in(world)
                if prepare is not None:
                    await prepare(world)
                await world.published()
            names = [*map(str, place.ports), *(["worker"] if worker else [])]
            for each in names:
                place.start(each)
            for port in place.ports:
                await place.up(str(port))
            yield place
        finally:
            for process in place.processes.values():
                process.kill()
                process.wait()
            for end in place.pipe:
                os.close(end)
            place.redis.stop()
            place.postgres.stop()


@dataclass
class Result:
    """What a storm did, and what it found wrong."""

    boards: int
    kills: dict[str, int]
    events: int
    presses: int
    tries: int
    connects: int
    snapshots: int
    seconds: float
    wrong: list[str]

    def __str__(self) -> str:
        kills = ", ".join(f"{count} × {kind}" for kind, count in sorted(self.kills.items()))
        told = (
            f"{self.boards} boards, {sum(self.kills.values())} kills ({kills}), {self.events} events, "
            f"{self.presses} commands in {self.tries} tries, {self.connects} connections, "
            f"{self.snapshots} snapshots, {self.seconds:.0f} s"
        )
        return told + "".join(f"\n  WRONG: {one}" for one in self.wrong)


async def storm(boards: int, kills: int, seed: int, every: float = 0.4, webs: int = 2) -> Result:
    """Kill `kills` things at random under `boards` boards and working consoles; then compare."""
    chance, begun = random.Random(seed), time.monotonic()
    async with clinic(webs) as place:
        watching = [
            place.watch(number, transports=("polling", "websocket") if number % 5 == 0 else ("websocket",))
            for number in range(boards)
        ]
        for board in watching:
            await board.open()
        console, stop = Console(place.token, *place.urls), asyncio.Event()
        acknowledged: list[int] = []
        work = [asyncio.create_task(press_on(console, place, desk, stop, acknowledged)) for desk in place.desks]
        done: collections.Counter[str] = collections.Counter()
        for kind in itertools.islice(dealt(chance), kills):
            await strike(kind, place, watching, chance)
            done[kind] += 1
            await asyncio.sleep(chance.uniform(0, 2 * every))
        for port in place.ports:
            await place.up(str(port))
        stop.set()
        await asyncio.gather(*work)
        await console.close()
        known = await place.events()
        wrong = await differences(place, watching, known)
        done_tickets = [ticket for _, type_, ticket in known if type_ == "patient-called"]
        wrong += [
            f"ticket {ticket} was called for two presses"
            for ticket, n in collections.Counter(acknowledged).items()
            if n > 1
        ]
        wrong += [f"ticket {ticket} was acknowledged and is lost" for ticket in {*acknowledged} - {*done_tickets}]
        result = Result(
            boards,
            dict(done),
            len(known),
            len(acknowledged),
            console.tries,
            sum(board.connects for board in watching),
            sum(len(board.snapshots) for board in watching),
            time.monotonic() - begun,
            wrong,
        )
        await asyncio.gather(*(board.close() for board in watching))
        return result


async def differences(place: Clinic, watching: list[Board], known: list[tuple[int, str, Any]]) -> list[str]:
    """What boards have seen other than PostgreSQL has; waits until each has come as far, or could have."""
    last, wrong = known[-1][0], []
    for number, board in enumerate(watching):
        try:
            await board.reaches(last, 30)
        except TimeoutError:
            wrong.append(f"board {number} stays at {board.version} of {last} (live: {board.live})")
            continue
        if len(board.snapshots) > 1:
            wrong.append(f"board {number} was given snapshots at {board.snapshots}, though the history was long enough")
        if board.seen != [event for event in known if board.snapshots[0] < event[0] <= (board.version or 0)]:
            wrong.append(f"board {number} saw other events than PostgreSQL has")
        if board.rows != watching[0].rows and board.version == watching[0].version:
            wrong.append(f"board {number} shows other rows")
    return wrong


async def press_on(console: Console, place: Clinic, desk: int, stop: asyncio.Event, acknowledged: list[int]) -> None:
    """One desk's work: somebody joins, the next is called; each press is repeated until it is answered."""
    for number in itertools.count():
        if stop.is_set():
            return
        name = f"Patient {desk} {number}"
        status, answer = await console.press(f"/queues/{place.queue}/tickets", patient={"name": name})
        assert status == 201, answer
        status, answer = await console.press(f"/queues/{place.queue}/call-next", desk_id=desk)
        assert status == 200 or answer["code"] == "queue-empty", answer
        if status == 200:
            acknowledged.append(answer["ticket"]["ticket"])
        await asyncio.sleep(0.05)


DECK = ["socket"] * 5 + ["web"] * 2 + ["links", "worker", "redis", "flush", "postgres"]
"""What is killed, in these proportions; `links` are all connections to Redis, `flush` empties it."""


def dealt(chance: random.Random) -> Iterator[str]:
    """Kinds of kills, shuffled: each comes up in every dozen."""
    while True:
        yield from chance.sample(DECK, len(DECK))


async def strike(kind: str, place: Clinic, watching: list[Board], chance: random.Random) -> None:
    """Kill one thing of this kind, and bring it back."""
    if kind == "socket":
        chance.choice(watching).cut()
    elif kind == "links":
        async with place.at_redis() as client:
            for one in ("normal", "pubsub"):
                await client.execute_command("CLIENT", "KILL", "TYPE", one, "SKIPME", "yes")
    elif kind == "flush":
        async with place.at_redis() as client:
            await client.flushall()
    elif kind == "redis":
        await place.kill_redis()
    elif kind == "postgres":
        await place.kill_postgres()
        await place.revive_postgres()
    else:
        name = "worker" if kind == "worker" else str(chance.choice(place.ports))
        place.kill(name)
        place.start(name)


async def race(tickets: int) -> None:
    """The long form of `tests/test_races.py`: 64 consoles call a full pool empty."""
    from tests.test_races import CONSOLES, each_once

    with tempfile.TemporaryDirectory(prefix="callboard-chaos-") as name:
        postgres, valkey = _postgres(Path(name)), start_redis(Path(name) / "redis")
        try:
            await store.migrate(postgres.url)
            async with opened(postgres.url, valkey.url) as world:
                begun = time.monotonic()
                await each_once(world, tickets, CONSOLES)
                seconds = time.monotonic() - begun
        finally:
            valkey.stop()
            postgres.stop()
    print(
        f"{CONSOLES} consoles called {tickets} tickets, each once, in {seconds:.0f} s; a fifth of the presses were cut"
    )


def main() -> None:
    """Run the long form and print what came of it; the exit status says whether all was right."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--boards", type=int, default=50)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--every", type=float, default=0.4, help="seconds between kills, on average")
    parser.add_argument("--tickets", type=int, default=0, help="race 64 consoles for so many tickets instead")
    wish = parser.parse_args()
    if wish.tickets:
        asyncio.run(race(wish.tickets))
        return
    seed = random.randrange(2**32) if wish.seed is None else wish.seed
    print(f"seed {seed}", flush=True)
    result = asyncio.run(storm(wish.boards, wish.kills, seed, wish.every))
    print(result)
    sys.exit(1 if result.wrong else 0)


if __name__ == "__main__":
    main()
