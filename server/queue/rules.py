"""The decisions about tickets: their life, their order and its reasons, opening hours. Pure: no IO, no clock.

Invariants:
- A ticket changes its state only by a step of `LIFE`.
- Along the ranks of those waiting, (band, key) never decreases, and band 0 holds the emergencies and nobody else; so an
  emergency waits behind emergencies only.
- Two waiting tickets keep their order as time passes: a minute adds the same points to both. A score's key is therefore
  the arrival, moved ahead by as many minutes as the other points are worth, and nobody starves: whoever arrives later
  than that has the greater key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from server.events import Factor, Reason, Score, State, Urgency
from server.settings import Always, Hours, Order, Place, QueueSettings, Weights


class Step(StrEnum):
    """What can be done with a ticket."""

    call = "call"
    recall = "recall"
    start = "start"
    complete = "complete"
    no_show = "no-show"
    return_ = "return"
    hold = "hold"
    transfer = "transfer"
    prioritize = "prioritize"
    cancel = "cancel"


_SET_ASIDE = frozenset({State.waiting, State.on_hold, State.called})

LIFE: Mapping[Step, tuple[frozenset[State], State | None]] = {
    Step.call: (frozenset({State.waiting, State.on_hold}), State.called),
    Step.recall: (frozenset({State.called}), None),
    Step.start: (frozenset({State.called}), State.in_consultation),
    # Straight from `called` it starts and completes in one step, for desks that never press "start".
    Step.complete: (frozenset({State.called, State.in_consultation}), State.completed),
    Step.no_show: (frozenset({State.called}), State.no_show),
    Step.return_: (frozenset({State.called, State.no_show, State.on_hold}), State.waiting),
    Step.hold: (frozenset({State.waiting, State.called}), State.on_hold),
    Step.transfer: (frozenset({*_SET_ASIDE, State.in_consultation}), State.transferred),
    Step.prioritize: (frozenset({State.waiting, State.on_hold}), None),
    Step.cancel: (_SET_ASIDE, State.cancelled),
}
"""The table of a ticket's life: the states a step is allowed from, and the state after it (None: unchanged)."""

ENDED = frozenset({State.completed, State.no_show, State.transferred, State.cancelled})
AT_DESK = frozenset({State.called, State.in_consultation})

UNDO_WITHIN = timedelta(minutes=15)
"""A slip of the finger is noticed by then; later the step is a fact that others have acted on."""


def allowed(step: Step, state: State) -> bool:
    """Whether the table of life lets a ticket in this state take this step."""
    return state in LIFE[step][0]


def after(step: Step, state: State) -> State:
    """The state that an allowed step leads to."""
    return LIFE[step][1] or state


