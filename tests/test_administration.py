"""The back office: places and settings, how they are told, what is inherited, and what cannot be closed."""

import asyncio
from typing import Any

import pytest

from server import errors, events
from server.access import Actor, Role
from tests.world import World


def admin_of(world: World) -> str:
    """The admin stream of the world's institution."""
    return f"admin:{world.institution}"


async def told(world: World, stream: str) -> list[str]:
    """The types of a stream's events."""
    return [type_ for _, type_, _ in await world.events(stream)]


# Places


async def test_each_change_of_places_adds_up_on_every_stream(world: World) -> None:
    queue = await world.queue()
    streams = (admin_of(world), f"board:{queue}", f"staff:{queue}")
    await world.join(queue)
    await world.join(queue)
    called = await world.call_next(queue)
    async with world.verify(*streams):
        await world.do("edit-institution", "admin", institution_id=world.institution, languages=["en", "ar"])
        await world.do("edit-location", "admin", location_id=world.location, name="Front hall", zone="Asia/Kolkata")
        await world.do("create-desk", "admin", location_id=world.location, name="Window 9")
        await world.do("edit-desk", "admin", desk_id=world.desks[0], name="Window 1")
        await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], name="Dr. Amal")
        await world.do("edit-queue", "admin", queue_id=queue, name="Blood tests", owner=world.doctors[0])
        await world.do("create-queue", "admin", location_id=world.location, name="X-ray", doctors=world.doctors)
    rows = await world.fresh_rows(f"board:{queue}")
    assert rows["queue"]["name"] == "Blood tests" and rows["queue"]["doctor"] == "Dr. Amal"
    assert rows[f"t:{called.ticket.ticket}"]["desk"] == "Window 1"
    assert "location-changed" in await told(world, f"board:{queue}")


async def test_new_institution_and_location_have_only_what_they_were_given(world: World) -> None:
    made = await world.do("create-institution", "super_admin", name="Hillside", zone="Asia/Dubai", languages=["ar"])
    root = world.actors["super_admin"]
    place = await world.do("create-location", root, institution_id=made.institution, name="Hall")
    assert (place.zone, place.desks) == (None, [])
    rows = await world.fresh_rows(f"admin:{made.institution}")
    assert set(rows) == {"institution", f"location:{place.location}"}
    assert [one.institution for one in (await world.ask("list-institutions", "admin")).items] == [world.institution]


async def test_desk_with_a_patient_stays_and_one_without_goes_for_good(world: World) -> None:
    queue = await world.queue()
    ticket = (await world.join(queue)).ticket_id
    await world.call_next(queue)
    with pytest.raises(errors.DeskInUse):
        await world.do("edit-desk", "admin", desk_id=world.desks[0], retired=True)
    await world.do("start", ticket_id=ticket)
    await world.do("complete", ticket_id=ticket)
    async with world.verify(admin_of(world), f"board:{queue}", f"staff:{queue}"):
        await world.do("edit-desk", "admin", desk_id=world.desks[0], retired=True)
    await world.join(queue)
    with pytest.raises(errors.DeskUnknown):
        await world.call_next(queue)
    with pytest.raises(errors.NotFound):
        await world.do("edit-desk", "admin", desk_id=world.desks[0], name="Back again")
    assert [one.id for one in (await world.ask("show-queue", queue_id=queue)).desks] == world.desks[1:]
    reused = await world.do("create-desk", "admin", location_id=world.location, name="Room 1")
    assert len(reused.desks) == len(world.desks)


async def test_queue_with_patients_stays_and_one_without_leaves_every_list_and_board(world: World) -> None:
    queue, other = await world.queue("Walk-in"), await world.queue("Other")
    ticket = (await world.join(queue)).ticket_id
    with pytest.raises(errors.QueueInUse) as kept:
        await world.do("retire-queue", "admin", queue_id=queue)
    assert kept.value.extra == {"tickets": 1}
    await world.call_next(queue)
    await world.do("no-show", ticket_id=ticket)
    async with world.verify(admin_of(world), f"board:{queue}", f"staff:{queue}", f"board:{other}"):
        await world.do("retire-queue", "admin", queue_id=queue)
    assert await world.fresh_rows(f"board:{queue}") == {}
    assert (await told(world, f"board:{other}"))[-1] == "location-changed"
    assert [one.id for one in (await world.ask("list-queues")).items] == [other]
    for command, ask in (
        ("join-queue", {"queue_id": queue, "patient": {"name": "Late"}}),
        ("return-ticket", {"ticket_id": ticket}),
        ("edit-queue", {"queue_id": queue, "name": "Again"}),
        ("retire-queue", {"queue_id": queue}),
    ):
        with pytest.raises(errors.NotFound):
            await world.do(command, "admin", **ask)
    assert await world.queue("Walk-in") != queue, "its name is free again"


