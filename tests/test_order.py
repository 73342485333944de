"""The order of a queue, through the real commands: its rules, places by hand, transfers, and the reasons on record."""

import random
from datetime import timedelta
from typing import Any

import pytest

from server import errors
from tests.test_queue import known_patient, streams
from tests.test_undo import holder_of
from tests.world import World, refused


async def names(world: World, queue: int) -> list[str]:
    """Who waits, first to last, by their patients' names."""
    rows = await world.pool.fetch(
        "select p.name from tickets t join patients p on p.id = t.patient_id"
        " where t.queue_id = $1 and t.state = 'waiting' order by t.rank",
        queue,
    )
    return [row["name"] for row in rows]


async def why(world: World, one: Any, before: Any) -> str:
    return str((await world.ask("why-before", ticket_id=one.ticket_id, before=before.ticket_id)).answer)


async def holds(world: World, queue: int) -> None:
    """The invariants of the order, as PostgreSQL has it."""
    rows = await world.pool.fetch(
        "select band, key, rank, urgency from tickets where queue_id = $1 and state = 'waiting' order by rank", queue
    )
    standings = [(row["band"], row["key"]) for row in rows]
    assert standings == sorted(standings)
    assert len({row["rank"] for row in rows}) == len(rows)
    emergencies = [row["urgency"] == "emergency" for row in rows]
    assert emergencies == sorted(emergencies, reverse=True)


# The three orders


async def test_fifo_is_by_arrival_whatever_the_urgency_but_for_emergencies(still: World) -> None:
    queue = await still.queue(order="fifo")
    for name, urgency in (("routine", "routine"), ("urgent", "urgent"), ("emergency", "emergency")):
        await still.join(queue, name, urgency=urgency)
    assert await names(still, queue) == ["emergency", "routine", "urgent"]


async def test_urgent_first_is_by_urgency_then_by_arrival(still: World) -> None:
    queue = await still.queue(order="urgent_first")
    for number in (1, 2):
        for urgency in ("routine", "urgent", "emergency"):
            await still.join(queue, f"{urgency} {number}", urgency=urgency)
    assert await names(still, queue) == [
        f"{urgency} {number}" for urgency in ("emergency", "urgent", "routine") for number in (1, 2)
    ]


async def test_scored_sums_urgency_age_and_requirement_against_minutes_waited(still: World) -> None:
    queue = await still.queue(order="scored")
    await still.join(queue, "young", birth_year=1990)
    still.forward(minutes=12)
    old = await still.join(queue, "old", birth_year=1940)
    wheel = await still.join(queue, "wheel", requirements=["wheelchair"])
    child = await still.join(queue, "child", birth_year=2023)
    await still.join(queue, "urgent", urgency="urgent")
    assert await names(still, queue) == ["urgent", "old", "young", "wheel", "child"]
    rows = await still.fresh_rows(f"staff:{queue}")
    assert rows[f"t:{old.ticket_id}"]["score"]["factors"] == [
        {"factor": "urgency", "points": 0.0},
        {"factor": "age", "points": 15.0},
        {"factor": "requirements", "points": 0.0},
    ]
    totals = [rows[f"t:{one.ticket_id}"]["score"]["total"] for one in (old, wheel, child)]
    assert totals == [15, 10, 10]


async def test_a_routine_ticket_wins_in_the_end_however_many_urgent_ones_come(still: World) -> None:
    queue = await still.queue(order="scored")
    await still.join(queue, "patient one")
    called = []
    while "patient one" not in called:
        still.forward(minutes=5)
        await still.join(queue, f"urgent {len(called)}", urgency="urgent")
        called.append((await still.call_next(queue)).ticket.patient.name)
    assert 10 <= len(called) <= 13


async def test_weights_are_settings(still: World) -> None:
    queue = await still.queue(order="scored", weights={"urgent": 1.0, "requirement": 30.0, "per_minute": 2.0})
    await still.join(queue, "first")
    still.forward(minutes=10)
    await still.join(queue, "urgent", urgency="urgent")
    await still.join(queue, "interpreter", requirements=["Polish"])
    assert await names(still, queue) == ["interpreter", "first", "urgent"]


# By hand


