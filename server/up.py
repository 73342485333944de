"""`callboard up`: everything on this machine, from an empty folder to a board that moves.

Invariant: demo people exist only in a database that this module made. Its mark (`facts.origin = 'up'`) is written
only with the first schema of a database in our own cluster; a `DATABASE_URL` that somebody provides is served as
it is.
"""

import asyncio
import errno
import functools
import http.client
import json
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import redis

from server import embedded, store
from server.supervisor import (
    AlreadyUp,
    ChildDied,
    Interrupted,
    PythonChild,
    Supervisor,
    held,
    holder,
    interruptible,
    rotate,
    spawn_python,
)

DRAINED = 13.0
"""Seconds that the worker has for what is on its way to providers: cut off, it would be sent once more."""


@dataclass(frozen=True)
class Wish:
    """What the command line asked for."""

    host: str
    port: int
    data: Path
    demo: bool
    say: Callable[[str], None]


def up(wish: Wish) -> int:
    """Run everything until somebody stops it or a part of it ends; answer the exit status."""
    try:
        listener = _listen(wish.host, wish.port)
    except OSError as error:
        if other := holder(wish.data):
            wish.say(f"Callboard already runs on {wish.data} (pid {other.get('pid')}, {other.get('address')}).")
        elif error.errno == errno.EADDRINUSE:
            wish.say(f"Port {wish.port} is taken by another program: choose another with --port.")
        else:
            wish.say(f"Cannot listen on {wish.host}:{wish.port}: {error.strerror}.")
        return 1
    address = f"http://{_visible(wish.host)}:{listener.getsockname()[1]}"
    supervisor = Supervisor(wish.say)
    try:
        with held(wish.data, address) as tell, interruptible() as disarm:
            try:
                _start(wish, supervisor, listener, address, tell)
                supervisor.watch()
            except Interrupted:
                wish.say("Stopping.")
            finally:
                disarm()
                supervisor.stop()
    except (AlreadyUp, ChildDied, embedded.CannotStart, store.UpgradeChanged) as problem:
        wish.say(str(problem))
        return 1
    finally:
        listener.close()
    return 0


def _start(
    wish: Wish,
    supervisor: Supervisor,
    listener: socket.socket,
    address: str,
    tell: Callable[[dict[str, Any]], None],
) -> None:
    """Bring up every part in the order in which they need each other, and say where to look."""
    began = time.monotonic()
    data, say = wish.data, wish.say
    rotate(data / "log")
    say(f"Starting Callboard on {data}")
    ours = _lay_foundations(supervisor, data)
    env = {
        **os.environ,
        "DATABASE_URL": os.environ.get("DATABASE_URL") or _url(supervisor, "PostgreSQL"),
        "REDIS_URL": os.environ.get("REDIS_URL") or _url(supervisor, "Valkey"),
        "HOST": wish.host,
        "PORT": str(listener.getsockname()[1]),
        "PUBLIC_URL": os.environ.get("PUBLIC_URL") or address,
        "PYTHONUNBUFFERED": "1",
    }
    tell({name.lower(): env[name] for name in ("DATABASE_URL", "REDIS_URL", "PUBLIC_URL")})
    asyncio.run(store.migrate(env["DATABASE_URL"], origin="up" if ours else None))
    demo = _demo(env["DATABASE_URL"], env["PUBLIC_URL"], ours, wish)
    port, fd = listener.getsockname()[1], listener.fileno()

    def run(name: str, *args: str, keep: tuple[int, ...] = (), grace: float = 0.0) -> PythonChild:
        busy = functools.partial(_sending, env["DATABASE_URL"])
        log = data / "log" / f"{name}.log"
        return supervisor.add(spawn_python(name, ["-m", "server.cli", *args], env, log, keep, grace, busy))

    _forget_worker(env["REDIS_URL"])
    server = run("server", "serve", "--fd", str(fd), "--drain", "0.5", keep=(fd,))
    # The worker needs no server: both load side by side.
    worker = run("worker", "worker", grace=DRAINED)
    supervisor.wait(server, functools.partial(_ready, wish.host, port))
    supervisor.wait(worker, functools.partial(_worker_ready, env["REDIS_URL"]))
    if demo:
        supervisor.may_end.add("replay")
        run("replay", "replay", "--demo")
    say(f"Ready in {time.monotonic() - began:.1f} s.\n")
    say(_announce(demo, address))
    say("\nCtrl-C stops everything.")


