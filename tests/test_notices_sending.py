"""Sending: each notice arrives once, whatever provider, worker and clock do meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from icalendar import Calendar

from server.access import ANONYMOUS
from server.notices import Message, rules, sending
from tests.clinic import slots_of
from tests.letters import written
from tests.providers import Postbox, postbox
from tests.test_notices import EMAIL, booked
from tests.world import World
from workers.notices import Post, send_due
from workers.senders import Later, Refused
from workers.senders.email import EmailSender
from workers.senders.mailbox import MailboxSender


@dataclass
class Recorder:
    """A way out that remembers, and fails as it is told to."""

    sent: list[tuple[str, Message]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    provider = "recorder"

    async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((key, message))
        return f"provider-{key}"

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.sent]


def post_of(world: World, sender: Any = None, **senders: Any) -> Post:
    return Post(world.store, senders, sender or MailboxSender(world.store), mail_from="desk@clinic.test")


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Postbox]:
    async with postbox() as box:
        yield box


def by_mail(world: World, box: Postbox) -> Post:
    return post_of(world, email=EmailSender(world.store, box.url, "Riverside <desk@clinic.test>"))


async def test_what_is_due_is_sent_and_the_rest_waits(still: World) -> None:
    await booked(still)
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    assert [message.kind for _, message in recorder.sent] == ["booking-confirmed"]
    assert [one["state"] for one in await written(still)] == ["sent", "pending", "pending", "pending"]
    assert (await written(still, state="sent"))[0]["provider_id"] == f"provider-{recorder.keys[0]}"


async def test_reminders_are_there_when_their_time_comes_once(still: World) -> None:
    await booked(still)
    recorder, arrived = Recorder(), []
    for _ in range(60):
        await send_due(post_of(still, recorder))
        arrived = [(message.kind, message.channel) for _, message in recorder.sent]
        still.forward(hours=1)
    assert sorted(arrived) == [
        ("booking-confirmed", "email"),
        ("reminder", "email"),
        ("reminder", "email"),
        ("reminder", "sms"),
    ]
    assert len(set(recorder.keys)) == 4


async def test_what_was_cancelled_a_moment_before_is_never_sent(still: World) -> None:
    reply = await booked(still)
    await send_due(post_of(still, Recorder()))
    still.forward(days=1, hours=1)
    held = await sending.claim(still.pool, still.store.now(), 10)
    await still.do("cancel-appointment", appointment_id=reply.appointment_id, reason="Ill.")
    assert held and await sending.letters(still.pool, held, still.store.now(), "") == []


async def test_a_reminder_after_the_fact_is_dropped(still: World) -> None:
    await booked(still)
    still.forward(days=4)
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    assert recorder.sent == []
    assert {one["state"] for one in await written(still)} == {"cancelled"}


async def test_a_provider_that_fails_is_asked_again_later(still: World) -> None:
    await booked(still)
    recorder = Recorder(failures=[Later("451 busy"), Later("timeout")])
    for _ in range(4):
        await send_due(post_of(still, recorder))
        still.forward(minutes=1)
    told = (await written(still, kind="booking-confirmed"))[0]
    assert (told["state"], told["attempts"], told["last_error"], len(recorder.sent)) == ("sent", 3, None, 1)


async def test_what_can_never_arrive_is_not_tried_again(still: World) -> None:
    await booked(still)
    await send_due(post_of(still, Recorder(failures=[Refused("550 no such user")])))
    told = (await written(still, kind="booking-confirmed"))[0]
    assert (told["state"], told["last_error"]) == ("failed", "550 no such user")


async def test_after_eight_tries_it_counts_as_failed(still: World) -> None:
    await booked(still, after=timedelta(days=9))
    recorder = Recorder(failures=[Later("no")] * 100)
    for _ in range(12):
        await send_due(post_of(still, recorder))
        still.forward(hours=1)
    told = (await written(still, kind="booking-confirmed"))[0]
    assert (told["state"], told["attempts"]) == ("failed", rules.RETRIES)


async def test_two_workers_never_hold_the_same_notice(still: World) -> None:
    for nth in range(6):
        await booked(
            still, name=f"Patient {nth}", email=f"{nth}@example.org", after=timedelta(days=2 + nth), phone=None
        )
    held = await asyncio.gather(*(sending.claim(still.pool, still.store.now(), 2) for _ in range(6)))
    ids = [one.id for some in held for one in some]
    assert len(ids) == len(set(ids)) == 6


async def test_what_a_dead_worker_held_is_sent_by_another_after_its_lease(still: World) -> None:
    await booked(still)
    dead = await sending.claim(still.pool, still.store.now(), 10)
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    assert recorder.sent == []
    still.forward(seconds=rules.LEASE.total_seconds() + 1)
    await send_due(post_of(still, recorder))
    assert recorder.keys == [dead[0].key]


async def test_whoever_comes_too_late_with_a_failure_changes_nothing(still: World) -> None:
    await booked(still)
    (late,) = await sending.claim(still.pool, still.store.now(), 1)
    still.forward(minutes=1)
    await send_due(post_of(still, Recorder()))
    await sending.note_failed(still.pool, late, "late", still.store.now(), for_good=True)
    assert (await written(still, kind="booking-confirmed"))[0]["state"] == "sent"


async def test_a_worker_that_stops_gives_back_what_it_has_not_begun(still: World) -> None:
    for nth in range(4):
        await booked(
            still, name=f"Patient {nth}", email=f"{nth}@example.org", after=timedelta(days=2 + nth), phone=None
        )
    post = post_of(still)

    class Stops:
        provider = "stops"

        async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
            post.stopping.set()
            return None

    post.fallback = Stops()
    from workers import notices

    most, notices.AT_ONCE = notices.AT_ONCE, 1
    await send_due(post)
    notices.AT_ONCE = most
    told = await written(still, kind="booking-confirmed")
    assert sorted(str(one["state"]) for one in told) == ["pending", "pending", "pending", "sent"]
    assert {one["attempts"] for one in told if one["state"] == "pending"} == {0}


async def test_a_code_is_forgotten_once_it_is_sent(still: World) -> None:
    await still.do("ask-code", ANONYMOUS, contact=EMAIL, language="hi")
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    ((_, message),) = recorder.sent
    assert message.secret and message.language == "hi" and message.subject
    assert (await written(still))[0]["secret"] is None


# Over SMTP


async def test_a_letter_is_text_and_html_with_its_calendar_entry(still: World, box: Postbox) -> None:
    reply = await booked(still)
    await send_due(by_mail(still, box))
    (mail,) = box.mails.values()
    assert (str(mail["To"]), str(mail["From"])) == (EMAIL, "Riverside <desk@clinic.test>")
    text, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and page is not None
    assert reply.number in text.get_content() and reply.number in page.get_content()
    parts = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    assert [part.get_param("method") for part in parts] == ["REQUEST", "REQUEST"]
    (event,) = Calendar.from_ical(parts[0].get_content()).walk("VEVENT")
    assert event.decoded("dtstart") == reply.starts_at


def entry_of(mail: Any) -> tuple[str, str, int, str]:
    part = next(part for part in mail.walk() if part.get_content_type() == "text/calendar")
    calendar = Calendar.from_ical(part.get_content())
    (event,) = calendar.walk("VEVENT")
    return str(calendar["METHOD"]), str(event["UID"]), int(event["SEQUENCE"]), str(event["STATUS"])


async def test_moving_and_cancelling_change_the_very_entry(still: World, box: Postbox) -> None:
    reply = await booked(still)
    await send_due(by_mail(still, box))
    slots = await slots_of(still, after=timedelta(days=5))
    moved = await still.do("reschedule-appointment", appointment_id=reply.appointment_id, slot_ids=slots)
    await send_due(by_mail(still, box))
    await still.do("cancel-appointment", appointment_id=moved.appointment_id, reason="Ill.")
    await send_due(by_mail(still, box))
    entries = [entry_of(mail) for mail in box.mails.values()]
    uid = entries[0][1]
    assert entries == [
        ("REQUEST", uid, 0, "CONFIRMED"),
        ("REQUEST", uid, 2, "CONFIRMED"),
        ("CANCEL", uid, 3, "CANCELLED"),
    ]


@pytest.mark.parametrize(
    ("answer", "state"), [("550 No such user", "failed"), ("451 Later", "pending"), ("421 Closing", "pending")]
)
async def test_a_mail_servers_answer_is_understood(still: World, box: Postbox, answer: str, state: str) -> None:
    await booked(still, phone=None)
    box.answers = [answer]
    await send_due(by_mail(still, box))
    told = (await written(still, kind="booking-confirmed"))[0]
    assert (told["state"], str(told["last_error"])[:3]) == (state, answer[:3])


async def test_a_mail_server_that_is_away_is_tried_again(still: World, box: Postbox) -> None:
    await booked(still, phone=None)
    port, box.port = box.port, 9
    await send_due(by_mail(still, box))
    assert (await written(still, kind="booking-confirmed"))[0]["state"] == "pending"
    box.port = port
    still.forward(minutes=1)
    await send_due(by_mail(still, box))
    assert len(box.mails) == 1


async def test_a_letter_whose_answer_was_lost_is_known_by_its_name(still: World, box: Postbox) -> None:
    await booked(still, phone=None)
    box.answers = ["accepted-but-lost"]
    await send_due(by_mail(still, box))
    still.forward(minutes=1)
    await send_due(by_mail(still, box))
    assert (len(box.mails), box.repeats) == (1, 1)
    assert (await written(still, kind="booking-confirmed"))[0]["state"] == "sent"


@pytest.mark.parametrize("name", ["Ann\r\nBcc: evil@example.org", "<script>alert(1)</script>", "{{ 7777 * 7777 }}"])
async def test_a_name_is_text_and_nothing_else(still: World, box: Postbox, name: str) -> None:
    reply = await booked(still, phone=None)
    await still.pool.execute("update notices set facts = facts || jsonb_build_object('patient', $1::text)", name)
    await still.pool.execute(
        "update notices set facts = facts || jsonb_build_object('institution', $1::text) where appointment_id = $2",
        name,
        reply.appointment_id,
    )
    await send_due(by_mail(still, box))
    (mail,) = box.mails.values()
    page = mail.get_body(("html",))
    assert page is not None and "<script>" not in page.get_content() and "60481729" not in page.get_content()
    assert mail["Bcc"] is None