async def test_another_urgency_by_hand_moves_a_ticket_and_keeps_its_reason(still: World) -> None:
    queue = await still.queue()
    await still.join(queue)
    second = await still.join(queue)
    async with still.verify(*streams(queue)):
        moved = await still.do("prioritize", ticket_id=second.ticket_id, urgency="emergency", reason="Chest pain")
    assert await still.order(queue) == ["A002", "A001"]
    assert {one.code for one in moved.ticket.order_reasons} == {"emergency", "urgency-by-hand"}
    async with still.verify(*streams(queue)):
        await still.do("prioritize", ticket_id=second.ticket_id, urgency="routine", reason="Was a cramp")
    assert await still.order(queue) == ["A001", "A002"]


@pytest.mark.parametrize("place", range(1, 7))
async def test_a_place_by_hand_is_that_place_and_later_arrivals_go_behind(still: World, place: int) -> None:
    queue = await still.queue()
    third = [await still.join(queue) for _ in range(4)][2]
    async with still.verify(*streams(queue)):
        await still.do("prioritize", ticket_id=third.ticket_id, place=place, reason="Asked to")
    expected = ["A001", "A002", "A004"]
    expected.insert(place - 1, "A003")
    assert await still.order(queue) == expected
    await still.join(queue)
    assert await still.order(queue) == [*expected, "A005"]


async def test_no_place_by_hand_is_before_an_emergency(still: World) -> None:
    queue = await still.queue()
    routine = await still.join(queue)
    emergency = await still.join(queue, urgency="emergency")
    for ticket, place in ((routine, 1), (emergency, 2)):
        ask = still.do("prioritize", ticket_id=ticket.ticket_id, place=place, reason="By hand")
        await refused(errors.BehindEmergency, ask)
    assert await still.order(queue) == [emergency.token, routine.token]


async def test_a_place_at_the_same_spot_again_and_again_never_runs_out_of_room(still: World) -> None:
    queue = await still.queue()
    joined = [await still.join(queue) for _ in range(5)]
    expected = [one.token for one in joined]
    renumbered = 0
    for turn in range(130):
        one = joined[3 + turn % 2]
        seen = len(await still.events(f"board:{queue}"))
        async with still.verify(*streams(queue)):
            await still.do("prioritize", ticket_id=one.ticket_id, place=3, reason="Again")
        expected.remove(one.token)
        expected.insert(2, one.token)
        assert await still.order(queue) == expected
        renumbered += len(await still.events(f"board:{queue}")) - seen - 1
    assert renumbered >= 2
    await holds(still, queue)


# The order changed by the settings


async def test_another_order_in_the_settings_places_everybody_anew(still: World) -> None:
    queue = await still.queue(order="fifo")
    for name, urgency in (("a", "routine"), ("b", "urgent"), ("c", "emergency"), ("d", "urgent")):
        await still.join(queue, name, urgency=urgency)
    assert await names(still, queue) == ["c", "a", "b", "d"]
    for order, expected in (("urgent_first", "cbda"), ("scored", "cbda"), ("fifo", "cabd")):
        async with still.verify(*streams(queue)):
            await still.do("set-queue-settings", queue_id=queue, order=order)
        assert "".join(await names(still, queue)) == expected
        await holds(still, queue)


@pytest.mark.parametrize("aside", ["hold", "no-show", "call"])
async def test_who_was_set_aside_before_the_order_changed_comes_back_by_the_new_one(still: World, aside: str) -> None:
    queue = await still.queue(order="fifo")
    first, _ = await still.join(queue, "routine"), await still.join(queue, "urgent", urgency="urgent")
    if aside != "hold":
        await still.call_next(queue)
    if aside != "call":
        await still.do(aside, ticket_id=first.ticket_id)
    async with still.verify(*streams(queue)):
        await still.do("set-queue-settings", queue_id=queue, order="urgent_first")
        await still.do("return-ticket", ticket_id=first.ticket_id)
    assert await names(still, queue) == ["urgent", "routine"]


async def test_a_new_order_is_not_undone_by_halves(still: World) -> None:
    queue = await still.queue(order="fifo")
    joined = await still.join(queue)
    await still.do("prioritize", ticket_id=joined.ticket_id, urgency="urgent", reason="Fever")
    await still.do("set-queue-settings", queue_id=queue, order="urgent_first")
    await refused(errors.NothingToUndo, still.do("undo", ticket_id=joined.ticket_id))
    [row] = (await still.ask("show-queue", queue_id=queue)).tickets
    assert {one.code for one in row.order_reasons} == {"urgent", "urgency-by-hand"}


