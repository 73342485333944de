"""What nobody should send: each gets its answer, over HTTP and over sockets, and nobody else notices."""

import asyncio
import json
import resource
import unicodedata
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from server import devices, logs, web
from server.access import Role
from server.config import Config
from server.fanout import INBOUND_MAX
from tests.doors import NUMBERS, PATIENCE, STRANGER, Closed, House, Peer, Somebody, served

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUL, SURROGATE, DEEP = '"\\u0000"', '"\\ud800"', "[" * 5000 + "]" * 5000
NESTED = '{"a":' * 5000 + "1" + "}" * 5000
ENORMOUS = "1" + "0" * 400
LONG, UMLAUTS = "x" * 201, "ä" * 99
REASON = "x" * 501
MANY = json.dumps(["x"] * 11)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(postgres: Any, redis_server: Any) -> AsyncIterator[House]:
    url = postgres.fresh()
    logs.configure(level="error")
    async with served(url, redis_server.fresh()) as house:
        yield house
    postgres.drop(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clerk(house: House) -> Somebody:
    return await house.sign_in(Role.receptionist)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def queue(house: House) -> int:
    return await house.world.queue("Hostile")


@pytest_asyncio.fixture(loop_scope="module")
async def peer(house: House, clerk: Somebody) -> AsyncIterator[Peer]:
    peer = await house.knock(clerk)
    yield peer
    await peer.ws.close()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nobody_else_noticed(house: House, clerk: Somebody) -> AsyncIterator[None]:
    """After each of these, the clinic works as it did, and nothing was left half done."""
    bystander = await house.knock(clerk)
    yield
    assert "ok" in await bystander.call("hello", {})
    assert (await house.http.get("/api/v1/queues", headers=clerk.headers)).status_code == 200
    await bystander.ws.close()


WRONG = [
    ("", "invalid-request"),
    ("{", "malformed-json"),
    ("nonsense", "malformed-json"),
    ("{} {}", "malformed-json"),
    ("[]", "invalid-request"),
    ("null", "invalid-request"),
    ('"text"', "invalid-request"),
    (f'{{"patient":{{"name":{NUL}}}}}', "invalid-request"),
    ('{"patient":{"name":"A\0B"}}', "malformed-json"),
    (f'{{"patient":{{"name":{SURROGATE}}}}}', "malformed-json"),
    (f'{{"patient":{DEEP}}}', "malformed-json"),
    (NESTED, "malformed-json"),
    (f'{{"patient_id":{ENORMOUS}}}', None),
    ('{"patient_id":1e400}', None),
    ('{"patient_id":NaN}', "malformed-json"),
    ('{"patient_id":-1}', "invalid-request"),
    ('{"patient_id":0}', "invalid-request"),
    ('{"patient_id":9223372036854775807}', "invalid-request"),
    ('{"patient_id":18446744073709551616}', "invalid-request"),
    ('{"patient_id":1.5}', "invalid-request"),
    ('{"patient_id":"1"}', "invalid-request"),
    ('{"patient_id":true}', "invalid-request"),
    ('{"patient_id":[1]}', "invalid-request"),
    ('{"patient_id":1152921504606846976}', "not-found"),
    ('{"patient":[{"name":"Ada"}]}', "invalid-request"),
    ('{"patient":{"name":"Ada","name2":"Ada"}}', "invalid-request"),
    ('{"patient":{"name":"Ada"},"patient_id":1}', "invalid-request"),
    ('{"patient":{"name":"Ada"},"urgency":"mortal"}', "invalid-request"),
    ('{"patient":{"name":"Ada"},"requirements":"wheelchair"}', "invalid-request"),
    (f'{{"patient":{{"name":"Ada"}},"requirements":{MANY}}}', "invalid-request"),
    (f'{{"patient":{{"name":"Ada"}},"reason":"{REASON}"}}', "invalid-request"),
    (f'{{"patient":{{"name":"{LONG}"}}}}', "invalid-request"),
    ('{"patient":{"name":"Ada","phone":"call me"}}', "invalid-request"),
    ('{"patient":{"name":"Ada","birth_year":1066}}', "invalid-request"),
    ('{"__proto__":{"name":"Ada"}}', "invalid-request"),
]


HOW_MANY = "select count(*) from tickets where queue_id = $1"


@pytest.mark.parametrize(("body", "code"), WRONG, ids=[str(number) for number in range(len(WRONG))])
async def test_wrong_body_gets_its_refusal_over_http(
    house: House, clerk: Somebody, queue: int, body: str, code: str | None
) -> None:
    before = await house.world.pool.fetchval(HOW_MANY, queue)
    headers = {**clerk.headers, "Content-Type": "application/json"}
    answer = await house.http.post(f"/api/v1/queues/{queue}/tickets", content=body.encode(), headers=headers)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == code or (code is None and problem["code"] in ("invalid-request", "malformed-json"))
    assert 400 <= answer.status_code < 500
    assert await house.world.pool.fetchval(HOW_MANY, queue) == before


@pytest.mark.parametrize(("body", "code"), WRONG, ids=[str(number) for number in range(len(WRONG))])
async def test_wrong_message_gets_its_refusal_or_is_cut(
    house: House, peer: Peer, queue: int, body: str, code: str | None
) -> None:
    before = await house.world.pool.fetchval(HOW_MANY, queue)
    if body.startswith('{"') and body.endswith("}"):
        body = f'{{"queue_id":{queue},{body[1:]}'
    number = next(NUMBERS)
    peer.acks[number] = asyncio.get_running_loop().create_future()
    await peer.say(f'42{number}["join-queue",{body or "null"}]')
    try:
        answer = await asyncio.wait_for(peer.acks[number], PATIENCE)
    except Closed:
        assert code in (None, "malformed-json"), "only what is no JSON ends the connection"
    else:
        assert answer["problem"]["code"] in (code or "invalid-request", "invalid-request", "malformed-json")
        assert answer["problem"]["code"] != "internal"
        assert "ok" in await peer.call("hello", {})
    assert await house.world.pool.fetchval(HOW_MANY, queue) == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["no-such-event", {}], "unknown-event"),
        (["refresh-waits", {"queue_id": 1}], "unknown-event"),
        (["x" * 5000, {}], "unknown-event"),
        (["<b>\u202e</b>", {}], "unknown-event"),
        (["", {}], "unknown-event"),
        (["hello", {"colour": "red"}], "invalid-request"),
        (["hello", {}, {}], "invalid-request"),
        (["hello", "text"], "invalid-request"),
        (["hello", None], "invalid-request"),
        (["subscribe", {}], "invalid-request"),
        (["subscribe", {"stream": 1}], "invalid-request"),
        (["subscribe", {"stream": ""}], "invalid-request"),
        (["subscribe", {"stream": "board"}], "invalid-request"),
        (["subscribe", {"stream": "board:"}], "invalid-request"),
        (["subscribe", {"stream": "board:01"}], "invalid-request"),
        (["subscribe", {"stream": "board:-1"}], "invalid-request"),
        (["subscribe", {"stream": "board:1\0"}], "invalid-request"),
        (["subscribe", {"stream": "board:١"}], "invalid-request"),
        (["subscribe", {"stream": "board:" + "9" * 400}], "invalid-request"),
        (["subscribe", {"stream": "board:999999999999999999"}], "not-allowed"),
        (["subscribe", {"stream": "control"}], "invalid-request"),
        (["subscribe", {"stream": "board:1}:meta"}], "invalid-request"),
        (["subscribe", {"stream": "board:1", "version": -1}], "invalid-request"),
        (["subscribe", {"stream": "board:1", "version": "1"}], "invalid-request"),
        (["subscribe", {"stream": "board:1", "epoch": ["x"]}], "invalid-request"),
        (["call-shown", {"stream": "board:1", "version": 1, "spoken": "yes"}], "invalid-request"),
        (["set-queue-state", {"queue_id": 1, "state": "open", "idempotency_key": ""}], "invalid-idempotency-key"),
        (["set-queue-state", {"queue_id": 1, "state": "open", "idempotency_key": "ä"}], "invalid-idempotency-key"),
        (["set-queue-state", {"queue_id": 1, "state": "open", "idempotency_key": 7}], "invalid-idempotency-key"),
        (
            ["set-queue-state", {"queue_id": 1, "state": "open", "idempotency_key": "x" * 201}],
            "invalid-idempotency-key",
        ),
    ],
)
async def test_wrong_event_is_answered_with_its_code(peer: Peer, arguments: list[Any], code: str) -> None:
    answer = await peer.call(*arguments)
    assert answer["problem"]["code"] == code
    assert "ok" in await peer.call("hello", {})


