"""Pushes: who subscribes, where nothing is sent, what push services are told, and what only a browser reads."""

import asyncio
import base64
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec
from httpx2 import AsyncClient

from server import errors
from server.access import Actor, Role
from server.config import Config
from server.notices import Message, addresses, push
from tests.letters import written
from tests.providers import Browser, PushService, push_service
from tests.test_notices import booked
from tests.world import World
from workers.main import post as ways_out
from workers.notices import Post, send_due
from workers.senders.push import encrypted, payload


@pytest_asyncio.fixture
async def service() -> AsyncIterator[PushService]:
    async with push_service() as service:
        yield service


@pytest_asyncio.fixture
async def http() -> AsyncIterator[AsyncClient]:
    async with AsyncClient(trust_env=False) as client:
        yield client


def pushing(world: World, http: AsyncClient, inside: bool = True) -> Post:
    world.store.push_inside = inside
    return ways_out(world.store, Config(push_inside=inside, mail_from="Desk <desk@clinic.test>"), http)


async def waits(world: World) -> tuple[Any, Actor]:
    """Somebody who waits in a queue, and the holder of their ticket."""
    joined = await world.join(await world.queue())
    return joined, Actor(Role.ticket, joined.ticket_id, world.institution)


async def subscribe(world: World, who: Actor | str, service: PushService, browser: Browser) -> Any:
    world.store.push_inside = True
    return await world.do("subscribe-push", who, **service.subscription(browser))


async def called(world: World, service: PushService, *names: str) -> list[Browser]:
    """The browsers of somebody who is called to a desk."""
    queue = await world.queue()
    joined = await world.join(queue)
    browsers = [service.browser(name) for name in names]
    for browser in browsers:
        await subscribe(world, Actor(Role.ticket, joined.ticket_id, world.institution), service, browser)
    await world.call_next(queue)
    return browsers


async def pushes(world: World, **like: object) -> list[dict[str, Any]]:
    return await written(world, channel="push", kind="you-are-called", **like)


async def test_a_call_reaches_the_browser_and_nobody_on_the_way(
    still: World, service: PushService, http: AsyncClient
) -> None:
    (browser,) = await called(still, service, "phone")
    await send_due(pushing(still, http))
    (notice,) = await pushes(still)
    (got,) = browser.got
    ticket = notice["cause"].partition("/")[0]
    assert (got["opens"], got["tag"], got["language"]) == (ticket, f"notice-{notice['id']}", "en")
    assert got["title"] and "Room 1" in got["title"] + got["body"]
    assert notice["state"] == "sent" and service.known == {(await push.keys(still.pool, "")).told}


AGAIN = "update notices set state = 'pending', sent_at = null, try_at = due_at where channel = 'push'"


async def test_a_repeat_replaces_what_is_there(still: World, service: PushService, http: AsyncClient) -> None:
    (browser,) = await called(still, service, "phone")
    for _ in range(2):
        await send_due(pushing(still, http))
        await still.pool.execute(
            "update notices set state = 'pending', sent_at = null, try_at = due_at where channel = 'push'"
        )
    topics = {one["Topic"] for one in browser.headers} | {one["tag"] for one in browser.got}
    assert len(browser.got) == 2 and len(topics) == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_forgotten(
    still: World, service: PushService, http: AsyncClient, status: int
) -> None:
    gone, here = await called(still, service, "gone", "here")
    gone.answers = [status]
    await send_due(pushing(still, http))
    left = await still.pool.fetch("select endpoint from push_subscriptions")
    assert [row["endpoint"].rpartition("/")[2] for row in left] == ["here"] and len(here.got) == 1
    assert [one["state"] for one in await pushes(still)] == ["sent"]


async def test_whom_no_browser_reaches_is_told_another_way(
    still: World, service: PushService, http: AsyncClient
) -> None:
    (browser,) = await called(still, service, "gone")
    await still.pool.execute("update patients set phone = '+442079460958'")
    browser.answers = [410]
    await send_due(pushing(still, http))
    (failed,) = await pushes(still)
    (instead,) = await written(still, kind="you-are-called", channel="sms")
    assert (failed["state"], instead["instead_of"], instead["cause"]) == ("failed", failed["id"], failed["cause"])