async def test_a_setting_that_does_not_touch_the_order_leaves_places_by_hand(still: World) -> None:
    queue = await still.queue()
    _, second = await still.join(queue), await still.join(queue)
    await still.do("prioritize", ticket_id=second.ticket_id, place=1, reason="By hand")
    async with still.verify(*streams(queue)):
        changed = await still.do("set-queue-settings", queue_id=queue, show_waits=False, max_length=7)
    assert await still.order(queue) == ["A002", "A001"]
    assert (changed.settings["max_length"], changed.settings["show_waits"]) == (7, False)


async def test_null_takes_a_setting_back_to_the_inherited_one(still: World) -> None:
    await still.set_institution(token_digits=5)
    queue = await still.queue(token_digits=2)
    assert (await still.join(queue)).token == "A01"
    changed = await still.do("set-queue-settings", queue_id=queue, token_digits=None)
    assert changed.settings["token_digits"] == 5 and (await still.join(queue)).token == "A00002"


async def test_settings_are_inherited_from_institution_and_location(still: World) -> None:
    await still.set_institution(order="fifo", token_digits=5)
    await still.pool.execute("update locations set settings = '{\"token_digits\": 4}' where id = $1", still.location)
    queue = await still.queue(max_length=9)
    settings = (await still.ask("show-queue", queue_id=queue)).queue.settings
    assert (settings["order"], settings["token_digits"], settings["max_length"]) == ("fifo", 4, 9)


# Transfers


@pytest.mark.parametrize(("keep", "expected"), [(True, ["moved", "there"]), (False, ["there", "moved"])])
async def test_a_transfer_keeps_the_time_waited_or_not(still: World, keep: bool, expected: list[str]) -> None:
    queue, other = await still.queue(), await still.queue("Other")
    joined = await still.join(queue, "moved", reason="Rash")
    arrived = still.clock.now
    still.forward(minutes=20)
    await still.join(other, "there")
    ask = {"ticket_id": joined.ticket_id, "queue_id": other, "keep_wait": keep, "reason": "Skin clinic"}
    async with still.verify(*streams(queue), *streams(other)):
        moved = await still.do("transfer", **ask)
    assert await names(still, other) == expected and await names(still, queue) == []
    assert (moved.ticket.token, moved.ticket.reason, moved.queue_id) == ("A001", "Rash", other)
    waited = moved.ticket.joined_at - arrived
    assert waited < timedelta(seconds=1) if keep else waited >= timedelta(minutes=20)


async def test_after_a_transfer_the_link_opens_the_new_ticket(still: World) -> None:
    queues = [await still.queue(f"Queue {n}") for n in range(3)]
    joined = await still.join(queues[0])
    ticket_id = joined.ticket_id
    for queue in queues[1:]:
        ticket_id = (await still.do("transfer", ticket_id=ticket_id, queue_id=queue)).ticket.ticket
        assert await holder_of(still, joined.link.rpartition("/")[2]) == ticket_id


async def test_a_transferred_token_is_kept_unless_it_is_taken_there(still: World) -> None:
    same = {"token_prefix": "A"}
    queue, other = await still.queue(**same), await still.queue("Other", **same)
    first, second = await still.join(queue), await still.join(queue)
    await still.join(other)
    moved = await still.do("transfer", ticket_id=first.ticket_id, queue_id=other)
    assert moved.ticket.token == "A002"
    moved = await still.do("transfer", ticket_id=second.ticket_id, queue_id=other)
    assert moved.ticket.token == "A003"
    assert [(await still.join(queue)).token, (await still.join(other)).token] == ["A003", "A004"]


async def test_a_kept_token_is_not_given_out_again(still: World) -> None:
    same = {"token_prefix": "A"}
    queue, other = await still.queue(**same), await still.queue("Other", **same)
    joined = [await still.join(queue) for _ in range(2)]
    await still.do("transfer", ticket_id=joined[1].ticket_id, queue_id=other)
    assert [(await still.join(other)).token for _ in range(2)] == ["A001", "A003"]


