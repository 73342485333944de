"""How long until a waiting patient's turn: a range whose 90th percentile is meant to hold nine times in ten.

Owns the `Pace` of a queue (what is remembered of its recent turns) and `ranges`, which turns it into a range for every
place. Pure: no IO, no clock. Invariant: equal input gives equal ranges, and a later place never has a shorter range.

The model. A desk takes one patient after another; the time between two of its calls while somebody was waiting is a
*gap*, and the wait at place n is what is left of the gap that runs now plus n - 1 further gaps.

* A gap's law is the recent gaps themselves, each with weight one, beside a prior of `PRIOR_WEIGHT` gaps: a Dirichlet
  process posterior (Ferguson, Annals of Statistics 1 (1973) 209). The prior's shape is lognormal with the mean and
  spread of 21 million primary care visits, 18.0 min and 13.5 min (Neprash et al., Measuring Primary Care Exam Length
  Using Electronic Health Record Data, Medical Care 59 (2021) 62); its mean follows the shrunk mean of this queue, so
  that a clinic of five-minute visits is not haunted by long ones.
* The gap that runs now has already lasted a while, so only longer ones remain possible (the law given survival).
* The mean is known only as well as the number of gaps allows, and days differ: each path multiplies its gaps by one
  random factor, whose variance is the posterior's of the mean plus that between days. The latter is estimated from
  pairs of gaps of one day, shrunk to `DAY_VARIANCE`; it may be below none, where a long turn is made up for later.
  Today's factor starts from today's own gaps by as much as days have been seen to differ (best linear prediction,
  Bühlmann and Straub's credibility). Neighbouring gaps that go together, or against each other, widen or narrow the
  gaps of a sum.
* Sums are sampled on `PATHS` paths that never change: only the quantiles that they pick do. So a range moves when there
  is news and not because dice were thrown again.
"""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, lru_cache
from operator import add
from statistics import NormalDist
from typing import Any, NamedTuple

MAX_PLACES = 50
REMEMBERED_GAPS = 240
REMEMBERED_TURNOVERS = 40

PRIOR_MEAN = 18.0 * 60
PRIOR_VARIATION = 13.5 / 18.0
# Visit lengths of countries and specialties differ by about a third of their mean, half of the spread of single
# visits: (0.75 / 0.375) ** 2 visits say as much about a clinic as knowing nothing but that it is one.
PRIOR_WEIGHT = 4.0
# Days of one doctor differ by some 7 % unless their own gaps say otherwise.
DAY_VARIANCE = 0.005
DAY_VARIANCE_SPREAD = 0.02
# How far the correlation of neighbouring gaps is from none in one clinic or another.
NEIGHBOUR_SPREAD = 0.15
# From "the room is free" to the next call. Nobody has published it, hence a wide guess with the weight of two.
TURNOVER_MEDIAN = 60.0
TURNOVER_SIGMA = 1.0
TURNOVER_WEIGHT = 2.0
# Nobody waits for one consultation this long; a console was forgotten, or the doctor was away.
LONGEST_GAP = 4 * 3600.0

PATHS = 256
# Beyond the twelfth place a range grows so evenly that the places between these are interpolated.
_KNOTS = (*range(1, 13), 14, 16, 18, 20, 23, 26, 30, 35, 40, 45, 50)
_NORMAL = NormalDist()


class Gap(NamedTuple):
    """Seconds of one turn: from the desk's call before to this one without idle time, and of these the turnover."""

    seconds: float
    turnover: float


def gap(previous: datetime | None, freed: datetime | None, waiting_since: datetime | None, at: datetime) -> Gap | None:
    """The gap that ends with a call at `at`, or None where it says nothing about the pace. See `Pace.observe`."""
    if previous is None:
        return None
    free = at if freed is None else min(max(freed, previous), at)
    idle_until = free if waiting_since is None else min(max(free, waiting_since), at)
    turnover = (at - idle_until).total_seconds()
    seconds = (free - previous).total_seconds() + turnover
    return Gap(seconds, turnover) if 0 <= seconds <= LONGEST_GAP else None


