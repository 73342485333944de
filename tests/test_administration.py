"""The back office: places and settings, how they are told, what is inherited, and what cannot be closed."""

import asyncio
from typing import Any

import pytest

from server import access, errors, events, passwords
from server.access import Actor, Role
from server.app import create_app
from server.asks import validate
from server.config import Config
from tests.doors import Closed, person, served
from tests.world import BY_NAME, PASSWORD, World


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
        await world.do("edit-queue", "admin", queue_id=queue, department="Laboratory")
        await world.do("create-queue", "admin", location_id=world.location, name="X-ray", department="Imaging")
    rows = await world.fresh_rows(f"board:{queue}")
    assert rows["queue"]["name"] == "Blood tests" and rows["queue"]["doctor"] == "Dr. Amal"
    assert rows[f"t:{called.ticket.ticket}"]["desk"] == "Window 1"
    assert "location-changed" in await told(world, f"board:{queue}")
    queues = [row for key, row in (await world.fresh_rows(admin_of(world))).items() if key.startswith("queue:")]
    assert [one["department"] for one in queues] == ["Laboratory", "Imaging"]


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


async def test_location_is_closed_for_good_with_its_queues_desks_and_screens(world: World) -> None:
    queue = await world.queue()
    _, credential = await world.device()
    branch = await world.do("create-location", "admin", name="Branch")
    both = [world.location, branch.location]
    await world.do("edit-doctor", "admin", doctor_id=world.doctors[0], location_ids=both)
    streams = (admin_of(world), f"board:{queue}", f"staff:{queue}")
    async with world.verify(*streams):
        retired = await world.do("retire-location", "admin", location_id=world.location)
    assert retired.devices_revoked == 1
    assert await access.by_device(world.pool, credential) is None
    rows = await world.fresh_rows(admin_of(world))
    assert not [key for key in rows if key.startswith("queue:") or key == f"location:{world.location}"]
    assert rows[f"doctor:{world.doctors[0]}"]["locations"] == [branch.location]
    assert await world.fresh_rows(f"board:{queue}") == {}
    assert [one.name for one in (await world.ask("list-locations", "admin")).items] == ["Branch"]
    again = await world.do("create-location", "admin", name="Main waiting room")
    assert again.location != world.location and again.desks == []
    for command, ask in (
        ("retire-location", {}),
        ("edit-location", {"name": "Back"}),
        ("create-desk", {"name": "Room 9"}),
        ("create-queue", {"name": "Again"}),
        ("set-location-settings", {"token_digits": 2}),
    ):
        with pytest.raises(errors.NotFound):
            await world.do(command, "admin", location_id=world.location, **ask)


async def test_location_with_a_patient_or_with_somebody_who_works_nowhere_else_stays(world: World) -> None:
    ticket = (await world.join(await world.queue())).ticket_id
    for email, role in (("one@c.example", "receptionist"), ("two@c.example", "doctor")):
        await world.do("invite-user", "admin", email=email, name=email, role=role, location_ids=[world.location])
    with pytest.raises(errors.LocationInUse) as there:
        await world.do("retire-location", "admin", location_id=world.location)
    assert there.value.extra == {"tickets": 1, "appointments": 0, "people": 2}
    await world.do("cancel", ticket_id=ticket)
    branch = (await world.do("create-location", "admin", name="Branch")).location
    for row in await world.pool.fetch("select user_id from user_locations"):
        both = [world.location, branch]
        await world.do("edit-user", "admin", user_id=row["user_id"], location_ids=both)
    async with world.verify(admin_of(world)):
        await world.do("retire-location", "admin", location_id=world.location)
    left = await world.pool.fetch("select location_id from user_locations")
    assert [row["location_id"] for row in left] == [branch, branch]


async def test_location_that_is_joined_while_it_is_closed_for_good_keeps_nobody(world: World) -> None:
    for number in range(4):
        world.location = (await world.do("create-location", "admin", name=f"Branch {number}")).location
        queue = await world.queue()
        joined, retired = await asyncio.gather(
            world.join(queue),
            world.do("retire-location", "admin", location_id=world.location),
            return_exceptions=True,
        )
        assert isinstance(joined, errors.NotFound) or isinstance(retired, errors.LocationInUse)
        assert not (isinstance(joined, errors.Refusal) and isinstance(retired, errors.Refusal))


async def test_people_and_doctors_come_in_pages(world: World) -> None:
    for number in range(3):
        await world.do("create-doctor", "admin", name=f"Dr. {number}")
        email = f"{number}@c.example"
        await world.do("invite-user", "admin", email=email, name=email, role="receptionist")
    for query, key in (("list-doctors", "doctor"), ("list-users", "user")):
        whole = [getattr(one, key) for one in (await world.ask(query, "admin")).items]
        read: list[int] = []
        cursor = None
        while cursor is not None or not read:
            page = await world.ask(query, "admin", limit=2, cursor=cursor)
            read += [getattr(one, key) for one in page.items]
            cursor = page.next
            assert len(page.items) == 2 or cursor is None
        assert read == whole and len(read) >= 3
    other = (await world.ask("list-doctors", "admin", limit=1)).next
    with pytest.raises(errors.InvalidCursor):
        await world.ask("list-users", "admin", cursor=other)


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


