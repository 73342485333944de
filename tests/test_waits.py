"""Waits: ranges that order, that hold as often as they say, and a replay whose figures can be worked out by hand."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from heapq import heapreplace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.queue.evaluate import FileRefused, Visit, evaluate, read, render, replay
from server.queue.waits import LONGEST_GAP, REMEMBERED_GAPS, Gap, Pace, _law, gap, ranges

DAY = date(2026, 10, 1)
EIGHT = datetime(2026, 10, 1, 8)
HEAD = "doctor,appointment_date,appointment_time,status,check_in_time,start_time,end_time,appointment_duration\n"


def after(minutes: float) -> datetime:
    return EIGHT + timedelta(minutes=minutes)


def paced(draw: Callable[[random.Random], float], days: int = 10, turns: int = 24, seed: int = 1) -> Pace:
    dice = random.Random(seed)
    gaps = tuple(tuple(max(1, round(draw(dice))) for _ in range(turns)) for _ in range(days))
    return Pace(gaps, "2026-10-01", (60,) * 40)


seconds = st.integers(1, int(LONGEST_GAP))
paces = st.builds(
    Pace,
    st.lists(st.lists(seconds, max_size=12).map(tuple), max_size=5).map(tuple),
    st.just("2026-10-01"),
    st.lists(st.integers(0, 3600), max_size=10).map(tuple),
)
elapsed = st.lists(st.floats(0, 100_000), max_size=4)


@given(paces, elapsed, st.integers(1, 5), st.integers(1, 50))
def test_later_places_never_wait_less_and_the_ninth_never_less_than_the_middle(pace, busy, desks, places):
    told = ranges(pace, busy, desks, places)
    assert len(told) == places
    assert all(0 <= p50 <= p90 for p50, p90 in told)
    assert all(a <= c and b <= d for (a, b), (c, d) in pairwise(told))


@given(paces, elapsed, st.integers(1, 4))
def test_one_more_desk_makes_nobody_wait_longer(pace, busy, desks):
    desks = max(desks, len(busy))
    fewer, more = ranges(pace, busy, desks, 20), ranges(pace, busy, desks + 1, 20)
    assert all(a >= c and b >= d for (a, b), (c, d) in zip(fewer, more, strict=True))


@given(paces, elapsed, st.integers(1, 3), st.integers(1, 50))
def test_a_place_is_told_the_same_however_many_are_told(pace, busy, desks, places):
    desks = max(desks, len(busy))
    assert ranges(pace, busy, desks, 50)[:places] == ranges(pace, busy, desks, places)


def test_equal_input_gives_equal_ranges_in_another_process():
    code = (
        "from server.queue.waits import Pace, ranges; import json;"
        "print(json.dumps(ranges(Pace(((600, 900, 1500), (700,)), '2026-10-01', (60, 90)), [120.0], 1, 50)))"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    here = ranges(Pace(((600, 900, 1500), (700,)), "2026-10-01", (60, 90)), [120.0], 1, 50)
    assert [tuple(one) for one in json.loads(runs.pop())] == here
    assert not runs


def test_the_order_in_which_desks_are_listed_does_not_matter():
    pace = paced(lambda dice: dice.gammavariate(2, 500))
    assert ranges(pace, [60, 900, 300], 3, 12) == ranges(pace, [900, 300, 60], 3, 12)


def test_without_a_serving_desk_there_is_no_wait_to_tell():
    with pytest.raises(ValueError, match="no desk"):
        ranges(Pace(), [], 0, 3)
    assert ranges(Pace(), [], 1, 0) == []


def test_a_consultation_that_lasts_makes_the_next_come_sooner_but_never_at_once():
    pace = paced(lambda dice: dice.gammavariate(4, 250))
    fresh, old, endless = (ranges(pace, [lasted], 1, 1)[0] for lasted in (0, 900, 9 * 3600))
    assert fresh[0] > old[0] > 0
    assert endless[1] > endless[0] > 0


def test_a_free_desk_calls_the_first_at_once_and_the_second_a_turn_later():
    (first, _), (second, _) = ranges(paced(lambda dice: dice.gammavariate(4, 250)), [], 1, 2)
    assert 50 <= first <= 70
    assert 700 <= second - first <= 1200


def test_an_empty_pace_tells_the_prior_and_a_full_one_its_own():
    assert 700 <= ranges(Pace(), [0], 1, 1)[0][0] <= 1000
    quick = ranges(paced(lambda dice: dice.expovariate(1 / 300)), [0], 1, 12)
    assert quick[11][0] == pytest.approx(12 * 300, rel=0.15)


def test_days_that_differ_widen_what_is_told_of_far_places():
    """The same gaps, once as slow and quick days and once mixed over all days."""
    calm, dice = paced(lambda dice: dice.gammavariate(2, 500)), random.Random(2)
    days = [[round(g * (0.6, 1.4)[number % 2]) for g in day] for number, day in enumerate(calm.days)]
    mixed = dice.sample([g for day in days for g in day], 240)
    # Today is empty, so that what is told is of a day not yet seen.
    moody = Pace((*map(tuple, days), ()), "2026-10-02")
    even = Pace((*(tuple(mixed[at : at + 24]) for at in range(0, 240, 24)), ()), "2026-10-02")
    (low, high), (even_low, even_high) = (ranges(pace, [0], 1, 12)[11] for pace in (moody, even))
    assert high - low > 1.3 * (even_high - even_low)


# The pace


def test_a_gap_leaves_out_the_time_in_which_nobody_was_there():
    busy = gap(previous=after(0), freed=after(10), waiting_since=after(5), at=after(12))
    idle = gap(previous=after(0), freed=after(10), waiting_since=after(40), at=after(41))
    assert busy == Gap(720, 120)
    assert idle == Gap(660, 60)


def test_a_call_that_ends_the_turn_before_it_has_no_turnover():
    assert gap(previous=after(0), freed=None, waiting_since=None, at=after(17)) == Gap(17 * 60, 0)


def test_a_forgotten_console_is_no_consultation():
    pace = Pace().observe(DAY, after(0), None, None, None)
    assert pace.observe(DAY, after(5 * 60), after(0), None, after(-5)) == pace


def test_a_pace_keeps_the_newest_gaps_and_their_days_through_json():
    pace, at = Pace(), EIGHT
    for number in range(REMEMBERED_GAPS + 60):
        day = DAY + timedelta(days=number // 50)
        first = number % 50 == 0
        pace = pace.observe(day, at + timedelta(seconds=number), None if first else at, None, None)
    assert len(pace.gaps) == REMEMBERED_GAPS
    assert pace.gaps[-1] == REMEMBERED_GAPS + 59
    assert list(pace.gaps) == sorted(pace.gaps)
    assert [len(day) for day in pace.days][-1] == 49
    assert Pace.from_json(json.loads(json.dumps(pace.to_json()))) == pace


def test_a_new_day_begins_with_its_first_call():
    pace = Pace().observe(DAY, after(0), None, None, None).observe(DAY, after(10), after(0), None, None)
    pace = pace.observe(DAY + timedelta(days=1), after(24 * 60), None, None, None)
    assert pace.days == ((600,), ())


def test_an_empty_column_is_an_empty_pace_and_anything_else_is_refused():
    assert Pace.from_json(None) == Pace.from_json({}) == Pace()
    for wrong in ({"days": 3}, [1, 2], {"days": [["x"]], "day": "", "turnovers": []}, "pace"):
        with pytest.raises(ValueError, match="not a stored pace"):
            Pace.from_json(wrong)


# Honesty


LAWS: dict[str, Callable[[random.Random], float]] = {
    "gamma": lambda dice: dice.gammavariate(2, 500),
    "heavy": lambda dice: dice.lognormvariate(6.7, 0.67),
    "short": lambda dice: dice.expovariate(1 / 300) + 20,
    "even": lambda dice: max(300.0, dice.gauss(2400, 700)),
}


def backlog(draw: Callable[[random.Random], float], mood: float, seed: int, days: int = 40) -> list[Visit]:
    """One doctor's days with everybody there from the opening; each day has a mood that all its turns share."""
    dice, visits = random.Random(seed), []
    for number in range(days):
        opened = at = EIGHT + timedelta(days=number)
        today = dice.lognormvariate(0, mood)
        for _ in range(22):
            until = at + timedelta(seconds=draw(dice) * today)
            visits.append(Visit("D1", at, opened, until))
            at = until
    return visits


