"""Twilio: what is handed to it, what it says of that later, and what people answer."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
import pytest_asyncio
from httpx2 import AsyncClient, Response

from server import logs
from server.notices import callbacks
from tests.doors import House, served
from tests.letters import written
from tests.providers import Said, Twilio, signed, twilio
from tests.test_notices import EMAIL, PHONE, booked
from tests.world import World, eventually
from workers.main import post as ways_out
from workers.notices import Post, send_due


@pytest_asyncio.fixture
async def provider() -> AsyncIterator[Twilio]:
    async with twilio(slow=0.5) as provider:
        yield provider


@pytest_asyncio.fixture
async def http() -> AsyncIterator[AsyncClient]:
    async with AsyncClient() as client:
        yield client


def by_twilio(world: World, provider: Twilio, http: AsyncClient, **more: Any) -> Post:
    from server.config import Config

    config = Config(public_url="https://clinic.test", **provider.settings(), **more)
    return ways_out(world.store, config, http)


async def one(world: World, **like: Any) -> dict[str, Any]:
    (found,) = await written(world, kind="booking-confirmed", **like)
    return found


async def sms(world: World, **known: Any) -> Any:
    """A booking of somebody who is told of it by text message alone."""
    return await booked(world, **{"email": None, **known})


async def test_a_text_message_names_its_notice_for_the_answer(
    still: World, provider: Twilio, http: AsyncClient
) -> None:
    reply = await sms(still)
    await send_due(by_twilio(still, provider, http))
    (said,) = provider.accepted
    notice = await one(still)
    assert (said.form["To"], said.form["From"]) == (PHONE, "+441632960000")
    assert reply.number in said.form["Body"]
    assert said.form["StatusCallback"] == f"https://clinic.test/callbacks/twilio/notice-{notice['id']}"
    assert (notice["state"], notice["provider_id"]) == ("sent", said.sid)


async def test_whatsapp_and_calls_have_their_own_ways(still: World, provider: Twilio, http: AsyncClient) -> None:
    await sms(still, channels=["whatsapp"])
    await sms(still, channels=["voice"], name="Kim <Okoro> & sons", phone="+442079460959", after=timedelta(days=4))
    await send_due(by_twilio(still, provider, http))
    kinds = {one.kind: one.form for one in provider.accepted}
    assert kinds["Messages"]["To"] == f"whatsapp:{PHONE}" and kinds["Messages"]["From"] == "whatsapp:+441632960001"
    assert kinds["Calls"]["Twiml"].count("<Say ") == 2 and "Body" not in kinds["Calls"]


async def test_whatsapp_goes_in_a_template_where_there_is_one(
    still: World, provider: Twilio, http: AsyncClient
) -> None:
    template = "HX" + "a" * 32
    reply = await sms(still, channels=["whatsapp"])
    await send_due(by_twilio(still, provider, http, twilio_whatsapp_template=template))
    (said,) = provider.accepted
    text = orjson.loads(said.form["ContentVariables"])["1"]
    assert said.form["ContentSid"] == template and "Body" not in said.form
    assert reply.number in text and "\n" not in text


@pytest.mark.parametrize(
    ("answer", "state"),
    [("21211", "failed"), ("21610", "failed"), ("429", "pending"), ("500", "pending"), ("503", "pending")],
)
async def test_what_twilio_answers_is_understood(
    still: World, provider: Twilio, http: AsyncClient, answer: str, state: str
) -> None:
    provider.answers = [answer]
    await sms(still)
    await send_due(by_twilio(still, provider, http))
    notice = await one(still)
    assert notice["state"] == state and str(notice["last_error"]).startswith("400 " if state == "failed" else answer)


async def test_being_asked_to_wait_counts_for_nothing(still: World, provider: Twilio, http: AsyncClient) -> None:
    provider.answers = ["429"] * 12
    await sms(still, after=timedelta(days=9))
    for _ in range(13):
        await send_due(by_twilio(still, provider, http))
        still.forward(minutes=1)
    assert (await one(still))["state"] == "sent"


async def test_a_wrong_token_loses_nothing(still: World, provider: Twilio, http: AsyncClient) -> None:
    await sms(still)
    post = by_twilio(still, provider, http)
    provider.token = "another"
    await send_due(post)
    assert (await one(still))["state"] == "pending" and provider.accepted == []


@pytest.mark.parametrize("failure", ["accepted-but-lost", "lost", "silent"])
async def test_a_message_whose_answer_was_lost_is_not_sent_twice(
    still: World, provider: Twilio, http: AsyncClient, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.senders.twilio.TIMEOUT", 0.2)
    provider.answers = [failure]
    await sms(still)
    for _ in range(3):
        await send_due(by_twilio(still, provider, http))
        await eventually(lambda: asyncio.sleep(0, provider.accepted or failure == "lost"))
        still.forward(minutes=1)
    assert len(provider.accepted) == 1
    notice = await one(still)
    assert (notice["state"], notice["provider_id"]) == ("sent", provider.accepted[0].sid)


async def test_another_notice_in_the_same_words_is_another(still: World, provider: Twilio, http: AsyncClient) -> None:
    await sms(still)
    post = by_twilio(still, provider, http)
    await send_due(post)
    await still.pool.execute(COPY, (await one(still))["id"])
    provider.answers = ["lost"]
    for _ in range(3):
        await send_due(post)
        still.forward(minutes=1)
    assert len(provider.accepted) == 2 and len({said.key for said in provider.accepted}) == 2


COPY = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, appointment_id, facts, due_at, try_at,
    worthless_at, created_at)
select institution_id, kind, cause || '/copy', person, channel, patient_id, appointment_id, facts, due_at, due_at,
    worthless_at, created_at from notices where id = $1
"""


