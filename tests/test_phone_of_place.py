"""The telephone of a place: kept as it can be called from anywhere, and shown wherever people are told to call."""

import pytest
from playwright.async_api import Browser, expect

from server import errors
from tests.diary import open_books, patient
from tests.pages import Served, signed_in, visiting
from tests.test_mine import booked
from tests.test_notices import booked as told_by_mail
from tests.test_notices_sending import post_of
from tests.world import World
from workers.notices import send_due

PHONE = "+442079460958"


async def called(world: World, phone: str | None) -> str | None:
    """What is kept of a number that is given for the place."""
    place = await world.do("edit-location", "admin", location_id=world.location, telephone=phone)
    kept: str | None = place.telephone
    return kept


async def test_a_number_is_kept_as_it_can_be_called_from_anywhere(still: World) -> None:
    with pytest.raises(errors.InvalidRequest):
        await called(still, "020 7946 0958")
    await still.do("edit-institution", "admin", institution_id=still.institution, country="GB")
    assert await called(still, "020 7946 0958") == PHONE
    with pytest.raises(errors.InvalidRequest):
        await called(still, "+44 1")
    renamed = await still.do("edit-location", "admin", location_id=still.location, name="Annex")
    assert renamed.telephone == PHONE, "what is not named stays"
    assert await called(still, None) is None


async def test_the_catalogue_and_letters_say_whom_to_call(still: World) -> None:
    await called(still, PHONE)
    (place,) = (await still.ask("show-catalogue")).locations
    assert place.telephone == PHONE
    await told_by_mail(still)
    await send_due(post_of(still))
    assert "Telephone: +44 20 7946 0958" in await still.pool.fetchval("select body from mailbox order by id limit 1")


async def prepare(world: World) -> None:
    """Both doctors can be booked."""
    await open_books(world)


async def test_whoever_is_too_late_online_can_tap_to_call(browser: Browser, clinic: Served) -> None:
    await called(clinic.world, PHONE)
    who, token = await patient(clinic.world)
    made = await booked(clinic, who)
    await clinic.world.pool.execute(
        "update appointments set change_until = now() - interval '1 hour' where id = $1", made
    )
    async with visiting(browser, "phone") as pocket:
        page = await signed_in(pocket, clinic, token, "/appointments")
        link = page.get_by_test_id("call")
        await expect(link).to_have_attribute("href", f"tel:{PHONE}")
        await expect(link).to_contain_text("Call +")
