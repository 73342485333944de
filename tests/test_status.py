"""How the system is, and what its screens last said of themselves."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from server import access, devices, errors, logs
from server.access import Role
from server.administration import beating, status
from tests.doors import House, Somebody, screen, served
from tests.world import World, eventually


@pytest_asyncio.fixture
async def house(postgres: Any, redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    url = postgres.fresh()
    logs.configure(level="warning")
    monkeypatch.setattr(status, "BEAT_EVERY", 0.05)
    async with served(url, redis_server.fresh()) as house:
        yield house
    postgres.drop(url)


async def asked(house: House, who: Somebody, path: str = "/status") -> Any:
    """An answer's content."""
    answer = await house.http.get(f"/api/v1{path}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def note(world: World, *signs: devices.Sign) -> int:
    """What a process does with the devices that are connected to it."""
    reply = await world.store.execute(devices.NOTE_SIGNS_OF_LIFE, access.SYSTEM, devices.NoteSigns(signs=list(signs)))
    return reply.devices


# Processes


async def test_each_process_describes_itself_and_one_that_stops_is_gone(house: House) -> None:
    admin = await house.sign_in(Role.admin)
    async with beating(house.world.pool, "worker", "", lambda: {"backlog": 0}) as worker:

        async def both() -> bool:
            return {one["kind"] for one in (await asked(house, admin))["processes"]} == {"web", "worker"}

        await eventually(both)
        told = await asked(house, admin)
        web = next(one for one in told["processes"] if one["kind"] == "web")
        assert not web["silent"] and web["build"] == house.app.clients.build
        assert web["figures"]["sockets"] == {} and web["figures"]["errors"] == 0
    assert worker not in [one["id"] for one in (await asked(house, admin))["processes"]]


async def test_sockets_and_streams_are_counted_by_kind(house: House) -> None:
    admin, board = await house.sign_in(Role.admin), await house.enrolled()
    queue = await house.world.queue()
    peer = await house.knock(board)
    await peer.follow(f"board:{queue}")

    async def counted() -> bool:
        figures = (await asked(house, admin))["processes"][0]["figures"]
        return figures["sockets"] == {"device": 1} and figures["streams"] == {"board": {"streams": 1, "sockets": 1}}

    await eventually(counted)


async def test_process_that_falls_silent_is_shown_so_and_lag_is_told(world: World) -> None:
    stuck = "insert into processes values ('web-1', 'web', now(), now() - interval '1 minute', 'b', '{}')"
    await world.pool.execute(stuck)
    await world.join(await world.queue())
    await world.published()
    await world.pool.execute("update events set published_at = null, at = at - interval '7 seconds'")
    told = await world.ask("status", "admin")
    assert [one.silent for one in told.processes] == [True]
    assert told.unpublished > 0 and told.lag_s >= 7


async def test_status_shows_no_other_institutions_screens(world: World) -> None:
    theirs = await world.other()
    ours, _ = await world.device()
    foreign, _ = await theirs.device()
    assert [one.device for one in (await world.ask("status", "admin")).devices] == [ours]
    assert {one.device for one in (await world.ask("status", "super_admin")).devices} == {ours, foreign}
    await world.do("revoke-device", "admin", device_id=ours)
    assert (await world.ask("status", "admin")).devices == []


# Screens


async def test_board_is_seen_with_its_build_and_the_call_it_showed_last(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, admin = house.world, await house.sign_in(Role.admin)
    monkeypatch.setattr(devices, "SEEN_EVERY", timedelta(0))
    queue = await world.queue()
    device, credential = await world.device()
    peer = await house.knock(screen(credential))
    await peer.call("hello", {"build": "abc123"})
    await peer.follow(f"board:{queue}")
    await world.join(queue)
    called = await world.call_next(queue)
    await world.join(queue)
    await peer.seen(lambda one: [event for event, _ in one.events][-1:] == ["ticket-joined"])
    version = called.board_version + 1
    await peer.call("call-shown", {"stream": f"board:{queue}", "version": version, "spoken": False})

    async def seen() -> bool:
        return bool((await asked(house, admin, "/devices"))["items"][0]["shown"])

    await eventually(seen)
    (row,) = (await asked(house, admin, "/devices"))["items"]
    assert (row["device"], row["build"]) == (device, "abc123") and row["seen_at"]
    assert [(one["queue"], one["version"], one["token"]) for one in row["shown"]] == [
        (queue, version, called.ticket.token)
    ]


async def test_build_that_is_no_build_is_refused(house: House) -> None:
    peer = await house.knock(await house.enrolled())
    for build in ("<script>", "x" * 65, 7):
        assert (await peer.call("hello", {"build": build}))["problem"]["code"] == "invalid-request"


async def test_signs_of_life_are_told_once_a_minute_and_add_up(still: World) -> None:
    queue = await still.queue()
    (one, _), (other, _) = await still.device("One"), await still.device("Other")
    counts = []
    async with still.verify(f"admin:{still.institution}"):
        for seconds in (0, 5, 30, 26):
            still.forward(seconds=seconds)
            signs = [devices.Sign(device_id=id_, build="b1", shown={str(queue): 0}) for id_ in (other, one)]
            counts.append(await note(still, *signs))
        await still.do("revoke-device", "admin", device_id=other)
        still.forward(minutes=2)
        counts.append(await note(still, *signs))
    assert counts == [2, 0, 0, 2, 1]
    assert [type_ for _, type_, _ in await still.events(f"admin:{still.institution}")].count("devices-seen") == 3


async def test_what_a_board_had_shown_stands_until_it_says_more(world: World) -> None:
    first, second = await world.queue("First"), await world.queue("Second")
    device, _ = await world.device()
    for shown in ({str(first): 4, str(second): 2}, {}, {str(first): 9}):
        await world.pool.execute("update devices set seen_at = null")
        await note(world, devices.Sign(device_id=device, shown=shown))
    (row,) = (await world.ask("list-devices", "admin")).items
    assert [(one.queue, one.version) for one in row.shown] == [(first, 9), (second, 2)]


async def test_renamed_board_is_told_to_admins_and_consoles(world: World) -> None:
    queue = await world.queue()
    device, _ = await world.device("Board")
    async with world.verify(f"admin:{world.institution}", f"staff:{queue}"):
        await world.do("rename-device", "admin", device_id=device, name="Entrance")
    assert (await world.fresh_rows(f"staff:{queue}"))[f"board:{device}"]["name"] == "Entrance"
    await world.do("revoke-device", "admin", device_id=device)
    for actor in ("admin", (await world.other()).actors["admin"]):
        with pytest.raises(errors.NotFound):
            await world.do("rename-device", actor, device_id=device, name="Again")


async def test_beat_goes_on_after_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "BEAT_EVERY", 0.01)
    beats = asyncio.Event()
    tries = 0

    def figures() -> dict[str, int]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ValueError("once")
        beats.set()
        return {}

    async with beating(world.pool, "web", "b", figures):
        await asyncio.wait_for(beats.wait(), 10)