@pytest.mark.parametrize(("status", "state"), [(500, "pending"), (429, "pending"), (302, "pending"), (413, "failed")])
async def test_a_push_services_answer_is_understood(
    still: World, service: PushService, http: AsyncClient, status: int, state: str
) -> None:
    (browser,) = await called(still, service, "phone")
    browser.answers = [status]
    await send_due(pushing(still, http))
    assert [one["state"] for one in await pushes(still)] == [state] and service.asked == 1


async def test_a_browser_tells_only_whoever_subscribed_last(still: World, service: PushService) -> None:
    (_, first), (_, second) = await waits(still), await waits(await still.other())
    browser = service.browser("shared")
    for who in (first, second):
        await subscribe(still, who, service, browser)
    endpoint = service.subscription(browser)["endpoint"]
    assert (await still.do("unsubscribe-push", first, endpoint=endpoint)).ended is False
    assert (await still.do("unsubscribe-push", second, endpoint=endpoint)).ended is True


async def test_nobody_gathers_browsers_without_end(still: World, service: PushService) -> None:
    _, who = await waits(still)
    for nth in range(push.MOST + 3):
        await subscribe(still, who, service, service.browser(f"b{nth}"))
    assert await still.pool.fetchval("select count(*) from push_subscriptions") == push.MOST


async def test_staff_subscribe_as_themselves(still: World, service: PushService) -> None:
    token = await still.account(Role.doctor, "ames@clinic.test", doctor_id=still.doctors[0])
    from server import access

    actor = await access.by_token(still.pool, token)
    assert actor is not None
    await subscribe(still, actor, service, service.browser("desk"))
    assert await still.pool.fetchval("select person from push_subscriptions") == f"user:{actor.id}"


async def test_a_merged_patients_browsers_go_along(still: World, service: PushService) -> None:
    one, who = await waits(still)
    await subscribe(still, who, service, service.browser("phone"))
    await still.do("cancel", ticket_id=one.ticket_id, reason="Twice.")
    gone = await still.pool.fetchval("select patient_id from tickets where id = $1", one.ticket_id)
    stays = (await still.do("register-patient", name="Sam Carter", confirm_new=True)).patient.id
    await still.do("merge-patients", "admin", patient_id=gone, into=stays)
    row = await still.pool.fetchrow("select person, patient_id from push_subscriptions")
    assert row is not None and tuple(row) == (f"patient:{stays}", stays)


# Addresses

INNER = [
    "https://127.0.0.1/x",
    "https://localhost/x",
    "https://[::1]/x",
    "https://10.1.2.3/x",
    "https://192.168.0.1/x",
    "https://172.16.0.1/x",
    "https://169.254.169.254/latest/meta-data",
    "https://100.64.0.1/x",
    "https://0.0.0.0/x",
    "https://2130706433/x",
    "https://0x7f.1/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[64:ff9b::a00:1]/x",
    "https://[2002:7f00:1::]/x",
    "https://[fe80::1]/x",
    "https://[fc00::1]/x",
    "https://224.0.0.1/x",
]
ODD = [
    "http://93.184.215.14/x",
    "https://93.184.215.14:22/x",
    "https://user@93.184.215.14/x",
    "https://93.184.215.14\\@10.0.0.1/x",
    "ftp://93.184.215.14/x",
    "https:///nowhere",
    "https://93.184.215.14 /x",
    "https://[broken/x",
    "javascript:alert(1)//x",
]


@pytest.mark.parametrize("endpoint", [*INNER, *ODD])
async def test_nothing_is_kept_that_leads_inside(still: World, service: PushService, endpoint: str) -> None:
    _, who = await waits(still)
    ask = {**service.subscription(service.browser("x")), "endpoint": endpoint}
    with pytest.raises(errors.PushAddressRefused):
        await still.do("subscribe-push", who, **ask)
    assert await still.pool.fetchval("select count(*) from push_subscriptions") == 0


