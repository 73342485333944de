"""The day of the visit: checking in, and an appointment and its ticket going together through it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from server import errors
from server.access import ANONYMOUS, Actor, Role
from server.appointments.visits import link_of
from server.queue.line import dumps
from tests.clinic import account_of, book, now, patient_of, slot_at
from tests.world import World, refused

STATE = "select state, ticket_id, doctor_id, number, kind, source from appointments where id = $1"


async def booked(world: World, minutes: float = 20, doctor: int = 0, **ask: Any) -> Any:
    """An appointment that begins so many minutes from now."""
    slot = await slot_at(world, now(world) + timedelta(minutes=minutes), doctor)
    mode = ask.pop("mode", "in_person")
    return await book(world, [slot], mode=mode, **ask)


async def at(world: World, appointment: int) -> Any:
    """An appointment as PostgreSQL has it."""
    return await world.pool.fetchrow(STATE, appointment)


async def of_ticket(world: World, ticket: int) -> Any:
    return await world.pool.fetchrow("select * from appointments where ticket_id = $1", ticket)


def streams(world: World, queue: int) -> list[str]:
    both = [f"{kind}:{one}" for one in world.doctors for kind in ("doctor", "slots")]
    return [f"board:{queue}", f"staff:{queue}", *both]


async def check_in(world: World, appointment: Any, who: Actor | str = "receptionist", **ask: Any) -> Any:
    return await world.do("check-in", who, appointment_id=appointment.appointment_id, **ask)


# Walk-ins


async def test_a_walk_ins_ticket_and_appointment_are_made_together(still: World) -> None:
    queue = await still.queue(owner=still.doctors[0])
    patient = await patient_of(still)
    await account_of(still, patient)
    async with still.verify(*streams(still, queue), f"patient:{patient}"):
        joined = await still.do("join-queue", queue_id=queue, patient_id=patient, reason="Cough")
    walk_in = await of_ticket(still, joined.ticket_id)
    assert (walk_in["kind"], walk_in["state"], walk_in["reason"]) == ("walk_in", "checked_in", "Cough")
    assert (walk_in["number"], walk_in["doctor_id"]) == ("WLK-20260302-0001", still.doctors[0])
    assert walk_in["source"] == "reception"


async def test_a_join_that_fails_leaves_neither_and_no_gap_in_the_numbers(still: World) -> None:
    queue = await still.queue(max_length=1)
    first = await still.join(queue)
    await refused(errors.QueueFull, still.join(queue))
    await still.do("cancel", ticket_id=first.ticket_id)
    second = await still.join(queue)
    numbers = [(await of_ticket(still, one.ticket_id))["number"] for one in (first, second)]
    assert numbers == ["WLK-20260302-0001", "WLK-20260302-0002"]


async def test_forty_who_join_at_once_have_forty_numbers_without_a_gap(world: World) -> None:
    queues = [await world.queue(f"Queue {n}") for n in range(4)]
    await asyncio.gather(*(world.join(queues[n % 4]) for n in range(40)))
    rows = await world.pool.fetch("select number from appointments order by number")
    assert [int(row["number"][-4:]) for row in rows] == list(range(1, 41))


async def test_a_pools_walk_in_is_the_doctors_who_sees_them(still: World) -> None:
    queue = await still.queue()
    joined = await still.join(queue)
    assert (await of_ticket(still, joined.ticket_id))["doctor_id"] is None
    await still.call_next(queue, actor="doctor2")
    async with still.verify(*streams(still, queue)):
        await still.do("start", "doctor2", ticket_id=joined.ticket_id)
    walk_in = await of_ticket(still, joined.ticket_id)
    assert (walk_in["doctor_id"], walk_in["state"]) == (still.doctors[1], "in_progress")


async def test_a_walk_in_lives_and_dies_with_its_ticket(still: World) -> None:
    queue = await still.queue(owner=still.doctors[0])
    joined = await still.join(queue)
    walk_in = (await of_ticket(still, joined.ticket_id))["id"]
    seen = []
    steps = (
        ("cancel", "cancelled"), ("undo", "checked_in"), ("hold", "checked_in"), ("return-ticket", "checked_in"),
        ("call", "checked_in"), ("no-show", "no_show"), ("return-ticket", "checked_in"), ("call", "checked_in"),
        ("start", "in_progress"), ("undo", "checked_in"), ("complete", "completed"), ("undo", "checked_in"),
    )  # fmt: skip
    for step, _ in steps:
        async with still.verify(*streams(still, queue)):
            if step == "call":
                await still.call_next(queue)
            else:
                await still.do(step, ticket_id=joined.ticket_id)
        seen.append((step, (await at(still, walk_in))["state"]))
    assert seen == list(steps)


async def test_an_appointment_goes_with_its_ticket_to_another_queue_and_back(still: World) -> None:
    one, two = [await still.queue(f"Queue {n}", owner=still.doctors[n]) for n in (0, 1)]
    joined = await still.join(one)
    walk_in = (await of_ticket(still, joined.ticket_id))["id"]
    async with still.verify(*streams(still, one), *streams(still, two)[:2]):
        moved = await still.do("transfer", ticket_id=joined.ticket_id, queue_id=two)
    there = await at(still, walk_in)
    assert (there["ticket_id"], there["doctor_id"]) == (moved.ticket.ticket, still.doctors[1])
    async with still.verify(*streams(still, one), *streams(still, two)[:2]):
        await still.do("undo", ticket_id=joined.ticket_id)
    back = await at(still, walk_in)
    assert (back["ticket_id"], back["doctor_id"], back["state"]) == (joined.ticket_id, still.doctors[0], "checked_in")
    assert await still.pool.fetchval("select count(*) from appointments") == 1


# Checking in


async def test_checking_in_makes_the_ticket_in_the_doctors_own_queue(still: World) -> None:
    await still.queue("Pool")
    own = await still.queue("Own", owner=still.doctors[0])
    appointment = await booked(still, reason="Back pain", urgency="urgent")
    async with still.verify(*streams(still, own)):
        ticket = await check_in(still, appointment)
    assert (ticket.queue_id, ticket.number, ticket.place) == (own, appointment.number, 1)
    row = await still.pool.fetchrow("select booked_for, reason, urgency from tickets where id = $1", ticket.ticket_id)
    assert (row["booked_for"], row["reason"], row["urgency"]) == (appointment.starts_at, "Back pain", "urgent")
    assert (await at(still, appointment.appointment_id))["state"] == "checked_in"
    assert await still.pool.fetchval("select count(*) from appointments") == 1


async def test_without_a_queue_of_their_own_the_doctor_has_a_pool_and_the_desk_names_any(still: World) -> None:
    first, second = await booked(still), await booked(still, 60, doctor=1)
    await refused(errors.NoQueueForDoctor, check_in(still, first))
    others = await still.queue("Other", owner=still.doctors[1])
    assert (await check_in(still, first, queue_id=others)).queue_id == others
    await still.pool.execute("update queues set doctor_id = null, name = 'Pool'")
    assert (await check_in(still, second)).queue_id == others


@pytest.mark.parametrize("order", ["fifo", "urgent_first", "scored"])
async def test_on_time_by_the_appointment_late_by_the_arrival(still: World, order: str) -> None:
    queue = await still.queue(order=order)
    early = await booked(still, 60)
    on_time, late = await booked(still, 5), await booked(still, 10, doctor=1)
    names = {}
    names[(await check_in(still, early)).token] = "early"
    still.forward(minutes=14)
    names[(await still.join(queue)).token] = "walk-in"
    names[(await check_in(still, on_time)).token] = "on time"
    still.forward(minutes=20)
    names[(await still.join(queue)).token] = "walk-in"
    names[(await check_in(still, late)).token] = "late"
    assert [names[one] for one in await still.order(queue)] == ["on time", "walk-in", "walk-in", "late", "early"]


async def test_settings_of_appointments_place_everybody_anew(still: World) -> None:
    queue = await still.queue()
    later = await booked(still, 60)
    first = await check_in(still, later)
    still.forward(minutes=5)
    second = await still.join(queue)
    assert await still.order(queue) == [second.token, first.token]
    async with still.verify(*streams(still, queue)):
        await still.do("set-queue-settings", queue_id=queue, appointment_on_time="arrival")
    assert await still.order(queue) == [first.token, second.token]
    row = (await still.fresh_rows(f"staff:{queue}"))[f"t:{first.ticket_id}"]
    assert [one["code"] for one in row["order_reasons"]] == ["appointment-on-time"]


async def test_who_cannot_be_checked_in_is_told_why(still: World) -> None:
    queue = await still.queue()
    tomorrow, online = await booked(still, 24 * 60), await booked(still, 90, mode="online")
    refusal = await refused(errors.NotToday, check_in(still, tomorrow))
    assert refusal.extra["starts_at"] == tomorrow.starts_at.isoformat()
    await refused(errors.SeenOnline, check_in(still, online))
    today = await booked(still, 60, doctor=1)
    await still.do("set-queue-state", queue_id=queue, state="closed")
    await refused(errors.QueueClosed, check_in(still, today))
    await still.do("set-queue-state", queue_id=queue, state="open")
    ticket = await check_in(still, today)
    refusal = await refused(errors.AlreadyCheckedIn, check_in(still, today))
    assert refusal.extra["token"] == ticket.token
    await still.do("cancel-appointment", appointment_id=tomorrow.appointment_id)
    await refused(errors.StepNotAllowed, check_in(still, tomorrow))


async def test_a_full_queue_and_spent_walk_ins_keep_no_appointment_out(still: World) -> None:
    queue = await still.queue(max_length=1, walk_ins_per_day=1)
    appointment = await booked(still)
    await still.join(queue)
    await refused(errors.QueueFull, still.join(queue))
    await check_in(still, appointment)
    assert len(await still.order(queue)) == 2


async def test_two_check_ins_at_once_make_one_ticket(world: World) -> None:
    await world.queue()
    appointment = await booked(world)
    tries = [check_in(world, appointment) for _ in range(8)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    refusals = [one for one in answers if isinstance(one, errors.AlreadyCheckedIn)]
    assert len(refusals) == 7, answers
    assert await world.pool.fetchval("select count(*) from tickets") == 1


async def test_a_given_up_ticket_leaves_the_appointment_as_it_was(still: World) -> None:
    queue = await still.queue()
    appointment = await booked(still)
    first = await check_in(still, appointment)
    async with still.verify(*streams(still, queue)):
        await still.do("cancel", ticket_id=first.ticket_id)
    there = await at(still, appointment.appointment_id)
    assert (there["state"], there["ticket_id"]) == ("confirmed", None)
    async with still.verify(*streams(still, queue)):
        await still.do("undo", ticket_id=first.ticket_id)
    there = await at(still, appointment.appointment_id)
    assert (there["state"], there["ticket_id"]) == ("checked_in", first.ticket_id)


# At the kiosk, and by the code


async def kiosk(world: World) -> Actor:
    id_, _ = await world.device("Kiosk")
    await world.pool.execute("update devices set kind = 'kiosk' where id = $1", id_)
    return Actor(Role.device, id_, world.institution, location_id=world.location, device_kind="kiosk")


async def born(world: World) -> tuple[int, str]:
    """Somebody with a date of birth, and their card's number."""
    new = await world.do("register-patient", name="Ada", birth_date="1980-05-17", confirm_new=True)
    return new.patient.id, await world.pool.fetchval("select number from patients where id = $1", new.patient.id)


