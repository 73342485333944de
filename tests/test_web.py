"""The HTTP edge, with a few commands of its own on a real store: every refusal, the session, the pages, the logs."""

import asyncio
import base64
import hashlib
import io
import json
import logging
import re
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from playwright.async_api import Browser
from prometheus_client.core import GaugeMetricFamily
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from server import asks, errors, logs, passwords, web
from server.access import ANYBODY, Actor, Role
from server.config import ROOT, Config
from server.events import Urgency
from server.pages import PAGES, Clients, build_hash
from server.store import Command, Committed, Query, Read, Store, Tx, connect

CANARY = "Zacharias Quillfeather"


class Greet(BaseModel):
    model_config = ConfigDict(extra="forbid")
    door_id: int = Field(ge=1, le=2**63 - 1)
    name: str = Field(max_length=40)
    knocks: int = 1
    urgency: Urgency = Urgency.routine
    asides: list["Greet"] = []


class Greeted(BaseModel):
    door_id: int
    times: int
    urgency: Urgency


class Look(BaseModel):
    model_config = ConfigDict(extra="forbid")
    door_id: int
    floors: list[int] = []
    quiet: bool = False
    cursor: str | None = None


class Seen(BaseModel):
    door_id: int
    floors: list[int]
    quiet: bool
    after: int


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")


GREETED: list[str] = []


async def greet(tx: Tx, _actor: Actor, ask: Greet) -> Greeted:
    """Greet whoever is behind the door."""
    GREETED.append(ask.name)
    await tx.conn.execute("insert into facts (name, value) values (gen_random_uuid()::text, $1)", ask.name)
    return Greeted(door_id=ask.door_id, times=len(GREETED), urgency=ask.urgency)


async def stumble(tx: Tx, _actor: Actor, _ask: Nothing) -> Greeted:
    """Fail as nobody expects."""
    await tx.conn.execute("select 1 / 0")
    raise AssertionError(CANARY)


async def trip(_tx: Tx, _actor: Actor, ask: Greet) -> Greeted:
    """Fail with somebody's name in hand."""
    Look.model_validate({"door_id": ask.name})
    raise AssertionError


async def doze(_tx: Tx, _actor: Actor, _ask: Nothing) -> Greeted:
    """Refuse."""
    raise errors.QueuePaused(message="Back at two.")


async def look(_read: Read, _actor: Actor, ask: Look) -> Seen:
    """See what is behind the door."""
    (after,) = asks.decode_cursor("look", ask.cursor, int) if ask.cursor else (0,)
    return Seen(door_id=ask.door_id, floors=ask.floors, quiet=ask.quiet, after=after)


