"""What schedules mean in real time: every zone, every change of its clocks, breaks, buffers and nights."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.availability import rules
from server.availability.rules import Existing, Pause, Period, Schedule, Span, WorkingTime

MINUTE = timedelta(minutes=1)
FROM = datetime(2026, 11, 1, tzinfo=UTC)


@cache
def changes(name: str) -> tuple[date, ...]:
    """The local days of a zone's next two clock changes."""
    zone, found = ZoneInfo(name), []
    for hours in range(0, 400 * 24, 12):
        at = FROM + timedelta(hours=hours)
        if at.astimezone(zone).utcoffset() != (at + timedelta(hours=12)).astimezone(zone).utcoffset():
            found.append(at.astimezone(zone).date())
    return tuple(found[:2])


@cache
def kinds() -> tuple[str, ...]:
    """A zone of each way in which the clocks change, and of each fixed offset: every zone is like one of them."""
    seen: dict[object, str] = {}
    for name in sorted(available_timezones() - {"localtime"}):
        zone = ZoneInfo(name)
        offsets = tuple((FROM + timedelta(hours=3 * n)).astimezone(zone).utcoffset() for n in range(8 * 400))
        seen.setdefault(offsets, name)
    return tuple(seen.values())


def working_minutes(zone: ZoneInfo, day: date, session: WorkingTime) -> set[datetime]:
    """The minutes of a session, found by watching the clock on the wall go from minute to minute."""
    start = datetime.combine(day, session.starts)
    watch = datetime.combine(day, time(0), UTC) - timedelta(hours=26)
    marks = {"starts": start, "ends": start + span(session.starts, session.ends)}
    for nth, pause in enumerate(session.breaks):
        marks[f"leaves{nth}"] = start + timedelta(minutes=session.after(pause))
        marks[f"returns{nth}"] = marks[f"leaves{nth}"] + span(pause.starts, pause.ends)
    shown: dict[str, datetime] = {}
    for number in range(100 * 60):
        at = watch + number * MINUTE
        wall = at.astimezone(zone).replace(tzinfo=None)
        for name, mark in marks.items():
            if wall >= mark:
                shown.setdefault(name, at)
        if len(shown) == len(marks):
            break
    off = [(shown[f"leaves{nth}"], shown[f"returns{nth}"]) for nth in range(len(session.breaks))]
    length = int((shown["ends"] - shown["starts"]) / MINUTE)
    minutes = {shown["starts"] + number * MINUTE for number in range(length)}
    return {at for at in minutes if not any(leaves <= at < returns for leaves, returns in off)}


def span(starts: time, ends: time) -> timedelta:
    minutes = (ends.hour * 60 + ends.minute - starts.hour * 60 - starts.minute) % 1440 or 1440
    return timedelta(minutes=minutes)


def runs(minutes: set[datetime]) -> Iterator[int]:
    """How long each unbroken stretch of these minutes is."""
    length = 0
    for at in sorted(minutes):
        length += 1
        if at + MINUTE not in minutes:
            yield length
            length = 0