# Order


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a ticket belongs among those waiting, and why: lower (band, key) is called first."""

    band: int
    key: float
    score: Score | None
    reasons: tuple[Reason, ...]


def standing(
    settings: QueueSettings,
    arrived: datetime,
    urgency: Urgency,
    birth_year: int | None,
    requirements: Sequence[str],
    booked_for: datetime | None = None,
) -> Standing:
    """Where a ticket belongs that arrived then, by the queue's order. Keys are minutes since 1970.

    Among equals, an appointment stands as if it had arrived at the time that `placed` gives.
    """
    if urgency is Urgency.emergency:
        minute = arrived.timestamp() / 60
        return Standing(0, minute, None, (Reason(code="emergency", detail="An emergency goes first."),))
    since, booked = placed(settings, arrived, booked_for)
    minute = since.timestamp() / 60
    if settings.order is Order.urgent_first:
        if urgency is Urgency.urgent:
            return Standing(1, minute, None, (Reason(code="urgent", detail="Urgent goes before routine."), *booked))
        return Standing(2, minute, None, booked)
    if settings.order is Order.scored:
        score = scored(settings.weights, arrived, urgency, birth_year, requirements)
        reasons = tuple(
            Reason(code="score", detail=f"{one.factor}: {one.points:g} points") for one in score.factors if one.points
        )
        return Standing(1, minute - score.total / score.per_minute, score, (*reasons, *booked))
    return Standing(1, minute, None, booked)


def placed(
    settings: QueueSettings, arrived: datetime, booked_for: datetime | None
) -> tuple[datetime, tuple[Reason, ...]]:
    """The time that somebody stands by among those who wait, and why: without an appointment, that of the arrival."""
    if booked_for is None:
        return arrived, ()
    late = arrived > booked_for + timedelta(minutes=settings.appointment_grace_minutes)
    place = settings.appointment_late if late else settings.appointment_on_time
    came = "Late" if late else "On time"
    at = booked_for.isoformat(timespec="minutes")
    reason = Reason(
        code="appointment-late" if late else "appointment-on-time",
        detail=f"{came} for the appointment at {at}; stands by its {place.value}.",
    )
    return (booked_for if place is Place.appointment else arrived), (reason,)


def placing(settings: QueueSettings) -> tuple[object, ...]:
    """The settings that decide where tickets stand: when one of them changes, everybody is placed anew."""
    appointments = (settings.appointment_on_time, settings.appointment_late, settings.appointment_grace_minutes)
    return (settings.order, settings.weights, *appointments)


REASONS_OF_ANY_ORDER = frozenset({"urgency-by-hand", "kept-wait"})
"""Codes of reasons that hold on when a queue's order is changed; places given by hand are given up with it."""


def scored(
    weights: Weights, arrived: datetime, urgency: Urgency, birth_year: int | None, requirements: Sequence[str]
) -> Score:
    """The points a ticket brings along; each minute waited adds `per_minute` more to every ticket alike."""
    factors = [Factor(factor="urgency", points=weights.urgent if urgency is Urgency.urgent else 0.0)]
    if birth_year is not None:
        age = arrived.year - birth_year
        elderly, child = age >= weights.elderly_from, age <= weights.child_to
        factors.append(Factor(factor="age", points=weights.elderly if elderly else weights.child if child else 0.0))
    factors.append(Factor(factor="requirements", points=weights.requirement if requirements else 0.0))
    return Score(total=sum(one.points for one in factors), factors=factors, per_minute=weights.per_minute)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A waiting ticket as its neighbours see it."""

    rank: float
    band: int
    key: float


def rank_between(before: float | None, behind: float | None) -> float | None:
    """A rank strictly between two others (None: no neighbour on that side); None where doubles leave no room."""
    if before is None:
        return 0.0 if behind is None else behind - 1.0
    if behind is None:
        return before + 1.0
    middle = before + (behind - before) / 2
    return middle if before < middle < behind else None


def squeezed(own: Standing, before: Neighbour | None, behind: Neighbour | None) -> tuple[int, float] | None:
    """(band, key) for a ticket put by hand between two others, or None where an emergency forbids that place.

    Taking a neighbour's (band, key) keeps them from decreasing along the ranks, so that later arrivals still find
    their place by comparing keys.
    """
    if own.band == 0:
        if before is not None and before.band != 0:
            return None
        return (0, before.key) if before else (0, behind.key if behind and behind.band == 0 else own.key)
    if behind is not None and behind.band == 0:
        return None
    if before is not None and before.band != 0:
        return before.band, before.key
    return (behind.band, behind.key) if behind is not None else (own.band, own.key)


# Reasons


@dataclass(frozen=True, slots=True)
class Told:
    """One ticket's part in the answer to "why was this one called before that one?"."""

    token: str
    joined_at: datetime
    called_at: datetime | None
    urgency: Urgency
    score: Score | None
    reasons: tuple[Reason, ...]
    decisions: tuple[tuple[str, str | None], ...]
    """Kinds of decisions that hold about it, oldest first, with their reasons; see `in_force`."""
    booked_for: datetime | None = None