# People


async def invited(world: World, role: str = "receptionist", **more: Any) -> tuple[int, Actor, str]:
    """Somebody new: their id, themselves with the link in hand, and their address."""
    email = f"{role}{len(await world.fresh_rows(admin_of(world)))}@clinic.example"
    reply = await world.do("invite-user", "admin", email=email, name="Noor Haddad", role=role, **more)
    actor = await access.by_invitation(world.pool, reply.link.rpartition("/")[2])
    assert actor is not None
    return reply.user_id, actor, email


async def joined_staff(world: World, role: str = "receptionist", **more: Any) -> tuple[int, str]:
    """Somebody new who has set their password: their id and address."""
    user, actor, email = await invited(world, role, **more)
    await world.do("accept-invitation", actor, password=PASSWORD)
    return user, email


async def signs_in(world: World, email: str) -> Actor:
    """A person in a new session."""
    return (await access.sign_in(world.pool, email, PASSWORD)).actor


async def test_each_step_of_an_account_adds_up_for_admins(world: World) -> None:
    await joined_staff(world, "admin")
    async with world.verify(admin_of(world)):
        user, actor, email = await invited(world, "doctor")
        await world.do("accept-invitation", actor, password=PASSWORD)
        await world.do("edit-user", "admin", user_id=user, name="Dr. Haddad", location_ids=[world.location])
        await world.do("edit-user", "admin", user_id=user, role="receptionist", location_ids=[])
        await world.do("edit-user", "admin", user_id=user, role="doctor", doctor_id=world.doctors[0])
        await world.do("deactivate-user", "admin", user_id=user)
        await world.do("activate-user", "admin", user_id=user)
        await world.do("reset-user", "admin", user_id=user)
    row = (await world.fresh_rows(admin_of(world)))[f"user:{user}"]
    assert (row["role"], row["doctor"], row["state"], row["email"]) == ("doctor", world.doctors[0], "invited", email)


async def test_invited_person_signs_in_once_the_link_has_set_a_password(world: World) -> None:
    user, actor, email = await invited(world, location_ids=[world.location])
    told = await world.ask("show-invitation", actor)
    assert (told.email, told.institution, told.role) == (email, world.name, "receptionist")
    with pytest.raises(errors.WrongSignIn):
        await signs_in(world, email)
    with pytest.raises(errors.WeakPassword):
        await world.do("accept-invitation", actor, password="noor.haddad")
    await world.do("accept-invitation", actor, password=PASSWORD)
    person = await signs_in(world, email)
    assert (person.id, person.role, person.location_ids) == (user, Role.receptionist, {world.location})
    for again in (world.do("accept-invitation", actor, password=PASSWORD), world.ask("show-invitation", actor)):
        with pytest.raises(errors.InvitationEnded):
            await again


async def test_two_who_accept_one_invitation_set_one_password(world: World) -> None:
    _, actor, email = await invited(world)
    words = ("correct horse battery", "staple orchard violin")
    answers = await asyncio.gather(
        *(world.do("accept-invitation", actor, password=word) for word in words), return_exceptions=True
    )
    assert sorted(isinstance(one, errors.InvitationEnded) for one in answers) == [False, True]
    kept = await world.pool.fetchval("select password_hash from users where email = $1", email)
    winner = next(word for word, one in zip(words, answers, strict=True) if not isinstance(one, Exception))
    assert [await passwords.fits(kept, word) for word in words] == [word == winner for word in words]


async def test_invitation_ends_after_a_week_with_a_newer_one_and_with_its_account(still: World) -> None:
    old, late = await invited(still), await invited(still, "doctor")
    still.forward(days=6, hours=23)
    await still.ask("show-invitation", late[1])
    await still.do("reset-user", "admin", user_id=old[0])
    put_out = await invited(still, "admin")
    await still.do("deactivate-user", "admin", user_id=put_out[0])
    still.forward(hours=1, seconds=1)
    for _, actor, _ in (old, late, put_out):
        with pytest.raises(errors.InvitationEnded):
            await still.do("accept-invitation", actor, password=PASSWORD)


async def test_admin_cannot_reach_above_or_beside_the_institution(world: World) -> None:
    theirs = await world.other()
    foreign, _ = await joined_staff(theirs)
    await world.account(Role.super_admin, "root@clinic.example")
    root = await world.pool.fetchval("select id from users where role = 'super_admin'")
    patient = (await world.join(await world.queue())).ticket_id
    record = await world.pool.fetchval("select patient_id from tickets where id = $1", patient)
    await world.account(Role.patient, "p@clinic.example", patient_id=record)
    account = await world.pool.fetchval("select id from users where role = 'patient'")
    for user in (foreign, root, account):
        for command in ("deactivate-user", "activate-user", "reset-user", "edit-user"):
            with pytest.raises(errors.NotFound):
                await world.do(command, "admin", user_id=user)
    for role in ("super_admin", "patient", "system"):
        with pytest.raises(errors.InvalidRequest):
            await world.do("invite-user", "admin", email="a@b.example", name="Eve", role=role)
    for ask in (
        {"role": "receptionist", "location_ids": [theirs.location]},
        {"role": "doctor", "doctor_id": theirs.doctors[0]},
    ):
        with pytest.raises(errors.NotFound):
            await world.do("invite-user", "admin", email="a@b.example", name="Eve", **ask)
    with pytest.raises(errors.NotFound):
        await world.do(
            "invite-user", "admin", email="a@b.example", name="Eve", role="admin", institution_id=theirs.institution
        )