async def test_queue_that_is_joined_while_it_is_closed_for_good_keeps_nobody(world: World) -> None:
    for number in range(6):
        queue = await world.queue(f"Queue {number}")
        joined, retired = await asyncio.gather(
            world.join(queue), world.do("retire-queue", "admin", queue_id=queue), return_exceptions=True
        )
        assert isinstance(joined, errors.NotFound) or isinstance(retired, errors.QueueInUse)
        assert not (isinstance(joined, errors.Refusal) and isinstance(retired, errors.Refusal))


async def test_renamed_queue_is_told_to_its_patients(world: World) -> None:
    queue = await world.queue()
    ticket = (await world.join(queue)).ticket_id
    patient = await world.pool.fetchval("select patient_id from tickets where id = $1", ticket)
    await world.account(Role.patient, "p@clinic.example", patient_id=patient)
    async with world.verify(f"patient:{patient}"):
        await world.do("edit-queue", "admin", queue_id=queue, name="Blood tests")
    assert (await world.fresh_rows(f"patient:{patient}"))[f"t:{ticket}"]["queue_name"] == "Blood tests"


async def test_doctor_who_is_taken_off_a_queue_serves_it_no_more(world: World) -> None:
    queue = await world.queue()
    await world.join(queue)
    await world.do("edit-queue", "admin", queue_id=queue, doctors=[world.doctors[1]])
    with pytest.raises(errors.NotAllowed):
        await world.call_next(queue)
    await world.call_next(queue, actor="doctor2")


async def test_names_are_taken_once(world: World) -> None:
    await world.queue("Walk-in")
    for command, ask in (
        ("create-institution", {"name": world.name}),
        ("create-location", {"institution_id": world.institution, "name": "Main waiting room"}),
        ("create-desk", {"location_id": world.location, "name": "Room 1"}),
        ("create-queue", {"location_id": world.location, "name": "Walk-in"}),
    ):
        with pytest.raises(errors.NameTaken):
            await world.do(command, "super_admin", **ask)


async def test_nothing_of_another_institution_is_named(world: World) -> None:
    theirs = await world.other()
    queue, foreign = await world.queue(), await theirs.queue()
    for command, ask in (
        ("create-queue", {"location_id": world.location, "name": "New", "doctors": theirs.doctors}),
        ("create-queue", {"location_id": world.location, "name": "New", "owner": theirs.doctors[0]}),
        ("create-queue", {"location_id": theirs.location, "name": "New"}),
        ("edit-queue", {"queue_id": queue, "doctors": theirs.doctors}),
        ("edit-queue", {"queue_id": foreign, "name": "Ours"}),
        ("edit-desk", {"desk_id": theirs.desks[0], "name": "Ours"}),
        ("edit-doctor", {"doctor_id": theirs.doctors[0], "name": "Ours"}),
        ("create-location", {"institution_id": theirs.institution, "name": "Ours"}),
        ("set-institution-settings", {"institution_id": theirs.institution, "max_length": 1}),
        ("set-location-settings", {"location_id": theirs.location, "max_length": 1}),
    ):
        with pytest.raises(errors.NotFound):
            await world.do(command, "admin", **ask)


# Locations that people are limited to


async def test_receptionist_of_one_location_works_no_other(world: World) -> None:
    here, there = await world.queue("Here"), (await world.do("create-location", "admin", name="Branch")).location
    away = (await world.do("create-queue", "admin", location_id=there, name="Away", doctors=world.doctors)).queue
    limited = Actor(Role.receptionist, 9_001, world.institution, location_ids=frozenset({world.location}))
    await world.do("join-queue", limited, queue_id=here, patient={"name": "Near"})
    for ask in (world.do("join-queue", limited, queue_id=away, patient={"name": "Far"}),
                world.ask("show-queue", limited, queue_id=away)):  # fmt: skip
        with pytest.raises(errors.NotAllowed):
            await ask
    assert [one.id for one in (await world.ask("list-queues", limited)).items] == [here]
    assert [one.location for one in (await world.ask("list-locations", limited)).items] == [world.location]
    from server import access

    joins = [
        await access.may_join(world.pool, limited, stream(one))
        for stream in (events.board, events.staff, events.shown)
        for one in (here, away)
    ]  # type: ignore[operator]
    assert joins == [True, False] * 3


