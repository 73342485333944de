"""Runs a server on one core and its clients on another, and measures the server from outside."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE = 60.0  # seconds for any one answer


class NotMeasured(Exception):
    """A peer that this machine can't run; says why."""


def cores() -> tuple[int | None, int | None]:
    """The core for the server and the one for its clients; None where processes can't be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


class Child:
    """A process of the bench that answers commands."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ps = psutil.Process(process.pid)

    async def answer(self) -> dict[str, Any]:
        """Read the next answer."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of the bench ended: {await self.process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Give a command and wait for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return await self.answer()

    def cpu_seconds(self) -> float:
        """User and system time of all its threads: to the nanosecond on Linux, else to the clock tick."""
        try:
            threads = Path(f"/proc/{self.process.pid}/task").iterdir()
            return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
        except OSError:
            times = self.ps.cpu_times()
            return float(times.user + times.system)

    def resident(self) -> int:
        """Bytes of resident memory that are its own."""
        info = self.ps.memory_full_info()
        return int(getattr(info, "uss", info.rss))


@asynccontextmanager
async def child(
    argv: Sequence[str], cpu: int | None, env: dict[str, str] | None = None
) -> AsyncIterator[tuple[Child, dict[str, Any]]]:
    """Start a process pinned to a core; yields it with its first words, and ends it."""

    def pin() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        preexec_fn=pin,
        limit=1 << 24,
    )
    started = Child(process)
    try:
        yield started, await started.answer()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def node_modules() -> Path:
    """The folder where the peer's packages are installed, by npm, at first use."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise NotMeasured("Node's Socket.IO: node and npm aren't installed")
    lock = (HERE / "node" / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "callboard-bench" / hashlib.sha256(lock).hexdigest()[:16]
    if not (folder / "done").exists():
        shutil.copytree(HERE / "node", folder, dirs_exist_ok=True)
        install = await asyncio.create_subprocess_exec(
            npm, "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=folder, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(PATIENCE * 2):
            if await install.wait() != 0:
                raise NotMeasured("Node's Socket.IO: npm couldn't install it")
        (folder / "done").touch()
    shutil.copy(HERE / "node" / "server.js", folder)
    return folder


async def command(who: str) -> list[str]:
    """The command that starts this server."""
    if who == "node":
        return ["node", "--expose-gc", str(await node_modules() / "server.js")]
    return [sys.executable, "-m", "tests.bench.servers", who]


@asynccontextmanager
async def server(who: str, **env: str) -> AsyncIterator[tuple[Child, int]]:
    """Start a server; yields it and its port."""
    async with child(await command(who), cores()[0], env) as (started, said):
        yield started, said["port"]


@asynccontextmanager
async def clients() -> AsyncIterator[Child]:
    """Start a pool of clients."""
    async with child([sys.executable, "-m", "tests.bench.clients"], cores()[1]) as (started, _):
        yield started
