"""What patients want to be told: said by page, desk, link or word, honoured at once; and quiet hours."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import Browser, expect

from server import errors
from server.access import Role
from server.notices import preferences, rules
from server.notices.rules import Quiet, Reach
from tests import letters
from tests.clinic import account_of, book, now, slots_of
from tests.doors import served
from tests.pages import Served, answered_late, visiting
from tests.test_notices import EMAIL, PHONE, booked, sam
from tests.test_notices_sending import Recorder, post_of
from tests.world import World
from workers.notices import send_due
from workers.senders.app import AppSender
from workers.senders.email import EmailSender


async def written(world: World, **like: object) -> list[Any]:
    """The notices that there are, oldest first."""
    return list(await letters.written(world, **like))


REMINDERS_OFF = [{"kind": "reminder", "channel": "email", "allowed": False}]


async def linked(world: World, kind: str = "booking-confirmed", channel: str = "email") -> str:
    """The end of the links in a notice."""
    row = await world.pool.fetchrow("select id, opens from notices where kind = $1 and channel = $2", kind, channel)
    assert row is not None
    return f"{row['id']}.{row['opens'].hex}"


# Saying what one wants


async def test_whoever_says_no_has_what_waited_taken_back_and_is_told_no_more(still: World) -> None:
    reply = await booked(still)
    patient = await still.pool.fetchval("select patient_id from appointments where id = $1", reply.appointment_id)
    said = await still.do("set-patient-preferences", patient_id=patient, choices=REMINDERS_OFF)
    told = {(one.kind, one.channel): one for one in said.items}
    assert (told["reminder", "email"].allowed, told["reminder", "email"].source) == (False, "staff")
    assert {one["channel"] for one in await written(still, kind="reminder", state="pending")} == {"sms"}
    await still.do("set-patient-preferences", patient_id=patient, choices=[{**REMINDERS_OFF[0], "allowed": None}])
    assert len(await written(still, kind="reminder", state="pending")) == 3


async def test_a_patient_sets_their_own_reminders_quiet_hours_and_language(still: World) -> None:
    reply = await booked(still)
    patient = await still.pool.fetchval("select patient_id from appointments where id = $1", reply.appointment_id)
    me = await account_of(still, patient)
    wishes: dict[str, Any] = {
        "reminders": [{"channel": "sms", "minutes": 30}],
        "zone": "Asia/Kolkata",
        "language": "hi",
    }
    said = await still.do("set-preferences", me, **wishes)
    assert (said.zone, said.language, said.own) == ("Asia/Kolkata", "hi", ["language", "reminders", "zone"])
    (left,) = await written(still, kind="reminder", state="pending")
    assert (left["channel"], reply.starts_at - left["due_at"], left["language"]) == ("sms", timedelta(minutes=30), "hi")
    assert (await still.do("set-preferences", me, reminders=None, zone=None)).own == ["language"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"choices": [{"kind": "sign-in-code", "channel": "email", "allowed": False}]},
        {"choices": [{"kind": "emergency-alert", "channel": "email", "allowed": False}]},
        {"zone": "Mars/Olympus"},
        {"language": "tlh"},
        {"reminders": [{"channel": "sms", "minutes": 1}]},
    ],
)
async def test_what_cannot_be_wanted_is_refused(still: World, wrong: dict[str, Any]) -> None:
    me = await account_of(still, await sam(still))
    with pytest.raises(errors.InvalidRequest):
        await still.do("set-preferences", me, **wrong)


async def test_settings_are_inherited_from_institution_to_doctor_to_patient(still: World) -> None:
    here, doctor = still.institution, still.doctors[0]
    await still.do("set-institution-notices", "admin", institution_id=here, thank=False, wait_grown_minutes=30)
    reminder = [{"channel": "email", "minutes": 90}]
    shown = await still.do("set-doctor-notices", "admin", doctor_id=doctor, reminders=reminder, thank=True)
    assert (shown.origin["thank"], shown.origin["wait_grown_minutes"], shown.origin["quiet_to"]) == (
        "doctor", "institution", "default",
    )  # fmt: skip
    reply = await booked(still)
    assert [reply.starts_at - one["due_at"] for one in await written(still, kind="reminder")] == [timedelta(minutes=90)]
    await booked(still, doctor=1, after=timedelta(days=3), name="Kim Okoro", email=None)
    assert [one["channel"] for one in await written(still, kind="reminder")] == ["email", "sms"]


async def test_saying_no_and_being_told_at_once_never_leaves_anything_to_come(world: World) -> None:
    async def one() -> int:
        reply = await booked(
            world,
            after=timedelta(days=2 + await world.pool.fetchval(COUNT)),
            name=f"Sam {await world.pool.fetchval(COUNT)}",
        )
        patient = await world.pool.fetchval("select patient_id from appointments where id = $1", reply.appointment_id)
        off = [{"kind": kind, "channel": "email", "allowed": False} for kind in sorted(rules.CHOICES)]
        cancel = world.do("cancel-appointment", appointment_id=reply.appointment_id, reason="Ill.")
        await asyncio.gather(world.do("set-patient-preferences", patient_id=patient, choices=off), cancel)
        return int(patient)

    for _ in range(6):
        patient = await one()
        left = "select count(*) from notices where patient_id = $1 and channel = 'email' and state = 'pending'"
        assert await world.pool.fetchval(left, patient) == 0


COUNT = "select count(*) from appointments"


async def test_without_the_lock_something_is_left_to_come(still: World) -> None:
    """The negative control: two transactions that do not hold the patient pass each other by."""
    patient = await sam(still)
    async with still.pool.acquire() as one, still.pool.acquire() as other, one.transaction():
        seen = await one.fetchval("select count(*) from preferences where patient_id = $1", patient)
        async with other.transaction():
            await other.execute(SAY_NO, patient, now(still))
        await one.execute(WRITE_BY_HAND, still.institution, patient, now(still))
    assert seen == 0 and len(await written(still, kind="thank-you", state="pending")) == 1


SAY_NO = "insert into preferences values ($1, 'thank-you', 'email', false, 'staff', 'user:1', $2)"
WRITE_BY_HAND = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, due_at, try_at, created_at)
values ($1, 'thank-you', 'x', 'patient:1', 'email', $2, $3, $3, $3)
"""


