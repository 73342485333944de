"""A person's own password: who may change it, what ends with it, and what a fresh token takes away from the old one."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from server import access, errors, logs, totp, web
from server.access import Actor, Role
from tests.doors import Closed, House, Somebody, person, served
from tests.world import PASSWORD, World

EMAIL = "noor@clinic.example"
NEW = "seven herons over brackish estuary"


async def somebody(world: World, role: Role = Role.receptionist) -> Actor:
    """Somebody who is signed in."""
    actor = await access.by_token(world.pool, await world.account(role, EMAIL, name="Noor Haddad"))
    assert actor is not None
    return actor


async def test_changed_password_opens_the_account_and_the_old_one_does_not(world: World) -> None:
    actor = await somebody(world)
    changed = await world.do("change-password", actor, password=PASSWORD, new_password=NEW)
    assert changed.sessions_ended == 0
    with pytest.raises(errors.WrongSignIn):
        await access.sign_in(world.pool, EMAIL, PASSWORD)
    assert (await access.sign_in(world.pool, EMAIL, NEW)).actor.id == actor.id


async def test_somebody_above_the_institutions_changes_theirs(world: World) -> None:
    root = await somebody(world, Role.super_admin)
    await world.do("change-password", root, password=PASSWORD, new_password=NEW)
    assert (await access.sign_in(world.pool, EMAIL, NEW)).actor.role is Role.super_admin


@pytest.mark.parametrize(
    ("new", "reason"),
    [("short", "too-short"), ("password1234", "common"), ("NoorHaddad2026", "personal"), (PASSWORD, "same")],
)
async def test_password_that_anybody_would_try_is_not_taken(world: World, new: str, reason: str) -> None:
    actor = await somebody(world)
    with pytest.raises(errors.WeakPassword) as weak:
        await world.do("change-password", actor, password=PASSWORD, new_password=new)
    assert weak.value.extra["reason"] == reason
    await access.sign_in(world.pool, EMAIL, PASSWORD)


async def test_of_two_who_change_it_at_once_one_is_told_that_it_has_changed(world: World) -> None:
    actor = await somebody(world)
    changes = [world.do("change-password", actor, password=PASSWORD, new_password=f"{NEW} {n}") for n in range(2)]
    answers = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["PasswordChanged", "WrongPassword"]


async def test_trail_says_that_it_was_changed_and_holds_neither(world: World) -> None:
    actor = await somebody(world)
    await world.do("change-password", actor, password=PASSWORD, new_password=NEW)
    row = await world.pool.fetchrow("select * from audit where action = 'change-password'")
    told = str(dict(row))
    assert "password" in told and NEW not in told and PASSWORD not in told


# Over HTTP and sockets


@pytest_asyncio.fixture
async def house(postgres: Any, redis_server: Any) -> AsyncIterator[House]:
    url = postgres.fresh()
    logs.configure(level="warning")
    async with served(url, redis_server.fresh()) as house:
        yield house
    postgres.drop(url)


CHANGE = {"password": PASSWORD, "new_password": NEW}


async def post(house: House, who: Somebody, path: str, **body: Any) -> Any:
    """An answer."""
    return await house.http.request("POST", f"/api/v1{path}", headers=who.headers, json=body)


async def test_other_sessions_are_cut_at_once_and_the_old_token_opens_nothing(house: House) -> None:
    mine = person(await house.world.account(Role.receptionist, EMAIL))
    theirs = person((await access.sign_in(house.world.pool, EMAIL, PASSWORD)).token)
    here, there = await house.knock(mine), await house.knock(theirs)
    changed = (await post(house, mine, "/session/password", **CHANGE)).json()
    assert changed["sessions_ended"] == 1
    for peer in (here, there):
        await peer.gone()
    for who in (mine, theirs):
        assert (await house.http.get("/api/v1/queues", headers=who.headers)).status_code == 401
        with pytest.raises(Closed):
            await house.knock(who)
    fresh = person(changed["token"])
    assert (await house.http.get("/api/v1/queues", headers=fresh.headers)).status_code == 200
    await house.knock(fresh)


async def test_page_gets_its_fresh_token_as_a_cookie_alone(house: House) -> None:
    await house.world.account(Role.receptionist, EMAIL)
    opened = await post(house, Somebody(), "/session", email=EMAIL, password=PASSWORD)
    cookie, csrf = opened.cookies[access.SESSION_COOKIE], opened.json()["csrf"]
    headers = {"Cookie": f"{access.SESSION_COOKIE}={cookie}", "X-CSRF-Token": csrf}
    answer = await house.http.post("/api/v1/session/password", headers=headers, json=CHANGE)
    assert answer.json() == {"token": None, "sessions_ended": 1}
    fresh = answer.cookies[access.SESSION_COOKIE]
    assert fresh != cookie and "HttpOnly" in answer.headers["set-cookie"]
    assert answer.cookies[web.CSRF_COOKIE] == csrf, "other windows of this browser go on"
    for value, status in ((cookie, 401), (fresh, 200)):
        house.http.cookies.clear()
        shown = await house.http.get("/api/v1/session", headers={"Cookie": f"{access.SESSION_COOKIE}={value}"})
        assert shown.status_code == status


async def test_guesses_at_ones_own_password_are_throttled_with_sign_ins(house: House) -> None:
    mine = person(await house.world.account(Role.receptionist, EMAIL))
    guess = {"password": "not the password", "new_password": NEW}
    codes = [(await post(house, mine, "/session/password", **guess)).json()["code"] for _ in range(11)]
    assert codes == ["wrong-password"] * 10 + ["too-many-requests"]
    right = await post(house, mine, "/session/password", **CHANGE)
    assert right.status_code == 429
    assert (await house.http.get("/api/v1/queues", headers=mine.headers)).status_code == 200


async def test_weak_choice_counts_as_no_guess(house: House) -> None:
    mine = person(await house.world.account(Role.receptionist, EMAIL))
    for _ in range(12):
        weak = await post(house, mine, "/session/password", password=PASSWORD, new_password="password1234")
        assert weak.json()["code"] == "weak-password"


async def test_second_factor_set_up_and_removed_gives_a_fresh_token_each_time(house: House) -> None:
    who = person(await house.world.account(Role.receptionist, EMAIL))
    begun = (await post(house, who, "/session/totp")).json()
    secret = base64.b32decode(begun["secret"])
    code = totp.code_at(secret, totp.step_at(datetime.now(UTC)))
    second = person((await post(house, who, "/session/totp/confirm", code=code)).json()["token"])
    await house.world.pool.execute("update second_factors set last_step = 0")
    removed = await house.http.request("DELETE", "/api/v1/session/totp", headers=second.headers, json={"code": code})
    third = person(removed.json()["token"])
    statuses = [
        (await house.http.get("/api/v1/queues", headers=one.headers)).status_code for one in (who, second, third)
    ]
    assert statuses == [401, 401, 200]


async def test_socket_cannot_ask_for_what_changes_its_session(house: House) -> None:
    peer = await house.knock(person(await house.world.account(Role.receptionist, EMAIL)))
    for name, ask in (("change-password", CHANGE), ("remove-totp", {"code": "000000"})):
        assert (await peer.call(name, ask))["problem"]["code"] == "unknown-event"
