"""Notices while the workers that send them are killed: `python -m tests.deliveries --notices 2000 --kills 40`.

Invariant held at the end: every notice has reached its provider, none twice under one name as the provider knows names
(a letter's Message-ID, a text message's notice), and PostgreSQL says of each that it was sent.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from server import tether
from server.config import ROOT
from server.embedded import start_postgres, start_redis
from server.store import migrate
from tests.providers import Postbox, Twilio, postbox, twilio
from tests.test_notices import booked
from tests.world import World, eventually, opened

MANY = """
insert into notices (institution_id, kind, cause, person, channel, recipient, facts, due_at, try_at, created_at)
select institution_id, kind, cause || '/' || nth, 'copy:' || nth,
    case nth % 2 when 0 then 'email' else 'sms' end,
    case nth % 2 when 0 then 'reader' || nth || '@example.org' else '+4479' || lpad(nth::text, 8, '0') end,
    facts, now(), now(), now()
from notices n cross join generate_series(1, $2::int) as nth where n.id = $1
"""
STATES = "select state, count(*) from notices where person like 'copy:%' group by state"
TRIES = "select sum(attempts) from notices where person like 'copy:%'"


@dataclass
class Office:
    """Two providers, and the real worker processes that hand messages to them."""

    world: World
    urls: dict[str, str]
    mail: Postbox
    phone: Twilio
    folder: Path
    pipe: tuple[int, int] = field(default_factory=os.pipe)
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str = "worker", *command: str) -> None:
        """Start a worker, or another command; tethered, so that none is left behind."""
        env = {
            **{name.upper(): str(value) for name, value in {**self.phone.settings(), **self.urls}.items()},
            "PATH": os.environ["PATH"],
            "SMTP_URL": self.mail.url,
            "MAIL_FROM": "Desk <desk@clinic.test>",
            "PUBLIC_URL": "https://clinic.test",
            "LOG_LEVEL": "warning",
            tether.PIPE: f"{os.getpid()}:{self.pipe[0]}",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "-m", "server.cli", *(command or ("worker",))],
                cwd=ROOT,
                env=env,
                pass_fds=(self.pipe[0],),
                stdout=log,
                stderr=log,
            )

    async def end(self, name: str = "worker", number: int = signal.SIGKILL) -> int:
        """End a worker; answers its exit status."""
        self.workers[name].send_signal(number)
        return await asyncio.to_thread(self.workers.pop(name).wait, 30)

    async def write(self, count: int) -> None:
        """Have so many notices due, half of them letters; nobody wakes a worker."""
        await booked(self.world, after=timedelta(days=9))
        (first,) = await self.world.pool.fetch("select id from notices where kind = 'booking-confirmed'")
        await self.world.pool.execute(MANY, first["id"], count)
        await self.world.pool.execute("delete from notices where person not like 'copy:%'")

    async def states(self) -> dict[str, int]:
        """How many notices are in each state."""
        return {row["state"]: row["count"] for row in await self.world.pool.fetch(STATES)}

    async def settled(self) -> bool:
        """Whether there is nothing left to send."""
        return not (await self.states()).keys() & {"pending", "sending"}


@asynccontextmanager
async def office(database_url: str, redis_url: str, **phone: Any) -> AsyncIterator[Office]:
    """An office on these servers, its workers ended with it."""
    urls = {"database_url": database_url, "redis_url": redis_url}
    with tempfile.TemporaryDirectory(prefix="callboard-office-") as folder:
        async with opened(database_url, redis_url) as world, postbox() as mail, twilio(**phone) as provider:
            place = Office(world, urls, mail, provider, Path(folder))
            try:
                yield place
            finally:
                for name in list(place.workers):
                    await place.end(name)


@dataclass
class Figures:
    """What a run came to."""

    notices: int
    kills: int
    seconds: float
    tries: int
    reached: int
    twice: int
    letters_repeated: int
    lost: int
    states: dict[str, int]
    failures: dict[str, int]


async def run(place: Office, count: int, kills: int, failing: float = 0.1, seed: int = 1) -> Figures:
    """Have so many notices sent by two workers that are killed so often, to providers that fail so often."""
    chance = random.Random(seed)
    await place.write(count)
    place.mail.failing = place.phone.failing = failing
    began = time.monotonic()
    for name in ("one", "two"):
        place.start(name)
    killed = 0
    while killed < kills:
        await asyncio.sleep(chance.uniform(0.3, 2.5))
        name = chance.choice(("one", "two"))
        await place.end(name)
        place.start(name)
        killed += 1
    await eventually(place.settled, 600)
    texts = Counter(said.key for said in place.phone.accepted)
    letters = len(place.mail.mails)
    return Figures(
        notices=count,
        kills=kills,
        seconds=round(time.monotonic() - began, 1),
        tries=await place.world.pool.fetchval(TRIES),
        reached=letters + len(texts),
        twice=sum(times - 1 for times in texts.values()),
        letters_repeated=place.mail.repeats,
        lost=count - letters - len(texts),
        states=await place.states(),
        failures=dict(place.phone.failed + place.mail.failed),
    )


async def main(count: int, kills: int, seed: int) -> Figures:
    """The same on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="callboard-deliveries-") as folder:
        postgres, redis = start_postgres(Path(folder) / "postgres"), start_redis(Path(folder) / "redis")
        try:
            await migrate(postgres.url)
            async with office(postgres.url, f"{redis.url}?db=0", slow=12.0) as place:
                return await run(place, count, kills, seed=seed)
        finally:
            redis.stop()
            postgres.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.deliveries", description=__doc__)
    parser.add_argument("--notices", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    figures = asyncio.run(main(asked.notices, asked.kills, asked.seed))
    for label, value in asdict(figures).items():
        print(f"{label:18} {value}")
    sys.exit(1 if figures.lost or figures.twice or set(figures.states) != {"sent"} else 0)