# The ways out


async def test_a_link_ends_what_it_stood_in_at_once_and_nothing_else(still: World) -> None:
    await booked(still)
    token = await linked(still, "reminder")
    shown = await still.ask("show-subscription", token=token)
    assert (shown.topic, shown.channel, shown.subscribed) == ("reminders", "email", True)
    ended = await still.do("end-messages", token=token)
    assert not ended.subscribed
    left = [(one["kind"], one["channel"]) for one in await written(still, state="pending")]
    assert left == [("booking-confirmed", "email"), ("reminder", "sms")]
    await still.do("end-messages", token=token, back=True)
    assert len(await written(still, kind="reminder", state="pending")) == 3


async def test_everything_over_a_channel_can_be_ended(still: World) -> None:
    await booked(still)
    await still.do("end-messages", token=await linked(still), everything=True)
    assert {one["channel"] for one in await written(still, state="pending")} == {"sms"}


async def test_one_click_in_a_mail_program_needs_no_page_and_a_look_ends_nothing(
    database_url: str, redis_url: str
) -> None:
    async with served(database_url, redis_url) as house:
        world = house.world
        await booked(world)
        recorder = Recorder()
        await send_due(post_of(world, recorder))
        link = recorder.sent[0][1].unsubscribe
        assert link
        path = link.removeprefix(world.store.base_url)
        assert (await house.http.get(path)).status_code == 200
        assert await world.pool.fetchval("select count(*) from preferences") == 0
        answer = await house.http.post(path, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 204
        assert await world.pool.fetchval("select bool_and(not allowed and source = 'link') from preferences")
        for wrong in (path[:-1] + ("0" if path[-1] != "0" else "1"), "/unsubscribe/1.x", "/unsubscribe/999.0"):
            assert (await house.http.post(wrong)).status_code in (404, 422)
        assert (await house.http.post(path, content=b"x" * 9000)).status_code == 413


async def test_stop_ends_what_waits_for_a_number_whoever_has_it(still: World) -> None:
    await booked(still, channels=["sms"])
    await booked(still, after=timedelta(days=3), name="Kim Okoro", email=None)
    async with still.pool.acquire() as conn, conn.transaction():
        await preferences.stop(conn, "sms", PHONE, now(still))
    assert await written(still, state="pending", channel="sms") == []
    await booked(still, after=timedelta(days=4), name="Ann Lee", email=None)
    assert await written(still, state="pending") == []


async def test_stop_is_heard_by_a_worker_that_already_has_the_message(still: World) -> None:
    await booked(still, email=None)
    await still.pool.execute("insert into opt_outs values ('sms', $1, now())", PHONE)
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    assert recorder.sent == []


async def test_an_unknown_link_says_nothing(still: World) -> None:
    await booked(still)
    token = await linked(still)
    for wrong in (f"9{token}", token[:-1] + ("0" if token[-1] != "0" else "1")):
        with pytest.raises(errors.LinkUnknown):
            await still.do("end-messages", token=wrong)


async def test_an_account_is_told_in_the_app_once_and_until_it_is_seen(still: World) -> None:
    patient = await sam(still)
    me = await account_of(still, patient)
    await book(still, await slots_of(still), patient_id=patient)
    stream = f"patient:{patient}"
    async with still.verify(stream):
        await send_due(post_of(still, Recorder(), app=AppSender(still.store)))
        await still.pool.execute("update notices set state = 'pending', sent_at = null where channel = 'app'")
        await send_due(post_of(still, Recorder(), app=AppSender(still.store)))
    rows = {key: row for key, row in (await still.fresh_rows(stream)).items() if key.startswith("n:")}
    assert [row["title"] for row in rows.values()] == ["Appointment confirmed"]
    async with still.verify(stream):
        seen = [await still.do("see-notices", me, notices=[int(key[2:]) for key in rows]) for _ in (1, 2)]
    assert [one.seen for one in seen] == [1, 0]
    assert not [key for key in await still.fresh_rows(stream) if key.startswith("n:")]


async def test_a_letter_tells_mail_programs_how_to_end_it(still: World) -> None:
    await booked(still)
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    sender = EmailSender(still.store, "smtp://mail.test", "desk@clinic.test")
    mail = message_from_bytes(sender.written(recorder.sent[0][1], "notice-1"))
    assert str(mail["List-Unsubscribe"]).startswith("<http://callboard.test/unsubscribe/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


async def test_of_two_records_that_become_one_a_no_stays_a_no(still: World) -> None:
    gone, into = await sam(still), await sam(still, name="Sam A. Carter")
    await still.do("set-patient-preferences", patient_id=gone, choices=REMINDERS_OFF)
    await still.do("set-patient-preferences", patient_id=into, choices=[{**REMINDERS_OFF[0], "allowed": True}])
    await still.do("merge-patients", patient_id=gone, into=into)
    said = await still.ask("patient-preferences", patient_id=into)
    assert not next(one.allowed for one in said.items if (one.kind, one.channel) == ("reminder", "email"))


# Which channel


def test_a_wish_chooses_and_a_no_closes() -> None:
    both = Reach(EMAIL, PHONE)
    assert rules.told_over("cancelled", both) == ["email"]
    assert rules.told_over("cancelled", Reach(EMAIL, PHONE, wishes=["sms"])) == ["sms"]
    assert rules.told_over("cancelled", Reach(EMAIL, PHONE, choices={("cancelled", "email"): False})) == ["sms"]
    everything: dict[tuple[str, str], bool] = {("cancelled", one): False for one in rules.CHANNELS}
    assert rules.told_over("cancelled", Reach(EMAIL, PHONE, True, True, choices=everything)) == []
    assert rules.told_over("cancelled", both, ["sms"]) == ["sms"]
    assert rules.told_over("emergency-alert", Reach(EMAIL, PHONE, choices={("emergency-alert", "email"): False})) == [
        "email"
    ]


def test_whoever_waits_is_told_by_push_or_by_what_they_asked_for() -> None:
    assert rules.told_over("you-are-called", Reach(EMAIL, PHONE)) == []
    assert rules.told_over("you-are-called", Reach(EMAIL, PHONE, pushed=True, wishes=["sms"])) == ["push"]
    assert rules.told_over("you-are-called", Reach(EMAIL, PHONE, wishes=["sms"], account=True)) == ["sms", "app"]


def test_another_way_is_never_one_that_was_refused() -> None:
    said = {("reminder", "sms"): False}
    assert rules.next_channel("reminder", Reach(EMAIL, PHONE), ["email"]) == "sms"
    assert rules.next_channel("reminder", Reach(EMAIL, PHONE, choices=said), ["email"]) is None
    assert rules.next_channel("reminder", Reach(EMAIL, PHONE, stopped=["sms"]), ["email"]) is None


# Quiet hours

ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo", "Pacific/Apia"]
CHANGES = [
    date(2026, 3, 8),
    date(2026, 3, 29),
    date(2026, 4, 5),
    date(2026, 4, 24),
    date(2026, 10, 4),
    date(2026, 11, 1),
]
TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))