DOCTORS = frozenset({Role.doctor})
COMMANDS: list[Command[Any, Any]] = [
    Command("greet", greet, Greet, Greeted, DOCTORS, "POST /doors/{door_id}/greet", status=201),
    Command("knock", greet, Greet, Greeted, ANYBODY, "POST /doors/{door_id}/knock"),
    Command("stumble", stumble, Nothing, Greeted, ANYBODY, "POST /stumble"),
    Command("trip", trip, Greet, Greeted, ANYBODY, "POST /doors/{door_id}/trip"),
    Command("doze", doze, Nothing, Greeted, ANYBODY, "POST /doors/doze"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("look", look, Look, Seen, ANYBODY, "GET /doors/{door_id}"),
    Query("peek", look, Look, Seen, DOCTORS, "GET /doors/{door_id}/greet"),
]


class Unpublished:
    def hand_over(self, committed: Sequence[Committed]) -> None:
        """Nothing here has an audience."""

    def end(self, actors: Sequence[str]) -> None:
        """Nobody is connected."""


PAGE = """<!doctype html><html><head><!-- callboard:head -->
<link rel="stylesheet" href="/clients/board/board.css">
<script src="/clients/shared/guard.js"></script>
<script type="module" src="/clients/board/board.js"></script></head><body></body></html>"""

FILES = {
    "board/index.html": PAGE,
    "board/board.css": "body { color: black }\n" * 100,
    "board/board.js": 'import { h } from "preact";\nimport "../shared/api.js";\n',
    "shared/api.js": 'export { t } from "./i18n.js";\n',
    "shared/i18n.js": "export const t = (key) => key;\n" + "// A table of texts.\n" * 40,
    "shared/guard.js": "window.onerror = () => {};\n",
    "shared/alone.js": "export {};\n",
    "shared/events.d.ts": "export {};\n",
    "vendor/manifest.json": '{"packages": [{"files": [{"file": "preact.js", "module": "preact"}, {"file": "L"}]}]}',
    "vendor/preact.js": "export const h = 1;\n",
    "vendor/vendor.py": "print(1)\n",
    "tsconfig.json": "{}",
    ".hidden.js": "1",
    ".git/config.js": "1",
    "ticket/index.html": PAGE,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small `clients/` folder."""
    for name, content in FILES.items():
        (tmp_path / "clients" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clients" / name).write_text(content)
    (tmp_path / "secret.js").write_text("1")
    return tmp_path / "clients"


@dataclass
class World:
    """The edge on a real database, with two people who can sign in."""

    store: Store
    app: ASGIApp
    http: httpx2.AsyncClient
    log: io.StringIO
    parts: dict[str, Callable[[], Awaitable[object]]]

    async def sign_in(self, email: str = "doctor@example.org") -> dict[str, Any]:
        """Sign in; the cookies are kept from here on."""
        answer = await self.http.post("/api/v1/session", json={"email": email, "password": "right horse"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def bearer(self, email: str = "doctor@example.org") -> dict[str, str]:
        """The header of somebody signed in without cookies."""
        signed_in = await self.sign_in(email)
        self.http.cookies.clear()
        return {"Authorization": f"Bearer {signed_in['token']}"}

    def lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


SEED = """
with i as (insert into institutions (name) values ('Clinic') returning id),
d as (insert into doctors (institution_id, name) select id, 'Dr. Ames' from i returning id, institution_id)
insert into users (institution_id, email, name, role, password_hash, doctor_id)
select institution_id, 'doctor@example.org', 'Dr. Ames', 'doctor', $1, id from d
union all select id, 'desk@example.org', 'Desk', 'receptionist', $1, null from i
"""


@asynccontextmanager
async def edge(url: str, folder: Path, **settings: Any) -> AsyncIterator[World]:
    """A world on the database at `url`, configured otherwise than usual."""
    pool = await connect(url, 4)
    store = Store(pool, Unpublished())
    parts: dict[str, Callable[[], Awaitable[object]]] = {"postgresql": lambda: pool.fetchval("select 1")}
    app = web.build(
        config=Config(**settings),
        store=store,
        commands=COMMANDS,
        queries=QUERIES,
        clients=Clients(folder, build_hash(folder)),
        documents={"/openapi.json": {"openapi": "3.1.0"}},
        checks=parts,
        collect=lambda: [GaugeMetricFamily("callboard_sockets", "Open sockets.", value=3)],
    )
    log = io.StringIO()
    logs.configure(level="info", stream=log)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://clinic.test") as http:
        try:
            yield World(store, app, http, log, parts)
        finally:
            logging.getLogger().handlers.clear()
            pool.terminate()


@pytest.fixture(scope="module")
def clinic_url(postgres: Any) -> Iterator[str]:
    """One database for all of these tests, with two people who can sign in."""
    url = postgres.fresh()
    password_hash = asyncio.run(passwords.hash_password("right horse"))
    postgres.execute(SEED.replace("$1", f"'{password_hash}'"), database=url.split("@/")[1].split("?")[0])
    yield url
    postgres.drop(url)


@pytest.fixture
async def world(clinic_url: str, folder: Path) -> AsyncIterator[World]:
    GREETED.clear()
    async with edge(clinic_url, folder) as world:
        yield world


def refused(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer that must be this refusal."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["type"] == f"urn:callboard:problem:{code}"
    assert {"title", "detail", "retryable"} <= problem.keys()
    return dict(problem)


# Requests


async def test_path_and_body_make_up_one_ask(world: World) -> None:
    answer = await world.http.post("/api/v1/doors/7/knock", json={"name": "Ada", "urgency": "urgent"})
    assert (answer.status_code, answer.json()) == (200, {"door_id": 7, "times": 1, "urgency": "urgent"})
    assert answer.headers["cache-control"] == "no-store"


async def test_query_string_is_read_with_its_types(world: World) -> None:
    answer = await world.http.get("/api/v1/doors/7?floors=1&floors=2&quiet=true")
    assert answer.json() == {"door_id": 7, "floors": [1, 2], "quiet": True, "after": 0}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": CANARY, "knocks": CANARY}, "/knocks"),
        ({"name": CANARY, "knocks": "1"}, "/knocks"),
        ({"name": CANARY, "knocks": True}, "/knocks"),
        ({"name": [CANARY]}, "/name"),
        ({"name": CANARY * 9}, "/name"),
        ({"name": None}, "/name"),
        ({"name": CANARY + "\0"}, "/name"),
        ({"name": CANARY, "urgency": CANARY}, "/urgency"),
        ({"name": CANARY, "surname": CANARY}, "/surname"),
        ({"name": CANARY, "door_id": 7}, "/door_id"),
        ({"name": CANARY, "asides": [{"door_id": 1}]}, "/asides/0/name"),
        ({"name": CANARY, "asides": [{"door_id": 1, "name": CANARY, "a/b~c": 1}]}, "/asides/0/a~1b~0c"),
        ([CANARY], ""),
        ({}, "/name"),
    ],
)
async def test_wrong_request_is_pointed_at_and_never_repeated(world: World, body: Any, pointer: str) -> None:
    answer = await world.http.post("/api/v1/doors/7/knock", json=body)
    problem = refused(answer, 422, "invalid-request")
    assert [place["pointer"] for place in problem["errors"]] == [pointer]
    assert all(place["detail"] for place in problem["errors"])
    assert CANARY not in answer.text + world.log.getvalue()
    assert GREETED == []


@pytest.mark.parametrize(
    ("address", "pointer"),
    [
        ("/doors/seven", "/door_id"),
        ("/doors/7?floors=x", "/floors/0"),
        ("/doors/7?quiet=maybe", "/quiet"),
        ("/doors/7?quiet=1&quiet=0", "/quiet"),
        ("/doors/7?door_id=8", "/door_id"),
        ("/doors/7?colour=red", "/colour"),
        ("/doors/7?cursor=%00", "/cursor"),
    ],
)
async def test_wrong_query_is_pointed_at(world: World, address: str, pointer: str) -> None:
    problem = refused(await world.http.get("/api/v1" + address), 422, "invalid-request")
    assert [place["pointer"] for place in problem["errors"]] == [pointer]


async def test_path_field_out_of_range_is_refused(world: World) -> None:
    answer = await world.http.post(f"/api/v1/doors/{2**63}/knock", json={"name": "Ada"})
    assert refused(answer, 422, "invalid-request")["errors"][0]["pointer"] == "/door_id"


async def test_query_string_on_a_command_is_refused(world: World) -> None:
    refused(await world.http.post("/api/v1/doors/7/knock?knocks=2", json={"name": "Ada"}), 422, "invalid-request")


@pytest.mark.parametrize("body", [b"{", b'{"name": NaN}', b'"\xff"', b"[" * 2000, b'{"name": "\\ud800"}'])
async def test_malformed_json_is_refused(world: World, body: bytes) -> None:
    answer = await world.http.post("/api/v1/doors/7/knock", content=body, headers={"Content-Type": "application/json"})
    refused(answer, 400, "malformed-json")


async def test_empty_body_is_an_empty_ask(world: World) -> None:
    refused(await world.http.post("/api/v1/doors/doze"), 409, "queue-paused")


async def test_refusal_keeps_its_own_members(world: World) -> None:
    problem = refused(await world.http.post("/api/v1/doors/doze", json={}), 409, "queue-paused")
    assert (problem["message"], problem["retryable"]) == ("Back at two.", False)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
async def test_other_media_types_are_refused(world: World, kind: str) -> None:
    answer = await world.http.post("/api/v1/doors/7/knock", content=b'{"name": "A"}', headers={"Content-Type": kind})
    refused(answer, 415, "unsupported-media-type")


async def test_body_over_the_limit_is_refused_by_its_declared_length(world: World) -> None:
    answer = await world.http.post("/api/v1/doors/7/knock", json={"name": "A" * web.BODY_LIMIT})
    assert refused(answer, 413, "body-too-large")["limit"] == 65536
    assert answer.headers["connection"] == "close"


async def test_endless_body_is_read_no_further_than_the_limit(world: World) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1024
            yield b" " * 1024

    assert await raw(world, "POST", "/api/v1/doors/7/knock", endless()) == 413
    assert sent == 65 * 1024


async def nobody() -> AsyncIterator[bytes]:
    """No body."""
    yield b""


async def raw(world: World, method: str, path: str, body: AsyncIterator[bytes] | None = None) -> int:
    """The status of a request that no client has tidied up: dots in the path, a body that never ends."""
    statuses: list[int] = []
    chunks = body or nobody()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(chunks), "more_body": body is not None}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    await world.app(scope, receive, send)
    return statuses[0]


async def test_unknown_address_is_a_problem(world: World) -> None:
    for address in ("/nowhere", "/api/v1/nowhere", "/api/v1/doors/7/", "/clients/nowhere.js", "/api/v2/doors/7"):
        refused(await world.http.get(address), 404, "not-found")


async def test_wrong_method_names_the_right_ones(world: World) -> None:
    answer = await world.http.delete("/api/v1/doors/7/greet")
    assert refused(answer, 405, "method-not-allowed")["allow"] == ["GET", "HEAD", "OPTIONS", "POST"]
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


async def test_options_names_the_methods_and_head_has_no_body(world: World) -> None:
    options = await world.http.options("/api/v1/doors/7")
    assert (options.status_code, options.headers["allow"], options.content) == (204, "GET, HEAD, OPTIONS", b"")
    head, get = await world.http.head("/api/v1/doors/7"), await world.http.get("/api/v1/doors/7")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))


async def test_cursor_is_taken_back_by_its_own_list_alone(world: World) -> None:
    cursor = asks.encode_cursor("look", 41)
    assert (await world.http.get(f"/api/v1/doors/7?cursor={cursor}")).json()["after"] == 41
    others = [asks.encode_cursor("queues", 41), asks.encode_cursor("look", "41"), cursor[:-2] + "AA", "x", "%C3%A9"]
    for other in others:
        refused(await world.http.get(f"/api/v1/doors/7?cursor={other}"), 400, "invalid-cursor")


# Who asks


async def test_stranger_is_asked_to_sign_in(world: World) -> None:
    answer = await world.http.post("/api/v1/doors/7/greet", json={"name": "Ada"})
    refused(answer, 401, "not-authenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("credential", ["Bearer nonsense", "Device nonsense", "Ticket x", "Basic dTpw", "Bearer", " "])
async def test_credential_that_opens_nothing_is_refused_even_where_strangers_may(world: World, credential: str) -> None:
    headers = {"Authorization": credential}
    refused(await world.http.get("/api/v1/doors/7", headers=headers), 401, "not-authenticated")


async def test_role_that_is_not_named_is_refused(world: World) -> None:
    headers = await world.bearer("desk@example.org")
    answer = await world.http.post("/api/v1/doors/7/greet", json={"name": "Ada"}, headers=headers)
    refused(answer, 403, "not-allowed")
    assert GREETED == []


async def test_bearer_needs_no_csrf_token(world: World) -> None:
    headers = await world.bearer()
    answer = await world.http.post("/api/v1/doors/7/greet", json={"name": "Ada"}, headers=headers)
    assert answer.status_code == 201


async def test_cookie_alone_reads_but_changes_nothing(world: World) -> None:
    signed_in = await world.sign_in()
    assert (await world.http.get("/api/v1/doors/7/greet")).status_code == 200
    for guess in (b"", b"guess", "é".encode()):
        headers = {b"X-CSRF-Token": guess} if guess else {}
        answer = await world.http.post("/api/v1/doors/7/greet", json={"name": "Ada"}, headers=headers)
        refused(answer, 403, "csrf")
    proof = {"X-CSRF-Token": signed_in["csrf"]}
    answer = await world.http.post("/api/v1/doors/7/greet", json={"name": "Ada"}, headers=proof)
    assert answer.status_code == 201


async def test_session_opens_shows_and_closes(world: World) -> None:
    opened = await world.http.post("/api/v1/session", json={"email": " Doctor@Example.org", "password": "right horse"})
    body = opened.json()
    assert body["user"]["role"] == "doctor"
    cookies = opened.headers.get_list("set-cookie")
    assert any(c.startswith("callboard_session=") and "HttpOnly" in c and "SameSite=strict" in c for c in cookies)
    assert any(c.startswith("callboard_csrf=" + body["csrf"]) and "HttpOnly" not in c for c in cookies)
    shown = (await world.http.get("/api/v1/session")).json()
    assert shown == {"csrf": body["csrf"], "user": body["user"]}
    closed = await world.http.delete("/api/v1/session", headers={"X-CSRF-Token": body["csrf"]})
    assert closed.status_code == 204
    assert not world.http.cookies
    bearer = {"Authorization": f"Bearer {body['token']}"}
    refused(await world.http.get("/api/v1/session", headers=bearer), 401, "not-authenticated")


async def test_wrong_sign_in_does_not_tell_which_half_is_wrong(world: World) -> None:
    wrong = (
        {"email": "doctor@example.org", "password": "wrong"},
        {"email": "who@example.org", "password": "right horse"},
    )
    first, second = [await world.http.post("/api/v1/session", json=ask) for ask in wrong]
    refused(first, 401, "wrong-sign-in")
    assert first.json() == second.json()


async def test_spent_session_cookie_does_not_keep_anyone_from_signing_in(world: World) -> None:
    world.http.cookies.set("callboard_session", "spent")
    await world.sign_in()


async def test_guessing_a_password_ends_after_ten_tries_for_that_account_alone(world: World) -> None:
    guess = {"email": "Doctor@example.org", "password": "wrong"}
    answers = await asyncio.gather(*(world.http.post("/api/v1/session", json=guess) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 2
    right = {"email": "doctor@example.org", "password": "right horse"}
    answer = await world.http.post("/api/v1/session", json=right)
    assert refused(answer, 429, "too-many-requests")["retryable"]
    assert 0 < int(answer.headers["retry-after"]) <= 300
    await world.sign_in("desk@example.org")


async def test_cookie_nobody_vouches_for_is_a_stranger_where_strangers_may(world: World) -> None:
    await world.sign_in()
    assert (await world.http.post("/api/v1/doors/7/knock", json={"name": "Ada"})).status_code == 200
    assert [line["actor"] for line in world.lines() if line.get("route", "").endswith("/knock")] == ["anonymous"]
    wrong = {"X-CSRF-Token": "guess"}
    refused(await world.http.post("/api/v1/doors/7/knock", json={"name": "Ada"}, headers=wrong), 403, "csrf")
    world.http.cookies.clear()
    world.http.cookies.set("callboard_session", "spent")
    assert (await world.http.get("/api/v1/doors/7")).status_code == 200
    refused(await world.http.get("/api/v1/doors/7/greet"), 401, "not-authenticated")


async def test_cookies_are_secure_behind_tls(clinic_url: str, folder: Path) -> None:
    async with edge(clinic_url, folder, secure_cookies=True) as world:
        answer = await world.http.post("/api/v1/session", json={"email": "desk@example.org", "password": "right horse"})
        assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
        assert "max-age" in answer.headers["strict-transport-security"]


# Idempotency


async def test_same_key_gets_the_same_answer_and_does_nothing_again(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": uuid.uuid4().hex}
    first = await world.http.post("/api/v1/doors/7/greet", json={"name": "Ida"}, headers=headers)
    again = await world.http.post("/api/v1/doors/7/greet", json={"name": "Ida"}, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert await world.store.pool.fetchval("select count(*) from facts where value = 'Ida'") == 1


async def test_key_of_another_request_is_refused(world: World) -> None:
    headers = {**await world.bearer(), "Idempotency-Key": uuid.uuid4().hex}
    await world.http.post("/api/v1/doors/7/greet", json={"name": "Ada"}, headers=headers)
    answer = await world.http.post("/api/v1/doors/7/greet", json={"name": "Bea"}, headers=headers)
    refused(answer, 422, "idempotency-key-reused")


@pytest.mark.parametrize("key", ["", "with space", "x" * 201, "é"])
async def test_unusable_key_is_refused(world: World, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = await world.http.post("/api/v1/doors/7/knock", json={"name": "Ada"}, headers=headers)
    refused(answer, 400, "invalid-idempotency-key")


# Failures


async def test_unexpected_failure_is_logged_with_its_id_and_told_without_detail(world: World) -> None:
    answer = await world.http.post("/api/v1/stumble", headers={"X-Request-ID": "r-1"})
    problem = refused(answer, 500, "internal")
    assert problem["request_id"] == answer.headers["x-request-id"] == "r-1"
    assert "zero" not in answer.text
    (failure,) = [line for line in world.lines() if line["event"] == "request-failed"]
    assert failure["request_id"] == "r-1"
    assert "DivisionByZero" in failure["exception"]


async def test_failure_with_a_name_in_hand_logs_no_name(world: World) -> None:
    refused(await world.http.post("/api/v1/doors/7/trip", json={"name": CANARY}), 500, "internal")
    assert "ValidationError" in world.log.getvalue()
    assert CANARY not in world.log.getvalue()


async def test_lost_database_is_told_as_such(world: World) -> None:
    headers = await world.bearer()
    await world.store.pool.close()
    for answer in (
        await world.http.post("/api/v1/doors/7/knock", json={"name": "Ada"}),
        await world.http.get("/api/v1/doors/7"),
        await world.http.get("/api/v1/doors/7", headers=headers),
        await world.http.post("/api/v1/session", json={"email": "a@b.c", "password": "x"}),
    ):
        assert refused(answer, 503, "unavailable")["retryable"]
        assert int(answer.headers["retry-after"]) > 0


async def test_readiness_names_the_part_that_is_missing(world: World) -> None:
    assert (await world.http.get("/readyz")).json() == {"ok": True, "parts": ["postgresql"]}

    async def broken() -> None:
        raise ConnectionRefusedError

    world.parts["redis"] = broken
    assert refused(await world.http.get("/readyz"), 503, "unavailable")["missing"] == ["redis"]
    assert (await world.http.get("/healthz")).status_code == 200


async def test_part_that_hangs_is_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PART_TIMEOUT", 0.01)
    world.parts["redis"] = asyncio.Event().wait
    assert refused(await world.http.get("/readyz"), 503, "unavailable")["missing"] == ["redis"]


# What is told of requests


@pytest.mark.parametrize("inbound", ["", "a b", "x" * 65, "-x", "a\tb", "é"])
async def test_strange_request_id_is_replaced(world: World, inbound: str) -> None:
    answer = await world.http.get("/healthz", headers={"X-Request-ID": inbound.encode("latin-1")})
    assert answer.headers["x-request-id"] != inbound
    assert len(answer.headers["x-request-id"]) == 32


async def test_one_access_line_a_request_with_template_actor_and_institution(world: World) -> None:
    headers = await world.bearer()
    await world.http.post("/api/v1/doors/7/greet", json={"name": CANARY}, headers={**headers, "X-Request-ID": "r-2"})
    (line,) = [line for line in world.lines() if line.get("request_id") == "r-2" and line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("POST", "/api/v1/doors/{door_id}/greet", 201)
    assert line["actor"].startswith("user:")
    assert isinstance(line["institution"], int)
    assert line["ms"] >= 0
    assert CANARY not in world.log.getvalue()


async def test_no_secret_reaches_the_log(world: World) -> None:
    secret = "s3cr3t-s3cr3t-s3cr3t"
    await world.http.get(f"/t/{secret}")
    await world.http.get("/api/v1/doors/7", headers={"Authorization": f"Ticket {secret}"})
    logging.getLogger("uvicorn.error").warning("GET /t/%s took long", secret)
    logging.getLogger("engineio.server").warning('auth {"ticket":"%s"}', secret)
    logs.get("x").info(
        "seen", authorization=secret, nested={"cookie": secret}, text=f"Bearer {secret}", link=f"/t/{secret}"
    )
    try:
        raise ValueError(f"http://clinic.test/t/{secret}?x")
    except ValueError:
        logs.get("x").exception("odd")
    assert secret not in world.log.getvalue()
    assert "/t/{secret}" in world.log.getvalue()


def test_log_for_eyes_hides_as_much() -> None:
    out = io.StringIO()
    logs.configure(json=False, stream=out)
    logs.get("x").warning("refused", phone="+49 123", error=f"Key (name)\nDETAIL:  Failing row contains ({CANARY}).")
    logging.getLogger().handlers.clear()
    assert "refused" in out.getvalue()
    assert CANARY not in out.getvalue()
    assert "+49" not in out.getvalue()


async def test_metrics_count_requests_by_template_and_carry_the_other_parts(world: World) -> None:
    await world.http.get("/api/v1/doors/7")
    await world.http.get("/api/v1/doors/8")
    await world.http.get("/wp-admin.php")
    text = (await world.http.get("/metrics")).text
    assert 'callboard_http_requests_total{method="GET",route="/api/v1/doors/{door_id}",status="200"} 2.0' in text
    assert 'route="(none)",status="404"' in text
    assert "callboard_http_request_seconds_bucket" in text
    assert "callboard_sockets 3.0" in text
    assert "wp-admin" not in text


async def test_every_answer_has_the_security_headers(world: World) -> None:
    for answer in [await world.http.get(a) for a in ("/healthz", "/nowhere", "/board", "/clients/shared/api.js")]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-request-id"]


async def test_other_origins_read_nothing_unless_named(clinic_url: str, folder: Path) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    async with edge(clinic_url, folder, allowed_origins=["https://kiosk.test"]) as world:
        for origin, allowed in (("https://kiosk.test", "https://kiosk.test"), ("https://evil.test", None)):
            answer = await world.http.get("/api/v1/doors/7", headers={"Origin": origin})
            preflight = await world.http.options("/api/v1/doors/7/greet", headers={"Origin": origin, **asked})
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert preflight.headers.get("access-control-allow-origin") == allowed
            assert ("access-control-allow-headers" in preflight.headers) == (allowed is not None)
            assert answer.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in answer.headers


# Pages


async def test_page_admits_its_own_import_map_and_nothing_else(world: World) -> None:
    answer = await world.http.get("/board")
    found = re.search(r'<script type="importmap">(.*?)</script>', answer.text)
    assert found
    hashed = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert f"script-src 'self' 'sha256-{hashed}'" in answer.headers["content-security-policy"]
    assert "connect-src 'self' ws://clinic.test wss://clinic.test" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-cache"
    imports = json.loads(found[1])["imports"]
    assert imports["preact"].startswith("/clients/vendor/preact.js?v=")
    assert imports["/clients/shared/api.js"].startswith("/clients/shared/api.js?v=")
    for address in imports.values():
        assert "immutable" in (await world.http.get(address)).headers["cache-control"]


async def test_page_names_its_build_and_preloads_all_that_it_will_import(world: World) -> None:
    text = (await world.http.get("/board")).text
    assert '<meta name="build" content="' in text
    assert text.index("importmap") < text.index("modulepreload")
    for name in ("board/board", "shared/api", "shared/i18n", "vendor/preact"):
        assert f'<link rel="modulepreload" href="/clients/{name}.js?v=' in text
    for name in ("alone", "guard"):
        assert f'modulepreload" href="/clients/shared/{name}' not in text
    assert 'href="/clients/board/board.css?v=' in text
    assert 'src="/clients/board/board.js?v=' in text


async def test_ticket_page_is_the_same_for_every_secret(world: World) -> None:
    one, other = await world.http.get("/t/one-secret"), await world.http.get("/t/another")
    assert (one.status_code, one.content) == (200, other.content)
    assert b"one-secret" not in one.content


async def test_host_that_is_none_does_not_reach_the_policy(world: World) -> None:
    answer = await world.http.get("/board", headers={"Host": "x; script-src *"})
    assert "connect-src 'self';" in answer.headers["content-security-policy"]


async def test_address_with_an_old_hash_answers_the_file_as_it_is(world: World) -> None:
    answer = await world.http.get("/clients/shared/i18n.js?v=0123456789abcdef")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.text == FILES["shared/i18n.js"]


async def test_file_is_sent_compressed_where_asked_and_not_again(world: World) -> None:
    packed = await world.http.get("/clients/board/board.css")
    plain = await world.http.get("/clients/board/board.css", headers={"Accept-Encoding": "gzip;q=0"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert packed.headers["etag"] != plain.headers["etag"]
    for tag in (packed.headers["etag"], f'"other", W/{plain.headers["etag"]}'):
        again = await world.http.get("/clients/board/board.css", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")


HIDDEN = ["vendor/vendor.py", "tsconfig.json", ".hidden.js", ".git/config.js", "board/index.html", "shared/events.d.ts"]
DOTTED = ["../secret.js", "shared/../../secret.js", "shared//api.js", "", "shared", "./shared/api.js", "/etc/passwd"]


@pytest.mark.parametrize("path", [*HIDDEN, *DOTTED])
async def test_nothing_else_is_served(world: World, path: str) -> None:
    assert await raw(world, "GET", f"/clients/{path}") == 404


def test_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    (folder / "shared" / "linked.js").symlink_to(folder.parent / "secret.js")
    assert "/clients/shared/linked.js" not in Clients(folder, "b").assets


def test_build_changes_with_any_source_and_with_nothing_else(folder: Path) -> None:
    before = build_hash(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "vendor.pyc").write_bytes(b"1")
    assert build_hash(folder) == before
    (folder / "shared" / "alone.js").write_text("export const changed = 1;\n")
    assert build_hash(folder) != before


def test_two_declarations_of_one_address_are_an_error() -> None:
    store = Store(None, Unpublished())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is taken"):
        web.build(config=Config(), store=store, commands=[COMMANDS[0], COMMANDS[0]], queries=[])


# In a browser


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """The address of an application behind a real socket, on this loop."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, lifespan="off"))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def test_browser_runs_a_page_from_its_import_map_and_nothing_from_elsewhere(
    clinic_url: str, folder: Path, browser: Browser
) -> None:
    board = """
        import { h } from "preact";
        import { t } from "../shared/api.js";
        const load = (source) => new Promise((done) => {
            const script = document.createElement("script");
            script.append(source);
            document.head.append(script);
            setTimeout(done);
        });
        await load("window.inline = true");
        const told = document.createElement("p");
        told.append(`${h} ${t("ok")} ${window.inline}`);
        document.body.append(told);
    """
    (folder / "board" / "board.js").write_text(board)
    async with edge(clinic_url, folder) as world, listening(world.app) as address:
        page = await browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(address)))
        await page.goto(f"{address}/board")
        assert await page.inner_text("p") == "1 ok undefined"
        modules = [url for url in asked if ".js" in url]
        assert len(modules) == len(set(modules)) == 5
        assert all("?v=" in url for url in modules)
        await page.close()


async def test_no_page_of_ours_breaks_its_own_policy(clinic_url: str, browser: Browser) -> None:
    async with edge(clinic_url, ROOT / "clients") as world, listening(world.app) as address:
        for path in (one.replace("{secret}", "nobodys-secret") for one in PAGES):
            page = await browser.new_page()
            wrong: list[str] = []
            page.on("pageerror", lambda error, wrong=wrong: wrong.append(str(error)))
            page.on("console", lambda message, wrong=wrong: wrong.append(message.text))
            await page.goto(f"{address}{path}")
            await page.wait_for_selector("#app > *")
            found = [text for text in wrong if re.search("Content.Security|specifier|MIME|SyntaxError|preload", text)]
            assert found == [], path
            await page.close()
