"""The waitlist: who is offered freed time, in which order, and what becomes of the offer."""

from datetime import timedelta
from typing import Any

import pytest

from server import access, errors, notices, waitlist
from server.access import Actor
from tests.clinic import book, left_of, now, patient_of, slots_of
from tests.letters import written
from tests.world import World


def days(world: World, first: int = 0, last: int = 30) -> dict[str, Any]:
    """From so many days from now to so many."""
    today = now(world).date()
    return {"first_day": str(today + timedelta(days=first)), "last_day": str(today + timedelta(days=last))}


async def waiting(world: World, patient: int | None = None, actor: Actor | str = "receptionist", **ask: Any) -> Any:
    """Somebody joins the waitlist of the first doctor, unless something else is asked for."""
    if not {"doctor_id", "specialty_id", "visit_type_id"} & ask.keys():
        ask["doctor_id"] = world.doctors[0]
    if actor == "receptionist":
        ask["patient_id"] = patient or await patient_of(world)
    if "first_day" not in ask:
        ask |= days(world)
    return await world.do("join-waitlist", actor, **ask)


async def state_of(world: World, entry: Any) -> str:
    return str(await world.pool.fetchval("select state from waitlist where id = $1", entry.entry_id))


async def offer_to(world: World, entry: Any) -> Any:
    """The open offer of a place, if there is one."""
    return await world.pool.fetchrow("select * from offers where entry_id = $1 and state = 'open'", entry.entry_id)


def everybody(world: World) -> list[str]:
    return [f"slots:{one}" for one in world.doctors] + [f"waitlist:{world.institution}"]


async def test_a_cancelled_seat_is_offered_in_the_same_transaction(still: World) -> None:
    slots = await slots_of(still)
    booked = await book(still, slots)
    entry = await waiting(still)
    assert entry.state == "waiting"
    async with still.verify(*everybody(still)):
        await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    offer = await offer_to(still, entry)
    assert offer["slot_ids"] == slots and await left_of(still, slots[0]) == 0
    events = [kind for _, kind, _ in await still.events(f"waitlist:{still.institution}")]
    assert events == ["waitlist-joined", "offer-made"]


async def test_accepting_turns_the_very_seat_over(still: World) -> None:
    slots = await slots_of(still)
    entry = await waiting(still)
    offer = await offer_to(still, entry)
    assert offer is None or offer["slot_ids"] == slots
    async with still.verify(*everybody(still), f"doctor:{still.doctors[0]}"):
        booked = await still.do("accept-offer", offer_id=offer["id"])
    seat = await still.pool.fetchrow("select appointment_id, offer_id from seats where slot_id = $1", slots[0])
    assert (seat["appointment_id"], seat["offer_id"]) == (booked.appointment_id, None)
    assert await state_of(still, entry) == "booked"


async def test_the_higher_priority_goes_first_then_who_joined_first(still: World) -> None:
    booked = await book(still, await slots_of(still))
    first, second = await waiting(still), await waiting(still)
    urgent = await waiting(still, priority=9, reason="In pain.")
    order = []
    await still.do("cancel-appointment", appointment_id=booked.appointment_id)
    for entry in (urgent, first, second):
        offer = await offer_to(still, entry)
        order.append(bool(offer))
        await still.do("decline-offer", offer_id=offer["id"])
    assert order == [True, True, True]
    assert await still.pool.fetchval("select count(*) from offers where state = 'open'") == 0


async def test_an_offer_expires_to_the_next_and_at_last_the_seat_is_free(still: World) -> None:
    slots = await slots_of(still)
    one, other = await waiting(still), await waiting(still)
    assert await offer_to(still, one) and not await offer_to(still, other)
    still.forward(minutes=29)
    assert await waitlist.expire_offers(still.store) == 0
    still.forward(minutes=2)
    async with still.verify(*everybody(still)):
        assert await waitlist.expire_offers(still.store) == 1
    assert await offer_to(still, other) and await state_of(still, one) == "waiting"
    still.forward(minutes=31)
    await waitlist.expire_offers(still.store)
    assert await left_of(still, slots[0]) == 1 and await waitlist.look_for_marked(still.store) == 0
    assert (await still.ask("find-slots", doctor_id=[still.doctors[0]])).items


# What they are told


async def linked(world: World, entry: Any) -> str:
    """The secret of the link in the message that told of an offer."""
    row = await world.pool.fetchrow(
        "select secret from notices where kind = 'waitlist-offer' and cause like $1 order by id desc limit 1",
        f"waitlist:{entry.entry_id}/offer-%",
    )
    return notices.unmasked(row["secret"], world.store.secret_key)


async def someone(world: World) -> int:
    """A patient who can be reached."""
    new = {"name": "Sam Carter", "email": "sam@example.org", "phone": "+442079460958"}
    return int((await world.do("register-patient", confirm_new=True, **new)).patient.id)


async def test_an_offer_is_told_in_its_transaction_and_answered_by_its_link_alone(still: World) -> None:
    await slots_of(still)
    entry = await waiting(still, await someone(still))
    (notice,) = await written(still, kind="waitlist-offer")
    assert notice["channel"] == "email" and notice["worthless_at"] == (await offer_to(still, entry))["expires_at"]
    secret = await linked(still, entry)
    shown = await still.ask("offer-by-link", access.ANONYMOUS, secret=secret)
    assert shown.state == "open" and "Sam" not in shown.model_dump_json()
    booked = await still.do("accept-by-link", access.ANONYMOUS, secret=secret)
    assert booked.state == "confirmed" and (await written(still, kind="waitlist-offer"))[0]["state"] == "cancelled"
    with pytest.raises(errors.OfferAnswered):
        await still.do("accept-by-link", access.ANONYMOUS, secret=secret)
    assert (await still.ask("offer-by-link", access.ANONYMOUS, secret=secret)).state == "accepted"


async def test_a_secret_that_no_message_holds_opens_nothing(still: World) -> None:
    for name in ("accept-by-link", "decline-by-link"):
        with pytest.raises(errors.NotFound):
            await still.do(name, access.ANONYMOUS, secret="x" * 32)


async def test_accepting_after_the_end_gets_a_plain_answer_and_keeps_the_place(still: World) -> None:
    await slots_of(still)
    entry, other = await waiting(still, await someone(still)), await waiting(still)
    secret = await linked(still, entry)
    still.forward(minutes=31)
    for _ in range(2):  # before the worker comes, and after
        with pytest.raises(errors.OfferExpired):
            await still.do("accept-by-link", access.ANONYMOUS, secret=secret)
        await waitlist.expire_offers(still.store)
    assert await state_of(still, entry) == "waiting" and await offer_to(still, other)
    assert [one["state"] for one in await written(still, kind="waitlist-offer-ended")] == ["pending"]
    line = (await still.ask("search-waitlist", states=["waiting"])).items
    assert [one.entry for one in line] == [entry.entry_id]