@dataclass(frozen=True, slots=True)
class Pace:
    """What a queue remembers of its turns, oldest first: gaps by local day, and turnovers. Seconds, all whole."""

    days: tuple[tuple[int, ...], ...] = ()
    day: str = ""
    turnovers: tuple[int, ...] = ()

    @property
    def gaps(self) -> tuple[int, ...]:
        """The remembered gaps, newest last."""
        return tuple(seconds for day in self.days for seconds in day)

    def observe(
        self,
        day: date,
        at: datetime,
        previous: datetime | None,
        freed: datetime | None,
        waiting_since: datetime | None,
    ) -> "Pace":
        """The pace after a desk called (or, where calls are not recorded, started) a patient. Call it at every call.

        `day`: the local date. `at`: this call. `previous`: when the same desk called before on this day, None for
        the first call of the day or after the desk was closed. `freed`: when that earlier patient's turn ended
        (completed, no-show, held, sent back), None where this very call ends it. `waiting_since`: since when
        somebody could have been called without a break: the earliest time at which a ticket waiting just before the
        call became available (joined, returned, came off hold), or when the queue was last resumed if that is
        later; None if unknown, which counts as "all along".

        Time in which nobody could be called is left out of the gap. A no-show's short turn counts: it is what a
        place ahead costs. So does a break that the doctor takes while people wait. An undone call must be taken out
        again, by `forgetting` its gap.
        """
        return self.remembering(day, gap(previous, freed, waiting_since, at))

    def remembering(self, day: date, seen: Gap | None) -> "Pace":
        """The pace after a call on this local day that ended this gap, or none that says anything."""
        today = day.isoformat()
        days = self.days if today == self.day else (*self.days, ())
        if seen is None:
            return Pace(days, today, self.turnovers)
        days = (*days[:-1], (*days[-1], _whole(seen.seconds)))
        turnovers = (*self.turnovers, round(seen.turnover))[-REMEMBERED_TURNOVERS:]
        return Pace(_newest(days, REMEMBERED_GAPS), today, turnovers)

    def forgetting(self, seen: Gap) -> "Pace":
        """The pace without a gap that it remembers, whatever other desks have added since."""
        seconds = _whole(seen.seconds)
        at = next((at for at in reversed(range(len(self.days))) if seconds in self.days[at]), None)
        if at is None:
            return self
        days = (*self.days[:at], _without_last(self.days[at], seconds), *self.days[at + 1 :])
        return Pace(
            (*(day for day in days[:-1] if day), days[-1]),
            self.day,
            _without_last(self.turnovers, round(seen.turnover)),
        )

    def to_json(self) -> dict[str, object]:
        """As plain lists, for one column."""
        return {"days": [list(day) for day in self.days], "day": self.day, "turnovers": list(self.turnovers)}

    @classmethod
    def from_json(cls, stored: Any) -> "Pace":
        """The pace that `to_json` gave; an empty one from null or {}. Raises ValueError for anything else."""
        if not stored:
            return cls()
        try:
            return cls(
                tuple(tuple(int(seconds) for seconds in day) for day in stored["days"]),
                str(stored["day"]),
                tuple(int(seconds) for seconds in stored["turnovers"]),
            )
        except (KeyError, TypeError, ValueError) as wrong:
            raise ValueError("not a stored pace") from wrong


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


def _without_last(numbers: tuple[int, ...], number: int) -> tuple[int, ...]:
    """The numbers without the last one of this value."""
    if number not in numbers:
        return numbers
    at = len(numbers) - 1 - numbers[::-1].index(number)
    return numbers[:at] + numbers[at + 1 :]


def _newest(days: tuple[tuple[int, ...], ...], keep: int) -> tuple[tuple[int, ...], ...]:
    """The newest `keep` gaps; a day is cut before it is dropped, and today stays even while it is empty."""
    kept: list[tuple[int, ...]] = []
    for day in reversed(days):
        if kept and keep <= 0:
            break
        kept.append(day[-keep:] if keep > 0 else ())
        keep -= len(day)
    return (*(day for day in reversed(kept[1:]) if day), kept[0])


def ranges(pace: Pace, busy: Sequence[float], desks: int, places: int) -> list[tuple[int, int]]:
    """For places 1..`places` (at most 50): seconds from now to the patient's call, 50th and 90th percentile.

    `busy`: for each desk that has a patient, the seconds since it called that patient (called and in consultation
    alike). `desks`: how many desks serve, at least one; those without a patient are about to call. With several, the
    next in line goes to whichever desk comes free first.
    """
    places = min(places, MAX_PLACES)
    if places < 1:
        return []
    if desks < 1:
        raise ValueError("no desk serves, so there is no wait to tell")
    elapsed = sorted((max(0.0, seconds) for seconds in busy), reverse=True)
    law = _law(pace)
    first = [law.rest(seconds) for seconds in elapsed] + [law.turnover] * (desks - len(elapsed))
    knots = _KNOTS[: bisect_left(_KNOTS, places) + 1]
    if len(first) == 1:
        waits: Iterable[Iterable[float]] = (map(add, first[0], law.sums(knot - 1)) for knot in knots)
    else:
        turns = _merged(law, first, knots[-1])
        waits = ([path[knot - 1] for path in turns] for knot in knots)
    return _between(knots, [_middle_and_ninth(sorted(wait)) for wait in waits])[:places]


