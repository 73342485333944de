"""Screens: code, enrolment, credential, end. People: sessions by cookie and by token, and their end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from server import access, devices, logs, passwords
from server.access import ANONYMOUS, Role
from server.app import COMMANDS
from tests.doors import NUMBERS, STRANGER, Closed, House, Peer, Somebody, holder, screen, served
from tests.world import PASSWORD, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres: Any, redis_server: Any) -> AsyncIterator[House]:
    url = postgres.fresh()
    logs.configure(level="warning")
    async with served(url, redis_server.fresh(), limit_stranger=None) as house:
        yield house
    postgres.drop(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(house: House) -> Somebody:
    return await house.sign_in(Role.admin)


async def asks_for_code(house: House) -> dict[str, Any]:
    """A screen that is switched on."""
    answer = await house.http.post("/api/v1/pairings", json={})
    assert answer.status_code == 201
    return dict(answer.json())


async def enrols(house: House, who: Somebody, code: str, **more: Any) -> httpx2.Response:
    """Somebody enters the code that a screen shows."""
    given = {"code": code, "location_id": house.world.location, "name": f"Board {next(NUMBERS)}", **more}
    return await house.http.post("/api/v1/devices/enroll", json=given, headers=who.headers)


async def stands(house: House, pairing: dict[str, Any]) -> Any:
    """What a screen is told of its code."""
    answer = await house.http.get("/api/v1/pairings", headers={"Authorization": f"Pairing {pairing['secret']}"})
    return answer.json().get("state", answer.json().get("code"))


# Pairing


async def test_screen_is_enrolled_by_its_code_and_its_secret_opens_the_boards(house: House, admin: Somebody) -> None:
    queue = await house.world.queue("Pairing")
    pairing = await asks_for_code(house)
    assert await stands(house, pairing) == "waiting"
    device = (await enrols(house, admin, pairing["code"])).json()["device_id"]
    assert await stands(house, pairing) == "enrolled"
    shown = (await house.http.get("/api/v1/device", headers=screen(pairing["secret"]).headers)).json()
    assert (shown["device"]["id"], shown["device"]["kind"]) == (device, "board")
    assert queue in [one["id"] for one in shown["queues"]]
    peer = await house.knock(screen(pairing["secret"]))
    assert "queue" in (await peer.follow(f"board:{queue}"))["snapshot"]["rows"]
    await peer.ws.close()


async def test_waiting_screens_secret_opens_nothing_else(house: House) -> None:
    secret = (await asks_for_code(house))["secret"]
    for header in ("Device", "Bearer", "Ticket"):
        answer = await house.http.get("/api/v1/device", headers={"Authorization": f"{header} {secret}"})
        assert answer.json()["code"] == "not-authenticated"
    with pytest.raises(Closed):
        await house.knock(screen(secret))


@pytest.mark.parametrize("typed", ["{a}-{b}", "{a}{b}", "{a} {b}", " {a}-{b} ", "lower"])
async def test_code_is_read_however_people_type_it(house: House, admin: Somebody, typed: str) -> None:
    code = (await asks_for_code(house))["code"]
    text = code.lower() if typed == "lower" else typed.format(a=code[:3], b=code[4:])
    assert (await enrols(house, admin, text)).status_code == 201


@pytest.mark.parametrize("typed", ["", "AAA", "AAA-AAA-AAA", "AAA--AAA", "AA0-AAA", "ÄÄÄ-AAA", "AAA_AAA", "AAA\nAAA"])
async def test_what_is_no_code_is_refused_by_form(house: House, admin: Somebody, typed: str) -> None:
    answer = await enrols(house, admin, typed)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/code")


async def test_code_nobody_shows_is_unknown(house: House, admin: Somebody) -> None:
    assert (await enrols(house, admin, "AAA-AAA")).json()["code"] == "pairing-unknown"


async def test_code_ends(house: House, admin: Somebody) -> None:
    pairing = await asks_for_code(house)
    await house.world.pool.execute("update pairings set expires_at = now() where device_id is null")
    assert await stands(house, pairing) == "expired"
    assert (await enrols(house, admin, pairing["code"])).json()["code"] == "pairing-unknown"
    await asks_for_code(house)
    assert await stands(house, pairing) == "not-authenticated", "it is forgotten"


async def test_code_is_good_for_one_screen_once(house: House, admin: Somebody) -> None:
    one, other = await asks_for_code(house), await asks_for_code(house)
    assert one["code"] != other["code"]
    first = await enrols(house, admin, one["code"])
    assert (await enrols(house, admin, one["code"])).json()["code"] == "pairing-unknown"
    assert await stands(house, other) == "waiting"
    second = await enrols(house, admin, other["code"])
    assert first.json()["device_id"] != second.json()["device_id"]


async def test_retried_enrolment_is_one_device(house: House, admin: Somebody) -> None:
    code = (await asks_for_code(house))["code"]
    given = {"code": code, "location_id": house.world.location, "name": "Twice"}
    headers = {**admin.headers, "Idempotency-Key": "enrol-once"}
    answers = [await house.http.post("/api/v1/devices/enroll", json=given, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].status_code == 201


async def test_secret_is_given_once_whatever_the_key(house: House) -> None:
    answer = await house.http.post("/api/v1/pairings", json={}, headers={"Idempotency-Key": "again"})
    assert answer.json()["code"] == "invalid-idempotency-key"


async def test_code_entered_by_two_clinics_at_once_goes_to_one(house: House, admin: Somebody) -> None:
    elsewhere = await house.world.other(f"Elsewhere {next(NUMBERS)}")
    their_admin = await house.sign_in(Role.admin, elsewhere)
    for _ in range(10):
        code = (await asks_for_code(house))["code"]
        answers = await asyncio.gather(
            enrols(house, admin, code), enrols(house, their_admin, code, location_id=elsewhere.location)
        )
        assert sorted(one.status_code for one in answers) == [201, 404]


async def test_admin_enrols_into_no_other_clinic(house: House, admin: Somebody) -> None:
    elsewhere = await house.world.other(f"Elsewhere {next(NUMBERS)}")
    pairing = await asks_for_code(house)
    for location in (elsewhere.location, 2**40):
        answer = await enrols(house, admin, pairing["code"], location_id=location)
        assert (answer.status_code, answer.json()["detail"]) == (404, "There is no such location here.")
    assert await stands(house, pairing) == "waiting"


async def test_super_admin_enrols_nowhere_that_does_not_exist(house: House) -> None:
    above = await house.sign_in(Role.super_admin)
    answer = await enrols(house, above, (await asks_for_code(house))["code"], location_id=2**40)
    assert answer.json()["code"] == "not-found"


async def test_flood_of_codes_is_bounded_and_passes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = house.world.pool
    await pool.execute("delete from pairings where device_id is null")
    monkeypatch.setattr(devices, "OPEN_PAIRINGS", 5)
    answers = await asyncio.gather(*(house.http.post("/api/v1/pairings", json={}) for _ in range(40)))
    assert sorted({one.status_code for one in answers}) == [201, 429]
    assert await pool.fetchval("select count(*) from pairings where device_id is null") == 5
    assert all(int(one.headers["retry-after"]) > 0 for one in answers if one.status_code == 429)
    await pool.execute("update pairings set expires_at = now() where device_id is null")
    await asks_for_code(house)
    assert await pool.fetchval("select count(*) from pairings where device_id is null") == 1


async def test_kiosk_is_no_board(house: House) -> None:
    queue = await house.world.queue("Kiosks")
    await house.enrolled("board")
    await house.enrolled("kiosk")
    rows = await house.world.fresh_rows(f"staff:{queue}")
    kinds = {row["name"].split()[0].lower() for key, row in rows.items() if key.startswith("board:")}
    assert "board" in kinds and "kiosk" not in kinds
    told = [data for _, type_, data in await house.world.events(f"staff:{queue}") if type_ == "device-enrolled"]
    assert [next(iter(data["put"].values()))["name"].split()[0] for data in told] == ["board"]


async def test_enrolment_and_revocation_add_up_on_every_stream(house: House) -> None:
    queue = await house.world.queue("Verified")
    async with house.world.verify(f"staff:{queue}", f"admin:{house.world.institution}", f"board:{queue}"):
        device, _ = await house.world.device(f"Board {next(NUMBERS)}")
        await house.world.device(f"Board {next(NUMBERS)}")
        await house.world.do("revoke-device", "admin", device_id=device)


# The end of a credential


async def test_revoked_screen_is_cut_at_once_and_opens_nothing(house: House, admin: Somebody) -> None:
    queue = await house.world.queue("Revoked")
    pairing = await asks_for_code(house)
    device = (await enrols(house, admin, pairing["code"])).json()["device_id"]
    peers = [await house.knock(screen(pairing["secret"])) for _ in range(2)]
    other = await house.knock(await house.enrolled())
    for peer in (*peers, other):
        await peer.follow(f"board:{queue}")
    answer = await house.http.post(f"/api/v1/devices/{device}/revoke", json={}, headers=admin.headers)
    assert answer.status_code == 200
    for peer in peers:
        await peer.gone()
    with pytest.raises(Closed):
        await house.knock(screen(pairing["secret"]))
    answer = await house.http.get("/api/v1/device", headers=screen(pairing["secret"]).headers)
    assert answer.json()["code"] == "not-authenticated"
    assert await stands(house, pairing) == "expired"
    assert await other.call("hello", {}) and not other.closed.is_set()
    again = await house.http.post(f"/api/v1/devices/{device}/revoke", json={}, headers=admin.headers)
    assert again.status_code == 200
    await other.ws.close()


async def test_screen_let_in_while_it_is_revoked_does_not_stay(
    house: House, admin: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await house.enrolled()
    device = await access.by_device(house.world.pool, (who.header or "").split()[1])
    assert device
    find = access.by_socket_auth

    async def found_then_revoked(*args: Any) -> Any:
        actor = await find(*args)
        await house.http.post(f"/api/v1/devices/{device.id}/revoke", json={}, headers=admin.headers)
        assert house.app.live
        live = house.app.live

        async def heard() -> bool:
            return device.key in live._ended

        await eventually(heard)
        return actor

    monkeypatch.setattr(access, "by_socket_auth", found_then_revoked)
    with pytest.raises(Closed):
        await house.knock(who)


async def test_sockets_of_what_ended_unheard_are_cut_by_the_check(house: House) -> None:
    queue = await house.world.queue("Unheard")
    joined = await house.world.join(queue)
    over = await house.world.join(queue)
    pool = house.world.pool
    who = {
        "device": await house.enrolled(),
        "session": await house.sign_in(Role.receptionist),
        "expired": await house.sign_in(Role.receptionist),
        "inactive": await house.sign_in(Role.receptionist),
        "over": holder(over),
        "still waits": holder(joined),
        "still works": await house.sign_in(Role.receptionist),
    }
    peers = {name: await house.knock(one) for name, one in who.items()}
    digests = {name: access.digest((one.header or "").split()[1]) for name, one in who.items()}
    end = "update sessions set {} where token_hash = $1"
    await pool.execute("update devices set revoked_at = now() where credential_hash = $1", digests["device"])
    await pool.execute(end.format("revoked_at = now()"), digests["session"])
    await pool.execute(end.format("expires_at = now()"), digests["expired"])
    await pool.execute(
        "update users set active = false from sessions s where s.user_id = users.id and s.token_hash = $1",
        digests["inactive"],
    )
    await pool.execute(
        "update tickets set state = 'cancelled', ended_at = now() - interval '3 days' where id = $1", over.ticket_id
    )
    assert house.app.live
    await house.app.live._end_revoked()
    for name, peer in peers.items():
        if name.startswith("still"):
            assert "ok" in await peer.call("hello", {}), name
            await peer.ws.close()
        else:
            await peer.gone()
            with pytest.raises(Closed):
                await house.knock(who[name])
            answer = await house.http.get("/api/v1/queues", headers=who[name].headers)
            assert answer.json()["code"] == "not-authenticated", name


async def test_ticket_goes_on_under_its_link_after_a_transfer_and_its_socket_stays(house: House) -> None:
    queue, other = await house.world.queue("From"), await house.world.queue("To")
    joined = await house.world.join(queue)
    peer = await house.knock(holder(joined))
    await peer.follow(f"board:{queue}")
    await house.world.do("transfer", ticket_id=joined.ticket_id, queue_id=other)
    assert house.app.live
    await house.app.live._end_revoked()
    assert "ok" in await peer.call("subscribe", {"stream": f"board:{other}"})
    refused = await peer.call("subscribe", {"stream": f"board:{queue}"})
    assert refused["problem"]["code"] == "not-allowed"
    mine = (await house.http.get("/api/v1/ticket", headers=holder(joined).headers)).json()
    assert mine["stream"] == f"board:{other}"
    await peer.ws.close()


# Sessions


@pytest_asyncio.fixture(loop_scope="module")
async def page(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser that keeps cookies."""
    async with httpx2.AsyncClient(base_url=house.url) as page:
        yield page