@pytest.mark.parametrize("by", ["card", "letter"])
async def test_a_kiosk_checks_in_by_number_and_birthday(still: World, by: str) -> None:
    await still.queue()
    patient, card = await born(still)
    appointment = await booked(still, patient_id=patient)
    number = card if by == "card" else appointment.number.lower()
    ticket = await still.do("check-in-here", await kiosk(still), number=number, birth_date="1980-05-17")
    assert ticket.appointment_id == appointment.appointment_id
    assert (await at(still, appointment.appointment_id))["state"] == "checked_in"


async def test_a_kiosk_tells_a_wrong_birthday_from_nothing(still: World) -> None:
    await still.queue()
    patient, card = await born(still)
    screen = await kiosk(still)
    await booked(still, 26 * 60, patient_id=patient)
    await refused(errors.NothingToCheckIn, still.do("check-in-here", screen, number=card, birth_date="1980-05-17"))
    await booked(still, 90, patient_id=patient)
    for number, birthday in ((card, "1980-05-18"), ("P999999", "1980-05-17")):
        await refused(errors.NothingToCheckIn, still.do("check-in-here", screen, number=number, birth_date=birthday))
    board = Actor(Role.device, screen.id, still.institution, location_id=still.location, device_kind="board")
    await refused(errors.NotAllowed, still.do("check-in-here", board, number=card, birth_date="1980-05-17"))


