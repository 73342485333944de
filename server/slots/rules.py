"""Which times can be locked and booked, but for seats. Pure: no IO, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Self
from zoneinfo import ZoneInfo

from server import errors
from server.settings import BookingSettings


@dataclass(frozen=True, slots=True)
class Time:
    """A slot as whoever wants it sees it."""

    id: int
    doctor_id: int
    location_id: int
    starts_at: datetime
    ends_at: datetime
    mode: str
    open: bool
    blocked: bool
    left: int

    @classmethod
    def of(cls, row: Any) -> Self:
        """The slot of a row, which names its columns as they are named here."""
        return cls(
            row["id"],
            row["doctor_id"],
            row["location_id"],
            row["starts_at"],
            row["ends_at"],
            row["mode"],
            row["open"],
            row["blocked"],
            row["left"],
        )


GAP = timedelta(minutes=30)
"""Slots that stand so close to each other, as a doctor's breaths between two patients do, make one visit."""


def adjacent(times: Sequence[Time]) -> bool:
    """Whether these slots, in their order, are one doctor's at one location and follow each other."""
    first = times[0]
    same = all((one.doctor_id, one.location_id) == (first.doctor_id, first.location_id) for one in times)
    return same and all(timedelta() <= later.starts_at - one.ends_at <= GAP for one, later in pairwise(times))


def refusal(
    times: Sequence[Time], settings: BookingSettings, zone: ZoneInfo, staff: bool, now: datetime
) -> errors.Refusal | None:
    """Why nobody, or no patient, can have these slots; None where they can."""
    return shut(times, now) or (None if staff else out_of_reach(times, settings, zone, now))


def shut(times: Sequence[Time], now: datetime) -> errors.Refusal | None:
    """Why nobody can have these slots; None where somebody can."""
    if not adjacent(times):
        return errors.SlotsApart()
    if times[0].starts_at <= now:
        return errors.SlotPast(starts_at=times[0].starts_at.isoformat())
    if any(one.blocked for one in times):
        return errors.SlotBlocked()
    return None if all(one.open for one in times) else errors.SlotClosed()


def out_of_reach(
    times: Sequence[Time], settings: BookingSettings, zone: ZoneInfo, now: datetime
) -> errors.Refusal | None:
    """Why no patient can have these slots by the settings; None where one can."""
    if times[0].starts_at < earliest(settings, now):
        return errors.TooSoon(min_notice_minutes=settings.min_notice_minutes)
    if times[-1].starts_at >= horizon(settings, zone, now):
        return errors.TooFarAhead(advance_booking_days=settings.advance_booking_days)
    return None


def earliest(settings: BookingSettings, now: datetime) -> datetime:
    """The first moment that a patient can book."""
    return now + timedelta(minutes=settings.min_notice_minutes)


def horizon(settings: BookingSettings, zone: ZoneInfo, now: datetime) -> datetime:
    """The midnight before which whatever a patient can book begins."""
    day = now.astimezone(zone).date() + timedelta(days=settings.advance_booking_days + 1)
    return datetime(day.year, day.month, day.day, tzinfo=zone)