async def test_no_number_is_logged(still: World, provider: Twilio, http: AsyncClient) -> None:
    log = io.StringIO()
    logs.configure(level="debug", stream=log)
    provider.answers = ["lost", "500", "21211"]
    await sms(still)
    for _ in range(4):
        await send_due(by_twilio(still, provider, http))
        still.forward(minutes=1)
    logging.getLogger().handlers.clear()
    assert provider.asked == 3 and PHONE[1:] not in log.getvalue()


# What Twilio tells


@pytest_asyncio.fixture
async def house(database_url: str, redis_url: str, provider: Twilio) -> AsyncIterator[House]:
    settings = {**provider.settings(), "public_url": "https://clinic.test"}
    async with served(database_url, redis_url, **settings) as house:
        yield house


async def said(house: House, provider: Twilio, http: AsyncClient, **known: Any) -> Said:
    """A text message that was sent."""
    await sms(house.world, **known)
    await send_due(by_twilio(house.world, provider, http))
    return provider.accepted[-1]


async def tell(house: House, call: tuple[str, dict[str, str], dict[str, str]]) -> Response:
    url, form, headers = call
    return await house.http.post(url.removeprefix("https://clinic.test"), data=form, headers=headers)


async def test_what_arrived_is_noted_and_stays_so(house: House, provider: Twilio, http: AsyncClient) -> None:
    message = await said(house, provider, http)
    for status in ("sent", "delivered", "undelivered", "sent", "failed", "queued", "delivered"):
        assert (await tell(house, provider.callback(message, status))).status_code == 204
    notice = await one(house.world)
    assert notice["state"] == "delivered" and notice["delivered_at"] is not None


async def test_what_cannot_arrive_goes_another_way_once(house: House, provider: Twilio, http: AsyncClient) -> None:
    message = await said(house, provider, http, email=EMAIL, channels=["sms"])
    for _ in range(3):
        await tell(house, provider.callback(message, "undelivered", ErrorCode="30003"))
    failed, instead = await written(house.world, kind="booking-confirmed")
    assert (failed["state"], failed["last_error"]) == ("failed", "undelivered 30003")
    assert (instead["channel"], instead["instead_of"], instead["cause"]) == ("email", failed["id"], failed["cause"])