@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(-1440, 2880), TIMES, TIMES)
def test_the_end_of_quiet_hours_is_the_first_instant_that_is_not_quiet(
    zone: str, day: date, minutes: int, begins: time, ends: time
) -> None:
    at = datetime.combine(day, time(0), ZoneInfo(zone)).astimezone(UTC) + timedelta(minutes=minutes)
    quiet = Quiet(zone, begins, ends)
    end = quiet.over(at)
    step = at
    while quiet.holds(step):
        step += timedelta(minutes=1)
    assert end == step and not quiet.holds(end)


@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(0, 1440), TIMES, TIMES)
def test_what_goes_before_the_quiet_hours_goes_in_none(
    zone: str, day: date, minutes: int, begins: time, ends: time
) -> None:
    at = datetime.combine(day, time(0), ZoneInfo(zone)).astimezone(UTC) + timedelta(minutes=minutes)
    quiet = Quiet(zone, begins, ends)
    before = quiet.before(at) if quiet.holds(at) else None
    assert before is None or (before < at and not quiet.holds(before))


NIGHT = Quiet("Europe/London", time(21), time(8))
LATE = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
MORNING = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize("kind", rules.KINDS)
@pytest.mark.parametrize("channel", rules.CHANNELS)
def test_only_what_can_wait_and_wakes_somebody_waits(kind: str, channel: str) -> None:
    waits = kind in rules.CAN_WAIT and channel in rules.RINGS
    assert rules.due(kind, channel, LATE, NIGHT) == (MORNING if waits else LATE)
    if kind in ("sign-in-code", "you-are-called", "waitlist-offer", "emergency-alert"):
        assert not waits


