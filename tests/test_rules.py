"""The decisions about tickets, without any IO: they hold for every history that somebody may think of."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.events import State, Urgency
from server.queue import rules
from server.queue.rules import Neighbour, Step
from server.settings import Hours, Order, Place, QueueSettings, Weights

NINE = datetime(2026, 3, 2, 9, tzinfo=UTC)
ORDERS = st.sampled_from(list(Order))
URGENCIES = st.sampled_from(list(Urgency))


@dataclass(frozen=True)
class Waiting:
    """A waiting ticket, as the rules know it."""

    number: int
    arrived: datetime
    urgency: Urgency
    birth_year: int | None
    requirements: tuple[str, ...]
    standing: rules.Standing

    @property
    def neighbour(self) -> Neighbour:
        return Neighbour(0.0, self.standing.band, self.standing.key)


def arrival(settings: QueueSettings, number: int, minute: int, urgency: Urgency, birth: int | None) -> Waiting:
    arrived = NINE + timedelta(minutes=minute)
    requirements = ("wheelchair",) if number % 5 == 0 else ()
    standing = rules.standing(settings, arrived, urgency, birth, requirements)
    return Waiting(number, arrived, urgency, birth, requirements, standing)


def put_in(line: list[Waiting], one: Waiting) -> None:
    """Behind the last whose (band, key) is not greater, as a queue ranks by standing."""
    at = max((n for n, other in enumerate(line, 1) if standing_of(other) <= standing_of(one)), default=0)
    line.insert(at, one)


def put_at(line: list[Waiting], one: Waiting, place: int) -> bool:
    before = (
        line[place - 2].neighbour if 2 <= place <= len(line) + 1 else line[-1].neighbour if place > 1 and line else None
    )
    behind = line[place - 1].neighbour if place <= len(line) else None
    squeezed = rules.squeezed(one.standing, before, behind)
    if squeezed is None:
        return False
    line.insert(place - 1, replace(one, standing=replace(one.standing, band=squeezed[0], key=squeezed[1])))
    return True


def standing_of(one: Waiting) -> tuple[int, float]:
    return one.standing.band, one.standing.key


def holds(line: list[Waiting]) -> None:
    standings = [standing_of(one) for one in line]
    assert standings == sorted(standings)
    emergencies = [one.urgency is Urgency.emergency for one in line]
    assert emergencies == sorted(emergencies, reverse=True)
    assert [band == 0 for band, _ in standings] == emergencies


@given(
    ORDERS,
    st.lists(
        st.tuples(
            st.sampled_from(["join", "join", "call", "place", "back", "after", "urgency"]),
            st.integers(0, 30),
            URGENCIES,
            st.none() | st.integers(1930, 2026),
        ),
        max_size=60,
    ),
)
def test_an_emergency_waits_behind_emergencies_only_whatever_happened(
    order: Order, history: list[tuple[str, int, Urgency, int | None]]
) -> None:
    settings = QueueSettings(order=order)
    line: list[Waiting] = []
    aside: list[Waiting] = []
    minute = 0
    for number, (what, pick, urgency, birth) in enumerate(history):
        minute += pick
        if what == "join":
            put_in(line, arrival(settings, number, minute, urgency, birth))
        elif what == "call" and line:
            aside.append(line.pop(0))
        elif what == "back" and aside:
            put_in(line, aside.pop(pick % len(aside)))
        elif what == "after" and aside:
            one = aside.pop(pick % len(aside))
            emergencies = sum(other.urgency is Urgency.emergency for other in line)
            place = min(pick + 1, len(line) + 1)
            place = min(place, emergencies + 1) if one.urgency is Urgency.emergency else max(place, emergencies + 1)
            assert put_at(line, one, place)
        elif what == "place" and line:
            at = pick % len(line)
            one = line.pop(at)
            if not put_at(line, one, min(pick + 1, len(line) + 1)):
                line.insert(at, one)
        elif what == "urgency" and line:
            one = line.pop(pick % len(line))
            standing = rules.standing(settings, one.arrived, urgency, one.birth_year, one.requirements)
            put_in(line, replace(one, urgency=urgency, standing=standing))
        holds(line)


@given(
    st.builds(
        Weights,
        per_minute=st.floats(0.1, 100),
        urgent=st.floats(0, 1000),
        elderly=st.floats(0, 1000),
        child=st.floats(0, 1000),
        requirement=st.floats(0, 1000),
    ),
    URGENCIES.filter(lambda urgency: urgency is not Urgency.emergency),
    st.none() | st.integers(1930, 2026),
    st.booleans(),
)
def test_nobody_starves_where_points_decide(weights: Weights, urgency: Urgency, birth: int | None, needs: bool) -> None:
    settings = QueueSettings(order=Order.scored, weights=weights)
    routine = rules.standing(settings, NINE, Urgency.routine, None, ())
    score = rules.scored(weights, NINE, urgency, birth, ("x",) if needs else ())
    overtaken_until = score.total / weights.per_minute
    for minutes, overtakes in ((overtaken_until * 0.99 - 0.01, True), (overtaken_until * 1.01 + 0.01, False)):
        if minutes < 0 or minutes > 60 * 24 * 30:
            continue
        later = NINE + timedelta(minutes=minutes)
        other = rules.standing(settings, later, urgency, birth, ("x",) if needs else ())
        assert ((other.band, other.key) < (routine.band, routine.key)) is overtakes


@given(ORDERS, URGENCIES, URGENCIES, st.integers(0, 10_000))
def test_two_who_wait_keep_their_order_as_time_passes(order: Order, one: Urgency, other: Urgency, minutes: int) -> None:
    settings = QueueSettings(order=order)
    pairs = []
    for now in (NINE, NINE + timedelta(minutes=minutes)):
        earlier = rules.standing(settings, now, one, 1990, ())
        later = rules.standing(settings, now + timedelta(minutes=20), other, 1990, ())
        pairs.append((earlier.band, earlier.key) <= (later.band, later.key))
    assert pairs[0] == pairs[1]


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_a_rank_is_strictly_between_or_there_is_none(one: float, other: float) -> None:
    before, behind = min(one, other), max(one, other)
    rank = rules.rank_between(before, behind)
    assert rank is None or before < rank < behind
    ends = rules.rank_between(None, before), rules.rank_between(behind, None)
    assert ends[0] is not None and ends[0] < before and ends[1] is not None and ends[1] > behind
    assert rules.rank_between(None, None) == 0.0


def test_halving_one_gap_runs_out_of_ranks_in_the_end() -> None:
    before, behind, halvings = 1.0, 2.0, 0
    while (middle := rules.rank_between(before, behind)) is not None:
        behind, halvings = middle, halvings + 1
    assert 50 <= halvings <= 54


# Appointments among walk-ins


def stands(settings: QueueSettings, arrived: int, booked: int | None = None, **more: Any) -> rules.Standing:
    """The standing of somebody who arrived at that minute, for an appointment at that one."""
    booked_for = None if booked is None else NINE + timedelta(minutes=booked)
    urgency = more.get("urgency", Urgency.routine)
    return rules.standing(settings, NINE + timedelta(minutes=arrived), urgency, None, (), booked_for)


@given(ORDERS, st.integers(-300, 300), st.integers(0, 300))
def test_an_appointment_on_time_stands_by_its_appointment_in_every_order(order: Order, early: int, minute: int) -> None:
    settings = QueueSettings(order=order)
    came = stands(settings, minute + min(early, 10), minute)
    assert (came.band, came.key) == (stands(settings, minute).band, stands(settings, minute).key)
    assert [one.code for one in came.reasons] == ["appointment-on-time"]


@given(ORDERS, st.integers(0, 60), st.integers(1, 300))
def test_after_the_grace_time_an_appointment_stands_by_its_arrival(order: Order, grace: int, over: int) -> None:
    settings = QueueSettings(order=order, appointment_grace_minutes=grace)
    late = stands(settings, grace + over, 0)
    assert late.key == stands(settings, grace + over).key
    assert [one.code for one in late.reasons] == ["appointment-late"]
    on_time = stands(settings, grace, 0)
    assert on_time.key == stands(settings, 0).key


@pytest.mark.parametrize("order", list(Order))
def test_what_an_appointment_goes_by_is_two_settings(order: Order) -> None:
    settings = QueueSettings(order=order, appointment_on_time=Place.arrival, appointment_late=Place.appointment)
    assert stands(settings, 30, 60).key == stands(settings, 30).key
    assert stands(settings, 90, 60).key == stands(settings, 60).key
    emergency = stands(settings, 90, 60, urgency=Urgency.emergency)
    assert emergency == stands(settings, 90, urgency=Urgency.emergency)


def test_why_says_whose_appointment_it_was() -> None:
    def told(token: str, arrived: int, booked: int | None = None) -> rules.Told:
        standing = stands(QueueSettings(), arrived, booked)
        booked_for = None if booked is None else NINE + timedelta(minutes=booked)
        at = NINE + timedelta(minutes=arrived)
        return rules.Told(token, at, None, Urgency.routine, None, standing.reasons, (), booked_for)

    walk_in, kept, early = told("A001", 20), told("A002", 35, 10), told("A003", 0, 60)
    on_time = told("A004", 25, 15)
    assert rules.why(on_time, walk_in)[0].sentence == "A004 is on time for an appointment at 2026-03-02T09:15+00:00."
    assert rules.why(walk_in, early)[0].sentence == "A003 is early: its appointment is at 2026-03-02T10:00+00:00."
    assert rules.why(walk_in, kept)[0].sentence == "A002 came late for its appointment, and A001 arrived before it."


# A ticket's life


def test_a_tickets_life_is_the_one_of_the_clinic() -> None:
    allowed = {
        (state, step, rules.after(step, state)) for step in Step for state in State if rules.allowed(step, state)
    }
    main = [
        (State.waiting, Step.call, State.called),
        (State.called, Step.start, State.in_consultation),
        (State.in_consultation, Step.complete, State.completed),
        (State.called, Step.no_show, State.no_show),
        (State.no_show, Step.return_, State.waiting),
        (State.on_hold, Step.return_, State.waiting),
        (State.waiting, Step.hold, State.on_hold),
        (State.in_consultation, Step.transfer, State.transferred),
        (State.called, Step.cancel, State.cancelled),
    ]
    assert allowed.issuperset(main)


@pytest.mark.parametrize("state", [State.completed, State.cancelled, State.transferred])
def test_what_is_over_takes_no_step(state: State) -> None:
    assert not any(rules.allowed(step, state) for step in Step)


# Reasons

AT = (NINE, NINE + timedelta(minutes=1), NINE + timedelta(minutes=2))


def test_a_decision_taken_back_is_not_in_force() -> None:
    held = (AT[0], "hold", "X-ray", None)
    assert rules.in_force([held, (AT[1], "call", "Bus", None), (AT[2], "undo", None, "call")]) == (("hold", "X-ray"),)
    both = [(AT[1], "urgency", "a", None), (AT[1], "place", "a", None), (AT[2], "undo", None, "prioritize")]
    assert rules.in_force([(AT[0], "place", "earlier", None), *both]) == (("place", "earlier"),)
    assert rules.in_force([held, (AT[1], "undo", None, "start")]) == (("hold", "X-ray"),)
    assert rules.in_force([(AT[0], "undo", None, "call")]) == ()


def test_a_call_explains_nothing_once_the_ticket_was_put_back() -> None:
    called, back = (AT[0], "call", "Bus", None), (AT[1], "return", "Not there", None)
    assert rules.in_force([called, back]) == (("return", "Not there"),)


# Hours and tokens

MONDAY = datetime(2026, 3, 2)


def at(day: int, clock: str) -> datetime:
    return datetime.combine(MONDAY + timedelta(days=day), time.fromisoformat(clock))


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        ("always", at(0, "03:00"), True),
        ([], at(0, "12:00"), False),
        ([(0, "08:00", "12:00")], at(0, "08:00"), True),
        ([(0, "08:00", "12:00")], at(0, "11:59:59"), True),
        ([(0, "08:00", "12:00")], at(0, "12:00"), False),
        ([(0, "08:00", "12:00")], at(1, "09:00"), False),
        ([(0, "20:00", "06:00")], at(1, "05:59"), True),
        ([(0, "20:00", "06:00")], at(1, "06:00"), False),
        ([(0, "20:00", "06:00")], at(0, "05:00"), False),
        ([(6, "20:00", "06:00")], at(0, "05:00"), True),
        ([(0, "00:00", "00:00")], at(0, "23:59"), True),
        ([(0, "08:00", "12:00"), (0, "13:00", "17:00")], at(0, "12:30"), False),
        ([(0, "08:00", "12:00"), (0, "13:00", "17:00")], at(0, "13:30"), True),
    ],
)
def test_hours_are_local_and_one_past_midnight_belongs_to_the_day_it_began(
    hours: list[tuple[int, str, str]] | Literal["always"], moment: datetime, is_open: bool
) -> None:
    stated = hours if hours == "always" else [
        Hours(weekday=day, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes))
        for day, opens, closes in hours
    ]  # fmt: skip
    assert rules.open_at(stated, moment) is is_open


@given(st.integers(1, 10**7), st.integers(1, 6))
def test_no_two_numbers_have_one_token(number: int, digits: int) -> None:
    settings = QueueSettings(token_digits=digits)
    assert int(rules.token(settings, number)[1:]) == number