def check(name: str, day: date, session: WorkingTime) -> None:
    """Slots never overlap, never leave working time, and never vanish: each stretch has as many as it has room for."""
    zone = ZoneInfo(name)
    found, work = rules.spans(zone, day, session), working_minutes(zone, day, session)
    assert all(one.ends_at <= after.starts_at for one, after in pairwise(found))
    for one in found:
        assert one.ends_at - one.starts_at == timedelta(minutes=session.slot_minutes)
        assert all(one.starts_at + number * MINUTE in work for number in range(session.slot_minutes)), (name, day)
    step = session.slot_minutes + session.buffer_minutes
    assert len(found) == sum((length + session.buffer_minutes) // step for length in runs(work)), (name, day, session)


def clock(minute: int) -> time:
    return time(minute // 60 % 24, minute % 60)


@st.composite
def sessions(draw: st.DrawFn) -> WorkingTime:
    """Any session that is allowed: by day, by night, past midnight, with breaks."""
    starts, length = draw(st.integers(0, 1439)), draw(st.integers(5, 1440))
    cuts = sorted(draw(st.lists(st.integers(0, length), max_size=6, unique=True)))
    pauses = [
        Pause(starts=clock(starts + a), ends=clock(starts + b)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    return WorkingTime(
        weekday=0,
        starts=clock(starts),
        ends=clock(starts + length),
        slot_minutes=draw(st.sampled_from([5, 10, 15, 20, 25, 30, 45, 60, 90])),
        buffer_minutes=draw(st.sampled_from([0, 0, 5, 7, 10])),
        breaks=pauses if sum(1 for _ in pauses) and cuts[1] - cuts[0] < 1440 else [],
    )


@settings(max_examples=120, deadline=None)
@given(st.data(), sessions(), st.integers(-1, 1))
def test_slots_keep_to_working_time_on_every_day_of_every_zone(
    data: st.DataObject, session: WorkingTime, off: int
) -> None:
    name = data.draw(st.sampled_from(kinds()))
    day = data.draw(st.sampled_from([*changes(name), date(2026, 12, 7)])) + timedelta(days=off)
    check(name, day, session)


NIGHT = WorkingTime(
    weekday=0, starts=time(22), ends=time(6), slot_minutes=20, breaks=[Pause(starts=time(2), ends=time(3))]
)
WHOLE_DAY = WorkingTime(weekday=0, starts=time(0), ends=time(0), slot_minutes=30)


EARLY = [WorkingTime(weekday=0, starts=time(hour, 20), ends=time(7), slot_minutes=15) for hour in (0, 1, 2, 3, 23)]


@pytest.mark.parametrize("session", [NIGHT, WHOLE_DAY, *EARLY])
def test_slots_keep_to_working_time_at_each_zones_next_clock_changes(session: WorkingTime) -> None:
    for name in kinds():
        for day in changes(name):
            check(name, day - rules.DAY, session)
            check(name, day, session)


def test_day_that_begins_at_one_has_its_slots_from_one_on() -> None:
    # In Santiago the clock jumps from midnight to one o'clock.
    zone, day = ZoneInfo("America/Santiago"), date(2026, 9, 6)
    found = rules.spans(zone, day, WHOLE_DAY)
    assert len(found) == 46 and found[0].starts_at.astimezone(zone).hour == 1
    assert rules.days_in(zone, day, day) == Period(
        datetime(2026, 9, 6, 4, tzinfo=UTC), datetime(2026, 9, 7, 3, tzinfo=UTC)
    )


def test_session_that_starts_in_an_hour_that_the_clock_skips_starts_when_it_has_jumped() -> None:
    session = WorkingTime(weekday=6, starts=time(2, 20), ends=time(4), slot_minutes=20)
    found = rules.spans(ZoneInfo("Europe/Berlin"), date(2027, 3, 28), session)
    assert [f"{one.starts_at:%H:%M}" for one in found] == ["01:00", "01:20", "01:40"]


def test_session_of_which_the_clock_skips_all_has_no_slot() -> None:
    session = WorkingTime(weekday=6, starts=time(2), ends=time(3), slot_minutes=15)
    assert rules.spans(ZoneInfo("Europe/Berlin"), date(2027, 3, 28), session) == []


def test_breaks_outside_their_session_or_over_each_other_are_no_session() -> None:
    for pauses in ([("08:00", "09:30")], [("10:00", "12:30")], [("10:00", "11:00"), ("10:30", "11:30")]):
        breaks = [Pause(starts=time.fromisoformat(a), ends=time.fromisoformat(b)) for a, b in pauses]
        with pytest.raises(ValueError, match="Breaks"):
            WorkingTime(weekday=0, starts=time(9), ends=time(12), breaks=breaks)


# Weeks


def morning(weekday: int = 0, **more: object) -> WorkingTime:
    return WorkingTime.model_validate(
        {"weekday": weekday, "starts": "09:00", "ends": "11:00", "slot_minutes": 30, **more}
    )


def weekly(id_: int = 1, location: int = 1, **more: object) -> Schedule:
    """Monday mornings from 2 March 2026 on."""
    one = Schedule(id_, location, ZoneInfo("Europe/London"), date(2026, 3, 2), None, 1, (morning(),))
    return replace(one, **more)  # type: ignore[arg-type]


def days(*schedules: Schedule, last: date = date(2026, 4, 30)) -> list[tuple[int, str]]:
    """Which schedule has slots on which days."""
    plan = rules.planned(schedules, 1, date(2026, 3, 1), last)
    return list(dict.fromkeys((schedule.id, f"{span.starts_at:%m-%d}") for schedule, span in plan))


def test_every_second_week_counts_from_the_week_of_its_start_until_its_end() -> None:
    one = weekly(every_weeks=2, starts_on=date(2026, 3, 4), ends_on=date(2026, 4, 13))
    assert days(one) == [(1, "03-16"), (1, "03-30"), (1, "04-13")]


def test_schedule_that_began_last_holds_and_gives_way_when_it_ends() -> None:
    summer = weekly(2, starts_on=date(2026, 3, 16), ends_on=date(2026, 3, 29), week=(morning(1),))
    assert days(weekly(), summer, last=date(2026, 4, 1)) == [
        (1, "03-02"),
        (1, "03-09"),
        (2, "03-17"),
        (2, "03-24"),
        (1, "03-30"),
    ]


def test_sessions_of_one_week_collide_also_past_sundays_midnight() -> None:
    night = WorkingTime(weekday=6, starts=time(22), ends=time(2))
    early = WorkingTime(weekday=0, starts=time(1), ends=time(3))
    assert rules.colliding([early, night]) == (night, early)
    assert rules.colliding([morning(0), morning(1)]) is None
    assert rules.colliding([morning(0), morning(0)]) is not None


def test_doctor_is_not_at_two_locations_at_once_whatever_their_zones() -> None:
    here, today = weekly(), date(2026, 3, 1)
    there = weekly(2, 2, zone=ZoneInfo("Europe/Paris"))
    found = rules.clash([here, there], there, today)
    assert found is not None and found.other is here and found.day == date(2026, 3, 2)
    later = replace(there, week=(morning(starts="12:00", ends="13:00"),))
    assert rules.clash([here, later], later, today) is None


def test_doctor_may_alternate_between_two_locations_week_by_week() -> None:
    here = weekly(every_weeks=2)
    there = weekly(2, 2, every_weeks=2, starts_on=date(2026, 3, 9))
    assert rules.clash([here, there], there, date(2026, 3, 1)) is None
    third = replace(there, every_weeks=3)
    assert rules.clash([here, third], third, date(2026, 3, 1)) is not None


# Changes


@settings(max_examples=150, deadline=None)
@given(sessions(), sessions(), st.data())
def test_change_gives_up_nothing_that_is_booked_and_makes_all_that_has_room(
    old: WorkingTime, new: WorkingTime, data: st.DataObject
) -> None:
    before, after = weekly(week=(old,)), weekly(week=(new,))
    first, last = date(2026, 3, 2), date(2026, 3, 9)
    plans = [rules.planned([one], 1, first, last) for one in (before, after)]
    booked = data.draw(st.sets(st.integers(0, max(len(plans[0]) - 1, 0)), max_size=5))
    there = [Existing(nth, one, int(nth in booked), True, True) for nth, (_, one) in enumerate(plans[0])]
    change = rules.difference(there, plans[0], plans[1], rules.worked([after], 1, first, last))
    gone, altered = set(change.removed), dict(change.altered)
    assert not gone & booked and not altered.keys() & booked
    left = [altered.get(one.id, one.span) for one in there if one.id not in gone]
    now = sorted([*left, *(one for _, one in change.added)], key=lambda one: one.starts_at)
    assert all(a.ends_at <= b.starts_at for a, b in pairwise(now))
    taken = [one.span for one in there if one.id in booked]
    for _, meant in plans[1]:
        assert meant in now or any(meant.overlaps(one) for one in taken)
    if not booked:
        assert now == [one for _, one in plans[1]]


def test_removed_slot_stays_removed_and_closed_one_closed_where_both_plans_mean_it() -> None:
    before, after = weekly(), weekly(week=(morning(), morning(1)))
    plans = [rules.planned([one], 1, date(2026, 3, 2), date(2026, 3, 3)) for one in (before, after)]
    there = [Existing(nth, one, 0, nth != 1, True) for nth, (_, one) in enumerate(plans[0]) if nth]
    change = rules.difference(there, plans[0], plans[1], [])
    assert [f"{one.starts_at:%d}" for _, one in change.added] == ["03"] * 4
    assert not change.removed and not change.reopened


def test_booked_slot_outside_working_time_is_closed_and_opened_again_when_it_is_inside() -> None:
    plan, none = rules.planned([weekly()], 1, date(2026, 3, 2), date(2026, 3, 2)), list[tuple[Schedule, Span]]()
    there = [Existing(7, plan[0][1], 1, True, True)]
    assert rules.difference(there, plan, none, []).outside == [7]
    closed = [replace(there[0], open=False)]
    assert rules.difference(closed, none, plan, []).reopened == [7]
