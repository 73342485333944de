"""The life of tickets in a queue: joining, being called, and every step after."""

import asyncio
from typing import Any

import pytest

from server import errors
from server.access import Actor, Role
from server.patients import NewPatient, add_patient
from tests.world import World, refused


def streams(queue: int) -> tuple[str, str]:
    return f"board:{queue}", f"staff:{queue}"


async def known_patient(world: World, name: str = "Known") -> int:
    async with world.pool.acquire() as conn, conn.transaction():
        return (await add_patient(conn, world.institution, NewPatient(name=name))).id


# Joining


async def test_the_first_to_arrive_is_called_first(world: World) -> None:
    queue = await world.queue()
    first, second = await world.join(queue), await world.join(queue)
    async with world.verify(*streams(queue)):
        called = await world.call_next(queue)
        await world.call_next(queue)
    assert called.ticket.token == first.token == "A001"
    assert second.place == 2


async def test_joining_answers_token_place_wait_and_a_link_with_its_picture(world: World) -> None:
    queue = await world.queue()
    async with world.verify(*streams(queue)):
        await world.join(queue)
        joined = await world.join(queue, reason="Cough", requirements=["wheelchair", "Polish"], urgency="routine")
    assert (joined.token, joined.place) == ("A002", 2)
    middle, ninth = joined.wait
    assert 0 < middle < ninth
    secret = joined.link.removeprefix("http://callboard.test/t/")
    assert len(secret) >= 43 and joined.qr_svg.startswith("<svg")
    row = (await world.fresh_rows(f"staff:{queue}"))[f"t:{joined.ticket_id}"]
    assert (row["reason"], row["requirements"]) == ("Cough", ["wheelchair", "Polish"])


async def test_a_known_patient_joins_and_their_own_stream_says_so(world: World) -> None:
    queue, patient = await world.queue(), await known_patient(world)
    await world.account(Role.patient, "pat@example.org", patient_id=patient)
    async with world.verify(*streams(queue), f"patient:{patient}"):
        joined = await world.do("join-queue", queue_id=queue, patient_id=patient)
        await world.call_next(queue)
    assert (await world.fresh_rows(f"patient:{patient}"))[f"t:{joined.ticket_id}"]["desk"] == "Room 1"


async def test_quick_registration_keeps_name_phone_and_birth_year(world: World) -> None:
    queue = await world.queue()
    person = {"name": "  Ada Byron ", "phone": "+44 20 7946 0000", "birth_year": 1990}
    joined = await world.do("join-queue", queue_id=queue, patient=person)
    row = (await world.fresh_rows(f"staff:{queue}"))[f"t:{joined.ticket_id}"]["patient"]
    assert (row["name"], row["phone"], row["birth_year"]) == ("Ada Byron", "+442079460000", 1990)


async def test_a_patient_stands_in_a_queue_once(world: World) -> None:
    queue, patient = await world.queue(), await known_patient(world)
    joined = await world.do("join-queue", queue_id=queue, patient_id=patient)
    refusal = await refused(errors.AlreadyWaiting, world.do("join-queue", queue_id=queue, patient_id=patient))
    assert (refusal.extra["ticket_id"], refusal.extra["state"]) == (joined.ticket_id, "waiting")
    await world.do("cancel", ticket_id=joined.ticket_id)
    assert (await world.do("join-queue", queue_id=queue, patient_id=patient)).token == "A002"


async def test_a_patient_of_another_institution_is_not_there(world: World) -> None:
    queue, elsewhere = await world.queue(), await world.other()
    stranger = await known_patient(elsewhere)
    await refused(errors.NotFound, world.do("join-queue", queue_id=queue, patient_id=stranger))


@pytest.mark.parametrize(
    ("settings", "token"),
    [({}, "A001"), ({"token_prefix": "XRY", "token_digits": 1}, "XRY1"), ({"token_prefix": ""}, "001")],
)
async def test_tokens_have_the_queues_prefix_and_digits(world: World, settings: dict[str, Any], token: str) -> None:
    assert (await world.join(await world.queue(**settings))).token == token


async def test_a_token_grows_when_its_digits_run_out(world: World) -> None:
    queue = await world.queue(token_digits=1)
    assert [(await world.join(queue)).token for _ in range(11)][8:] == ["A9", "A10", "A11"]


async def test_a_second_queue_of_a_location_gets_another_letter(world: World) -> None:
    one, other = await world.queue("One"), await world.queue("Other")
    assert [(await world.join(queue)).token for queue in (one, other)] == ["A001", "B001"]


