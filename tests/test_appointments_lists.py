"""Lists, days, figures, spreadsheets and the story of one appointment."""

import csv
import io
from datetime import date, timedelta
from typing import Any

from server.access import Actor, Role
from tests.clinic import account_of, book, now, patient_of, set_booking, slots_of, visit_type_of
from tests.world import World, refused


async def numbers(world: World, actor: Any = "receptionist", **ask: Any) -> list[str]:
    """The numbers that a search finds, without what they all begin with."""
    found = await world.ask("search-appointments", actor, **ask)
    return [one.appointment.number[-4:] for one in found.items]


async def three(world: World) -> list[Any]:
    """Three appointments: two of the first doctor, one of the second, of three patients."""
    names = ("Ada Marsh", "Bo Kell", "Cy Tern")
    visit = await visit_type_of(world)
    return [
        await book(world, await slots_of(world, doctor, after=timedelta(days=days)),
                   patient_id=await patient_of(world, name), visit_type_id=visit if days == 2 else None,
                   source="phone" if days == 3 else "reception")
        for name, doctor, days in zip(names, (0, 0, 1), (2, 3, 4), strict=True)
    ]  # fmt: skip


async def test_every_filter_narrows(still: World) -> None:
    booked = await three(still)
    await still.do("cancel-appointment", appointment_id=booked[1].appointment_id)
    await still.do("set-payment", appointment_id=booked[2].appointment_id, payment="paid")
    assert await numbers(still) == ["0001", "0002", "0003"]
    assert await numbers(still, order="latest") == ["0003", "0002", "0001"]
    assert await numbers(still, doctor_ids=[still.doctors[0]]) == ["0001", "0002"]
    assert await numbers(still, doctor_ids=still.doctors) == ["0001", "0002", "0003"]
    assert await numbers(still, states=["cancelled"]) == ["0002"]
    assert await numbers(still, payment="paid") == ["0003"]
    assert await numbers(still, source="phone") == ["0002"]
    assert await numbers(still, from_day="2026-03-05", to_day="2026-03-05") == ["0002"]
    visit = await still.pool.fetchval("select id from visit_types")
    assert await numbers(still, visit_type_ids=[visit]) == ["0001"]
    assert await numbers(still, location_ids=[still.location]) == ["0001", "0002", "0003"]
    assert await numbers(still, kind="walk_in") == [] and await numbers(still, mode="online") == []


async def test_a_text_finds_the_patient_or_the_number(still: World) -> None:
    booked = await three(still)
    assert await numbers(still, text="kell") == ["0002"]
    assert await numbers(still, text=booked[2].number) == ["0003"]
    assert await numbers(still, text="apt-2026") == ["0001", "0002", "0003"]
    assert await numbers(still, text="nobody at all") == []


async def test_pages_go_on_where_the_last_one_ended(still: World) -> None:
    await three(still)
    for order in ("soonest", "latest"):
        seen, cursor = [], None
        while True:
            page = await still.ask(
                "search-appointments", limit=1, order=order, **({"cursor": cursor} if cursor else {})
            )
            seen += [one.appointment.number[-4:] for one in page.items]
            if (cursor := page.next) is None:
                break
        assert sorted(seen) == ["0001", "0002", "0003"] and (seen[0] == "0001") is (order == "soonest")
    await refused("invalid-cursor", still.ask("search-appointments", cursor="bm9uc2Vuc2U", order="latest"))


async def test_doctors_see_their_own_and_the_desk_what_is_at_its_locations(still: World) -> None:
    await three(still)
    assert await numbers(still, "doctor") == ["0001", "0002"]
    assert await numbers(still, "doctor2") == ["0003"]
    await refused("not-allowed", still.ask("search-appointments", "doctor", doctor_ids=[still.doctors[1]]))
    elsewhere = Actor(Role.receptionist, 99, still.institution, location_ids=frozenset({2**40}))
    assert await numbers(still, elsewhere) == []
    await refused("not-allowed", still.ask("search-appointments", elsewhere, location_ids=[still.location]))
    other = await still.other()
    assert await numbers(other) == []