@pytest.mark.parametrize("mood", [0.0, 0.2])
@pytest.mark.parametrize("law", LAWS)
def test_nine_in_ten_come_true_at_every_distance(law, mood):
    visits = backlog(LAWS[law], mood, seed=3)
    scene = replay(visits).full_room
    for distance in range(1, 13):
        held = [one.actual <= one.p90 for one in scene if one.distance == distance]
        # Estimates of one day share turns: of n, about n / distance are independent, and a day's mood is one draw.
        # Three standard deviations of that, and 1 % for the paths.
        independent = len(held) / distance if not mood else min(len(held) / distance, 120.0)
        band = 3 * (0.9 * 0.1 / independent) ** 0.5 + 0.01
        assert abs(sum(held) / len(held) - 0.9) < band, (distance, sum(held) / len(held))


def test_the_middle_is_nearer_than_the_rules_of_thumb():
    scene = replay(backlog(LAWS["heavy"], 0.2, seed=5)).full_room
    error = {name: sum(abs(getattr(one, name) - one.actual) for one in scene) for name in ("p50", "rule", "today")}
    assert error["p50"] < error["rule"]
    assert error["p50"] < error["today"]
    long_run = sum(abs(one.long_run - one.actual) for one in scene)
    assert error["p50"] < 1.02 * long_run