DECIDED_BY: Mapping[str, frozenset[str]] = {
    Step.call: frozenset({"call", "before-earlier-arrivals"}),
    Step.prioritize: frozenset({"urgency", "place"}),
}
"""The kinds of decisions that a step leaves, where they are not called as the step is."""


SETS_ASIDE = frozenset({"return", "hold"})
"""Kinds of decisions after which an earlier call explains nothing any more."""


def in_force(decisions: Sequence[tuple[datetime, str, str | None, str | None]]) -> tuple[tuple[str, str | None], ...]:
    """(kind, reason) of the decisions that nobody took back, of (at, kind, reason, step undone) in order."""
    held: list[tuple[datetime, str, str | None]] = []
    for at, kind, reason, undid in decisions:
        if undid is None:
            if kind in SETS_ASIDE:
                held = [one for one in held if one[1] not in DECIDED_BY[Step.call]]
            held.append((at, kind, reason))
            continue
        # One command leaves all its decisions at one instant.
        last = held[-1][0] if held else at
        while held and held[-1][0] == last and held[-1][1] in DECIDED_BY.get(undid, {undid}):
            held.pop()
    return tuple((kind, reason) for _, kind, reason in held)


@dataclass(frozen=True, slots=True)
class Answer:
    """Why one ticket went before another, by a code of `SENTENCES` with its values, for any language."""

    code: str
    values: Mapping[str, str | float]
    reason: str | None = None
    """What somebody gave as theirs, in their own words."""

    @property
    def sentence(self) -> str:
        """The answer in English."""
        told = SENTENCES[self.code].format(**self.values)
        reason = self.reason or ("no reason given" if self.code.endswith("by-hand") else "")
        return f"{told}: {reason}." if reason else f"{told}."


SENTENCES = {
    "called-before": "{first} was called before {second} arrived",
    "called-by-hand": "{first} was called by hand",
    "emergency": "{first} is an emergency, and an emergency waits behind nobody but an emergency",
    "placed-by-hand": "{first} was given its place by hand",
    "urgent": "{first} is urgent and {second} is not",
    "score": "{first} brought {points:g} points and {second} {others:g}; each minute of waiting adds {per_minute:g}",
    "moved-by-hand": "{second} was given another place by hand",
    "hold": "{second} was put on hold",
    "no-show": "{second} did not come when called",
    "return": "{second} was sent back to the queue",
    "transfer": "{second} came from another queue",
    "appointment-on-time": "{first} is on time for an appointment at {at}",
    "appointment-early": "{second} is early: its appointment is at {at}",
    "appointment-late": "{second} came late for its appointment, and {first} arrived before it",
    "arrival": "{first} arrived first",
    "other": "{first} went first though {second} arrived earlier; the facts below say what happened to each",
}
"""Every answer there is; the pages have each of them in every language."""


def why(first: Told, second: Told) -> tuple[Answer, list[Reason]]:
    """Why `first` was called, or stands, before `second`: the answer, and every fact that bears on it."""
    facts = [
        Reason(code="arrival", detail=f"{one.token} arrived at {one.joined_at.isoformat(timespec='seconds')}")
        for one in (first, second)
    ]
    for one in (first, second):
        facts += [Reason(code=f"order-{reason.code}", detail=f"{one.token}: {reason.detail}") for reason in one.reasons]
        facts += [
            Reason(code=f"decision-{kind}", detail=f"{one.token}: {reason or 'no reason given'}")
            for kind, reason in one.decisions
        ]
    return _answer(first, second), facts


SET_BACK = frozenset({"hold", "no-show", "return", "transfer"})
"""Decisions about the one that went second which explain it, when nothing about the first does."""