async def test_version_no_stream_has_reached_gets_a_snapshot(peer: Peer, queue: int) -> None:
    for position in ({"version": 2**60}, {"epoch": "x" * 5000, "version": 0}, {"epoch": "\u202e", "version": 2**63}):
        answer = await peer.call("subscribe", {"stream": f"board:{queue}", **position})
        assert "snapshot" in answer.get("ok", {}) or answer["problem"]["code"] == "invalid-request"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "4",
        "42",
        "42{}",
        "42[]",
        "42[1]",
        "42[null]",
        '42["hello"',
        '421e9["hello",{}]',
        '42-1["hello",{}]',
        '42["connect",{}]',
        '42["disconnect"]',
        '42["connect_error",{}]',
        '42/admin,["hello",{}]',
        "43",
        '4399["x"]',
        "44{}",
        "45",
        '451-["hello",{"_placeholder":true,"num":0}]',
        "46",
        "49",
        "5",
        "6",
        "9",
        "b64",
        "2probe",
        '40{"token":"x"}',
        "40/admin,{}",
        "\U0001f600",
        "42" + DEEP,
        '42["hello",' + NESTED + "]",
    ],
)
async def test_frame_no_client_would_send_is_ignored_or_ends_its_own_connection(peer: Peer, frame: str) -> None:
    await peer.say(frame)
    try:
        assert "ok" in await peer.call("hello", {})
    except (Closed, ConnectionResetError, aiohttp.ClientError):
        await peer.gone()