@pytest.mark.parametrize("busy", [[0.0, 600.0], [300.0], [], [100.0, 200.0, 3000.0]])
def test_several_desks_are_told_as_a_simulation_of_greedy_desks_finds(busy):
    """Against patients given one by one to whichever desk is free first, from the same gaps and turnovers."""
    pace, dice = paced(lambda dice: dice.gammavariate(2, 500)), random.Random(7)
    law, desks = _law(pace), max(2, len(busy))
    rests = [law.rest(seconds) for seconds in busy]
    starts: list[list[float]] = [[] for _ in range(12)]
    for _ in range(6000):
        factor = dice.choice(law.factors)
        free = [dice.choice(rest) for rest in rests]
        free = sorted(free + [dice.choice(law.turnover) for _ in range(desks - len(busy))])
        for place in range(12):
            starts[place].append(free[0])
            heapreplace(free, free[0] + factor * dice.choice(law._gap))
    told = ranges(pace, busy, desks, 12)
    for place in range(12):
        ordered = sorted(starts[place])
        scale = max(30.0, ordered[5400] - ordered[3000])
        assert abs(told[place][0] - ordered[3000]) < 0.25 * scale, place
        assert abs(told[place][1] - ordered[5400]) < 0.25 * scale, place


# The replay


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "visits.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


SMALL = HEAD + (
    "D1,2026-10-01,08:00,attended,07:50:00,08:00:00,08:10:00,10\n"
    "D1,2026-10-01,08:15,attended,07:55:00,08:10:00,08:30:00,20\n"
    "D1,2026-10-01,08:30,attended,08:05:00,08:30:00,08:40:00,10\n"
    "D1,2026-10-01,08:45,cancelled,,,,\n"
    "D1,2026-10-01,09:00,attended,09:00:00,09:01:00,09:20:00,19\n"
)


def test_a_small_file_gives_the_figures_worked_out_by_hand(tmp_path):
    told = evaluate(written(tmp_path, SMALL))
    assert (told.rows, told.visits, told.doctors, told.sessions) == (5, 4, 1, 1)
    # Two check in before the first call at 08:00, so they are told nothing.
    assert told.before_opening == 2
    # 08:00 second is first in line (10 min to go); 08:05 the third checks in, second in line (25 min);
    # 08:10 the third is first (20 min); 09:00 the fourth, at a free desk (1 min).
    first, second = told.as_it_happened.by_distance
    assert (first.distance, first.count, second.distance, second.count) == (1, 3, 2, 1)
    assert first.error_rule == pytest.approx((5 + 5 + 14) / 3)
    assert second.error_rule == pytest.approx(5)
    # Long-run mean: 18 min before any turn was seen; then 10; after turns of 10, 20, that is 15 min.
    assert first.error_long_run == pytest.approx((8 + 10 + 14) / 3)
    assert second.error_long_run == pytest.approx(36 - 25)
    # Full room: the turns are 10, 20 and 11 min, the idle 20 min before nine left out.
    assert [one.count for one in told.full_room.by_distance] == [3, 2, 1]
    assert told.full_room.by_distance[2].error_rule == pytest.approx(45 - 41)
    assert told.notes == {"rows without a visit": 1}