async def test_a_full_queue_takes_nobody_but_an_emergency(world: World) -> None:
    queue = await world.queue(max_length=2)
    await world.join(queue), await world.join(queue)
    assert (await refused(errors.QueueFull, world.join(queue))).extra["max_length"] == 2
    emergency = await world.join(queue, urgency="emergency")
    assert emergency.place == 1
    await world.call_next(queue)
    await refused(errors.QueueFull, world.join(queue))
    await world.call_next(queue)
    assert (await world.join(queue)).place == 2


async def test_walk_ins_are_counted_by_doctor_and_day(still: World) -> None:
    pool = await still.queue("Pool", walk_ins_per_day=2)
    own = await still.queue("Own", owner=still.doctors[0], walk_ins_per_day=2)
    for queue, doctors in ((pool, 2), (own, 1)):
        for _ in range(2 * doctors):
            await still.do("cancel", ticket_id=(await still.join(queue)).ticket_id)
        assert (await refused(errors.WalkInLimit, still.join(queue))).extra["walk_ins_per_day"] == 2
        assert (await still.join(queue, urgency="emergency")).place == 1
    still.forward(days=1)
    assert (await still.join(own)).token.endswith("001")


async def test_a_queue_takes_people_in_within_its_hours(still: World) -> None:
    queue = await still.queue(hours=[{"weekday": 0, "opens": "08:00", "closes": "12:00"}])
    await still.join(queue)
    still.forward(hours=3)
    assert (await refused(errors.QueueClosed, still.join(queue))).extra["state"] == "open"
    assert (await still.join(queue, urgency="emergency")).place == 1
    still.forward(days=6, hours=20)
    assert (await still.join(queue)).place == 3


async def test_a_queue_is_always_open_though_its_location_keeps_hours(still: World) -> None:
    queue, mondays = await still.queue(), [{"weekday": 0, "opens": "08:00", "closes": "12:00"}]
    await still.do("set-location-settings", "admin", location_id=still.location, hours=mondays)
    still.forward(days=1)
    await refused(errors.QueueClosed, still.join(queue))
    await still.do("set-queue-settings", "admin", queue_id=queue, hours="always")
    assert (await still.join(queue)).place == 1
    told = await still.ask("show-queue-settings", "admin", queue_id=queue)
    assert (told.own["hours"], told.origin["hours"]) == ("always", "queue")
    await still.do("set-queue-settings", "admin", queue_id=queue, hours=None)
    await refused(errors.QueueClosed, still.join(queue))


async def test_a_closed_queue_says_its_message_and_still_calls(world: World) -> None:
    queue = await world.queue()
    await world.join(queue)
    async with world.verify(*streams(queue)):
        await world.do("set-queue-state", queue_id=queue, state="closed", message="Back on Monday")
    refusal = await refused(errors.QueueClosed, world.join(queue))
    assert (refusal.extra["state"], refusal.extra["message"]) == ("closed", "Back on Monday")
    assert (await world.fresh_rows(f"board:{queue}"))["queue"]["message"] == "Back on Monday"
    assert (await world.call_next(queue)).ticket.token == "A001"


async def test_a_paused_queue_calls_nobody_and_takes_people_in(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue)
    await world.do("set-queue-state", "doctor", queue_id=queue, state="paused", message="Ward round")
    refusal = await refused(errors.QueuePaused, world.call_next(queue))
    assert (refusal.extra["state"], refusal.extra["message"]) == ("paused", "Ward round")
    one = {"ticket_id": joined.ticket_id, "desk_id": world.desks[0], "reason": "x"}
    await refused(errors.QueuePaused, world.do("call-ticket", **one))
    await world.join(queue)
    async with world.verify(*streams(queue)):
        await world.do("set-queue-state", queue_id=queue, state="open", message="ignored when open")
    assert (await world.fresh_rows(f"board:{queue}"))["queue"]["message"] is None
    assert (await world.call_next(queue)).ticket.token == joined.token


# Calling


async def test_calling_the_next_completes_whoever_was_at_the_desk(world: World) -> None:
    queue = await world.queue()
    first, _ = await world.join(queue), await world.join(queue)
    await world.call_next(queue)
    await world.do("start", ticket_id=first.ticket_id)
    async with world.verify(*streams(queue)):
        second = await world.call_next(queue)
    assert second.ticket.token == "A002"
    assert await state_of(world, first.ticket_id) == "completed"


async def state_of(world: World, ticket_id: int) -> str:
    return str(await world.pool.fetchval("select state from tickets where id = $1", ticket_id))