async def test_address_and_doctor_have_one_account(world: World) -> None:
    await world.do("invite-user", "admin", email="Noor@Clinic.example", name="Noor", role="admin")
    await world.do("invite-user", "admin", email="d@c.example", name="D", role="doctor", doctor_id=world.doctors[0])
    for ask in (
        {"email": "noor@clinic.example", "role": "admin"},
        {"email": "e@c.example", "role": "doctor", "doctor_id": world.doctors[0]},
    ):
        with pytest.raises(errors.NameTaken):
            await world.do("invite-user", "admin", name="Noor", **ask)


async def test_last_admin_can_neither_leave_nor_step_down(world: World) -> None:
    user, email = await joined_staff(world, "admin")
    await invited(world, "admin")
    me = await signs_in(world, email)
    for command, ask in (("deactivate-user", {}), ("edit-user", {"role": "receptionist"}), ("reset-user", {})):
        with pytest.raises(errors.LastAdmin):
            await world.do(command, me, user_id=user, **ask)
    second, _ = await joined_staff(world, "admin")
    answers = await asyncio.gather(
        *(world.do("deactivate-user", me, user_id=one) for one in (user, second)), return_exceptions=True
    )
    assert sorted(isinstance(one, errors.LastAdmin) for one in answers) == [False, True]


async def test_sessions_end_with_role_locations_reset_and_account_but_not_with_a_name(world: World) -> None:
    await joined_staff(world, "admin")
    user, email = await joined_staff(world)
    for command, ask, ends in (
        ("edit-user", {"name": "Another Name"}, False),
        ("edit-user", {"location_ids": [world.location]}, True),
        ("edit-user", {"role": "admin"}, True),
        ("deactivate-user", {}, True),
    ):
        token = (await access.sign_in(world.pool, email, PASSWORD)).token
        await world.do(command, "super_admin", user_id=user, **ask)
        assert (await access.by_token(world.pool, token) is None) == ends, (command, ask)
    with pytest.raises(errors.WrongSignIn):
        await signs_in(world, email)


async def test_own_sessions_are_listed_and_ended_and_nobody_elses(world: World) -> None:
    user, email = await joined_staff(world)
    _, other_email = await joined_staff(world, "doctor")
    one, two, other = [await signs_in(world, address) for address in (email, email, other_email)]
    items = (await world.ask("list-sessions", one)).items
    assert [(item.session_id, item.current) for item in items] == [(two.session_id, False), (one.session_id, True)]
    with pytest.raises(errors.NotFound):
        await world.do("end-session", other, session_id=two.session_id)
    await world.do("end-session", one, session_id=two.session_id)
    assert [item.session_id for item in (await world.ask("list-user-sessions", "admin", user_id=user)).items] == [
        one.session_id
    ]
    await world.do("end-session", "admin", session_id=one.session_id)
    assert (await world.ask("list-sessions", one)).items == []
    with pytest.raises(errors.NotFound):
        await (await world.other()).do("end-session", "admin", session_id=other.session_id)


async def test_put_out_persons_socket_ends_at_once_on_another_server(postgres: Any, redis_server: Any) -> None:
    url = postgres.fresh()
    async with served(url, redis_server.fresh()) as house:
        world = house.world
        config = Config(database_url=url, redis_url=house.app.config.redis_url)
        queue = await world.queue()
        user, email = await joined_staff(world, "doctor", doctor_id=world.doctors[0])
        signed_in = await access.sign_in(world.pool, email, PASSWORD)
        peer = await house.knock(person(signed_in.token))
        await peer.follow(f"staff:{queue}")
        elsewhere = create_app(config)
        async with elsewhere._router.lifespan_context(elsewhere):
            assert elsewhere.store is not None
            actor = world.actors["admin"]
            command, ask = BY_NAME["edit-queue"], {"queue_id": queue, "doctors": [world.doctors[1]]}
            await elsewhere.store.execute(command, actor, validate(command.ask, ask))
            await peer.gone()
            back = await house.knock(person(signed_in.token))
            assert (await back.call("subscribe", {"stream": f"staff:{queue}"}))["problem"]["code"] == "not-allowed"
            command = BY_NAME["deactivate-user"]
            await elsewhere.store.execute(command, actor, validate(command.ask, {"user_id": user}))
            await back.gone()
        with pytest.raises(Closed):
            await house.knock(person(signed_in.token))
    postgres.drop(url)