async def signs_in(house: House, page: httpx2.AsyncClient, role: Role = Role.receptionist) -> dict[str, Any]:
    """Somebody signs in at a page."""
    email = f"{role}{next(NUMBERS)}@clinic.example"
    await house.world.account(role, email)
    answer = await page.post("/api/v1/session", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200
    return {**answer.json(), "email": email}


async def opened_by_cookie(house: House, page: httpx2.AsyncClient, **options: Any) -> Peer:
    """A page's socket: it has no other credential than the cookie."""
    cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    return await house.knock(STRANGER, headers={"Cookie": cookies}, **options)


async def test_cookie_needs_the_pages_own_word_for_whatever_changes_something(
    house: House, page: httpx2.AsyncClient
) -> None:
    signed_in = await signs_in(house, page)
    queue = await house.world.queue(f"Cookies {next(NUMBERS)}")
    path, body = f"/api/v1/queues/{queue}/state", {"state": "paused"}
    assert (await page.get("/api/v1/queues")).status_code == 200
    for proof in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": signed_in["token"]}):
        assert (await page.post(path, json=body, headers=proof)).json()["code"] == "csrf"
        assert (await page.delete("/api/v1/session", headers=proof)).json()["code"] == "csrf"
    assert (await page.post(path, json=body, headers={"X-CSRF-Token": signed_in["csrf"]})).status_code == 200
    page.cookies.clear()
    headers = {"Authorization": f"Bearer {signed_in['token']}"}
    assert (await page.post(path, json=body, headers=headers)).status_code == 200


async def test_cookie_is_out_of_scripts_and_other_sites_reach(house: House, page: httpx2.AsyncClient) -> None:
    email = f"cookie{next(NUMBERS)}@clinic.example"
    await house.world.account(Role.admin, email)
    answer = await page.post("/api/v1/session", json={"email": email, "password": PASSWORD})
    session, csrf = answer.headers.get_list("set-cookie")
    assert "HttpOnly" in session and "SameSite=strict" in session
    assert "HttpOnly" not in csrf and "SameSite=strict" in csrf


async def test_other_sites_page_gets_no_socket_by_the_cookie(house: House, page: httpx2.AsyncClient) -> None:
    await signs_in(house, page)
    peer = await opened_by_cookie(house, page)
    await peer.ws.close()
    with pytest.raises(Exception, match=r"400|403|Invalid response"):
        await opened_by_cookie(house, page, origin="https://evil.example")


@pytest.mark.parametrize("by", ["cookie", "token"])
async def test_signing_out_cuts_that_sessions_sockets_and_no_others(
    house: House, page: httpx2.AsyncClient, by: str
) -> None:
    signed_in = await signs_in(house, page)
    token = (await access.sign_in(house.world.pool, signed_in["email"], PASSWORD)).token
    elsewhere = await house.knock(Somebody(auth={"token": token}))
    here = (
        await opened_by_cookie(house, page)
        if by == "cookie"
        else await house.knock(Somebody(auth={"token": signed_in["token"]}))
    )
    answer = await page.delete("/api/v1/session", headers={"X-CSRF-Token": signed_in["csrf"]})
    assert answer.status_code == 204
    await here.gone()
    assert "ok" in await elsewhere.call("hello", {})
    with pytest.raises(Closed):
        await house.knock(Somebody(auth={"token": signed_in["token"]}))
    headers = {"Authorization": f"Bearer {signed_in['token']}"}
    assert (await house.http.get("/api/v1/session", headers=headers)).json()["code"] == "not-authenticated"
    await elsewhere.ws.close()


@pytest.mark.parametrize("who", ["known", "unknown", "inactive"])
async def test_every_wrong_sign_in_hashes_once_and_says_the_same(
    house: House, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = f"{who}{next(NUMBERS)}@clinic.example"
    if who != "unknown":
        await house.world.account(Role.admin, email)
    if who == "inactive":
        await house.world.pool.execute("update users set active = false where email = $1", email)
    hashed: list[str] = []

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            hashed.append(stored)
            return real.verify(stored, password)

    real = passwords.HASHER
    monkeypatch.setattr(passwords, "HASHER", Counting())
    password = PASSWORD if who == "inactive" else "a wrong password"
    answer = await house.http.post("/api/v1/session", json={"email": email, "password": password})
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong-sign-in")
    assert answer.json()["detail"] == "E-mail or password is wrong."
    assert len(hashed) == 1
    assert hashed[0].startswith("$argon2id$")


# What is stored


async def test_no_secret_is_anywhere_in_the_database(house: House, page: httpx2.AsyncClient) -> None:
    queue = await house.world.queue(f"Secrets {next(NUMBERS)}")
    pairing = await asks_for_code(house)
    await house.world.do(
        "enroll-device", "admin", "kd", code=pairing["code"], location_id=house.world.location, name="S"
    )
    waiting = await asks_for_code(house)
    signed_in = await signs_in(house, page)
    headers = {"Authorization": f"Bearer {signed_in['token']}", "Idempotency-Key": "join-with-a-key"}
    answers = [
        await house.http.post(f"/api/v1/queues/{queue}/tickets", json={"patient": {"name": "Ada"}}, headers=headers)
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json(), "the retry gets the same link"
    secrets = {
        "link": answers[0].json()["link"].rpartition("/")[2],
        "device": pairing["secret"],
        "pairing": waiting["secret"],
        "token": signed_in["token"],
        "password": PASSWORD,
        "key": "join-with-a-key",
    }
    picture = answers[0].json()["qr_svg"][60:160]
    dump = await everything(house)
    assert signed_in["email"] in dump and "ticket-joined" in dump
    for name, secret in {**secrets, "qr": picture}.items():
        assert secret not in dump, name
        assert secret.encode().hex() not in dump, name


async def everything(house: House) -> str:
    """Every row of every table, as text."""
    tables = await house.world.pool.fetch("select tablename from pg_tables where schemaname = 'public'")
    rows = [
        row[0]
        for table in tables
        for row in await house.world.pool.fetch(f"select t::text from {table['tablename']} t")
    ]
    return "\n".join(rows)


async def test_kept_reply_opens_only_with_its_key_and_for_its_asker(house: House) -> None:
    from server.store import seal, unseal

    one, other = access.Actor(Role.admin, 1), access.Actor(Role.admin, 2)
    reply = '{"link":"https://clinic.test/t/s3cret","name":"Zoë"}'
    kept = seal(one, "key", reply.encode())
    assert unseal(one, "key", kept) == reply
    assert kept != seal(one, "key", reply.encode()), "two replies under one key would give each other away"
    for actor, key in ((one, "yek"), (other, "key")):
        with pytest.raises(UnicodeDecodeError):
            unseal(actor, key, kept)


async def test_key_of_another_request_is_refused_and_another_askers_is_his_own(house: House) -> None:
    queue = await house.world.queue(f"Keys {next(NUMBERS)}")
    join = next(one for one in COMMANDS if one.name == "join-queue")
    one, other = await house.sign_in(Role.receptionist), await house.sign_in(Role.receptionist)
    ask = {"queue_id": queue, "patient": {"name": "Ada"}}
    key = {"Idempotency-Key": "the-same"}
    first = await house.ask(join, one, ask, **key)
    assert (await house.ask(join, one, {**ask, "patient": {"name": "Ben"}}, **key)).json()["code"] == (
        "idempotency-key-reused"
    )
    theirs = await house.ask(join, other, ask, **key)
    assert theirs.json()["ticket_id"] != first.json()["ticket_id"]
    assert await house.world.do("open-pairing", ANONYMOUS)