def test_what_would_come_too_late_does_not_wait() -> None:
    assert rules.due("cancelled", "sms", LATE, NIGHT, latest=MORNING - timedelta(minutes=30)) == LATE


def test_a_reminder_in_the_night_comes_in_the_morning_or_the_evening_before() -> None:
    def reminded(starts: datetime, hours: int) -> datetime:
        return rules.reminder_due("sms", starts - timedelta(hours=hours), starts, LATE - timedelta(days=2), NIGHT)

    assert reminded(datetime(2026, 3, 3, 9, 30, tzinfo=UTC), 2) == MORNING
    assert reminded(datetime(2026, 3, 3, 8, 15, tzinfo=UTC), 2) == datetime(2026, 3, 2, 20, 55, tzinfo=UTC)


# After a visit


async def visited(world: World) -> int:
    """A visit that is over, of somebody who is thanked for it."""
    await world.queue(owner=world.doctors[0])
    reply = await booked(world, after=timedelta(hours=3))
    await world.do("complete-appointment", appointment_id=reply.appointment_id)
    return int(reply.appointment_id)


async def test_a_visit_is_thanked_for_and_one_answer_is_kept(still: World) -> None:
    id_ = await visited(still)
    (thanks,) = await written(still, kind="thank-you")
    assert (thanks["appointment_id"], thanks["due_at"] - now(still) > timedelta(minutes=59)) == (id_, True)
    token = await linked(still, "thank-you")
    asked = await still.ask("feedback-form", token=token)
    assert (asked.doctor, asked.score) == ("Dr. Ames", None)
    for score in (2, 5):
        await still.do("give-feedback", token=token, score=score)
    days = {"first_day": now(still).date().isoformat(), "last_day": now(still).date().isoformat()}
    figures = await still.ask("show-satisfaction", "admin", institution_id=still.institution, **days)
    assert (figures.all.answers, figures.all.mean, figures.all.satisfied) == (1, 5.0, 1.0)
    assert [(one.doctor, one.scores) for one in figures.doctors] == [("Dr. Ames", [0, 0, 0, 0, 1])]
    with pytest.raises(errors.LinkUnknown):
        await still.do("give-feedback", token=await linked(still, "booking-confirmed"), score=5)