async def test_an_empty_queue_is_refused_and_completes_nobody(world: World) -> None:
    queue = await world.queue()
    first = await world.join(queue)
    await world.call_next(queue)
    await refused(errors.QueueEmpty, world.call_next(queue))
    assert await state_of(world, first.ticket_id) == "called"


async def test_where_calling_does_not_complete_a_called_patient_is_settled_first(world: World) -> None:
    queue = await world.queue(call_next_completes=False)
    first, _, _ = await world.join(queue), await world.join(queue), await world.join(queue)
    await world.call_next(queue)
    refusal = await refused(errors.DeskBusy, world.call_next(queue))
    assert (refusal.extra["ticket_id"], refusal.extra["token"]) == (first.ticket_id, "A001")
    await world.do("start", ticket_id=first.ticket_id)
    assert (await world.call_next(queue)).ticket.token == "A002"


async def test_a_chosen_ticket_is_called_with_its_reason_on_record(world: World) -> None:
    queue = await world.queue()
    await world.join(queue)
    chosen = await world.join(queue)
    ask = {"ticket_id": chosen.ticket_id, "desk_id": world.desks[1]}
    await refused(errors.InvalidRequest, world.do("call-ticket", "doctor", **ask))
    async with world.verify(*streams(queue)):
        called = await world.do("call-ticket", "doctor", **ask, reason="Has to catch a bus")
    assert (called.ticket.state, called.ticket.desk) == ("called", "Room 2")
    view = await world.ask("show-ticket", ticket_id=chosen.ticket_id)
    [decision] = view.decisions
    assert (decision.kind, decision.reason) == ("call", "Has to catch a bus")
    assert decision.facts == {"passed_over": ["A001"]} and decision.actor == world.actors["doctor"].key


async def test_a_recall_announces_once_more_with_its_number(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue)
    await world.call_next(queue)
    async with world.verify(*streams(queue)):
        recalled = await world.do("recall", "doctor", ticket_id=joined.ticket_id)
    version, kind, data = (await world.events(f"board:{queue}"))[-1]
    assert (kind, data["number"], data["desk"]) == ("patient-recalled", 2, "Room 1")
    assert recalled.ticket.call.number == 2 and recalled.ticket.call.version == version == recalled.board_version


async def test_a_calls_row_names_the_version_that_carries_it(world: World) -> None:
    queue = await world.queue()
    await world.join(queue), await world.join(queue)
    await world.call_next(queue)
    called = await world.call_next(queue)
    version, kind, data = (await world.events(f"board:{queue}"))[-1]
    assert (kind, data["ticket"]) == ("patient-called", called.ticket.ticket)
    assert called.ticket.call.version == version == called.board_version


async def test_start_and_complete_walk_the_life_of_a_ticket(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue)
    ticket = {"ticket_id": joined.ticket_id}
    async with world.verify(*streams(queue)):
        await world.call_next(queue)
        started = await world.do("start", "doctor", **ticket)
        completed = await world.do("complete", "doctor", **ticket)
    assert (started.ticket.state, completed.ticket.state) == ("in_consultation", "completed")
    assert f"t:{joined.ticket_id}" not in await world.fresh_rows(f"board:{queue}")


async def test_a_called_patient_may_be_completed_without_start(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue)
    await world.call_next(queue)
    async with world.verify(*streams(queue)):
        done = await world.do("complete", ticket_id=joined.ticket_id)
    assert done.ticket.started_at == done.ticket.called_at


# Setting aside and coming back


async def test_a_no_show_leaves_the_board_stays_with_staff_and_can_return(world: World) -> None:
    queue = await world.queue()
    first, _ = await world.join(queue), await world.join(queue)
    row = f"t:{first.ticket_id}"
    await world.call_next(queue)
    async with world.verify(*streams(queue)):
        await world.do("no-show", ticket_id=first.ticket_id, reason="Called three times")
    assert row not in await world.fresh_rows(f"board:{queue}")
    assert (await world.fresh_rows(f"staff:{queue}"))[row]["state"] == "no_show"
    async with world.verify(*streams(queue)):
        await world.do("return-ticket", ticket_id=first.ticket_id)
    assert await world.order(queue) == ["A001", "A002"]


@pytest.mark.parametrize("after", range(5))
async def test_a_returned_ticket_stands_after_as_many_others(world: World, after: int) -> None:
    queue = await world.queue()
    first = await world.join(queue)
    others = [(await world.join(queue)).token for _ in range(3)]
    await world.call_next(queue)
    async with world.verify(*streams(queue)):
        back = await world.do("return-ticket", ticket_id=first.ticket_id, after=after)
    assert await world.order(queue) == [*others[:after], "A001", *others[after:]]
    assert back.ticket.call is None and back.ticket.order_reasons[-1].code == "returned"
    late = await world.join(queue)
    assert late.place == 5