async def test_binary_ends_its_own_connection(peer: Peer) -> None:
    await peer.ws.send_bytes(b"\x00\xff" * 100)
    await peer.gone()


async def test_message_too_large_ends_its_own_connection(peer: Peer) -> None:
    await peer.say('42["hello",{"x":"' + "x" * INBOUND_MAX + '"}]')
    await peer.gone()


@pytest.mark.parametrize(
    "auth",
    [
        '{"token":"\\ud800"}',
        '{"token":"\\u0000"}',
        "[]",
        '"x"',
        "1",
        '{"token":{"a":1}}',
        f'{{"ticket":"{UMLAUTS}"}}',
    ],
)
async def test_odd_credential_is_refused_plainly(house: House, auth: str) -> None:
    ws = await house.client.ws_connect(f"{house.url}/socket.io/?EIO=4&transport=websocket")
    await ws.receive_str()
    await ws.send_str("40" + auth)
    answer = await asyncio.wait_for(ws.receive(), PATIENCE)
    if answer.type is aiohttp.WSMsgType.TEXT and answer.data != "1":
        assert answer.data.startswith("44")
        assert orjson.loads(answer.data[2:])["data"]["code"] == "not-authenticated"
    else:
        assert answer.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.TEXT)
    await ws.close()


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x y", "bearer \xe4", "Basic eDp5", "x" * 5000, ", ,"])
async def test_odd_authorization_is_refused_plainly(house: House, header: str) -> None:
    async with house.client.get(
        f"{house.url}/api/v1/queues", headers={"Authorization": header.encode("latin-1").decode("latin-1")}
    ) as answer:
        assert answer.status == 401
        assert (await answer.json(content_type=None))["code"] == "not-authenticated"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/api/v1/queues/0/call-next", 422),
        ("POST", "/api/v1/queues/-1/call-next", 422),
        ("POST", "/api/v1/queues/1e3/call-next", 422),
        ("POST", "/api/v1/queues/99999999999999999999999/call-next", 422),
        ("POST", "/api/v1/queues/1%00/call-next", 422),
        ("POST", "/api/v1/queues/%ff/call-next", 422),
        ("POST", "/api/v1/queues/1/call-next?queue_id=2", 422),
        ("GET", "/api/v1/queues?limit=1e400", 422),
        ("GET", "/api/v1/queues?limit=0", 422),
        ("GET", "/api/v1/queues?cursor=%ED%A0%80", 400),
        ("GET", "/api/v1/queues?cursor=bm9uc2Vuc2U", 400),
        ("DELETE", "/api/v1/queues", 405),
        ("TRACE", "/api/v1/queues", 405),
        ("GET", "/api/v1/../../etc/passwd", 404),
        ("GET", "/api/v2/queues", 404),
        ("GET", "/" + "x" * 5000, 404),
    ],
)
async def test_odd_address_is_refused_plainly(
    house: House, clerk: Somebody, method: str, path: str, status: int
) -> None:
    given = {"json": {"desk_id": 1}} if method == "POST" else {}
    answer = await house.http.request(method, path, headers=clerk.headers, **given)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status


async def test_body_too_large_is_not_read(house: House, clerk: Somebody, queue: int) -> None:
    path = f"/api/v1/queues/{queue}/tickets"
    headers = {**clerk.headers, "Content-Type": "application/json"}
    big = b'{"reason":"' + b"x" * web.BODY_LIMIT + b'"}'
    assert (await house.http.post(path, content=big, headers=headers)).json()["code"] == "body-too-large"

    async def dripping() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 4096):
            yield big[start : start + 4096]

    answer = await house.http.post(path, content=dripping(), headers=headers)
    assert answer.json()["code"] == "body-too-large"
    answer = await house.http.post(path, content=b"x", headers={**clerk.headers, "Content-Type": "text/plain"})
    assert answer.json()["code"] == "unsupported-media-type"


NAMES = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "'; drop table patients; --",
    "Zoë \U0001f600",
    "{{7*7}} ${7*7} %s %n",
    "__proto__",
]
INVISIBLE = ["\u202eadA\u202c", "A\u200bda", "\ufeffAda", "A\u2066da\u2069"]
"""Overrides of direction and characters without a width: a list in which one of them stands would show another name."""


