"""The decisions about appointments: their life, what can be booked, and what can be taken back. Pure: no IO, no clock.

Invariants:
- An appointment changes its state only by a step of `LIFE`.
- Whether something can be booked is decided from what is there and `now` alone; what patients may not do and staff may
  is said here, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from server import errors
from server.events import AppointmentState as State
from server.events import Mode
from server.settings import BookingSettings
from server.slots.rules import Time, adjacent, out_of_reach, shut


class Step(StrEnum):
    """What can be done with an appointment."""

    accept = "accept"
    confirm = "confirm"
    reject = "reject"
    expire = "expire"
    check_in = "check-in"
    start = "start"
    complete = "complete"
    no_show = "no-show"
    cancel = "cancel"
    reschedule = "reschedule"


_OPEN = frozenset({State.pending, State.confirmed})

LIFE: Mapping[Step, tuple[frozenset[State], State]] = {
    Step.accept: (frozenset({State.pending}), State.confirmed),
    Step.confirm: (frozenset({State.pending}), State.confirmed),
    Step.reject: (frozenset({State.pending}), State.rejected),
    Step.expire: (frozenset({State.pending}), State.rejected),
    Step.check_in: (frozenset({State.confirmed}), State.checked_in),
    # Straight from `confirmed`: over video nobody checks in.
    Step.start: (frozenset({State.confirmed, State.checked_in}), State.in_progress),
    # And for those who never press "start", or "check in".
    Step.complete: (frozenset({State.confirmed, State.checked_in, State.in_progress}), State.completed),
    Step.no_show: (frozenset({State.confirmed, State.checked_in}), State.no_show),
    Step.cancel: (frozenset({*_OPEN, State.checked_in}), State.cancelled),
    Step.reschedule: (_OPEN, State.rescheduled),
}
"""The table of an appointment's life: the states a step is allowed from, and the state after it."""

ENDED = frozenset({State.rejected, State.completed, State.cancelled, State.no_show, State.rescheduled})

_SLIP, _SECOND_THOUGHT = timedelta(minutes=15), timedelta(hours=24)
UNDO_WITHIN: Mapping[Step, timedelta] = {
    Step.confirm: _SECOND_THOUGHT,
    Step.reject: _SECOND_THOUGHT,
    Step.cancel: _SECOND_THOUGHT,
    Step.check_in: _SLIP,
    Step.start: _SLIP,
    Step.complete: _SLIP,
    Step.no_show: timedelta(hours=12),
}
"""How long each step can be taken back. What is not here cannot: an accepted request is somebody's, an expired one had
its time, and a moved appointment is moved back as it was moved."""


def allowed(step: Step, state: State) -> bool:
    """Whether the table of life lets an appointment in this state take this step."""
    return state in LIFE[step][0]


def after(step: Step) -> State:
    """The state that a step leads to."""
    return LIFE[step][1]


def can_undo(step: str, at: datetime, now: datetime) -> bool:
    """Whether a step that was taken at that time can still be taken back."""
    known = {one.value: within for one, within in UNDO_WITHIN.items()}
    return step in known and now - at <= known[step]


# Booking


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to book: on which terms, for a visit of how many minutes, and whether they work here."""

    mode: Mode
    minutes: int | None
    visit_mode: str
    staff: bool
    settings: BookingSettings
    zone: ZoneInfo


def refusal(times: Sequence[Time], wish: Wish, now: datetime) -> errors.Refusal | None:
    """Why these slots cannot be booked, but for seats that are taken; None where they can."""
    if unfit := shut(times, now):
        return unfit
    if not all(_fits(one.mode, wish.mode) for one in times) or not _fits(wish.visit_mode, wish.mode):
        return errors.ModeMismatch(mode=wish.mode)
    have = sum((int((one.ends_at - one.starts_at).total_seconds()) // 60 for one in times), 0)
    if wish.minutes is not None and have < wish.minutes:
        return errors.VisitTooLong(needed=wish.minutes, available=have)
    return None if wish.staff else out_of_reach(times, wish.settings, wish.zone, now)


def _fits(offered: str, mode: Mode) -> bool:
    return offered in ("both", mode)


def covering(times: Sequence[Time], starts_at: datetime, ends_at: datetime) -> list[Time] | None:
    """Those of a doctor's free slots, in order of time, that together cover a visit; None where they do not."""
    inside = [one for one in times if one.starts_at < ends_at and one.ends_at > starts_at]
    if not inside or inside[0].starts_at > starts_at or inside[-1].ends_at < ends_at or not adjacent(inside):
        return None
    return inside


def expires_at(
    now: datetime, starts_at: datetime, settings: BookingSettings, instead_of: datetime | None = None
) -> datetime:
    """Until when a request holds its seat: never beyond the visit itself, nor beyond the one that it is to move."""
    latest = starts_at if instead_of is None else min(starts_at, instead_of)
    return min(now + timedelta(hours=settings.request_expires_hours), latest)


def change_until(starts_at: datetime, settings: BookingSettings) -> datetime:
    """Until when a patient may cancel or move what is booked now."""
    return starts_at - timedelta(hours=settings.cancellation_deadline_hours)


def too_late(state: State, until: datetime | None, now: datetime) -> bool:
    """Whether the patient's time to cancel or move has passed.

    A request can be withdrawn until it is answered, and whoever is there may leave.
    """
    return state is State.confirmed and until is not None and now > until


def stays_meanwhile(before: State, asks: bool, apart: bool) -> bool:
    """Whether an appointment that moves keeps its seat until somebody says yes to the new time.

    `asks`: the new time has to be confirmed; `apart`: it leaves the old one alone, so that nobody is twice at one time.
    """
    return before is State.confirmed and asks and apart


def elsewhere(before: Mapping[str, Any]) -> errors.PatientElsewhere:
    """The refusal of a time at which the patient has another appointment."""
    return errors.PatientElsewhere(
        appointment_id=before["id"],
        number=before["number"],
        starts_at=before["starts_at"].isoformat(),
        ends_at=before["ends_at"].isoformat(),
    )
