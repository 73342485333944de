"""What the worker looks for by the clock is found by an index, in tables of years."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.bench import scans
from tests.conftest import Postgres

pytestmark = pytest.mark.asyncio(loop_scope="module")
COUNT = 100_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def records(postgres: Postgres) -> AsyncIterator[Any]:
    """A database with years of records, whose planner goes by what it has counted."""
    url = postgres.fresh()
    conn = await asyncpg.connect(url, server_settings={"timezone": "UTC", "jit": "off"})
    await scans.filled(conn, COUNT)
    yield conn
    await conn.close()
    postgres.drop(url)


@pytest.mark.parametrize("name", scans.scans(scans.this_instant()))
async def test_no_scan_reads_a_large_table_from_end_to_end(records: Any, name: str) -> None:
    sql, args = scans.scans(scans.this_instant())[name]
    assert await scans.read_whole(records, sql, args) == set()


async def test_without_the_index_it_would(records: Any) -> None:
    transaction = records.transaction()
    await transaction.start()
    await records.execute("drop index tickets_to_forget")
    sql, args = scans.scans(scans.this_instant())["forget, tickets"]
    assert await scans.read_whole(records, sql, args) == {"tickets"}
    await transaction.rollback()
