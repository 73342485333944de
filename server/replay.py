"""Plays recorded visits into the demo clinic's queues: patients arrive, are called, seen and done, as the file says.

Invariant: it works only through the public commands, so whatever a person does at a console meanwhile is as good; what
no longer fits (a patient called by somebody else, an empty queue) is passed over.
"""

import asyncio
import csv
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal

import orjson

from server import demo, errors, logs, publish, store
from server.access import Actor, Role
from server.app import COMMANDS, ROWS
from server.catalog import NewPatient
from server.config import Config
from server.events import Urgency
from server.publish import Publisher
from server.queue.commands import CallNext, JoinQueue, OfTicket
from server.store import LOST, Command, Store

log = logs.get(__name__)

DAY = Path(__file__).parent / "demo-day.csv"
"""One day of three doctors, made with the public generator medscheduler (MIT); the names are nobody's."""
LONGEST_PAUSE = 10.0
"""Minutes of the recorded day without an event are cut to this."""
COMES_IN = 1.0
"""Minutes from being called to sitting down."""


class NothingToPlay(errors.Refusal):
    """The file has no visits in the expected form, or there is no demo clinic to play them in."""

    code, status, title = "nothing-to-play", 422, "There is nothing to play."


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """Something that happens in the recorded day: minutes from its beginning, which doctor, what, to whom."""

    minute: float
    doctor: str
    kind: Literal["arrives", "starts", "ends"]
    visit: str
    name: str
    birth_year: int


def read(file: Path) -> dict[str, list[Happening]]:
    """The happenings of each recorded date, in order. Raises `NothingToPlay`."""
    days: dict[str, list[Happening]] = {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            for row in csv.DictReader(lines):
                if row["status"] != "attended" or not (row["check_in_time"] and row["start_time"] and row["end_time"]):
                    continue
                who = (row["doctor"], row["appointment_id"], row["name"], int(row["dob"][:4]))
                for kind in ("arrives", "starts", "ends"):
                    at = datetime.fromisoformat(f"{row['appointment_date']}T{row[COLUMNS[kind]]}")
                    minute = at.hour * 60 + at.minute + at.second / 60
                    days.setdefault(row["appointment_date"], []).append(
                        Happening(minute, who[0], kind, who[1], who[2], who[3])
                    )
    except (OSError, KeyError, ValueError, UnicodeDecodeError) as wrong:
        raise NothingToPlay(f"{file.name} is not a file of visits.") from wrong
    if not days:
        raise NothingToPlay(f"{file.name} has no visit that was attended.")
    return {day: sorted(happenings) for day, happenings in sorted(days.items())}


COLUMNS = {"arrives": "check_in_time", "starts": "start_time", "ends": "end_time"}


async def run(config: Config, file: Path | None = None, speed: float = demo.SPEED) -> None:
    """Play the file's days one after the other, and again from the first, until cancelled. Raises `NothingToPlay`."""
    days = read(file or DAY)
    async with AsyncExitStack() as stack:
        pool = await store.connect(config.database_url, 4)
        stack.push_async_callback(pool.close)
        client = publish.connect(config.redis_url)
        stack.push_async_callback(client.aclose)
        publisher = await stack.enter_async_context(Publisher(pool, client, ROWS).running())
        things = Store(pool, publisher, base_url=config.base_url)
        kept = await pool.fetchval(demo.FACT, "demo")
        if kept is None:
            raise NothingToPlay("There is no demo clinic in this database.")
        player = Player(things, orjson.loads(kept)["ids"], speed)
        for round_ in count():
            for happenings in days.values():
                await player.play(happenings, round_)


class Player:
    """One replay and what it knows of the patients it brought in."""

    def __init__(self, things: Store, ids: dict[str, Any], speed: float) -> None:
        self.store = things
        self.ids = ids
        self.speed = speed
        self.institution: int = ids["institution"]
        self.doctors: list[str] = []
        self.current: dict[str, int] = {}
        self.commands: dict[str, Command[Any, Any]] = {command.name: command for command in COMMANDS}

    async def play(self, happenings: list[Happening], round_: int) -> None:
        """Play one day; long pauses are cut short, and nothing happens while the demo is paused."""
        self.doctors = sorted({one.doctor for one in happenings})[: len(self.ids["doctors"])]
        before = happenings[0].minute
        for nth, happening in enumerate(happenings):
            await asyncio.sleep(min(happening.minute - before, LONGEST_PAUSE) * 60 / self.speed)
            before = happening.minute
            await self._unpaused()
            if happening.doctor in self.doctors:
                await self._happen(happening, nth + round_)

    async def _unpaused(self) -> None:
        while True:
            try:
                if await self.store.pool.fetchval(demo.FACT, "demo-replay") == "playing":
                    return
            except LOST:
                log.warning("replay-waits-for-database")
            await asyncio.sleep(0.5)

    async def _happen(self, happening: Happening, nth: int) -> None:
        number = self.doctors.index(happening.doctor)
        queue_id, desk_id = self.ids["queues"][number], self.ids["desks"][number]
        doctor = Actor(Role.system, institution_id=self.institution, doctor_id=self.ids["doctors"][number])
        try:
            match happening.kind:
                case "arrives":
                    await self._do("join-queue", doctor, arrival(queue_id, happening, nth))
                case "starts":
                    called = await self._do("call-next", doctor, CallNext(queue_id=queue_id, desk_id=desk_id))
                    self.current[happening.visit] = called.ticket.ticket
                    await asyncio.sleep(COMES_IN * 60 / self.speed)
                    await self._do("start", doctor, OfTicket(ticket_id=called.ticket.ticket))
                case "ends":
                    ticket_id = self.current.pop(happening.visit, None)
                    if ticket_id is not None:
                        await self._do("complete", doctor, OfTicket(ticket_id=ticket_id))
        except errors.Unavailable:
            await asyncio.sleep(1)
        except errors.Refusal as refusal:
            log.debug("replay-passed-over", kind=happening.kind, code=refusal.code)

    async def _do(self, name: str, actor: Actor, ask: Any) -> Any:
        return await self.store.execute(self.commands[name], actor, ask)


def arrival(queue_id: int, happening: Happening, nth: int) -> JoinQueue:
    """A patient at the desk; now and then an urgent one, or one in a wheelchair: the order has something to do."""
    return JoinQueue(
        queue_id=queue_id,
        patient=NewPatient(name=happening.name, birth_year=happening.birth_year),
        urgency=Urgency.urgent if nth % 23 == 7 else Urgency.routine,
        requirements=["wheelchair"] if nth % 31 == 11 else [],
    )