async def test_a_transfer_is_kept_out_by_what_keeps_a_patient_out(still: World) -> None:
    queue, patient = await still.queue(), await known_patient(still)
    full, closed = await still.queue("Full", max_length=1), await still.queue("Closed")
    joined = await still.do("join-queue", queue_id=queue, patient_id=patient)
    await still.join(full)
    await still.do("set-queue-state", queue_id=closed, state="closed")
    there = await still.queue("There")
    again = await still.do("join-queue", queue_id=there, patient_id=patient)
    refusals = {
        full: errors.QueueFull,
        closed: errors.QueueClosed,
        queue: errors.SameQueue,
        there: errors.AlreadyWaiting,
    }
    for target, refusal in refusals.items():
        told = await refused(refusal, still.do("transfer", ticket_id=joined.ticket_id, queue_id=target))
    assert told.extra["ticket_id"] == again.ticket_id
    await still.do("prioritize", ticket_id=joined.ticket_id, urgency="emergency", reason="Collapsed")
    assert (await still.do("transfer", ticket_id=joined.ticket_id, queue_id=closed)).ticket.state == "waiting"


# Reasons


async def test_calling_out_of_turn_leaves_a_decision_with_its_reason(still: World) -> None:
    queue = await still.queue()
    await still.join(queue)
    urgent = await still.join(queue, urgency="urgent")
    await still.call_next(queue)
    [decision] = (await still.ask("show-ticket", ticket_id=urgent.ticket_id)).decisions
    assert (decision.kind, decision.reason) == ("before-earlier-arrivals", "Urgent goes before routine.")
    assert decision.facts == {"passed_over": ["A001"]}


@pytest.mark.parametrize("order", ["fifo", "urgent_first", "scored"])
async def test_every_departure_from_arrival_order_has_its_reason_and_nothing_else_has_one(
    still: World, order: str
) -> None:
    dice, queue = random.Random(order), await still.queue(order=order)
    arrived: list[str] = []
    departures = 0
    for turn in range(30):
        still.forward(minutes=dice.randrange(1, 15))
        urgency = dice.choice(["routine", "routine", "urgent", "emergency"])
        arrived.append((await still.join(queue, urgency=urgency)).token)
        if turn % 4 == 0:
            continue
        called = (await still.call_next(queue)).ticket
        earlier = arrived[: arrived.index(called.token)]
        arrived.remove(called.token)
        decisions = (await still.ask("show-ticket", ticket_id=called.ticket)).decisions
        assert [one.facts["passed_over"] for one in decisions] == ([earlier[:20]] if earlier else [])
        assert all(one.reason for one in decisions)
        departures += len(decisions)
    assert departures > 0


async def test_calling_in_turn_leaves_no_decision(still: World) -> None:
    queue = await still.queue()
    first, _ = await still.join(queue), await still.join(queue)
    await still.call_next(queue)
    assert (await still.ask("show-ticket", ticket_id=first.ticket_id)).decisions == []


@pytest.mark.parametrize(
    ("settings", "joins", "answer"),
    [
        ({}, [{}, {}], "A001 arrived first."),
        ({}, [{"urgency": "urgent"}, {}], "A001 is urgent and A002 is not."),
        (
            {},
            [{"urgency": "emergency"}, {}],
            "A001 is an emergency, and an emergency waits behind nobody but an emergency.",
        ),
        (
            {"order": "scored"},
            [{"birth_year": 1940}, {}],
            "A001 brought 15 points and A002 0; each minute of waiting adds 1.",
        ),
    ],
)
async def test_why_one_stands_before_another(
    still: World, settings: dict[str, Any], joins: list[dict[str, Any]], answer: str
) -> None:
    queue = await still.queue(**settings)
    first, second = [await still.join(queue, **ask) for ask in joins]
    assert await why(still, first, second) == answer
    other_way = await why(still, second, first)
    assert other_way == f"It was the other way round: A001 went before A002. {answer}"


async def test_why_one_was_called_before_the_other_came(still: World) -> None:
    queue = await still.queue()
    first = await still.join(queue)
    await still.call_next(queue)
    second = await still.join(queue, urgency="emergency")
    assert await why(still, first, second) == "A001 was called before A002 arrived."


async def test_why_after_a_call_by_hand_and_after_it_was_taken_back(still: World) -> None:
    queue = await still.queue()
    first, second = await still.join(queue), await still.join(queue)
    call = {"ticket_id": second.ticket_id, "desk_id": still.desks[0], "reason": "Has a train"}
    await still.do("call-ticket", **call)
    assert await why(still, second, first) == "A002 was called by hand: Has a train."
    await still.do("undo", ticket_id=second.ticket_id)
    assert await why(still, first, second) == "A001 arrived first."


