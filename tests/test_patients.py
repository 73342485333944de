"""Patients: registered once, found as somebody types, corrected everywhere at once; reception's overview and links."""

import asyncio
from typing import Any

import pytest

from server import access, errors
from tests.test_queue import refused
from tests.world import World


async def register(world: World, name: str, **ask: Any) -> Any:
    """A new patient's record, whoever else may be there already."""
    return (await world.do("register-patient", name=name, confirm_new=True, **ask)).patient


async def names(world: World, q: str, **ask: Any) -> list[str]:
    """Whom a search shows, best first."""
    return [one.name for one in (await world.ask("search-patients", q=q, **ask)).items]


async def test_patients_are_numbered_from_one_in_each_institution(world: World) -> None:
    other = await world.other()
    assert [(await register(world, "Ada")).number for _ in range(3)] == ["P000001", "P000002", "P000003"]
    assert (await register(other, "Ada")).number == "P000001"


async def test_everybody_who_is_registered_at_once_gets_a_number_of_their_own(world: World) -> None:
    queue = await world.queue()
    await asyncio.gather(*(register(world, "Ada") for _ in range(8)), *(world.join(queue) for _ in range(8)))
    numbers = await world.pool.fetch("select number from patients order by number")
    assert [row["number"] for row in numbers] == [f"P{number:06}" for number in range(1, 17)]


async def test_refused_registration_leaves_no_gap_in_the_numbers(world: World) -> None:
    await register(world, "Ada Byron", birth_year=1990)
    await refused(errors.PossibleDuplicate, world.do("register-patient", name="Ada Byron", birth_year=1990))
    assert (await register(world, "Ben")).number == "P000002"


@pytest.mark.parametrize(
    ("q", "by"),
    [
        ("gonz", "name"),
        ("garcia mar", "name"),
        ("MARÍA  GARCÍA", "name"),
        ("maria gonsalez", "name"),
        ("gonazlez", "name"),
        ("+34 600 123 456", "phone"),
        ("0600123456", "phone"),
        ("3456", "phone"),
        ("60012", "phone"),
        ("P000001", "number"),
        ("p1", "number"),
        ("1954-05-19", "birth-date"),
        ("19.05.1954", "birth-date"),
        ("19/5/54", "birth-date"),
        ("5/19/1954", "birth-date"),
        ("19 may 1954", "birth-date"),
        ("19 مايو ١٩٥٤", "birth-date"),
        ("१९ मई १९५४", "birth-date"),
        ("19051954", "birth-date"),
        ("1954", "birth-date"),
        ("maria 1954", "name"),
        ("garcía 19 May 54", "name"),
    ],
)
async def test_patient_is_found_by(world: World, q: str, by: str) -> None:
    await register(world, "María García González", phone="+34 600 123 456", birth_date="1954-05-19")
    await register(world, "John Smith", phone="020 7946 0958", birth_date="1981-11-02")
    (found,) = (await world.ask("search-patients", q=q)).items
    assert (found.name, found.match) == ("María García González", by)


async def test_a_tickets_new_link_opens_it_and_the_old_one_nothing(world: World) -> None:
    queue = await world.queue()
    joined = await world.join(queue)
    slip = await world.do("renew-link", ticket_id=joined.ticket_id)
    assert (slip.token, slip.place, slip.queue, slip.location) == ("A001", 1, "Walk-in", "Main waiting room")
    assert slip.qr_svg.startswith("<svg") and slip.wait == joined.wait
    old, new = [one.link.rpartition("/")[2] for one in (joined, slip)]
    assert await access.by_ticket(world.pool, old) is None
    holder = await access.by_ticket(world.pool, new)
    assert holder and holder.id == joined.ticket_id