async def test_no_request_leaves_for_an_inner_address_whatever_was_kept(
    still: World, service: PushService, http: AsyncClient
) -> None:
    await called(still, service, "phone")
    asked: list[Any] = []
    http.event_hooks["request"] = [lambda request: asyncio.sleep(0, asked.append(request))]
    await send_due(pushing(still, http, inside=False))
    assert asked == [] and service.asked == 0
    assert [one["state"] for one in await pushes(still)] == ["failed"]
    assert await still.pool.fetchval("select count(*) from push_subscriptions") == 0


async def test_a_name_that_leads_inside_on_second_thoughts_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [["93.184.215.14"], ["93.184.215.14", "10.0.0.1"], ["127.0.0.1"]]

    async def look_up(host: str, port: int) -> Any:
        return [ip_address(one) for one in found.pop(0)]

    monkeypatch.setattr(addresses, "look_up", look_up)
    place = await addresses.place("https://push.example/send/1?k=2")
    assert (place.url, place.host) == ("https://93.184.215.14:443/send/1?k=2", "push.example")
    for _ in range(2):
        with pytest.raises(addresses.InnerAddress):
            await addresses.place("https://push.example/send/1?k=2")


async def test_a_redirect_is_not_followed(still: World, service: PushService, http: AsyncClient) -> None:
    (browser,) = await called(still, service, "phone")
    browser.answers = [302]
    hosts: set[int | None] = set()
    http.event_hooks["request"] = [lambda request: asyncio.sleep(0, hosts.add(request.url.port))]
    await send_due(pushing(still, http))
    assert hosts == {service.port}


# Encryption


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_example_of_rfc_8291_comes_out_to_the_byte() -> None:
    key = ec.derive_private_key(
        int.from_bytes(raw("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), ec.SECP256R1()
    )
    point = raw("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    auth, salt = raw("BTBZMqHH6r4Tts7J_aSIgg"), raw("DGv6ra1nlYgDCS1FRnbzlw")
    made = encrypted(b"When I grow up, I want to be a watermelon", point, auth, key, salt, padded=0)
    assert made == raw(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT"
        "pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_messages_are_of_one_length() -> None:
    browser = Browser("phone")
    sizes = {len(encrypted(b"x" * size, browser.point, browser.auth)) for size in (1, 100, 900)}
    assert len(sizes) == 1
    assert browser.read(encrypted(b"you are called", browser.point, browser.auth)) == b"you are called"


def test_a_text_of_any_length_fits_into_one_record() -> None:
    browser = Browser("phone")
    message = Message("reminder", "push", "patient:1", "hi", "क" * 9000, subject="ख" * 900, opens="/appointments")
    body = encrypted(payload(message, "notice-1"), browser.point, browser.auth)
    assert len(body) <= 4096 and b"/appointments" in browser.read(body)


async def test_the_keys_stay_until_the_secret_changes(still: World, service: PushService) -> None:
    one = await asyncio.gather(*(push.keys(still.pool, "secret") for _ in range(5)))
    assert len({keys.told for keys in one}) == 1
    _, who = await waits(still)
    await subscribe(still, who, service, service.browser("phone"))
    assert (await push.keys(still.pool, "another")).told != one[0].told
    assert await still.pool.fetchval("select count(*) from push_subscriptions") == 0


@pytest.mark.parametrize("field", ["p256dh", "auth"])
async def test_keys_that_are_none_are_refused(still: World, service: PushService, field: str) -> None:
    _, who = await waits(still)
    still.store.push_inside = True
    ask = {**service.subscription(service.browser("x")), field: "B" * (87 if field == "p256dh" else 24)}
    with pytest.raises(errors.InvalidRequest):
        await still.do("subscribe-push", who, **ask)


async def test_nothing_clinical_is_pushed(still: World, service: PushService, http: AsyncClient) -> None:
    reply = await booked(still, email=None, channels=["push"])
    patient = await still.pool.fetchval("select patient_id from appointments where id = $1", reply.appointment_id)
    browser, person = service.browser("phone"), Actor(Role.patient, 5, still.institution, patient_id=patient)
    await subscribe(still, person, service, browser)
    await still.do("cancel-appointment", appointment_id=reply.appointment_id, reason="Chemotherapy is off.")
    await send_due(pushing(still, http))
    assert browser.got and "Chemo" not in str(browser.got) and "Carter" not in str(browser.got)