def _between(knots: Sequence[int], at: Sequence[tuple[float, float]]) -> list[tuple[int, int]]:
    """Ranges in whole seconds for every place up to the last knot."""
    told = [(round(at[0][0]), math.ceil(at[0][1]))]
    for left, right, (a, b), (c, d) in zip(knots, knots[1:], at, at[1:], strict=False):
        for place in range(left + 1, right + 1):
            part = (place - left) / (right - left)
            told.append((round(a + part * (c - a)), math.ceil(b + part * (d - b))))
    return told


def _middle_and_ninth(waits: list[float]) -> tuple[float, float]:
    """The 50th and 90th percentile of sorted waits, unbiased in coverage: rank p (n + 1)."""
    return (waits[127] + waits[128]) / 2, waits[230] + 0.3 * (waits[231] - waits[230])


def _merged(law: "_Law", first: Sequence[Sequence[float]], places: int) -> list[list[float]]:
    """For each path, the times at which any desk calls.

    As long as somebody waits, each desk's calls are a process of its own, and giving every patient to whichever desk
    comes free first is the same as merging them. Desks take their gaps from different paths but share the factor:
    what a clinic does not know of its pace, it knows of no desk.
    """
    desks = len(first)
    short = min(places, 2 * (places // desks) + 6)
    merged = []
    for path, factor in enumerate(law.factors):
        turns: list[float] = []
        sure = math.inf
        for desk, start in enumerate(first):
            rest = start[(path + 61 * desk) % PATHS]
            turns += [rest + factor * total for total in law.rows[(path + 97 * desk) % PATHS][:short]]
            sure = min(sure, turns[-1])
        turns.sort()
        merged.append(turns if turns[places - 1] <= sure else _every_turn(law, first, path))
    return merged


def _every_turn(law: "_Law", first: Sequence[Sequence[float]], path: int) -> list[float]:
    """The slow form of one path of `_merged`, for where one desk is so slow that another needs more of its gaps."""
    return sorted(
        start[(path + 61 * desk) % PATHS] + law.factors[path] * total
        for desk, start in enumerate(first)
        for total in law.rows[(path + 97 * desk) % PATHS]
    )


class _Law:
    """A pace's future on `PATHS` paths, sampled only as far ahead as somebody asks."""

    def __init__(self, pace: Pace) -> None:
        gaps = pace.gaps
        mean, variation, weight = _moments(gaps)
        today, factor_variance = _today(pace.days, mean, variation)
        known = weight + len(gaps)
        prior = _lognormal(mean, PRIOR_VARIATION)
        atoms = sorted([(float(g), 1.0) for g in gaps] + [(value, weight * share) for value, share in prior])
        # The prior's atoms sit at a mean that is itself shrunk; without this the whole would be shrunk too little.
        scale = today * mean * known / sum(value * share for value, share in atoms)
        self._atoms = [(value * scale, share) for value, share in atoms]
        # Past the prior's 99th percentile a clock that goes on says nothing more, unless longer gaps were seen.
        self._longest = scale * prior[_NINETY_NINTH][0]
        stretch = _stretch(pace.days, mean, variation)
        middle = today * mean
        self._gap = [max(1.0, middle + stretch * (one - middle)) for one in _quantiles(self._atoms)]
        self._turnovers = pace.turnovers
        spread = math.sqrt(math.log1p(max(0.0, variation**2 / known + factor_variance)))
        self.factors = [math.exp(spread * z - spread**2 / 2) for z in _table().factor]
        self._sums = [[0.0] * PATHS]

    def rest(self, elapsed: float) -> list[float]:
        """On each path, what is left of a gap that has lasted `elapsed` seconds."""
        elapsed = min(elapsed, self._longest)
        longer = self._atoms[bisect_right(self._atoms, (elapsed, math.inf)) :]
        left = [quantile - elapsed for quantile in _quantiles(longer, floor=elapsed)]
        return [factor * left[rank] for factor, rank in zip(self.factors, _table().ranks[0], strict=True)]

    def sums(self, count: int) -> list[float]:
        """On each path, the sum of its next `count` gaps, its factor included."""
        gap, factors = self._gap, self.factors
        for ranks in _table().ranks[len(self._sums) : count + 1]:
            pairs = zip(self._sums[-1], factors, ranks, strict=True)
            self._sums.append([before + factor * gap[rank] for before, factor, rank in pairs])
        return self._sums[count]

    @cached_property
    def rows(self) -> list[list[float]]:
        """For each path, the sums of 0 to `MAX_PLACES` - 1 gaps, its factor left out."""
        self.sums(MAX_PLACES - 1)
        inverse = [1 / factor for factor in self.factors]
        return [[total * one for total in row] for row, one in zip(zip(*self._sums, strict=True), inverse, strict=True)]

    @cached_property
    def turnover(self) -> list[float]:
        """On each path, how long a free desk takes to call."""
        guess = [(TURNOVER_MEDIAN * math.exp(TURNOVER_SIGMA * z), TURNOVER_WEIGHT * weight) for z, weight in _SCORES]
        free = _quantiles(sorted([(float(seconds), 1.0) for seconds in self._turnovers] + guess))
        return [free[rank] for rank in _table().ranks[0]]


@lru_cache(maxsize=256)
def _law(pace: Pace) -> _Law:
    return _Law(pace)


class _Moments(NamedTuple):
    """Mean gap and coefficient of variation, and how many gaps' worth of prior knowledge is in the mean."""

    mean: float
    variation: float
    prior: float


def _moments(gaps: Sequence[int]) -> _Moments:
    """Both moments shrunk to the prior's, the mean by as much as the spread of single gaps makes it uncertain."""
    count = len(gaps)
    level = (PRIOR_WEIGHT * PRIOR_MEAN + sum(gaps)) / (PRIOR_WEIGHT + count)
    squares = PRIOR_WEIGHT * (PRIOR_VARIATION * level) ** 2 + sum((g - level) ** 2 for g in gaps)
    deviation = math.sqrt(squares / (PRIOR_WEIGHT + count))
    # Normal mean, normal prior: its weight in gaps is the variance of a gap over that of clinics' means.
    prior = min(2 * PRIOR_WEIGHT, (deviation / (PRIOR_MEAN * PRIOR_VARIATION)) ** 2 * PRIOR_WEIGHT)
    mean = (prior * PRIOR_MEAN + sum(gaps)) / (prior + count)
    return _Moments(mean, deviation / mean, prior)


def _stretch(days: Sequence[Sequence[int]], mean: float, variation: float) -> float:
    """By how much neighbouring gaps widen or narrow a long sum's deviation: the root of (1 + r) / (1 - r).

    `r` is the correlation of a gap with the next one of its day beyond what the whole day shares, shrunk to none.
    """
    near, far, near_count, far_count = 0.0, 0.0, 0, 0
    for day in days:
        rest = [g / mean - 1 for g in day]
        beside = sum(map(_times, rest, rest[1:]))
        every = (sum(rest) ** 2 - sum(r * r for r in rest)) / 2
        near, near_count = near + beside, near_count + max(0, len(day) - 1)
        far, far_count = far + every - beside, far_count + max(0, (len(day) - 1) * (len(day) - 2) // 2)
    if not near_count or not far_count:
        return 1.0
    trust = NEIGHBOUR_SPREAD**2 / (NEIGHBOUR_SPREAD**2 + 1 / near_count)
    r = trust * (near / near_count - far / far_count) / variation**2
    r = max(-0.4, min(0.4, r))
    return math.sqrt((1 + r) / (1 - r))


def _times(a: float, b: float) -> float:
    return a * b


def _today(days: Sequence[Sequence[int]], mean: float, variation: float) -> tuple[float, float]:
    """Today's expected factor on the mean gap, and the variance that the factor still has."""
    between = _between_days(days, mean, variation)
    if not days or not days[-1] or between <= 0:
        return 1.0, between
    count = len(days[-1])
    trust = between * count / (between * count + variation**2)
    return 1 + trust * (sum(days[-1]) / count / mean - 1), between * (1 - trust)


def _between_days(days: Sequence[Sequence[int]], mean: float, variation: float) -> float:
    """The variance of days' factors: what two gaps of one day have in common, weighed against the prior's."""
    count = sum(map(len, days))
    pairs = sum(len(day) * (len(day) - 1) for day in days)
    effective_days = count**2 / sum(len(day) ** 2 for day in days) if count else 0.0
    if not pairs or effective_days <= 1:
        return DAY_VARIANCE
    shared = 0.0
    for day in days:
        rest = [g / mean - 1 for g in day]
        shared += sum(rest) ** 2 - sum(r * r for r in rest)
    seen = shared / pairs + variation**2 / count
    noise = 2 * variation**4 / pairs + 2 * DAY_VARIANCE**2 / (effective_days - 1)
    trust = DAY_VARIANCE_SPREAD**2 / (DAY_VARIANCE_SPREAD**2 + noise)
    return trust * seen + (1 - trust) * DAY_VARIANCE


def _lognormal(mean: float, variation: float) -> list[tuple[float, float]]:
    """A lognormal law as ascending (value, probability), its far tail included."""
    sigma = math.sqrt(math.log1p(variation**2))
    median = mean * math.exp(-(sigma**2) / 2)
    return [(median * math.exp(sigma * z), weight) for z, weight in _SCORES]


def _normal_atoms() -> tuple[tuple[float, float], ...]:
    """The standard normal law on a grid that reaches well beyond what any sample of `PATHS` would."""
    grid = [step / 5 for step in range(-13, 18)]
    weights = [_NORMAL.pdf(z) for z in grid]
    return tuple((z, weight / sum(weights)) for z, weight in zip(grid, weights, strict=True))


_SCORES = _normal_atoms()
_NINETY_NINTH = next(index for index, (z, _) in enumerate(_SCORES) if z >= 2.3)


def _quantiles(atoms: Sequence[tuple[float, float]], floor: float | None = None) -> list[float]:
    """`PATHS` evenly spaced quantiles of ascending (value, weight), straight lines between the atoms' midpoints."""
    half = 0.0 if floor is not None else atoms[0][1] / 2
    total = sum(weight for _, weight in atoms)
    step = total / PATHS
    found: list[float] = []
    left, below, done = (atoms[0][0] if floor is None else floor), half if floor is None else 0.0, 0.0
    want = step / 2
    for value, weight in atoms:
        middle = done + weight / 2
        while want <= middle and len(found) < PATHS:
            part = (want - below) / (middle - below) if middle > below and want > below else 0.0
            found.append(left + part * (value - left))
            want += step
        left, below = value, middle
        done += weight
    found.extend([left] * (PATHS - len(found)))
    return found


class _Table(NamedTuple):
    """The paths that never change: `ranks[k][path]` of the k-th gap, and `factor[path]`, a normal score."""

    ranks: list[list[int]]
    factor: list[float]


@lru_cache(maxsize=1)
def _table() -> _Table:
    """Latin hypercube paths, each further column the best of sixteen shuffles. Takes 60 ms, once in a process.

    Plain shuffles put the 90th percentile of a sum off by a tenth of its standard deviation, for good; that would be
    1.5 % of coverage. So a column is chosen by how well the sum of gaps so far meets a law that is known: gamma gaps
    of shape 2, whose sums are gamma again (quantiles by Wilson and Hilferty's cube).
    """
    dice = random.Random(20)  # noqa: S311 (fixed paths, not a secret)
    levels = {0.1: 1, 0.25: 1, 0.5: 2, 0.75: 1, 0.85: 1, 0.9: 3, 0.95: 1}
    one = [_gamma_quantile(2, (rank + 0.5) / PATHS) for rank in range(PATHS)]
    total, ranks = [0.0] * PATHS, []
    for count in range(1, MAX_PLACES + 1):
        aims = [(p * (PATHS + 1) - 1, _gamma_quantile(2 * count, p), weight) for p, weight in levels.items()]
        best: tuple[float, list[int], list[float]] = (math.inf, [], [])
        for _ in range(16):
            shuffled = dice.sample(range(PATHS), PATHS)
            sums = [before + one[rank] for before, rank in zip(total, shuffled, strict=True)]
            ordered = sorted(sums)
            miss = sum(weight * (ordered[round(rank)] - aim) ** 2 for rank, aim, weight in aims)
            best = min(best, (miss, shuffled, sums))
        ranks.append(best[1])
        total = best[2]
    scores = [_NORMAL.inv_cdf((rank + 0.5) / PATHS) for rank in range(PATHS)]
    lean = sum(total) / PATHS
    shuffles = [dice.sample(scores, PATHS) for _ in range(16)]
    factor = min(shuffles, key=lambda z: abs(sum(a * (b - lean) for a, b in zip(z, total, strict=True))))
    return _Table(ranks, factor)


def _gamma_quantile(shape: float, p: float) -> float:
    return float(shape * (1 - 1 / (9 * shape) + _NORMAL.inv_cdf(p) / (3 * math.sqrt(shape))) ** 3)
