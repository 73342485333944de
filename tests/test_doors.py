"""Every door holds against whoever pushes, and opens to whoever only knocks."""

import ast
import asyncio
import os
import re
import runpy
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import argon2
import httpx2
import pytest
import uvicorn
from pydantic import ValidationError

from server import access, doors, errors, passwords, publish, web, wire
from server.access import ANONYMOUS, Actor, Role
from server.config import ROOT, Config, Rate
from server.doors import Doors, Limit, SignIns, sender
from tests.doors import Closed, House, served
from tests.world import PASSWORD, World, eventually


class Watch:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def clinic(database_url: str, redis_url: str, **limits: Any) -> AsyncIterator[House]:
    async with served(database_url, redis_url, **limits) as house:
        yield house


def scope(host: str, path: str = "/board") -> dict[str, Any]:
    return {"client": (host, 1), "path": path}


# Rates


def test_so_many_at_once_and_so_many_a_second_from_then_on() -> None:
    watch = Watch()
    limit = Limit(Rate(2, 5), watch)
    assert [limit.take("a") > 0 for _ in range(6)] == [False] * 5 + [True]
    assert limit.take("b") == 0, "another is not held up"
    assert limit.take("a") == pytest.approx(0.5)
    watch.now += 0.5
    assert [limit.take("a") > 0 for _ in range(2)] == [False, True]
    watch.now += 60
    assert [limit.take("a") > 0 for _ in range(6)] == [False] * 5 + [True], "patience is not saved up"


def test_limit_that_is_off_holds_nobody() -> None:
    limit = Limit(None)
    assert not any(limit.take("a") for _ in range(10_000))
    assert len(limit) == 0


def test_limit_forgets_who_has_gone() -> None:
    watch = Watch()
    limit = Limit(Rate(1, 1), watch)
    for number in range(5 * doors.KEYS_KEPT):
        limit.take(str(number))
        watch.now += 0.01
    assert len(limit) <= doors.KEYS_KEPT


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_ipv6_address_counts_by_its_network(host: str, counted: str) -> None:
    assert sender(scope(host)) == counted
    assert sender({"client": None}) == ""


def test_clinic_behind_one_address_gets_in_all_at_once() -> None:
    held = Doors(Config())
    for _ in range(260):
        for _ in range(20):
            held.request(scope("192.0.2.7"))
    assert all(held.enter(str(number), {"asgi.scope": scope("192.0.2.7")}) for number in range(260))


def test_whoever_asks_whether_we_live_is_never_limited() -> None:
    held = Doors(Config(limit_address=Rate(1, 1)))
    for path in doors.UNLIMITED:
        for _ in range(1000):
            held.request(scope("192.0.2.7", path))
    held.request(scope("192.0.2.7"))
    with pytest.raises(errors.TooMany):
        held.request(scope("192.0.2.7"))


def test_each_kind_of_asker_has_a_limit_of_its_own() -> None:
    rates = {f"limit_{one}": Rate(1, at) for one, at in (("person", 1), ("device", 2), ("ticket", 3), ("stranger", 4))}
    held = Doors(Config(**rates))
    for actor, at_once in (
        (Actor(Role.doctor, 1), 1),
        (Actor(Role.doctor, 2), 1),
        (Actor(Role.device, 1), 2),
        (Actor(Role.ticket, 1), 3),
        (ANONYMOUS, 4),
    ):
        for _ in range(at_once):
            held.ask(actor, scope("192.0.2.7"), changes=True)
        with pytest.raises(errors.TooMany) as refused:
            held.ask(actor, scope("192.0.2.7"), changes=True)
        assert refused.value.extra["retry_after"] == 1
    held.ask(ANONYMOUS, scope("192.0.2.7"), changes=False)
    held.ask(ANONYMOUS, scope("192.0.2.8"), changes=True)