def _lay_foundations(supervisor: Supervisor, data: Path) -> bool:
    """Start what no URL was given for; answer whether the database is ours."""
    starts: list[Callable[[], embedded.Running]] = []
    ours = not os.environ.get("DATABASE_URL")
    if ours:
        log = data / "log" / "postgres.log"
        starts.append(functools.partial(embedded.start_postgres, data / "postgres", log=log))
    if not os.environ.get("REDIS_URL"):
        log = data / "log" / "valkey.log"
        starts.append(functools.partial(embedded.start_redis, data / "valkey", log=log))
    if starts:
        supervisor.lay(*starts)
    return ours


def _url(supervisor: Supervisor, name: str) -> str:
    return next(part.url for part in supervisor.foundations if isinstance(part, embedded.Running) and part.name == name)


def _demo(database_url: str, base_url: str, ours: bool, wish: Wish) -> dict[str, Any] | None:
    """What the demo consists of, seeded first where the database is ours and empty; written to `demo.json`."""
    if not ours:
        wish.say("DATABASE_URL is set: that database is used as it is, without a demo.")
        return None
    if not wish.demo:
        return None
    from server import demo

    told = asyncio.run(demo.seed(database_url, base_url))
    if told is None:
        return None
    write_private(wish.data / "demo.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return told


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)


def _announce(demo: dict[str, Any] | None, address: str) -> str:
    """The addresses and sign-ins, one a line."""
    addresses = {"board": f"{address}/board", "console": f"{address}/console"}
    if demo:
        addresses |= demo["addresses"]
    lines = [(name.capitalize(), str(place)) for name, place in addresses.items() if place]
    if demo:
        lines += [
            (str(person["role"]).capitalize(), f"{person['email']}   password {person['password']}")
            for person in demo["sign_ins"]
        ]
        if patient := demo.get("patient"):
            lines.append(("Patient", f"{patient['contact']}   the code comes to the mailbox"))
    else:
        lines.append(("First user", "callboard user add EMAIL --role admin --name NAME --institution NAME"))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in lines)


# --- The machine's side: ports, readiness


def _listen(host: str, port: int) -> socket.socket:
    """The socket that the web process will serve, taken before anything starts; it listens only there."""
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _visible(host: str) -> str:
    """A name for `host` that other devices can open: for "every address", the one that leads outside."""
    if host not in {"0.0.0.0", "::", ""}:  # noqa: S104
        return f"[{host}]" if ":" in host else host
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # a documentation address; connecting a datagram socket sends nothing
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def _ready(host: str, port: int) -> bool:
    """Whether the web process answers that it, PostgreSQL and Redis can serve."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(local, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _sending(database_url: str) -> bool:
    """Whether a worker has messages on their way to a provider."""

    async def ask() -> bool:
        conn = await asyncpg.connect(database_url, timeout=0.5)
        try:
            return bool(await conn.fetchval(SENDING, timeout=0.5))
        finally:
            conn.terminate()

    with suppress(*store.LOST, asyncpg.PostgresError):
        return asyncio.run(ask())
    return False


SENDING = "select exists (select from notices where state = 'sending' and try_at > now())"


HEALTH = "arq:queue:health-check"
"""Where a worker reports, at its start and now and then, that it takes tasks."""


def _forget_worker(redis_url: str) -> None:
    """Take away what last time's worker reported, which may be an hour old."""
    with redis.Redis.from_url(redis_url) as client:
        client.delete(HEALTH)


def _worker_ready(redis_url: str) -> bool:
    """Whether the worker has reported since it started."""
    with suppress(redis.RedisError), redis.Redis.from_url(redis_url) as client:
        return bool(client.exists(HEALTH))
    return False