async def test_a_callback_makes_up_for_a_lost_answer(house: House, provider: Twilio, http: AsyncClient) -> None:
    provider.answers = ["accepted-but-lost"]
    message = await said(house, provider, http)
    assert (await one(house.world))["state"] == "pending"
    await tell(house, provider.callback(message, "sent"))
    notice = await one(house.world)
    assert (notice["state"], notice["provider_id"]) == ("sent", message.sid)


@pytest.mark.parametrize("forged", ["token", "form", "address", "nothing", "twice"])
async def test_what_is_not_signed_changes_nothing(
    house: House, provider: Twilio, http: AsyncClient, forged: str
) -> None:
    message = await said(house, provider, http)
    url, form, headers = provider.callback(message, "delivered", "guessed" if forged == "token" else "")
    match forged:
        case "form":
            form["MessageStatus"] = "failed"
        case "address":
            url = url.rpartition("-")[0] + "-99999"
        case "nothing":
            headers = {}
        case "twice":
            headers = {"X-Twilio-Signature": headers["X-Twilio-Signature"] + "x"}
    answer = await tell(house, (url, form, headers))
    assert answer.status_code == 403 and answer.json()["code"] == "not-allowed"
    assert (await one(house.world))["state"] == "sent"


async def test_a_signed_callback_of_another_message_says_nothing_of_this_one(
    house: House, provider: Twilio, http: AsyncClient
) -> None:
    message = await said(house, provider, http)
    url, form, _ = provider.callback(message, "failed")
    form["MessageSid"] = "SM" + "f" * 32
    await tell(house, (url, form, {"X-Twilio-Signature": signed(provider.token, url, form)}))
    assert (await one(house.world))["state"] == "sent"


async def test_oversized_callbacks_are_not_read(house: House, provider: Twilio) -> None:
    call = ("https://clinic.test/callbacks/twilio", {"Body": "x" * 20_000}, {"X-Twilio-Signature": "x"})
    assert (await tell(house, call)).status_code == 413


async def test_nothing_listens_where_no_account_is_configured(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url) as house:
        assert (await house.http.post("/callbacks/twilio", data={})).status_code == 404


def test_a_signature_is_what_twilios_documentation_says() -> None:
    form = {"CallSid": "CA1234567890ABCDE", "Caller": "+14158675310", "Digits": "1234"}
    form |= {"From": "+14158675310", "To": "+18005551212"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert callbacks.signature("12345", url, form) == "GvWf1cFY/Q7PnoempGyD5oXAezc=" == signed("12345", url, form)


# What people answer


async def answers(house: House, provider: Twilio, text: str, number: str = PHONE) -> int:
    url, form = "https://clinic.test/callbacks/twilio", {"From": number, "Body": text, "MessageSid": "SM1"}
    return (await tell(house, (url, form, {"X-Twilio-Signature": signed(provider.token, url, form)}))).status_code


async def test_stop_holds_back_what_was_written_before(house: House, provider: Twilio, http: AsyncClient) -> None:
    await sms(house.world)
    assert await answers(house, provider, " Stop. ") == 200
    await send_due(by_twilio(house.world, provider, http))
    assert provider.accepted == [] and (await one(house.world))["state"] == "cancelled"


async def test_start_opens_the_way_again(house: House, provider: Twilio, http: AsyncClient) -> None:
    for text in ("STOP", "STOP", "start"):
        assert await answers(house, provider, text) == 200
    await said(house, provider, http)
    assert len(provider.accepted) == 1


async def test_any_other_answer_changes_nothing(house: House, provider: Twilio, http: AsyncClient) -> None:
    assert await answers(house, provider, "Please stop the pain") == 200
    await said(house, provider, http)
    assert len(provider.accepted) == 1