@pytest.mark.parametrize("wrong", ["", "20", "0/5", "5/0", "-1/5", "1/x", "1/2/3"])
def test_rate_that_is_none_is_refused_by_name(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT_PERSON", wrong)
    with pytest.raises(ValidationError, match="limit_person"):
        Config()
    monkeypatch.setenv("LIMIT_PERSON", "2.5/10")
    monkeypatch.setenv("LIMIT_ADDRESS", "off")
    assert (Config().limit_person, Config().limit_address) == (Rate(2.5, 10), None)


# Requests


async def test_address_that_asks_too_often_is_told_when_to_come_again(database_url: str, redis_url: str) -> None:
    async with clinic(database_url, redis_url, limit_address=Rate(0.1, 20)) as house:
        answers = [await house.http.get("/") for _ in range(21)]
        assert [one.status_code for one in answers] == [200] * 20 + [429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 10
        assert answers[-1].json()["code"] == "too-many-requests"
        assert (await house.http.get("/healthz")).status_code == 200
        assert (await house.http.get("/socket.io/?EIO=4&transport=polling")).status_code == 429
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await house.client.ws_connect(f"{house.url}/socket.io/?EIO=4&transport=websocket")
        assert refused.value.status == 429
        assert 'callboard_doors_shut_total{door="address"} 3.0' in (await house.http.get("/metrics")).text


async def test_person_is_limited_over_http_and_sockets_together(database_url: str, redis_url: str) -> None:
    async with clinic(database_url, redis_url, limit_person=Rate(0.1, 10)) as house:
        clerk, other = await house.sign_in(Role.receptionist), await house.sign_in(Role.receptionist)
        for _ in range(5):
            assert (await house.http.get("/api/v1/queues", headers=clerk.headers)).status_code == 200
        peer = await house.knock(clerk)
        answers = [await peer.call("hello", {}) for _ in range(6)]
        assert ["ok" in one for one in answers] == [True] * 5 + [False]
        assert answers[-1]["problem"]["code"] == "too-many-requests"
        refused = await house.http.get("/api/v1/queues", headers=clerk.headers)
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert (await house.http.get("/api/v1/queues", headers=other.headers)).status_code == 200
        await peer.ws.close()


# Sockets


async def test_flood_on_one_socket_is_answered_and_then_cut(database_url: str, redis_url: str) -> None:
    async with clinic(database_url, redis_url, limit_socket=Rate(0.1, 20)) as house:
        clerk = await house.sign_in(Role.receptionist)
        flooder, other = await house.knock(clerk), await house.knock(clerk)
        answers = []
        with pytest.raises((Closed, ConnectionError, aiohttp.ClientError)):
            for _ in range(1000):
                answers.append(await flooder.call("hello", {}))  # noqa: PERF401
        assert ["ok" in one for one in answers[:21]] == [True] * 20 + [False]
        assert {one["problem"]["code"] for one in answers[20:]} == {"too-many-requests"}
        assert len(answers) <= 20 + doors.FORGIVEN
        await flooder.gone()
        assert "ok" in await other.call("hello", {})
        assert "ok" in await (await house.knock(clerk)).call("hello", {}), "a new socket begins anew"


async def test_messages_that_are_no_events_are_bounded_too(database_url: str, redis_url: str) -> None:
    async with clinic(database_url, redis_url, limit_socket=Rate(1, 10)) as house:
        flooder = await house.knock(await house.sign_in(Role.receptionist))
        with pytest.raises((ConnectionError, aiohttp.ClientError)):
            for _ in range(100_000):
                await flooder.say("3")
                await asyncio.sleep(0)
        await flooder.gone()


async def test_address_has_only_so_many_sockets_and_gets_new_ones_for_old(database_url: str, redis_url: str) -> None:
    async with clinic(database_url, redis_url, sockets_per_address=3) as house:
        clerk = await house.sign_in(Role.receptionist)
        peers = [await house.knock(clerk) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await house.knock(clerk)
        refused = await house.http.get("/socket.io/?EIO=4&transport=polling")
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
        await peers.pop().ws.close()

        async def let_in() -> bool:
            try:
                peers.append(await house.knock(clerk))
            except aiohttp.WSServerHandshakeError:
                return False
            return True

        await eventually(let_in)
        for peer in peers:
            await peer.ws.close()

        async def nobody_inside() -> bool:
            assert house.app.live is not None
            return not house.app.live.doors.inside

        await eventually(nobody_inside)


async def test_process_has_only_so_many_sockets() -> None:
    held = Doors(Config(sockets_most=2))
    assert [held.enter(host, {"asgi.scope": scope(host)}) for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3")] == [
        True,
        True,
        False,
    ]
    held.left("192.0.2.1")
    held.left("192.0.2.1")
    assert held.enter("again", {"asgi.scope": scope("192.0.2.3")})
    assert not held.enter("more", {"asgi.scope": scope("192.0.2.3")})


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_other_origins_page_opens_no_socket_unless_named(
    database_url: str, redis_url: str, transport: str
) -> None:
    async with clinic(database_url, redis_url, allowed_origins=["https://kiosk.test"]) as house:
        for origin, let_in in ((house.url, True), ("https://kiosk.test", True), ("https://evil.test", False)):
            if transport == "polling":
                url = "/socket.io/?EIO=4&transport=polling"
                answer = await house.http.get(url, headers={"Origin": origin})
                assert (answer.status_code == 200) == let_in
                allowed = answer.headers.get("access-control-allow-origin")
                assert allowed == (origin if let_in else None)
                assert "access-control-allow-credentials" not in answer.headers
            else:
                url = f"{house.url}/socket.io/?EIO=4&transport=websocket"
                try:
                    await (await house.client.ws_connect(url, origin=origin)).close()
                    assert let_in
                except aiohttp.WSServerHandshakeError:
                    assert not let_in


async def test_other_origins_page_runs_no_socket_as_a_script(database_url: str, redis_url: str) -> None:
    async with clinic(database_url, redis_url) as house:
        answer = await house.http.get("/socket.io/?EIO=4&transport=polling&j=0")
        assert answer.status_code == 400
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_every_kind_of_answer_has_the_security_headers(database_url: str, redis_url: str) -> None:
    async with clinic(database_url, redis_url) as house:
        opened = await house.http.get("/socket.io/?EIO=4&transport=polling")
        sid = re.search(r'"sid":"([^"]+)"', opened.text)
        assert sid
        poll = f"/socket.io/?EIO=4&transport=polling&sid={sid[1]}"
        answers = [opened, await house.http.post(poll, content="40"), await house.http.get(poll)]
        answers += [await house.http.get("/socket.io/?EIO=9"), await house.http.get("/socket.io/?sid=x")]
        paths = (
            "/",
            "/board",
            "/console",
            "/t/x",
            "/healthz",
            "/readyz",
            "/metrics",
            "/openapi.json",
            "/asyncapi.json",
        )
        paths += ("/clients/shared/api.js", "/nowhere", "/api/v1/queues")
        answers += [await house.http.get(path) for path in paths]
        answers += [await house.http.post("/api/v1/session", content="{"), await house.http.delete("/api/v1/queues")]
        assert {one.status_code for one in answers} >= {200, 400, 401, 404, 405}
        for answer in answers:
            headers, where = answer.headers, str(answer.url)
            assert headers["x-content-type-options"] == "nosniff", where
            assert headers["x-frame-options"] == "DENY", where
            assert headers["referrer-policy"] == "no-referrer", where
            assert headers["cross-origin-opener-policy"] == "same-origin", where
            assert headers["cross-origin-resource-policy"] == "same-origin", where
            assert "camera=()" in headers["permissions-policy"], where
            assert "frame-ancestors 'none'" in headers["content-security-policy"], where
            assert "unsafe" not in headers["content-security-policy"], where
            assert headers["x-request-id"], where


# Slow ones


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[int]:
    """The port of an application behind the protocol that `callboard serve` uses."""
    settings = uvicorn.Config(app, port=0, log_config=None, lifespan="off", http=wire.PunctualHttpProtocol)
    server = uvicorn.Server(settings)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn says so in no other way)
        await asyncio.sleep(0.005)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("first", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_request_whose_head_is_long_in_coming_is_dropped(first: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_WITHIN", 0.3)
    async with listening(hello) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(10):
                await reader.readexactly(1)
        writer.close()


async def test_connection_that_is_kept_must_ask_again_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_WITHIN", 0.3)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with listening(hello) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request + request)
            for _ in range(2):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == b"ok"
        writer.write(request[:-4])
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(10):
                await reader.readexactly(1)
        writer.close()


async def test_answer_that_takes_long_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_WITHIN", 0.1)

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        await hello(scope, receive, send)

    async with listening(slowly) as port, httpx2.AsyncClient() as http:
        assert (await http.get(f"http://127.0.0.1:{port}/")).text == "ok"


async def test_body_that_is_long_in_coming_is_refused(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "BODY_WITHIN", 0.2)
    async with clinic(database_url, redis_url) as house:
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(head % b"/api/v1/session")
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"too-slow" in answer
        writer.close()


# Signing in


@pytest.fixture
async def counted(redis_url: str) -> AsyncIterator[tuple[SignIns, SignIns]]:
    """The doors of two processes over one Redis."""
    client = publish.connect(redis_url)
    yield SignIns(client), SignIns(client)
    await client.aclose()


async def guess(sign_ins: SignIns, account: str, address: str) -> bool:
    """A wrong password; whether it was let through to be compared."""
    try:
        await sign_ins.begin(account, address)
    except errors.TooMany as refused:
        assert refused.extra["retry_after"] > 0
        return False
    return True


async def test_guesses_are_counted_over_all_processes(counted: tuple[SignIns, SignIns]) -> None:
    tries = [guess(counted[number % 2], "Ada@clinic.example ", "192.0.2.7") for number in range(24)]
    assert sum(await asyncio.gather(*tries)) == 10
    assert not await guess(counted[0], "ada@clinic.example", "192.0.2.7")
    assert await guess(counted[0], "ada@clinic.example", "192.0.2.8"), "nobody is locked out by somebody elsewhere"
    assert await guess(counted[0], "bea@clinic.example", "192.0.2.7")


async def test_address_that_guesses_at_many_accounts_is_stopped(counted: tuple[SignIns, SignIns]) -> None:
    tries = [guess(counted[0], f"{number}@clinic.example", "192.0.2.7") for number in range(120)]
    assert sum(await asyncio.gather(*tries)) == 100


async def test_account_guessed_at_from_everywhere_stays_open_where_its_owner_is(
    counted: tuple[SignIns, SignIns],
) -> None:
    await counted[0].right(await counted[0].begin("ada@clinic.example", "192.0.2.7"))
    tries = [guess(counted[0], "ada@clinic.example", f"198.51.100.{number}") for number in range(120)]
    assert sum(await asyncio.gather(*tries)) == 100
    assert not await guess(counted[1], "ada@clinic.example", "203.0.113.1")
    assert await guess(counted[1], "ada@clinic.example", "192.0.2.7")


async def test_right_password_counts_for_nothing(counted: tuple[SignIns, SignIns]) -> None:
    for _ in range(30):
        await counted[0].right(await counted[0].begin("ada@clinic.example", "192.0.2.7"))
        await counted[0].void(await counted[0].begin("ada@clinic.example", "192.0.2.7"))


async def test_guesses_are_counted_here_while_redis_is_away() -> None:
    watch = Watch()
    away = SignIns(publish.connect("redis://127.0.0.1:1"), watch)
    assert sum([await guess(away, "ada@clinic.example", "192.0.2.7") for _ in range(12)]) == 10
    watch.now += 301
    for _ in range(12):
        await away.right(await away.begin("ada@clinic.example", "192.0.2.7"))


async def test_redis_learns_no_address_of_whoever_signs_in(counted: tuple[SignIns, SignIns], redis_url: str) -> None:
    await counted[0].right(await counted[0].begin("ada@clinic.example", "192.0.2.7"))
    await counted[0].begin("ada@clinic.example", "192.0.2.7")
    client = publish.connect(redis_url)
    keys = await client.keys("*")
    await client.aclose()
    assert len(keys) == 3
    assert not any(b"ada" in key or b"192" in key for key in keys)


async def test_password_kept_with_old_parameters_is_hashed_anew_at_sign_in(world: World) -> None:
    await world.account(Role.admin, "ada@clinic.example")
    old = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    kept = "select password_hash from users where email = 'ada@clinic.example'"
    await world.pool.execute("update users set password_hash = $1 where email = 'ada@clinic.example'", old)
    with pytest.raises(errors.WrongSignIn):
        await access.sign_in(world.pool, "ada@clinic.example", "something else")
    assert await world.pool.fetchval(kept) == old
    await access.sign_in(world.pool, "ada@clinic.example", PASSWORD)
    now = await world.pool.fetchval(kept)
    assert now != old and not passwords.outdated(now)
    await access.sign_in(world.pool, "ada@clinic.example", PASSWORD)
    assert await world.pool.fetchval(kept) == now


# Sessions


async def session(world: World) -> str:
    return await world.account(Role.admin, "ada@clinic.example")


async def test_session_lasts_while_it_is_used_and_ends_when_it_is_not(world: World) -> None:
    token = await session(world)
    left = "select expires_at - now() from sessions"
    assert access.SESSION_IDLE - access.NOTE_USE_EVERY < await world.pool.fetchval(left) <= access.SESSION_IDLE
    await world.pool.execute("update sessions set expires_at = now() + interval '1 second'")
    assert await access.by_token(world.pool, token)
    assert await world.pool.fetchval(left) > access.SESSION_IDLE - access.NOTE_USE_EVERY
    await world.pool.execute("update sessions set expires_at = now()")
    assert await access.by_token(world.pool, token) is None
    await access.in_use(world.pool, await world.pool.fetchval("select id from sessions"))
    assert await access.by_token(world.pool, token) is None, "what has ended does not come back"


async def test_session_ends_in_two_weeks_however_much_it_is_used(world: World) -> None:
    token = await session(world)
    await world.pool.execute(
        "update sessions set created_at = now() - $1::interval + interval '1 hour', expires_at = now() + interval '1m'",
        access.SESSION_LIFE,
    )
    assert await access.by_token(world.pool, token)
    assert (await world.pool.fetchval("select expires_at - now() from sessions")).total_seconds() <= 3600


async def test_every_sign_in_makes_a_token_of_its_own(world: World) -> None:
    before = await session(world)
    after = await access.sign_in(world.pool, "ada@clinic.example", PASSWORD)
    assert after.token != before
    stored = await world.pool.fetch("select token_hash, csrf from sessions")
    assert len({row["csrf"] for row in stored}) == 2
    assert before.encode() not in [bytes(row["token_hash"]) for row in stored]


async def test_session_opens_its_owners_institution_as_it_is_now(world: World) -> None:
    token = await session(world)
    elsewhere = await world.other()
    await world.pool.execute("update users set institution_id = $1", elsewhere.institution)
    actor = await access.by_token(world.pool, token)
    assert actor and actor.institution_id == elsewhere.institution
    assert not actor.within(world.institution)


# Secrets


@pytest.mark.parametrize("password", ["postgres", "password123", "short", "callboard2026"])
def test_weak_secret_towards_another_machine_is_refused(password: str) -> None:
    with pytest.raises(errors.WeakPassword) as refused:
        passwords.check_url(f"postgresql://someone:{password}@db.example:1/x")
    assert password not in refused.value.detail


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_process_does_not_start_on_a_weak_secret(name: str) -> None:
    urls = {"DATABASE_URL": "postgresql://db.example/x", "REDIS_URL": "redis://cache.example"}
    urls[name] = urls[name].replace("://", "://someone:sesame99@")
    command = [sys.executable, "-m", "server.cli", "serve", "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | urls, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"The password in {name} is too easy to guess. Use at least 10 characters.\n"


def test_secret_key_that_is_not_random_is_refused() -> None:
    for weak in ("", "secret", "x" * 40, "changeme" * 5, "0123456789abcdefghijklmnopqrstuvwxyz"):
        assert not passwords.is_random(weak)
    for _ in range(100):
        assert passwords.is_random(secrets.token_hex(16)) and passwords.is_random(secrets.token_urlsafe(24))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql://db.example/x",
        "postgresql://someone:v9Lq2xTzPw7h@db.example/x",
        "postgresql://postgres:postgres@localhost/x",
        "postgresql://postgres:postgres@127.0.0.1:5432/x",
        "postgresql://callboard@/callboard?host=/run/here",
        "redis://:v9Lq2xTzPw7h@cache.example:6379/0",
        "unix:///run/valkey.sock?db=0",
    ],
)
def test_strong_secret_and_our_own_machine_are_taken(url: str) -> None:
    passwords.check_url(url)


# Dependencies


@pytest.mark.parametrize(
    ("packages", "said", "status"),
    [
        ([], "NOT audited", 0),
        ([{"name": "a", "skip_reason": "not found"}], "NOT audited", 0),
        ([{"name": "a", "skip_reason": "not found"}, {"name": "b", "version": "1", "vulns": []}], "1 of 2", 0),
        ([{"name": "b", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}], "CVE-1, fixed in 2", 1),
    ],
)
def test_audit_of_nothing_is_not_taken_for_a_clean_one(packages: list[Any], said: str, status: int) -> None:
    verdict = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["verdict"]
    text, code = verdict({"dependencies": packages})
    assert said in text
    assert code == status


# The page that says what stands against whom


def test_every_threat_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "docs" / "threats.md").read_text().splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(tests/\w+\.py)::(\w+)`", row) for row in rows]
    assert len(rows) > 25
    for row, tests in zip(rows, named, strict=True):
        assert tests or "no test" in row, row
        for path, name in tests:
            functions = {
                one.name
                for one in ast.walk(ast.parse((ROOT / path).read_text()))
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert name in functions, f"{path}::{name}"