async def test_a_returned_routine_ticket_stays_behind_emergencies(world: World) -> None:
    queue = await world.queue()
    first = await world.join(queue)
    await world.call_next(queue)
    await world.join(queue, urgency="emergency")
    await world.join(queue)
    await world.do("return-ticket", ticket_id=first.ticket_id, after=0)
    assert await world.order(queue) == ["A002", "A001", "A003"]


async def test_a_held_ticket_is_passed_over_and_returns_to_its_place(world: World) -> None:
    queue = await world.queue()
    first, *_ = [await world.join(queue) for _ in range(3)]
    async with world.verify(*streams(queue)):
        await world.do("hold", ticket_id=first.ticket_id, reason="X-ray first")
        assert (await world.call_next(queue)).ticket.token == "A002"
        await world.do("return-ticket", ticket_id=first.ticket_id)
    assert await world.order(queue) == ["A001", "A003"]


async def test_a_called_ticket_may_be_held_and_the_desk_is_free(world: World) -> None:
    queue = await world.queue(call_next_completes=False)
    first, _ = await world.join(queue), await world.join(queue)
    await world.call_next(queue)
    async with world.verify(*streams(queue)):
        held = await world.do("hold", ticket_id=first.ticket_id)
        await world.call_next(queue)
    assert held.ticket.state == "on_hold" and held.ticket.desk is None
    async with world.verify(*streams(queue)):
        again = await world.do("call-ticket", ticket_id=first.ticket_id, desk_id=world.desks[1], reason="Back")
    assert again.ticket.state == "called"


# Cancelling


async def test_staff_cancel_a_ticket(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue)
    async with world.verify(*streams(queue)):
        gone = await world.do("cancel", ticket_id=joined.ticket_id, reason="Went home")
    assert gone.state == "cancelled" and await world.order(queue) == []


async def test_a_tickets_holder_gives_up_that_ticket_and_no_other(world: World) -> None:
    queue = await world.queue()
    mine, other = await world.join(queue), await world.join(queue)
    holder = Actor(Role.ticket, id=mine.ticket_id, institution_id=world.institution)
    await refused(errors.NotFound, world.do("cancel", holder, ticket_id=other.ticket_id))
    for step in ("recall", "hold", "undo", "start"):
        await refused(errors.NotAllowed, world.do(step, holder, ticket_id=mine.ticket_id))
    async with world.verify(*streams(queue)):
        await world.do("cancel", holder, ticket_id=mine.ticket_id)
    assert await world.order(queue) == [other.token]


# Refusals name the state they found

AT = {
    "waiting": [],
    "called": ["call"],
    "in_consultation": ["call", "start"],
    "on_hold": ["hold"],
    "completed": ["call", "complete"],
    "no_show": ["call", "no-show"],
    "cancelled": ["cancel"],
}
"""How a ticket gets into each state."""
STEPS: dict[str, set[str]] = {
    "call": {"waiting", "on_hold"},
    "recall": {"called"},
    "start": {"called"},
    "complete": {"called", "in_consultation"},
    "no-show": {"called"},
    "return": {"called", "no_show", "on_hold"},
    "hold": {"waiting", "called"},
    "prioritize": {"waiting", "on_hold"},
    "transfer": {"waiting", "called", "in_consultation", "on_hold"},
    "cancel": {"waiting", "called", "on_hold"},
}
"""The states that each step is allowed from."""


async def step(world: World, name: str, ticket_id: int, other_queue: int = 0) -> Any:
    more: dict[str, Any] = {
        "call": {"desk_id": world.desks[0], "reason": "Test"},
        "prioritize": {"urgency": "urgent", "reason": "Test"},
        "transfer": {"queue_id": other_queue},
    }.get(name, {})
    command = {"call": "call-ticket", "return": "return-ticket"}.get(name, name)
    return await world.do(command, ticket_id=ticket_id, **more)


@pytest.mark.parametrize("state", AT)
async def test_every_step_is_allowed_or_names_the_state_that_it_found(world: World, state: str) -> None:
    queue, other = await world.queue(), await world.queue("Other")
    for name, allowed in STEPS.items():
        joined = await world.join(queue)
        for before in AT[state]:
            await step(world, before, joined.ticket_id)
        assert await state_of(world, joined.ticket_id) == state
        if state in allowed:
            async with world.verify(*streams(queue), *streams(other)):
                await step(world, name, joined.ticket_id, other)
        else:
            refusal = await refused(errors.WrongState, step(world, name, joined.ticket_id, other))
            assert (refusal.extra["state"], refusal.extra["step"]) == (state, name)


