"""A clinic whose doctors can be booked, and patients who can sign in, for the pages on which they do."""

from datetime import timedelta
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page

from server.access import Role
from tests.clinic import now, patient_of, specialty_of, visit_type_of
from tests.pages import Served, signed_in
from tests.world import World

SLOT = "[data-testid=slot]"


async def open_books(world: World, days: int = 12, capacity: int = 1) -> int:
    """Let both doctors be booked from tomorrow on, for two kinds of visit; answers their specialty."""
    specialty = await specialty_of(world, 0, 1)
    await visit_type_of(world, 30, "45.00", name="Consultation")
    await visit_type_of(world, 60, "80.00", "in_person", name="Long visit")
    for nth, doctor in enumerate(world.doctors):
        await world.pool.execute(WORKS_AT, doctor, world.location, world.institution)
        await world.pool.execute(SPEAKS, doctor, [["en", "ar"], ["en", "hi", "de"]][nth], ["45.00", "60.00"][nth])
        await slots_on(world, doctor, 1, days, capacity)
    return specialty


WORKS_AT = "insert into doctor_locations (doctor_id, location_id, institution_id) values ($1, $2, $3)"
SPEAKS = "update doctors set languages = $2, fee = $3::text::numeric where id = $1"


async def slots_on(world: World, doctor: int, first: int, last: int, capacity: int = 1) -> list[int]:
    """Half hours of a doctor from nine to half past six, on these days from today."""
    today = now(world).date()
    ask: dict[str, Any] = {"doctor_id": doctor, "location_id": world.location, "capacity": capacity}
    ask |= {"first_day": today + timedelta(days=first), "last_day": today + timedelta(days=last)}
    made = await world.do(
        "add-slots",
        "admin",
        **{name: str(value) if name.endswith("_day") else value for name, value in ask.items()},
        starts="09:00",
        ends="18:30",
        slot_minutes=30,
    )
    return list(made.slot_ids)


async def patient(world: World, name: str = "Maya Lindgren") -> tuple[int, str]:
    """Somebody registered who can sign in: their record, and a session's token."""
    id_ = await patient_of(world, name)
    return id_, await world.account(Role.patient, f"patient{id_}@clinic.test", name=name, patient_id=id_)


def slot(page: Page, id_: str) -> Locator:
    """A time that is shown."""
    return page.locator(f"{SLOT}[data-slot='{id_}']")


async def at_times(context: BrowserContext, clinic: Served, token: str, choice: str) -> Page:
    """The free times of a doctor or specialty (`doctor/1`), shown live."""
    page = await signed_in(context, clinic, token, f"/book#/{choice}")
    await page.wait_for_selector("[data-testid=picker][data-state=ready]")
    await page.wait_for_selector(SLOT)
    return page
