"""Plays recorded visits into the demo clinic's queues: patients arrive, are called, seen and done, as the file says.

Invariant: it works only through the public commands, so whatever a person does at a console meanwhile is as good; what
no longer fits (a patient called by somebody else, an empty queue) is passed over.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import IntEnum
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from server import demo, errors, logs
from server.access import Actor, Role
from server.app import COMMANDS, connected
from server.config import Config
from server.events import Urgency
from server.patients import NewPatient
from server.queue import evaluate
from server.queue.commands import CallNext, JoinQueue
from server.queue.evaluate import Visit
from server.queue.steps import OfTicket
from server.store import LOST, Command, Store

log = logs.get(__name__)

DAY = Path(__file__).parent / "demo-day.csv"
"""One day of three doctors, made with the public generator medscheduler (MIT); the names are nobody's."""
LONGEST_PAUSE = timedelta(minutes=10)
"""Stretches of the recorded day without a happening are cut to this."""
COMES_IN = timedelta(minutes=1)
"""From being called to sitting down."""
LOOK_EVERY = 0.5
"""Seconds between looks at whether a paused day goes on."""


class NothingToPlay(errors.Refusal):
    """The file has no visits in the expected form, or there is no demo clinic to play them in."""

    code, status, title = "nothing-to-play", 422, "There is nothing to play."


class Kind(IntEnum):
    """What can happen; in one instant, in this order: whoever is done leaves before the next is called."""

    ends = 0
    arrives = 1
    is_called = 2
    starts = 3


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """Something that happens in the recorded day, and in whose visit: visits are numbered through the file."""

    at: datetime
    kind: Kind
    visit: int
    doctor: str = field(compare=False)
    patient: NewPatient = field(compare=False)


def read(file: Path) -> list[list[Happening]]:
    """The happenings of each recorded day, in order. Raises `NothingToPlay`."""
    try:
        visits = evaluate.read(file).visits
    except evaluate.FileRefused as refused:
        raise NothingToPlay(str(refused)) from refused
    days: dict[date, list[Happening]] = {}
    for number, visit in enumerate(visits, start=1):
        days.setdefault(visit.start.date(), []).extend(_happenings(number, visit))
    return [sorted(days[day]) for day in sorted(days)]


def _happenings(number: int, visit: Visit) -> Iterable[Happening]:
    try:
        patient = NewPatient(name=visit.name or f"Patient {number}", birth_year=visit.born)
    except ValidationError:
        # Its words would repeat the name.
        raise NothingToPlay(f"Visit {number} has a name or a year of birth that nobody can have.") from None
    end = visit.end or visit.start + timedelta(minutes=15)
    moments = {
        Kind.arrives: min(visit.joined or visit.start, visit.start),
        Kind.is_called: visit.start,
        Kind.starts: min(visit.start + COMES_IN, end),
        Kind.ends: end,
    }
    return (Happening(at, kind, number, visit.doctor, patient) for kind, at in moments.items())


async def run(config: Config, file: Path | None = None, speed: float = demo.SPEED) -> None:
    """Play the file's days one after the other, and again from the first, until cancelled. Raises `NothingToPlay`."""
    days = read(file or DAY)
    async with connected(config, 4) as (pool, publisher):
        kept = await pool.fetchval(demo.FACT, "demo")
        if kept is None:
            raise NothingToPlay("There is no demo clinic in this database.")
        player = Player(Store(pool, publisher, base_url=config.base_url), orjson.loads(kept)["ids"], speed)
        for round_ in count():
            for day in days:
                await player.play(day, round_)


class Player:
    """One replay, and the tickets that it has called in the visits that are under way."""

    def __init__(self, things: Store, ids: dict[str, Any], speed: float) -> None:
        self.store = things
        self.ids = ids
        self.speed = speed
        self.called: dict[int, int] = {}
        self.commands: dict[str, Command[Any, Any]] = {command.name: command for command in COMMANDS}

    async def play(self, day: list[Happening], round_: int = 0) -> None:
        """Play one day with as many of its doctors as the demo has; nothing happens while the demo is paused."""
        doctors = sorted({one.doctor for one in day})[: len(self.ids["doctors"])]
        self.called.clear()
        before = day[0].at
        for happening in day:
            if happening.doctor not in doctors:
                continue
            pause = min(happening.at - before, LONGEST_PAUSE)
            await asyncio.sleep(pause.total_seconds() / self.speed)
            before = happening.at
            await self._unpaused()
            await self._happen(happening, doctors.index(happening.doctor), happening.visit + round_)

    async def _unpaused(self) -> None:
        while True:
            try:
                if await self.store.pool.fetchval(demo.FACT, "demo-replay") == "playing":
                    return
            except LOST:
                log.warning("replay-waits-for-database")
            await asyncio.sleep(LOOK_EVERY)

    async def _happen(self, happening: Happening, number: int, nth: int) -> None:
        queue_id, desk_id = self.ids["queues"][number], self.ids["desks"][number]
        doctor = Actor(Role.system, institution_id=self.ids["institution"], doctor_id=self.ids["doctors"][number])
        ticket_id = self.called.get(happening.visit)
        try:
            match happening.kind:
                case Kind.arrives:
                    await self._do("join-queue", doctor, arrival(queue_id, happening.patient, nth))
                case Kind.is_called:
                    called = await self._do("call-next", doctor, CallNext(queue_id=queue_id, desk_id=desk_id))
                    self.called[happening.visit] = called.ticket.ticket
                case Kind.starts if ticket_id is not None:
                    await self._do("start", doctor, OfTicket(ticket_id=ticket_id))
                case Kind.ends if ticket_id is not None:
                    await self._do("complete", doctor, OfTicket(ticket_id=ticket_id))
        except errors.Unavailable:
            log.warning("replay-waits-for-database")
        except errors.Refusal as refusal:
            log.debug("replay-passed-over", kind=happening.kind.name, code=refusal.code)

    async def _do(self, name: str, actor: Actor, ask: Any) -> Any:
        return await self.store.execute(self.commands[name], actor, ask)


def arrival(queue_id: int, patient: NewPatient, nth: int) -> JoinQueue:
    """A patient at the desk; now and then an urgent one, or one in a wheelchair: the order has something to do."""
    return JoinQueue(
        queue_id=queue_id,
        patient=patient,
        urgency=Urgency.urgent if nth % 8 == 7 else Urgency.routine,
        requirements=["wheelchair"] if nth % 11 == 10 else [],
    )