# Settings


async def shown(world: World, level: str, id_: int) -> Any:
    """The settings of a level."""
    return await world.ask(f"show-{level}-settings", "admin", **{f"{level}_id": id_})


async def test_value_is_inherited_until_it_is_set_and_again_once_it_is_reset(world: World) -> None:
    queue = await world.queue()
    before = await shown(world, "queue", queue)
    assert (before.origin["order"], before.origin["max_length"]) == ("default", "institution")
    assert before.origin["token_prefix"] == "queue" and before.own == {"token_prefix": "A"}
    await world.do("set-institution-settings", "admin", institution_id=world.institution, token_digits=4)
    await world.do("set-location-settings", "admin", location_id=world.location, token_digits=5)
    await world.do("set-queue-settings", "admin", queue_id=queue, token_digits=6)
    steps = []
    for command, of in (
        ("set-queue-settings", {"queue_id": queue}),
        ("set-location-settings", {"location_id": world.location}),
        ("set-institution-settings", {"institution_id": world.institution}),
    ):
        now = await shown(world, "queue", queue)
        steps.append((now.effective.token_digits, now.origin["token_digits"]))
        await world.do(command, "admin", **of, token_digits=None)
    now = await shown(world, "queue", queue)
    steps.append((now.effective.token_digits, now.origin["token_digits"]))
    assert steps == [(6, "queue"), (5, "location"), (4, "institution"), (3, "default")]
    assert now.own == before.own


@pytest.mark.parametrize("level", ["institution", "location"])
async def test_change_above_reaches_boards_and_order_below_where_it_counts(world: World, level: str) -> None:
    heir, own = await world.queue("Heir"), await world.queue("Own", order="urgent_first", show_waits=True)
    for queue in (heir, own):
        await world.join(queue, "First")
        await world.join(queue, "Second")
        await world.join(queue, "Urgent", urgency="urgent")
    of = {f"{level}_id": getattr(world, level)}
    streams = [f"{kind}:{queue}" for kind in ("board", "staff") for queue in (heir, own)]
    seen = len(await world.events(f"board:{own}"))
    assert (await world.order(heir))[0][-1] == "3"
    async with world.verify(admin_of(world), *streams):
        await world.do(f"set-{level}-settings", "admin", **of, order="fifo", show_waits=False)
    assert [one[-1] for one in await world.order(heir)] == ["1", "2", "3"]
    assert [one[-1] for one in await world.order(own)] == ["3", "1", "2"]
    assert (await world.fresh_rows(f"board:{heir}"))["queue"]["waits"] == []
    assert (await told(world, f"board:{heir}"))[-1] == "queue-updated"
    assert len(await world.events(f"board:{own}")) == seen, "nothing has changed for it"
    assert (await told(world, admin_of(world)))[-1] == "settings-changed"


async def test_settings_change_while_somebody_is_called_leaves_streams_and_rows_in_one_mind(world: World) -> None:
    queue = await world.queue()
    for _ in range(8):
        await world.join(queue)
    async with world.verify(f"board:{queue}", f"staff:{queue}", admin_of(world)):
        await asyncio.gather(
            *(world.call_next(queue, desk) for desk in range(3)),
            world.do("set-institution-settings", "admin", institution_id=world.institution, order="scored"),
            world.do("set-location-settings", "admin", location_id=world.location, order="fifo"),
            world.do("set-queue-settings", "admin", queue_id=queue, max_length=70),
            world.do("create-queue", "admin", location_id=world.location, name="New"),
            world.do("edit-institution", "admin", institution_id=world.institution, zone="Asia/Dubai"),
        )


async def test_wrong_values_are_refused_at_every_level(world: World) -> None:
    for command, ask in (
        ("set-institution-settings", {"institution_id": world.institution, "max_length": 0}),
        ("set-location-settings", {"location_id": world.location, "colour": "blue"}),
        ("edit-institution", {"institution_id": world.institution, "zone": "Mars/Olympus"}),
        ("edit-institution", {"institution_id": world.institution, "languages": []}),
        ("edit-institution", {"institution_id": world.institution, "languages": ["en", "en"]}),
        ("create-location", {"name": " "}),
    ):
        with pytest.raises(errors.InvalidRequest):
            await world.do(command, "admin", **ask)