async def test_today_upcoming_and_past_are_told_by_the_clinics_day(still: World) -> None:
    patient = await patient_of(still)
    actor = await account_of(still, patient)
    today = await book(still, await slots_of(still, after=timedelta(hours=3)), patient_id=patient)
    later = await book(still, await slots_of(still, after=timedelta(days=3)), patient_id=patient)
    still.forward(hours=8)

    async def mine(when: str) -> list[str]:
        return [one.number for one in (await still.ask("my-appointments", actor, when=when)).items]

    assert (await mine("today"), await mine("upcoming"), await mine("past")) == (
        [today.number],
        [later.number],
        [today.number],
    )


async def test_a_doctors_day_has_appointments_and_requests_apart(still: World) -> None:
    await book(still, await slots_of(still))
    await set_booking(still, auto_confirm_appointments=False)
    await book(still, await slots_of(still, after=timedelta(days=2, hours=1)))
    day = await still.ask("doctors-day", "doctor", doctor_id=still.doctors[0], date="2026-03-04")
    assert (len(day.appointments), len(day.requests), day.zone) == (1, 1, "Europe/London")
    empty = await still.ask("doctors-day", doctor_id=still.doctors[0])
    assert empty.date == date(2026, 3, 2) and empty.appointments == []
    await refused("not-allowed", still.ask("doctors-day", "doctor2", doctor_id=still.doctors[0]))


async def test_figures_count_every_state_once(still: World) -> None:
    booked = await three(still)
    await still.do("cancel-appointment", appointment_id=booked[1].appointment_id)
    await still.do("set-payment", appointment_id=booked[0].appointment_id, payment="paid", fee="30")
    figures = await still.ask("appointment-statistics", from_day="2026-03-01", to_day="2026-03-31")
    assert figures.total == 3 and {one.of: one.count for one in figures.states} == {"confirmed": 2, "cancelled": 1}
    assert {one.of: one.count for one in figures.doctors} == {"Dr. Ames": 2, "Dr. Bloch": 1}
    assert {one.of: one.count for one in figures.days} == {"2026-03-04": 1, "2026-03-05": 1, "2026-03-06": 1}
    assert [(one.of, one.count) for one in figures.cancelled_by] == [("staff", 1)]
    assert (figures.fees, figures.paid, figures.no_show_rate) == ("30.00", "30.00", None)
    own = await still.ask("appointment-statistics", "doctor2", from_day="2026-03-01", to_day="2026-03-31")
    assert own.total == 1


async def test_the_spreadsheet_opens_right_and_runs_nothing(still: World) -> None:
    patient = await patient_of(still, "=HYPERLINK(1) Müller")
    for number, reason in enumerate(("=1+1", " @SUM(A1)", "+49", "-2", "\tcmd", 'a "quoted", line\nbreak')):
        slots = await slots_of(still, after=timedelta(days=2 + number))
        await book(still, slots, patient_id=patient, reason=reason, insist=True)
    file = await still.ask("export-appointments")
    assert file.content.startswith("\ufeff") and file.kind == "text/csv"
    rows = list(csv.reader(io.StringIO(file.content.removeprefix("\ufeff"))))
    assert len(rows) == 7 and all(len(row) == len(rows[0]) for row in rows)
    cells = [one for row in rows[1:] for one in row]
    assert not [one for one in cells if one.lstrip()[:1] in ("=", "+", "-", "@")]
    assert any("Müller" in one for one in cells)
    viewed = await still.pool.fetchval("select patients from audit where action = 'export-appointments'")
    assert viewed == [patient]


async def test_the_trail_tells_who_did_what_through_every_move(still: World) -> None:
    booked = await book(still, await slots_of(still))
    later = await slots_of(still, after=timedelta(days=4))
    moved = await still.do("reschedule-appointment", appointment_id=booked.appointment_id, slot_ids=later)
    await still.do("cancel-appointment", "admin", appointment_id=moved.appointment_id, reason="Ill")
    for asked in (booked, moved):
        story = await still.ask("appointment-history", appointment_id=asked.appointment_id)
        assert [(one.action, one.number[-4:]) for one in story.items] == [
            ("book-appointment", "0001"),
            ("reschedule-appointment", "0002"),
            ("reschedule-appointment", "0001"),
            ("cancel-appointment", "0002"),
        ]
    last = story.items[-1]
    assert last.before and last.before["state"] == "confirmed"
    assert last.after == {"state": "cancelled", "cancelled_by": "staff", "cancel_reason": "Ill"}
    assert last.actor == still.actors["admin"].key and last.at <= now(still)