async def test_why_after_a_place_by_hand(still: World) -> None:
    queue = await still.queue()
    first, second, third = [await still.join(queue) for _ in range(3)]
    await still.do("prioritize", ticket_id=third.ticket_id, place=1, reason="Has a fever")
    assert await why(still, third, first) == "A003 was given its place by hand: Has a fever."
    await still.do("prioritize", ticket_id=first.ticket_id, place=3, reason="Wants to wait")
    assert await why(still, second, first) == "A001 was given another place by hand: Wants to wait."


@pytest.mark.parametrize(
    ("aside", "told"),
    [("no-show", "did not come when called: Called thrice."), ("hold", "was put on hold: Called thrice.")],
)
async def test_why_after_somebody_was_set_aside(still: World, aside: str, told: str) -> None:
    queue = await still.queue()
    first, second = await still.join(queue), await still.join(queue)
    await still.call_next(queue)
    await still.do(aside, ticket_id=first.ticket_id, reason="Called thrice")
    await still.call_next(queue)
    await still.do("return-ticket", ticket_id=first.ticket_id)
    assert await why(still, second, first) == f"A001 {told}"


async def test_why_after_a_transfer(still: World) -> None:
    queue, other = await still.queue(), await still.queue("Other")
    joined = await still.join(queue)
    there = await still.join(other)
    ask = {"ticket_id": joined.ticket_id, "queue_id": other, "keep_wait": False, "reason": "Blood test"}
    moved = await still.do("transfer", **ask)
    because = await still.ask("why-before", ticket_id=there.ticket_id, before=moved.ticket.ticket)
    assert because.answer == "A001 came from another queue: Blood test."
    assert (because.code, because.reason, because.swapped) == ("transfer", "Blood test", False)
    assert because.values["second"] == "A001"
    assert {"arrival", "decision-transfer"} <= {fact.code for fact in because.facts}


async def test_why_asks_about_one_queue(still: World) -> None:
    one, other = await still.join(await still.queue()), await still.join(await still.queue("Other"))
    await refused(errors.NotFound, still.ask("why-before", ticket_id=one.ticket_id, before=other.ticket_id))


# Random days


@pytest.mark.parametrize("seed", range(3))
async def test_through_a_random_day_rows_and_order_hold(still: World, seed: int) -> None:
    dice = random.Random(seed)
    queues = [await still.queue(order="fifo"), await still.queue("Other", order="scored")]
    everything = [name for queue in queues for name in streams(queue)]
    for _ in range(12):
        async with still.verify(*everything):
            for _ in range(10):
                still.forward(seconds=dice.randrange(1, 400))
                await anything(still, dice, queues)
                for queue in queues:
                    await holds(still, queue)


async def anything(world: World, dice: random.Random, queues: list[int]) -> None:
    """Do something that a clinic may do now; a refusal is fine."""
    queue = dice.choice(queues)
    tickets = [one.ticket for one in (await world.ask("show-queue", queue_id=queue)).tickets]
    joins = [("join", {"urgency": urgency}) for urgency in ("routine", "routine", "urgent", "emergency")]
    others: list[tuple[str, dict[str, Any]]] = [
        ("call-next", {"queue_id": queue, "desk_id": dice.choice(world.desks)}),
        ("set-queue-settings", {"queue_id": queue, "order": dice.choice(["fifo", "urgent_first", "scored"])}),
    ]
    if tickets:
        of = {"ticket_id": dice.choice(tickets)}
        others += [
            ("call-ticket", {**of, "desk_id": dice.choice(world.desks), "reason": "r"}),
            ("prioritize", {**of, "urgency": dice.choice(["routine", "urgent", "emergency"]), "reason": "r"}),
            ("prioritize", {**of, "place": dice.randrange(1, 8), "reason": "r"}),
            ("return-ticket", {**of, "after": dice.randrange(4)}),
            ("transfer", {**of, "queue_id": dice.choice(queues), "keep_wait": dice.random() < 0.5}),
            *((name, of) for name in ("no-show", "hold", "return-ticket", "start", "complete", "cancel")),
            *(("undo", of) for _ in range(4)),
        ]
    name, ask = dice.choice(joins * (1 + (len(tickets) < 6)) + others)
    try:
        await (world.join(queue, **ask) if name == "join" else world.do(name, **ask))
    except (errors.WrongState, errors.NothingToUndo, errors.BehindEmergency, errors.QueueEmpty, errors.DeskBusy):
        pass
    except (errors.SameQueue, errors.NotFound):
        pass