def _answer(first: Told, second: Told) -> Answer:
    by_hand = dict(first.decisions)
    both: dict[str, str | float] = {"first": first.token, "second": second.token}
    if first.called_at and first.called_at < second.joined_at:
        return Answer("called-before", both)
    if "call" in by_hand:
        return Answer("called-by-hand", both, by_hand["call"])
    if first.urgency is Urgency.emergency and second.urgency is not Urgency.emergency:
        return Answer("emergency", both)
    if "place" in by_hand:
        return Answer("placed-by-hand", both, by_hand["place"])
    if first.urgency is not second.urgency and any(reason.code == "urgent" for reason in first.reasons):
        return Answer("urgent", both)
    if first.score and second.score and first.score.total != second.score.total:
        points = {"points": first.score.total, "others": second.score.total, "per_minute": first.score.per_minute}
        return Answer("score", both | points)
    if answer := _set_back(second, both) or _booked(first, second, both):
        return answer
    return Answer("arrival" if first.joined_at <= second.joined_at else "other", both)


def _booked(first: Told, second: Told, both: dict[str, str | float]) -> Answer | None:
    """What an appointment explains: one that was kept before an arrival, one that is later, one that was missed."""
    kept, other = (_code(one) for one in (first, second))
    if kept == "appointment-on-time" and first.booked_for and first.joined_at > second.joined_at:
        return Answer("appointment-on-time", both | {"at": first.booked_for.isoformat(timespec="minutes")})
    if other == "appointment-on-time" and second.booked_for and second.joined_at < first.joined_at:
        return Answer("appointment-early", both | {"at": second.booked_for.isoformat(timespec="minutes")})
    if other == "appointment-late" and second.booked_for and second.booked_for < first.joined_at < second.joined_at:
        return Answer("appointment-late", both)
    return None


def _code(one: Told) -> str | None:
    """How the ticket's appointment bore on its place, if it has one."""
    return next((reason.code for reason in one.reasons if reason.code.startswith("appointment-")), None)


def _set_back(second: Told, both: dict[str, str | float]) -> Answer | None:
    """What was decided about the one that went second; a return tells less than what it returned from."""
    told = [(kind, reason) for kind, reason in second.decisions if kind == "place" or kind in SET_BACK]
    if not told:
        return None
    kind, reason = next((one for one in reversed(told) if one[0] != "return"), told[-1])
    return Answer("moved-by-hand" if kind == "place" else kind, both, reason)


# Hours and tokens


def open_at(hours: Sequence[Hours] | Always, local: datetime) -> bool:
    """Whether the queue's hours are open at this local time; an opening past midnight belongs to the day it began."""
    if hours == "always":
        return True
    weekday, clock = local.weekday(), local.time().replace(tzinfo=None)
    for one in hours:
        overnight = one.closes <= one.opens
        if one.weekday == weekday and one.opens <= clock and (overnight or clock < one.closes):
            return True
        if overnight and (one.weekday + 1) % 7 == weekday and clock < one.closes:
            return True
    return False


QUIET = timedelta(hours=1)
"""So long after its last call a queue that works past midnight is done with the day."""
NIGHT_ENDS = 6
"""The local hour by which the day before is over, however busy it still is."""


def day_over(settings: QueueSettings, day: date, local: datetime, called: datetime | None) -> bool:
    """Whether a queue's day is over at this local time: not while it is open by its hours, or at work into the night.

    `called` is when somebody was last called, or left a desk.
    """
    if not settings.closes_day or local.date() <= day:
        return False
    following = local.date() == day + timedelta(days=1)
    clock = local.time().replace(tzinfo=None)
    week = () if settings.hours == "always" else settings.hours
    for one in week:
        if following and one.weekday == day.weekday() and one.closes <= one.opens and clock < one.closes:
            return False
    # Between instants, not between the hands of a clock that may have been put back.
    working = called is not None and local.astimezone(UTC) - called.astimezone(UTC) < QUIET
    return not working or not following or local.hour >= NIGHT_ENDS


def token(settings: QueueSettings, number: int) -> str:
    """What the board shows for the day's n-th ticket: `A017`; it grows longer when its digits run out."""
    return f"{settings.token_prefix}{number:0{settings.token_digits}d}"
