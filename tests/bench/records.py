"""A hundred thousand patients to search in, named as unevenly as people are, and what a receptionist types."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import asyncpg

from server import store
from server.access import Actor, Role
from server.embedded import start_postgres
from server.patients import QUERIES, NewPatient
from server.patients.records import SearchPatients, found_by
from server.store import Pool, Store
from tests.bench.clinic import Nobody, One, Statement

INSTITUTION = 1
FIRST = (
    "maria mohammed anna jose fatima wei david sarah ahmed elena john aisha ivan noor lucía priya søren chloé omar mei"
)
LAST = (
    "garcía smith khan müller nguyen silva kowalski haddad o'brien singh rossi andersson tanaka okafor lópez-díaz ali"
)
STARTS, ENDS = (
    ["b", "br", "ch", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z"],
    ["an", "el", "in", "or", "us", "ez", "ira", "ova", "sen", "ton", "ler", "mann", "ski", "ini"],
)


def names(count: int) -> list[str]:
    """Names of which a few are very common and most are rare, always the same."""
    dice = random.Random(7)

    def rare() -> str:
        return (
            dice.choice(STARTS) + dice.choice("aeiou") + dice.choice(STARTS) + dice.choice("aeiou") + dice.choice(ENDS)
        )

    firsts = FIRST.split() + [rare() for _ in range(800)]
    lasts = LAST.split() + [rare() for _ in range(8000)]

    def drawn(of: list[str]) -> str:
        return of[min(len(of) - 1, int(dice.paretovariate(0.45)) - 1)].title()

    return [f"{drawn(firsts)} {drawn(lasts)}" for _ in range(count)]


def typed(count: int) -> list[str]:
    """What is typed to find some of them: growing beginnings, a slip of a finger, phones, dates, numbers."""
    dice = random.Random(11)
    asked = [
        "m",
        "ma",
        "mar",
        "maria",
        "maria g",
        "maria garcia",
        "mohamed",
        "muhammed khan",
        "o'brien",
        "garcia maria",
    ]
    asked += ["555", "5550", "+1 555 000 1234", "P000123", "19.05.1954", "1954", "maria 1954", "xyzzy", "wei na"]
    for name in dice.sample(names(2000), max(1, count - len(asked))):
        at = dice.randrange(1, len(name))
        asked.append(dice.choice([name[: dice.randint(3, len(name))], name[:at] + "x" + name[at + 1 :], name.lower()]))
    return asked[:count]


@asynccontextmanager
async def records(count: int) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A PostgreSQL of our own with so many patients in one institution, and as many in another."""
    with tempfile.TemporaryDirectory(prefix="callboard-bench-") as folder:
        postgres = await asyncio.to_thread(start_postgres, Path(folder) / "postgres")
        try:
            await store.migrate(postgres.url)
            conn = await asyncpg.connect(postgres.url, server_settings={"timezone": "UTC", "jit": "off"})
            await conn.execute("insert into institutions (name) values ('Here'), ('There')")
            await conn.execute("drop index patients_by_key")
            rows = []
            for institution in (INSTITUTION, INSTITUTION + 1):
                for nth, name in enumerate(names(count), start=1):
                    new = NewPatient(name=name, phone=f"+1 555 {nth:07}", birth_year=1930 + nth % 90)
                    keys = found_by(institution, new)
                    rows.append((institution, f"P{nth:06}", new.name, new.phone, new.birth_year, keys))
            columns = ["institution_id", "number", "name", "phone", "birth_year", "found_by"]
            await conn.copy_records_to_table("patients", records=rows, columns=columns)
            await conn.execute("create index patients_by_key on patients using gin (found_by) with (fastupdate = off)")
            await conn.execute("vacuum analyze patients")
            yield conn
            await conn.close()
        finally:
            await asyncio.to_thread(postgres.stop)


async def searched(conn: Any, asked: list[str]) -> tuple[list[float], list[list[Statement]]]:
    """Search each text as the server does; answers the seconds of each, and the statements that it ran."""
    things = Store(cast(Pool, One(conn)), Nobody())
    query = next(one for one in QUERIES if one.name == "search-patients")
    actor = Actor(Role.receptionist, id=1, institution_id=INSTITUTION)
    statements: list[list[Statement]] = []

    def note(one: Any) -> None:
        statements[-1].append((one.query, tuple(one.args or ())))

    conn.add_query_logger(note)
    seconds = []
    for text in asked:
        statements.append([])
        begun = time.perf_counter()
        async with things.snapshot() as view:
            await query.run(view, actor, SearchPatients(q=text))
        seconds.append(time.perf_counter() - begun)
    conn.remove_query_logger(note)
    return seconds, statements


async def alone(conn: Any, statements: list[list[Statement]]) -> list[float]:
    """Run the same statements by asyncpg alone; answers the seconds of each search."""
    seconds = []
    for one in statements:
        begun = time.perf_counter()
        for query, arguments in one:
            if arguments:
                await conn.fetch(query, *arguments)
            else:
                await conn.execute(query)
        seconds.append(time.perf_counter() - begun)
    return seconds
