"""What the bench's processes say to each other: one JSON object a line on standard input and output."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
from collections.abc import Awaitable, Callable
from typing import Any

Answer = Callable[..., Awaitable[dict[str, Any]]]

EVENT: dict[str, Any] = {
    "type": "patient-called",
    "stream": "board:5",
    "epoch": "3f0c9b1e",
    "version": 1234,
    "at": "2026-11-21T09:30:00.123456+00:00",
    "data": {"ticket": 77, "token": "A017", "desk": "Room 3", "number": 1, "put": {"t:77": {"note": "x" * 318}}},
}  # 548 bytes as a WebSocket message


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def answer_commands(commands: dict[str, Answer]) -> None:
    """Answer each line's command, one after the other, until standard input ends."""
    lines = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        ask = json.loads(line)
        say(await commands[ask.pop("do")](**ask))


async def settle() -> dict[str, Any]:
    """Free what is garbage, so that what is left is what the sockets need."""
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.05)
    return {}