def test_an_estimate_knows_nothing_of_what_comes_after_it():
    visits = backlog(LAWS["gamma"], 0.0, seed=9, days=4)
    known = [one for one in visits if one.start.date() < date(2026, 10, 3)]
    whole, part = replay(visits).happened, replay(known).happened
    assert [(one.p50, one.p90) for one in whole[: len(part)]] == [(one.p50, one.p90) for one in part]


def test_the_largest_jump_is_of_the_time_of_day_that_a_patient_was_told(tmp_path):
    slow = HEAD + (
        "D1,2026-10-01,08:00,attended,08:00:00,08:00:00,11:00:00,180\n"
        "D1,2026-10-01,08:15,attended,08:01:00,11:01:00,11:10:00,9\n"
    )
    told = evaluate(written(tmp_path, slow)).jumps
    # Told at 08:01 a time near 08:16; told at 11:00, when the room is free, about a minute more.
    assert told.count == 1
    assert told.largest == pytest.approx(11 * 60 + 1 - (8 * 60 + 16), abs=5)


def test_other_doctors_columns_and_shapes_are_read(tmp_path):
    text = (
        "\ufeffDoctor ,extra,start_time,appointment_date,note\n"
        "Dr. Ólafur,x,9:05,2026-02-03,\n"
        "Dr. Ólafur,x,2026-02-03T09:25:30+01:00,2026-02-03,,surplus\n"
        "Dr. Ólafur,x,23:50,2026-02-03,\n"
        "Other,x,10:00:00.5,2026-02-04\n"
    )
    reading = read(written(tmp_path, text))
    assert [visit.start.strftime("%H:%M:%S") for visit in reading.visits] == [
        "09:05:00",
        "09:25:30",
        "23:50:00",
        "10:00:00",
    ]
    assert reading.counts["without an end time"] == 4
    assert reading.counts["rows with too many cells"] == 1
    assert "nothing to score" in render(evaluate(written(tmp_path, text)))


def test_a_night_clinic_ends_after_midnight(tmp_path):
    text = HEAD + "D1,2026-10-01,00:10,attended,23:50:00,00:05:00,00:20:00,15\nD1,2026-10-01,,attended,,23:55,00:15,\n"
    early, late = read(written(tmp_path, text)).visits
    assert early.joined == datetime(2026, 9, 30, 23, 50)
    assert late.end == datetime(2026, 10, 2, 0, 15)


def test_wrong_cells_are_counted_and_named_by_line_and_column(tmp_path):
    text = SMALL + (
        "D1,2026-10-01,09:15,attended,09:00:00,25:99,,\n"
        "D1,1 October,09:15,attended,09:00:00,09:30:00,,\n"
        "D1,2026-10-01,09:15,attended,soon,09:40:00,09:50:00,\n"
    )
    told = evaluate(written(tmp_path, text))
    assert told.visits == 5
    assert told.notes["unreadable cells"] == 3
    assert told.faults == [
        "line 7, start_time: '25:99' cannot be read",
        "line 8, appointment_date: '1 October' cannot be read",
        "line 9, check_in_time: 'soon' cannot be read",
    ]
    assert "line 8, appointment_date" in render(told)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("doctor,appointment_date\nD1,2026-10-01\n", "line 1: there is no column 'start_time'"),
        ("doctor,doctor,appointment_date,start_time\n", "line 1: the column 'doctor' is there twice"),
        (HEAD, "no visit to replay in 0 rows"),
        (HEAD + "D1,2026-10-01,,attended,,late,,\n", "line 2, start_time: 'late' cannot be read"),
        (HEAD + 'D1,"2026-10-01,,attended,,08:00,,\n', "not CSV"),
        (b"\xff\xfe\x00doctor", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_refused_with_the_place(tmp_path, text, said):
    with pytest.raises(FileRefused, match=r"visits\.csv") as refused:
        evaluate(written(tmp_path, text))
    assert said in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileRefused, match="No such file"):
        evaluate(tmp_path / "visits.csv")


def test_the_figures_are_printed_aligned_and_as_json(tmp_path):
    told = evaluate(written(tmp_path, SMALL))
    table = [line for line in render(told).splitlines() if "|" in line]
    assert len({line.index("|") for line in table}) == 1
    assert json.loads(json.dumps(told.to_json()))["full_room"]["together"]["count"] == 6