async def test_a_transferred_ticket_takes_no_step_more(world: World) -> None:
    queue, other = await world.queue(), await world.queue("Other")
    joined = await world.join(queue)
    await world.do("transfer", ticket_id=joined.ticket_id, queue_id=other)
    for name in STEPS:
        refusal = await refused(errors.WrongState, step(world, name, joined.ticket_id, other))
        assert refusal.extra["state"] == "transferred"


async def test_only_a_waiting_ticket_is_given_a_place(world: World) -> None:
    joined = await world.join(await world.queue())
    await world.do("hold", ticket_id=joined.ticket_id)
    ask = world.do("prioritize", ticket_id=joined.ticket_id, place=1, reason="First")
    assert (await refused(errors.WrongState, ask)).extra["state"] == "on_hold"


# Who may


async def test_nothing_of_a_foreign_institution_is_there(world: World) -> None:
    queue, foreign = await world.queue(), await world.other()
    joined, theirs = await world.join(queue), await foreign.queue()
    stranger = foreign.actors["receptionist"]
    await refused(errors.NotFound, world.call_next(queue, actor=stranger))
    for name in STEPS:
        await refused(errors.NotFound, step_by(world, name, joined.ticket_id, stranger, theirs))
    await refused(errors.NotFound, world.do("transfer", ticket_id=joined.ticket_id, queue_id=theirs))
    await refused(errors.NotFound, world.do("transfer", stranger, ticket_id=joined.ticket_id, queue_id=queue))


async def step_by(world: World, name: str, ticket_id: int, actor: Actor, other_queue: int) -> Any:
    was = world.actors["receptionist"]
    world.actors["receptionist"] = actor
    try:
        return await step(world, name, ticket_id, other_queue)
    finally:
        world.actors["receptionist"] = was


async def test_a_doctor_who_does_not_serve_a_queue_is_refused(world: World) -> None:
    queue = await world.queue(owner=world.doctors[0])
    joined = await world.join(queue)
    await refused(errors.NotAllowed, world.call_next(queue, actor="doctor2"))
    await refused(errors.NotAllowed, world.do("cancel", "doctor2", ticket_id=joined.ticket_id))
    assert (await world.call_next(queue, actor="doctor")).ticket.doctor_id == world.doctors[0]


async def test_a_desk_of_another_location_is_refused(world: World) -> None:
    queue, elsewhere = await world.queue(), await world.other()
    await world.join(queue)
    await refused(errors.DeskUnknown, world.do("call-next", "doctor", queue_id=queue, desk_id=elsewhere.desks[0]))


# Pools


async def test_consoles_of_a_pool_never_call_the_same_patient(world: World) -> None:
    queue = await world.queue()
    for _ in range(24):
        await world.join(queue)

    async def console(desk: int, actor: str) -> list[str]:
        return [(await world.call_next(queue, desk, actor)).ticket.token for _ in range(6)]

    async with world.verify(*streams(queue)):
        calls = await asyncio.gather(*(console(desk, f"doctor{'2' if desk % 2 else ''}") for desk in range(4)))
    tokens = [token for console in calls for token in console]
    assert sorted(tokens) == [f"A{number:03}" for number in range(1, 25)]


async def test_a_desk_has_one_patient_whichever_queues_it_serves(world: World) -> None:
    own, pool = await world.queue("Own"), await world.queue("Pool")
    mine, _ = await world.join(own), await world.join(pool)
    await world.call_next(own)
    for settle in ("start", "complete"):
        refusal = await refused(errors.DeskBusy, world.call_next(pool))
        assert (refusal.extra["ticket_id"], refusal.extra["token"]) == (mine.ticket_id, mine.token)
        assert "Own" in refusal.detail
        await world.do(settle, ticket_id=mine.ticket_id)
    assert (await world.call_next(pool)).ticket.token == "B001"


async def test_two_queues_that_race_for_a_desk_leave_one_patient_at_it(world: World) -> None:
    queues = [await world.queue(f"Queue {n}") for n in range(8)]
    for queue in queues:
        await world.join(queue)
    tries = await asyncio.gather(*(world.call_next(queue) for queue in queues), return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in tries) == 1
    assert all(isinstance(one, errors.DeskBusy) for one in tries if isinstance(one, Exception))