async def test_a_patient_checks_in_with_the_code_of_the_place(still: World) -> None:
    await still.queue()
    patient = await patient_of(still)
    account = await account_of(still, patient)
    appointment = await booked(still, patient_id=patient)
    shown = await still.ask("arrival-code", await kiosk(still), location_id=still.location)
    assert len(shown.code) == 4 and shown.until.isoformat() == "2026-03-02T10:00:00+00:00" and not shown.on_boards
    wrong = f"{(int(shown.code) + 1) % 10_000:04d}"
    await refused(errors.WrongPlaceCode, check_in(still, appointment, account, code=wrong))
    await refused(errors.WrongPlaceCode, check_in(still, appointment, account))
    assert (await check_in(still, appointment, account, code=shown.code)).token == "A001"


async def test_the_code_changes_with_the_hour_and_differs_between_places(still: World) -> None:
    seen = []
    for _ in range(3):
        seen.append((await still.ask("arrival-code", location_id=still.location)).code)
        still.forward(hours=1)
    theirs = await still.other()
    seen.append((await theirs.ask("arrival-code", location_id=theirs.location)).code)
    assert len(set(seen)) >= 3
    await refused(errors.NotFound, still.ask("arrival-code", location_id=theirs.location))


async def linked(world: World, appointment: Any, code: str, **more: Any) -> Any:
    """Somebody who is not signed in checks in by a letter's link."""
    secret = await world.pool.fetchval("select arrival_secret from locations where id = $1", world.location)
    link = more.get("link") or link_of(secret, appointment.appointment_id)
    return await world.do("check-in-by-link", ANONYMOUS, link=link, code=code)


