"""What is measured: each row is a coroutine that answers figures for us and for those beside us."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench import bookings, clinic, harness, notices, records, scans, slots
from tests.bench.wire import EVENT

SERVERS = ("ours", "stock", "node", "picows")


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
    return await fan_out(Size(100, 1, 5, 0.5, 10) if quick else Size(1000, 3, 20, 2.0, 40))


async def fan_out_5000(quick: bool) -> list[Row]:
    """One board's event to five thousand sockets."""
    return await fan_out(Size(500, 1, 5, 0.5, 10) if quick else Size(5000, 3, 4, 1.2, 4))


async def hot_queue(quick: bool) -> list[Row]:
    """The live queue, whole: one hot queue, one board's thousand screens, and everybody coming back at once."""
    boards, presses, storm = (50, 5, 20) if quick else (1000, 100, 200)
    last = Row(f'"call next" pressed → last of {boards:,} boards has it, p99', "ms", {"commit + picows": 1.5})
    middle = Row(f'"call next" pressed → last of {boards:,} boards has it, p50', "ms", {})
    pace = Row("call-next per second on one hot queue, 8 consoles", "/s", {"asyncpg alone": 0.6}, more_is_better=True)
    back = Row(f"{boards:,} boards reconnect at once and are exact", "s", {"bare connects": 2.0})
    async with clinic.clinic(waiting=presses + 2 * storm + 20, copies=2) as place:
        statements = await clinic.recorded(place, storm)
        # What making the clinic and its copies left to be written to disk would be waited for by whoever commits.
        await asyncio.to_thread(os.sync)
        pace.figures["asyncpg alone"] = storm / await clinic.replayed(place, statements)
        board = {"auth": place.device, "name": "subscribe"}
        stream = f"board:{place.queue}"
        await asyncio.to_thread(os.sync)
        async with clinic.serving(place) as (port, doctor), harness.clients() as pool:
            await pool.ask("staff", port=port, count=8, auth=doctor)
            await pool.ask("storm", name="call-next", asks=place.calls(16))
            spent = await pool.ask("storm", name="call-next", asks=place.calls(storm))
            pace.figures["ours"] = storm / spent["seconds"]
            await pool.ask("connect", port=port, count=boards, ask={"stream": stream}, **board)
            [[epoch, version, *_]] = (await pool.ask("positions"))["positions"]
            await pool.ask("press", name="call-next", asks=[place.call] * 3, every=0.05)
            waits = await pool.ask("press", name="call-next", asks=[place.call] * presses, every=0.05)
            _note(waits, "ours", last, middle)
            # Away for the last ten calls, two events each.
            known = {"stream": stream, "epoch": epoch, "version": version + 2 * max(0, presses - 7)}
            await pool.ask("leave")
            await asyncio.sleep(1)
            came = await pool.ask("connect", port=port, count=boards, ask=known, **board)
            _must_be_exact((await pool.ask("positions"))["positions"], known["version"])
            back.figures["ours"] = came["seconds"]
        await asyncio.to_thread(os.sync)
        async with harness.server("picows", DATABASE_URL=place.copies[0]) as (_, port), harness.clients() as pool:
            await pool.ask("connect", port=port, count=boards)
            await pool.ask("staff", port=port, count=1)
            await pool.ask("press", name="call-next", asks=[place.call] * 3, every=0.05)
            waits = await pool.ask("press", name="call-next", asks=[place.call] * presses, every=0.05)
            _note(waits, "commit + picows", last, middle)
    for who, label in (("ours", "bare connects"), ("picows", "picows")):
        async with harness.server(who) as (_, port), harness.clients() as pool:
            await pool.ask("connect", port=port, count=boards)
            await pool.ask("leave")
            await asyncio.sleep(1)
            back.figures[label] = (await pool.ask("connect", port=port, count=boards))["seconds"]
    return [last, middle, pace, back]


def _note(waits: dict[str, Any], who: str, last: Row, middle: Row) -> None:
    seconds = sorted(waits["last"])
    last.figures[who] = seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))] * 1000
    middle.figures[who] = statistics.median(seconds) * 1000


def _must_be_exact(positions: list[Any], version: int) -> None:
    """Raise unless every board got all versions after the one that it had, without gap, or a snapshot."""
    for _, now, first, final, whole, snapshot, count in positions:
        missed = first == [version + 1] and final == [now] and whole
        if not (missed or snapshot or (now == version and not first)):
            raise RuntimeError(f"{count} boards that had version {version} of {now} got {first}-{final}")


async def patient_search(quick: bool) -> list[Row]:
    """What a receptionist types, as it is typed, among a hundred thousand patients."""
    count, searches = (500, 30) if quick else (100_000, 300)
    middle = Row(f"patient search among {count:,}, p50", "ms", {})
    last = Row(f"patient search among {count:,}, p99 (at most 30 ms)", "ms", {})
    async with records.records(count) as conn:
        asked = records.typed(searches)
        await records.searched(conn, asked)
        ours, statements = await records.searched(conn, asked)
        for who, seconds in (("ours", ours), ("the SQL alone", await records.alone(conn, statements))):
            middle.figures[who] = statistics.median(seconds) * 1000
            last.figures[who] = sorted(seconds)[int(len(seconds) * 0.99) - 1] * 1000
    return [middle, last]


