"""Locks as pages see them: taken over a socket, seen by others on another process, given up by a page that goes."""

import asyncio
from datetime import timedelta
from typing import Any

from server.access import Role
from server.slots import locks
from server.slots.locks import Locks
from tests.doors import House, served
from tests.test_locks import _soon, slots
from tests.watchers import Board, serving, until
from tests.world import World, eventually

QUICKLY = 1.0
"""Seconds: far more than it takes, far less than anybody waits."""


async def looking(url: str, world: World, who: Any) -> Board:
    """A page that looks at the first doctor's locks."""
    return await Board(url, f"locks:{world.doctors[0]}", who.auth).open()


async def free(world: World, slot: int, house: House) -> bool:
    shown = await Locks(world.publisher.redis).shown([world.doctors[0]])
    return slot not in shown[world.doctors[0]].slots


async def test_other_browser_on_another_process_sees_it_within_a_blink(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url) as house, serving(database_url, redis_url) as web:
        [slot] = await slots(house.world, day=_soon())
        mine, theirs = await house.sign_in(Role.receptionist), await house.sign_in(Role.receptionist)
        board = await looking(web.url, house.world, theirs)
        page = await house.knock(mine)
        held = (await page.call("lock-slot", {"slot_id": slot}))["ok"]
        await until(lambda: f"s:{slot}" in board.rows, QUICKLY)
        refused = await house.http.post(f"/api/v1/slots/{slot}/lock", json={}, headers=theirs.headers)
        assert (refused.status_code, refused.json()["code"]) == (409, "slot-locked")
        gone = await house.http.request(
            "DELETE", f"/api/v1/slots/{slot}/lock", headers={**mine.headers, "Lock-Token": held["token"]}
        )
        assert gone.json() == {"ended": True}
        await until(lambda: not board.rows, QUICKLY)
        assert [type_ for _, type_, _ in board.seen] == ["slot-locked", "slot-unlocked"]
        await board.close()


async def test_page_that_goes_frees_its_slot_and_one_that_comes_back_does_not(
    database_url: str, redis_url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(locks, "GRACE", 0.5)
    async with served(database_url, redis_url) as house:
        one, two = await slots(house.world, 2, day=_soon())
        who = await house.sign_in(Role.receptionist)
        page = await house.knock(who)
        tokens = [(await page.call("lock-slot", {"slot_id": slot}))["ok"]["token"] for slot in (one, two)]
        await page.ws.close()
        back = await house.knock(who)
        claimed = await back.call("claim-lock", {"token": tokens[0]})
        assert claimed["ok"]["slot_ids"] == [one]
        await eventually(lambda: free(house.world, two, house))
        assert not await free(house.world, one, house)
        assert (await back.call("claim-lock", {"token": tokens[1]}))["problem"]["code"] == "lock-lost"
        extended = await back.call("extend-lock", {"slot_id": one, "token": tokens[0]})
        assert extended["ok"]["extended"] is True


async def test_emptied_redis_tells_everybody_that_locks_are_gone(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url) as house:
        [slot] = await slots(house.world, day=_soon())
        who = await house.sign_in(Role.receptionist)
        board = await looking(house.url, house.world, who)
        page = await house.knock(who)
        await page.call("lock-slot", {"slot_id": slot})
        await until(lambda: bool(board.rows))
        before = board.epoch
        await house.world.publisher.redis.flushall()
        await until(lambda: not board.rows and board.epoch != before, patience=10)
        await board.close()


async def test_process_that_dies_leaves_its_locks_to_the_others(world: World, redis_url: str) -> None:
    [slot] = await slots(world, day=_soon())
    dead = Locks(world.publisher.redis)
    # Nobody sweeps for the process that took it; the world's does.
    await dead.lock(world.doctors[0], {slot: 1}, timedelta(seconds=0.6), [locks.Bound.of_person("user:1", 8)], False)
    await asyncio.wait_for(_swept(world), 5)


async def _swept(world: World) -> None:
    async def over() -> bool:
        assert isinstance(world.store.locks, Locks)
        return world.store.locks.swept == 1

    await eventually(over)