async def test_a_letters_link_checks_in_with_the_code_and_opens_nothing_else(still: World) -> None:
    queue = await still.queue(owner=still.doctors[0])
    made, other = await booked(still), await booked(still, 50)
    code = (await still.ask("arrival-code", location_id=still.location)).code
    await refused(errors.WrongPlaceCode, linked(still, made, f"{(int(code) + 1) % 10_000:04d}"))
    forged = f"{other.appointment_id}.{link_of(b'', other.appointment_id).partition('.')[2]}"
    await refused(errors.NotFound, linked(still, other, code, link=forged))
    await refused(errors.NotFound, linked(still, made, code, link=f"{2**50}.{'0' * 32}"))
    async with still.verify(*streams(still, queue)):
        there = await linked(still, made, code)
    assert (there.appointment_id, there.queue_id) == (made.appointment_id, queue)
    assert (await at(still, made.appointment_id))["state"] == "checked_in"
    await refused(errors.AlreadyCheckedIn, linked(still, made, code))


async def test_a_letters_link_bears_a_few_wrong_codes(still: World) -> None:
    await still.queue(owner=still.doctors[0])
    made = await booked(still)
    code = (await still.ask("arrival-code", location_id=still.location)).code
    for _ in range(5):
        await refused(errors.WrongPlaceCode, linked(still, made, "none"))
    await refused(errors.TooMany, linked(still, made, code))