async def test_a_visit_that_is_taken_back_is_not_thanked_for(still: World) -> None:
    id_ = await visited(still)
    await still.do("undo-appointment", appointment_id=id_)
    assert await written(still, kind="thank-you", state="pending") == []


async def test_who_did_not_come_is_offered_another_time(still: World) -> None:
    reply = await booked(still, after=timedelta(hours=1))
    still.forward(hours=3)
    await still.do("no-show-appointment", appointment_id=reply.appointment_id)
    (told,) = await written(still, kind="no-show")
    assert told["due_at"] - now(still) > timedelta(minutes=29)


async def test_the_story_tells_what_became_of_each(still: World) -> None:
    reply = await booked(still)
    await send_due(post_of(still, Recorder()))
    story = await still.ask("appointment-notices", appointment_id=reply.appointment_id)
    assert [(one.kind, one.state) for one in story.items] == [
        ("booking-confirmed", "sent"), ("reminder", "pending"), ("reminder", "pending"), ("reminder", "pending"),
    ]  # fmt: skip


# Those who wait, and those on duty


async def waiting(world: World, queue: int, **known: Any) -> Any:
    patient = await sam(world, **{"channels": ["sms"], **known})
    return await world.do("join-queue", queue_id=queue, patient_id=patient)


async def test_whoever_is_called_or_next_is_told_once(still: World) -> None:
    queue = await still.queue()
    first, second = [await waiting(still, queue, name=name) for name in ("Sam Carter", "Kim Okoro")]
    await still.join(queue)
    await still.call_next(queue)
    await still.do("recall", ticket_id=first.ticket_id)
    told = [(one["kind"], one["facts"]["token"]) for one in await written(still)]
    assert told == [("you-are-called", first.token), ("you-are-next", second.token), ("you-are-called", first.token)]
    await still.call_next(queue, 1)
    assert await written(still, kind="you-are-next", state="pending") == []


async def test_nobody_in_a_queue_is_told_who_did_not_ask(still: World) -> None:
    queue = await still.queue()
    await waiting(still, queue, channels=[])
    await still.call_next(queue)
    assert await written(still) == []


async def test_a_wait_that_has_grown_is_told_once_each_time_it_grows(still: World) -> None:
    queue = await still.queue()
    await still.join(queue)
    await still.call_next(queue)
    await still.join(queue)
    await waiting(still, queue)
    for _ in range(3):
        await still.do("set-queue-state", queue_id=queue, state="open", message=f"{_}")
    assert await written(still, kind="wait-grown") == []
    for _ in range(8):
        still.forward(minutes=10)
        await still.do("set-queue-state", queue_id=queue, state="open", message=f"{_}")
    grown = await written(still, kind="wait-grown")
    assert 1 <= len(grown) <= 5 and all(one["facts"]["least"] <= one["facts"]["most"] for one in grown)


async def test_doctors_on_duty_are_told_of_an_emergency_until_somebody_answers(still: World) -> None:
    await still.account(Role.doctor, "ames@clinic.test", doctor_id=still.doctors[0])
    await still.queue(owner=still.doctors[0])
    raised = await still.do("emergency-request", location_id=still.location, reason="Chest pain")
    (told,) = await written(still, kind="emergency-alert")
    assert (told["recipient"], told["state"]) == ("ames@clinic.test", "pending")
    assert "Chest" not in str(told["facts"])
    await still.do("acknowledge-emergency", emergency_id=raised.emergency_id)
    assert await written(still, kind="emergency-alert", state="pending") == []


async def test_the_answer_given_last_stays_though_the_one_before_is_late(browser: Browser, clinic: Served) -> None:
    await visited(clinic.world)
    async with visiting(browser, "phone") as pocket:
        page = await pocket.new_page()
        await page.goto(f"{clinic.url}/feedback/{await linked(clinic.world, 'thank-you')}")
        async with answered_late(page, "**/api/v1/feedback", "POST", times=1) as answered:
            await page.locator(".score").nth(0).click()
            await answered.wait()
            await page.locator(".score").nth(4).click()
            # Long enough for an answer to overtake the one that is late.
            await page.wait_for_timeout(1_000)
        await page.wait_for_selector("[data-testid=feedback-said]:not(:empty)")
        await expect(page.locator(".score input").nth(4)).to_be_checked()
    assert await clinic.world.pool.fetchval("select score from feedback") == 5