async def slot_locks(quick: bool) -> list[Row]:
    """Slots locked for somebody, with all that a lock counts and tells."""
    row = Row("locks per second, 16 at once", "/s", {"bare SET NX PX": 0.5}, more_is_better=True)
    pairs = []
    async with slots.redis_alone() as client:
        for _ in range(1 if quick else 3):
            await client.flushall()
            pairs.append(await slots.locks(client, 300 if quick else 10_000))
    row.figures["ours"], row.figures["bare SET NX PX"] = (statistics.median(one) for one in zip(*pairs, strict=True))
    return [row]


async def slot_search(quick: bool) -> list[Row]:
    """All free slots of fifty doctors in thirty days, over a million appointments, to the answer's last byte."""
    async with slots.month(5 if quick else 620) as conn:
        count = await conn.fetchval("select count(*) from appointments")
        ours, statements, free = await slots.found(conn, 3 if quick else 30)
        row = Row(
            f"{free:,} free slots of 50 doctors x 30 days, {count:,} appointments, p50 (at most 50 ms)",
            "ms",
            {"the SQL alone": 1.5},
        )
        last = Row("the same, p95", "ms", {})
        await records.alone(conn, [statements] * 3)
        for who, seconds in (
            ("ours", ours[1:]),
            ("the SQL alone", await records.alone(conn, [statements] * len(ours))),
        ):
            row.figures[who] = statistics.median(seconds) * 1000
            last.figures[who] = sorted(seconds)[int(len(seconds) * 0.95) - 1] * 1000
    return [row, last]


async def notices_sent(quick: bool) -> list[Row]:
    """Text messages by one worker, from their commit to the provider."""
    row = Row("notices per second, one worker, text messages", "/s", {"claims and requests": 0.5}, more_is_better=True)
    count = 40 if quick else 2000
    row.figures["ours"] = await notices.sent(count)
    row.figures["claims and requests"] = await notices.bare(count)
    return [row]


async def reminders_due(quick: bool) -> list[Row]:
    """The last of ten thousand that are due at the same moment."""
    count = 40 if quick else 10_000
    row = Row(f"lag of the last of {count:,} reminders due at once, two workers", "s", {"a minute": 1.0})
    row.figures |= await notices.lag(count)
    return [row]


async def last_seats(quick: bool) -> list[Row]:
    """Two hundred people who want one of twenty slots at once: none twice, everybody answered."""
    rounds = 1 if quick else 10
    middle, last = (Row(f"200 people for 20 slots, until answered, {which}", "ms", {}) for which in ("p50", "p99"))
    async with bookings.fight(rounds + 1) as place:
        fights = iter(place.rounds)
        await bookings.booked(place, next(fights))
        await bookings.barely(place, next(fights))
        for who, way in (("ours", bookings.booked), ("the bare transaction", bookings.barely)):
            seconds = sorted([one for _ in range(rounds) for one in await way(place, next(fights))])
            middle.figures[who] = statistics.median(seconds) * 1000
            last.figures[who] = seconds[int(len(seconds) * 0.99) - 1] * 1000
    return [middle, last]


async def lists(quick: bool) -> list[Row]:
    """The lists of appointments that people look at, over a million of them."""
    found: list[Row] = []
    async with slots.month(5 if quick else 620) as conn:
        await bookings.named(conn)
        count = await conn.fetchval("select count(*) from appointments")
        for what, (seconds, statements) in (await bookings.listed(conn, 3 if quick else 40)).items():
            row = Row(f"appointments, {what}, among {count:,}, p50", "ms", {})
            await records.alone(conn, [statements] * 3)
            for who, each in (
                ("ours", seconds[1:]), ("the SQL alone", await records.alone(conn, [statements] * len(seconds)))
            ):  # fmt: skip
                row.figures[who] = statistics.median(each) * 1000
            found.append(row)
    return found


async def cron_scans(quick: bool) -> list[Row]:
    """What each of the worker's jobs looks for, in a million records of each kind."""
    count = 2_000 if quick else 1_000_000
    rows = []
    async with scans.years(count) as conn:
        for name, (sql, args) in scans.scans(scans.this_instant()).items():
            row = Row(f"scan of {name}, {count:,} records", "ms", {})
            await scans.timed(conn, sql, args)
            row.figures["ours"] = statistics.median([await scans.timed(conn, sql, args) for _ in range(5)]) * 1000
            rows.append(row)
    return rows


ROWS: dict[str, Callable[[bool], Awaitable[list[Row]]]] = {
    "fan-out-1000": fan_out_1000,
    "fan-out-5000": fan_out_5000,
    "hot-queue": hot_queue,
    "patient-search": patient_search,
    "slot-locks": slot_locks,
    "slot-search": slot_search,
    "cron-scans": cron_scans,
    "notices": notices_sent,
    "reminders": reminders_due,
    "last-seats": last_seats,
    "lists": lists,
}