async def test_a_code_of_a_moment_ago_still_counts_and_a_few_wrong_ones_end_it(still: World) -> None:
    await still.queue()
    patients = [await patient_of(still) for _ in range(2)]
    accounts = [await account_of(still, one) for one in patients]
    one, two = [await booked(still, 90 + 60 * n, patient_id=who) for n, who in enumerate(patients)]
    still.forward(minutes=59)
    code = (await still.ask("arrival-code", location_id=still.location)).code
    still.forward(minutes=3)
    await check_in(still, one, accounts[0], code=code)
    for _ in range(5):
        await refused(errors.WrongPlaceCode, check_in(still, two, accounts[1], code="none"))
    right = (await still.ask("arrival-code", location_id=still.location)).code
    await refused(errors.TooMany, check_in(still, two, accounts[1], code=right))
    await check_in(still, two)


async def test_the_code_is_on_boards_where_a_setting_says_so(still: World) -> None:
    await still.pool.execute(
        "update locations set settings = $2 where id = $1", still.location, dumps({"show_arrival_code": True})
    )
    assert (await still.ask("arrival-code", location_id=still.location)).on_boards


# Both ways


async def called(world: World, queue: int) -> tuple[Any, Any]:
    """An appointment that is checked in and called, and its ticket."""
    appointment = await booked(world)
    ticket = await check_in(world, appointment)
    await world.call_next(queue)
    return appointment, ticket


async def test_steps_of_an_appointment_are_its_tickets(still: World) -> None:
    queue = await still.queue()
    appointment, ticket = await called(still, queue)
    seen = []
    for step in ("start", "undo", "start", "complete", "undo"):
        async with still.verify(*streams(still, queue)):
            moved = await still.do(f"{step}-appointment", "doctor", appointment_id=appointment.appointment_id)
        state = await still.pool.fetchval("select state from tickets where id = $1", ticket.ticket_id)
        seen.append((step, moved.appointment.state.value, state))
    assert seen == [
        ("start", "in_progress", "in_consultation"),
        ("undo", "checked_in", "called"),
        ("start", "in_progress", "in_consultation"),
        ("complete", "completed", "completed"),
        ("undo", "in_progress", "in_consultation"),
    ]


async def test_calling_the_next_completes_the_appointment_before(still: World) -> None:
    queue = await still.queue()
    appointment, _ = await called(still, queue)
    await still.join(queue)
    async with still.verify(*streams(still, queue)):
        await still.call_next(queue)
    assert (await at(still, appointment.appointment_id))["state"] == "completed"
    moved = await still.pool.fetchval("select id from tickets where state = 'called'")
    async with still.verify(*streams(still, queue)):
        await still.do("undo", ticket_id=moved)
    assert (await at(still, appointment.appointment_id))["state"] == "checked_in"


async def test_who_still_waits_is_called_first_or_to_the_desk_that_is_named(still: World) -> None:
    queue = await still.queue()
    appointment = await booked(still)
    ticket = await check_in(still, appointment)
    id_ = appointment.appointment_id
    for step in ("start", "complete", "no-show"):
        refusal = await refused(errors.CallFirst, still.do(f"{step}-appointment", appointment_id=id_))
        assert refusal.extra["token"] == ticket.token
    async with still.verify(*streams(still, queue)):
        moved = await still.do("start-appointment", "doctor", appointment_id=id_, desk_id=still.desks[0])
    assert moved.appointment.state == "in_progress"


async def test_no_show_from_the_agenda_with_and_without_a_ticket(still: World) -> None:
    queue = await still.queue()
    appointment, ticket = await called(still, queue)
    async with still.verify(*streams(still, queue)):
        await still.do("no-show-appointment", appointment_id=appointment.appointment_id, reason="Not here")
    assert await still.pool.fetchval("select state from tickets where id = $1", ticket.ticket_id) == "no_show"
    other = await booked(still, 60, doctor=1)
    await refused(errors.StepNotAllowed, still.do("no-show-appointment", appointment_id=other.appointment_id))
    still.forward(minutes=75)
    async with still.verify(*streams(still, queue)):
        moved = await still.do("no-show-appointment", appointment_id=other.appointment_id)
    assert moved.appointment.state == "no_show" and moved.appointment.undo == "no-show"


