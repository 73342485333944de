"""What is measured: each row is a coroutine that answers figures for us and for those beside us."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench import harness

SERVERS = ("ours", "stock", "node", "picows")
EVENT: dict[str, Any] = {
    "type": "patient-called",
    "stream": "board:5",
    "epoch": "3f0c9b1e",
    "version": 1234,
    "at": "2026-11-21T09:30:00.123456+00:00",
    "data": {"ticket": 77, "token": "A017", "desk": "Room 3", "number": 1, "put": {"t:77": {"note": "x" * 318}}},
}  # 548 bytes as a WebSocket message


@dataclass
class Row:
    """One row of the table: the median for each server, in `unit`; less is better unless said otherwise."""

    name: str
    unit: str
    reach: dict[str, float]  # peer -> the ratio to it that we want to reach
    more_is_better: bool = False
    figures: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def ratios(self) -> dict[str, float]:
        """Ours by each of the others'."""
        mine = self.figures.get("ours")
        return {who: mine / value for who, value in self.figures.items() if mine and value and who != "ours"}

    def as_json(self) -> dict[str, Any]:
        """The row as it is written to the file."""
        return {**asdict(self), "ratios": self.ratios()}


@dataclass
class Size:
    """How much is measured."""

    sockets: int
    repeats: int
    paced: int  # events, one after the other in `pace` seconds
    pace: float
    burst: int  # events at once


async def _deliver(server: harness.Child, pool: harness.Child, sockets: int, count: int, every: float) -> float:
    """Send events to all; answers the server's CPU time per delivery in microseconds."""
    await pool.ask("expect", events=sockets * count)
    before = server.cpu_seconds()
    await server.ask("emit", count=count, every=every, event=EVENT)
    came = await pool.ask("received", within=30)
    spent = server.cpu_seconds() - before
    if came["events"] != sockets * count:
        raise RuntimeError(f"{came['events']} of {sockets * count} events came, {came['lost']} connections were lost")
    return spent / (sockets * count) * 1e6


async def fan_out(size: Size, servers: tuple[str, ...] = SERVERS) -> list[Row]:
    """Server CPU per delivery, paced and in a burst, and memory per idle socket."""
    label = f"{size.sockets:,} sockets"
    reach = {"node": 0.7, "picows": 1.4}
    paced = Row(f"server CPU per delivery, {label}, paced", "µs", reach)
    burst = Row(f"server CPU per delivery, {label}, burst", "µs", reach)
    memory = Row(f"memory per idle socket, {label}", "kB", {"node": 1.2})
    for who in servers:
        try:
            async with harness.server(who) as (server, port), harness.clients() as pool:
                # The first connections load code and fill caches, which are not a socket's memory.
                await pool.ask("connect", port=port, count=min(50, size.sockets))
                await server.ask("settle")
                before = server.resident()
                await pool.ask("connect", port=port, count=size.sockets)
                await server.ask("settle")
                memory.figures[who] = (server.resident() - before) / size.sockets / 1000
                everybody = size.sockets + min(50, size.sockets)
                await _deliver(server, pool, everybody, 3, 0.05)
                every = size.pace / size.paced
                for row, count, gap in ((paced, size.paced, every), (burst, size.burst, 0.0)):
                    row.figures[who] = statistics.median(
                        [await _deliver(server, pool, everybody, count, gap) for _ in range(size.repeats)]
                    )
        except harness.NotMeasured as reason:
            for row in (paced, burst, memory):
                row.missing[who] = str(reason)
        await asyncio.sleep(0.2)
    return [paced, burst, memory]


async def fan_out_1000(quick: bool) -> list[Row]:
    """One board's event to a thousand sockets."""
    return await fan_out(Size(100, 1, 5, 0.5, 10) if quick else Size(1000, 3, 20, 2.0, 50))


async def fan_out_5000(quick: bool) -> list[Row]:
    """One board's event to five thousand sockets."""
    return await fan_out(Size(500, 1, 5, 0.5, 10) if quick else Size(5000, 3, 6, 3.0, 10))


ROWS: dict[str, Callable[[bool], Awaitable[list[Row]]]] = {
    "fan-out-1000": fan_out_1000,
    "fan-out-5000": fan_out_5000,
}