async def comes_back(house: House, clerk: Somebody, name: str) -> str:
    """What a name has become in what staff are shown, over HTTP and over a socket."""
    queue = await house.world.queue(f"Names {next(NUMBERS)}")
    joined = await house.http.post(
        f"/api/v1/queues/{queue}/tickets", json={"patient": {"name": name}}, headers=clerk.headers
    )
    assert joined.status_code == 201, joined.text
    assert "alert" not in joined.json()["qr_svg"]
    shown = await house.http.get(f"/api/v1/queues/{queue}", headers=clerk.headers)
    assert (shown.headers["content-type"], shown.headers["x-content-type-options"]) == ("application/json", "nosniff")
    (kept,) = [one["patient"]["name"] for one in shown.json()["tickets"]]
    peer = await house.knock(clerk)
    rows = (await peer.follow(f"staff:{queue}"))["snapshot"]["rows"]
    assert [row["patient"]["name"] for row in rows.values() if "patient" in row] == [kept]
    await peer.ws.close()
    return str(kept)


@pytest.mark.parametrize("name", NAMES)
async def test_name_is_data_and_comes_back_as_it_was(house: House, clerk: Somebody, name: str) -> None:
    assert await comes_back(house, clerk, name) == name


@pytest.mark.parametrize("name", INVISIBLE)
async def test_name_comes_back_without_what_nobody_sees(house: House, clerk: Somebody, name: str) -> None:
    kept = await comes_back(house, clerk, name)
    assert not {unicodedata.category(letter) for letter in kept} & {"Cc", "Cf"}
    assert "da" in kept.lower() or "ad" in kept.lower()


# Too much


async def test_flood_on_one_socket_is_answered_or_cut_and_others_are_served(
    house: House, clerk: Somebody, queue: int
) -> None:
    flooder, other = await house.knock(clerk), await house.knock(clerk)

    async def flood() -> None:
        for number in range(10_000):
            follow = number % 20 == 0
            if flooder.closed.is_set():
                return
            await flooder.say(
                f'42["subscribe",{{"stream":"board:{queue}","version":{number}}}]' if follow else '42["hello",{}]'
            )

    flooding = asyncio.create_task(flood())
    for _ in range(20):
        assert "ok" in await other.call("subscribe", {"stream": f"staff:{queue}"})
    try:
        await asyncio.wait_for(flooding, 60)
        assert "ok" in await flooder.call("hello", {}, patience=60)
    except (Closed, ConnectionResetError, aiohttp.ClientError):
        await flooder.gone()
    for one in (flooder, other):
        await one.ws.close()


async def test_socket_follows_only_so_many_streams(house: House) -> None:
    above = await house.knock(await house.sign_in(Role.super_admin))
    queues = [await house.world.queue(f"Many {number}") for number in range(101)]
    codes = [(await above.call("subscribe", {"stream": f"board:{one}"})) for one in queues]
    assert all("ok" in one for one in codes[:100])
    assert codes[100]["problem"]["code"] == "too-many-requests"
    assert "ok" in await above.call("unsubscribe", {"stream": f"board:{queues[0]}"})
    assert "ok" in await above.call("subscribe", {"stream": f"board:{queues[100]}"})
    assert "ok" in await above.call("subscribe", {"stream": f"board:{queues[100]}"}), "the same again is no more"
    await above.ws.close()


async def test_a_thousand_idle_sockets_leave_room_for_others(house: House, clerk: Somebody) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    url = f"{house.url}/socket.io/?EIO=4&transport=websocket"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as crowd:
        idle = []
        for _ in range(20):
            idle += await asyncio.gather(*(crowd.ws_connect(url) for _ in range(50)))
        peer = await house.knock(clerk)
        assert "ok" in await peer.call("hello", {})
        assert (await house.http.get("/api/v1/queues", headers=clerk.headers)).status_code == 200
        await peer.ws.close()
        for ws in idle:
            assert ws._response.connection is not None
            ws._response.connection.close()


async def test_stranger_gets_no_socket(house: House) -> None:
    with pytest.raises(Closed):
        await house.knock(STRANGER)


async def test_one_address_cannot_use_up_everybodys_codes(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url, limit_stranger=Config().limit_stranger) as house:
        answers = [await house.http.post("/api/v1/pairings", json={})]
        while answers[-1].status_code == 201 and len(answers) < devices.OPEN_PAIRINGS:
            answers.append(await house.http.post("/api/v1/pairings", json={}))
        assert 20 < len(answers) < devices.OPEN_PAIRINGS / 2
        assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "too-many-requests")
        assert int(answers[-1].headers["retry-after"]) > 0
        clerk = await house.sign_in(Role.receptionist)
        assert (await house.http.post("/api/v1/pairings", json={}, headers=clerk.headers)).status_code == 201