async def test_checking_in_is_taken_back_with_its_ticket(still: World) -> None:
    queue = await still.queue()
    appointment = await booked(still)
    await check_in(still, appointment)
    async with still.verify(*streams(still, queue)):
        moved = await still.do("undo-appointment", appointment_id=appointment.appointment_id)
    assert (moved.appointment.state, moved.appointment.ticket) == ("confirmed", None)
    assert await still.order(queue) == []
    await check_in(still, appointment)


@pytest.mark.parametrize("by", ["patient", "desk"])
async def test_whoever_leaves_after_checking_in_calls_off_visit_and_ticket_in_one_step(still: World, by: str) -> None:
    queue = await still.queue(owner=still.doctors[0])
    patient = await patient_of(still)
    who = {"patient": await account_of(still, patient), "desk": "receptionist"}[by]
    made = await booked(still, patient_id=patient)
    there = await check_in(still, made)
    async with still.verify(*streams(still, queue), f"patient:{patient}"):
        gone = await still.do("cancel-appointment", who, appointment_id=made.appointment_id)
    ticket = await still.pool.fetchrow("select state, undo from tickets where id = $1", there.ticket_id)
    assert (gone.state, gone.token) == ("cancelled", None) and ticket and tuple(ticket) == ("cancelled", None)
    await still.do("undo-appointment", appointment_id=made.appointment_id)
    assert tuple(await at(still, made.appointment_id))[:2] == ("confirmed", None)


async def test_a_walk_in_is_called_off_from_the_list_with_its_ticket(still: World) -> None:
    queue = await still.queue(owner=still.doctors[0])
    joined = await still.join(queue)
    walk_in = (await of_ticket(still, joined.ticket_id))["id"]
    async with still.verify(*streams(still, queue)):
        await still.do("cancel-appointment", appointment_id=walk_in)
    assert (await at(still, walk_in))["state"] == "cancelled" and await still.order(queue) == []


async def test_an_online_appointment_starts_and_ends_without_a_ticket(still: World) -> None:
    appointment = await booked(still, mode="online")
    for step, state in (("start", "in_progress"), ("complete", "completed"), ("undo", "in_progress")):
        async with still.verify(*(f"doctor:{one}" for one in still.doctors)):
            moved = await still.do(f"{step}-appointment", "doctor", appointment_id=appointment.appointment_id)
        assert moved.appointment.state == state
    assert await still.pool.fetchval("select count(*) from tickets") == 0


async def test_completed_from_both_sides_at_once_is_completed_once(world: World) -> None:
    queue = await world.queue()
    appointment, ticket = await called(world, queue)
    sides = [
        world.do("complete", ticket_id=ticket.ticket_id),
        world.do("complete-appointment", appointment_id=appointment.appointment_id),
        world.do("change-appointments", action="complete", appointment_ids=[appointment.appointment_id]),
    ] * 3
    answers = await asyncio.gather(*sides, return_exceptions=True)
    unexpected = [one for one in answers if isinstance(one, Exception) and not isinstance(one, errors.Refusal)]
    assert unexpected == []
    names = [data["was"] for _, name, data in await world.events(f"doctor:{world.doctors[0]}") if "was" in data]
    assert names == ["confirmed", "checked_in"]


async def test_queues_and_agendas_worked_at_once_never_deadlock(world: World) -> None:
    queue = await world.queue()
    made = [await booked(world, 20 + 30 * n, doctor=n % 2) for n in range(8)]
    before = await world.pool.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
    work = [check_in(world, one) for one in made] + [world.join(queue) for _ in range(8)]
    work += [world.call_next(queue, desk) for desk in (0, 1, 2, 3)] * 2
    work += [world.do("cancel-appointment", appointment_id=one.appointment_id) for one in made[::2]]
    answers = await asyncio.gather(*work, return_exceptions=True)
    assert [one for one in answers if isinstance(one, Exception) and not isinstance(one, errors.Refusal)] == []
    await world.pool.execute("select pg_stat_clear_snapshot()")
    after = await world.pool.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
    assert after == before
