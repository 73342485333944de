"""Patients: registered once, found as somebody types, corrected everywhere at once; reception's overview and links."""

import asyncio
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import access, errors
from server.access import Role
from server.patients import spelling
from tests.doors import Closed, Somebody, holder, served
from tests.world import BY_NAME, World, refused


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


# Found again


PEOPLE = [
    "Zoë Fitzgerald-Łukasiewicz",
    "Nguyễn Thị Minh Khai",
    "Seán O'Donoghue",
    "Jürgen Großmann",
    "محمد عبد الرحمن السيد",
    "राजेश कुमार शर्मा",
    "Αλέξανδρος Παπαδόπουλος",
    "Дмитрий Соловьёв",
    "Anastasia Abercrombie-Wolfenstein",
]
LETTERS = st.characters(categories=("Ll", "Lu"), max_codepoint=0x24F)


async def test_patient_is_found_by_any_beginning_of_any_word(world: World) -> None:
    for name in PEOPLE:
        await register(world, name)
        for word in name.split():
            for end in range(3, len(word) + 1):
                assert name in await names(world, word[:end], limit=50), word[:end]


async def test_patient_is_found_without_accents_in_any_order_and_case(world: World) -> None:
    for name in PEOPLE:
        await register(world, name)
        bare = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
        asked = [bare, bare.upper(), bare.replace("Ł", "L"), " ".join(reversed(name.split()))]
        asked += [unicodedata.normalize("NFD", name), name.replace("'", "").replace("-", " "), f" {name}\u200f "]
        assert [(await names(world, one))[:1] for one in asked] == [[name]] * len(asked)


async def test_patient_is_found_with_any_one_letter_wrong(world: World) -> None:
    for name in PEOPLE:
        await register(world, name)
    for name in PEOPLE:
        for at in [at for at, one in enumerate(name) if unicodedata.category(one)[0] == "L"]:
            for slip in (name[:at] + "x" + name[at + 1 :], name[:at] + name[at + 1 :], name[:at] + "x" + name[at:]):
                assert (await names(world, slip))[:1] == [name], slip


@given(name=st.lists(st.text(LETTERS, min_size=4, max_size=16), min_size=1, max_size=4).map(" ".join), data=st.data())
def test_every_slip_of_a_finger_shares_a_key_with_the_name(name: str, data: st.DataObject) -> None:
    keys = set(spelling.keys_of(name, None))
    for word in [one for one in spelling.words(name) if len(one) > 2]:
        at = data.draw(st.integers(0, len(word) - 1))
        letter = data.draw(st.sampled_from("abcxyzø"))
        for slip in (word[:at] + letter + word[at + 1 :], word[:at] + word[at + 1 :], word[:at] + letter + word[at:]):
            assert spelling.near(slip) & keys
            assert spelling.one_off(slip, word) and spelling.one_off(word, slip)
        assert f"^{word[:at]}"[:13] in keys or at == 0


@pytest.mark.parametrize(
    ("kept", "asked"),
    [
        ("Mohammed Hussein", "muhamad husain"),
        ("Catherine Smith", "kathryn smyth"),
        ("Stephen Gonzales", "steven gonzalez"),
        ("Maryann Jones", "mary ann"),
        ("عبد الرحمن", "رحمن"),
        ("فاطمة الزهراء", "فاطمه"),
    ],
)
async def test_name_is_found_as_it_sounds_or_is_written_elsewhere(world: World, kept: str, asked: str) -> None:
    await register(world, kept)
    await register(world, "Somebody Else")
    assert await names(world, asked) == [kept]


@pytest.mark.parametrize("phone", ["+44 20 7946 0958", "020 7946-0958", "(020) 79460958", "٠٢٠٧٩٤٦٠٩٥٨"])
async def test_patient_is_found_by_the_last_digits_of_the_phone_however_it_was_written(
    world: World, phone: str
) -> None:
    kept = await register(world, "Ada", phone=phone.replace("(", "").replace(")", ""))
    await register(world, "Ben", phone="+44 20 7946 1111")
    digits = spelling.digits(kept.phone)
    tails = [digits[-length:] for length in range(4, len(digits) + 1)]
    asked = [*tails, "7946 0958", "+44 20 7946 0958", "0044 20 79460958", "020 7946 0958", "٠٩٥٨"]
    assert [await names(world, one) for one in asked] == [["Ada"]] * len(asked)


async def test_search_shows_nothing_of_another_institution(world: World) -> None:
    other = await world.other()
    await register(other, "Ada Byron", phone="020 7946 0958", birth_date="1990-01-02")
    for q in ("ada", "adx byron", "0958", "P000001", "1990-01-02", "1990", "byrom"):
        assert await names(world, q) == []
        assert await names(other, q) == ["Ada Byron"]
    await refused(errors.NotFound, world.ask("search-patients", q="ada", institution_id=other.institution))
    await refused(errors.InvalidRequest, world.ask("search-patients", "super_admin", q="ada"))
    assert await names(world, "ada", actor="super_admin", institution_id=other.institution) == ["Ada Byron"]


async def test_best_match_comes_first(world: World) -> None:
    for name in ("Marianne Moore", "Maria Marin", "Mar Silva", "Omar Diaz", "Lamar Odom"):
        await register(world, name)
    assert await names(world, "mar", limit=3) == ["Mar Silva", "Maria Marin", "Marianne Moore"]
    for _ in range(250):
        await register(world, "Marta Common")
    assert (await names(world, "mar"))[0] == "Mar Silva", "however many others begin so"


# Hostile names

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(1)",
    "'; drop table patients; --",
    "%' or 1=1 _ \\",
    "Ada{{7*7}}${7*7}",
    "a" * 200,
    "a " * 99 + "a",
    "Z" + "\u0301" * 150,
    "😀 🏥",
    "a\u200db\u200cc",
]


async def test_hostile_names_are_kept_as_written_and_do_nothing(world: World) -> None:
    for name in HOSTILE:
        kept = await register(world, name)
        assert kept.name == unicodedata.normalize("NFC", name)
        await world.ask("search-patients", q=name)
        assert (await names(world, name[:60], limit=50)).count(kept.name) == (1 if spelling.words(name) else 0)
    assert await world.pool.fetchval("select max(cardinality(found_by)) from patients") < 400


@pytest.mark.parametrize(
    "name", ["\u0301\u0302", "\u200b\u200f", "\u202e", " \u2029 ", "", "a" * 201, "a" * 10_000, "a\x07"]
)
async def test_name_that_shows_nothing_or_too_much_is_refused(world: World, name: str) -> None:
    refusal = await refused(errors.InvalidRequest, world.do("register-patient", name=name))
    assert refusal.extra["errors"][0]["pointer"] == "/name"
    assert not name or name not in str(errors.problem(refusal))


async def test_marks_that_turn_text_around_are_left_out(world: World) -> None:
    kept = await register(world, "Ada \u202eByron\u202c\u200b  \u2067Lovelace\u2069")
    assert kept.name == "Ada Byron Lovelace"
    assert await names(world, "\u202eada\u200b") == ["Ada Byron Lovelace"]


@pytest.mark.parametrize("q", ["\u0301", "   ", "😀", "\u202e", "%", "_", "'", "P", "+", "0", "(" * 200, "1" * 200])
async def test_search_for_nothing_finds_nobody(world: World, q: str) -> None:
    await register(world, "Ada", phone="020 7946 0958")
    assert await names(world, q) == []


# Registered once


@pytest.mark.parametrize(
    "again",
    [
        {"name": "Ada Byron", "birth_date": "1990-01-02"},
        {"name": "Byron, Adá", "birth_year": 1990},
        {"name": "Ada Bryon", "birth_date": "1990-01-02"},
        {"name": "Somebody Quite Else", "phone": "+44 20 7946 0958"},
        {"name": "ada byron"},
    ],
)
async def test_whoever_may_be_there_already_is_proposed(world: World, again: dict[str, Any]) -> None:
    there = await register(world, "Ada Byron", phone="020 7946 0958", birth_date="1990-01-02")
    refusal = await refused(errors.PossibleDuplicate, world.do("register-patient", **again))
    assert [one["id"] for one in refusal.extra["candidates"]] == [there.id]
    anyway = await world.do("register-patient", **again, confirm_new=True)
    assert [one.id for one in anyway.duplicates] == [there.id] and anyway.patient.id != there.id


@pytest.mark.parametrize(
    "new",
    [
        {"name": "Ada Byron", "birth_date": "1990-01-03"},
        {"name": "Ada Byron", "birth_year": 1991},
        {"name": "Ben Byron", "birth_date": "1990-01-02"},
        {"name": "Charles Babbage", "phone": "020 7946 0959"},
        {"name": "Ada"},
    ],
)
async def test_somebody_else_is_registered_at_once(world: World, new: dict[str, Any]) -> None:
    await register(world, "Ada Byron", phone="020 7946 0958", birth_date="1990-01-02")
    other = await world.other()
    await register(other, "Ada", phone="020 7946 0959")
    assert (await world.do("register-patient", **new)).duplicates == []


async def test_two_desks_that_register_one_person_at_once_make_one_record(world: World) -> None:
    tries = [world.do("register-patient", name="Ada Byron", birth_year=1990) for _ in range(6)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(one).__name__ for one in answers) == ["PossibleDuplicate"] * 5 + ["Registered"]


async def test_without_its_turn_the_second_desk_would_not_know(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.patients.records.HOLD_NUMBERS", "select id from institutions where id = $1")
    made = 0
    for turn in range(20):
        tries = [world.do("register-patient", name=f"Ada {turn} Byron", birth_year=1900 + turn) for _ in range(6)]
        made += sum(not isinstance(one, Exception) for one in await asyncio.gather(*tries, return_exceptions=True))
        if made > turn + 1:
            return
    pytest.fail("the race never showed, so the test above proves nothing")


async def test_nobody_is_born_tomorrow(still: World) -> None:
    for born in ({"birth_date": "2026-03-04"}, {"birth_year": 2027}, {"birth_date": "1990-01-02", "birth_year": 1991}):
        await refused(errors.InvalidRequest, still.do("register-patient", name="Ada", **born))
    assert (await register(still, "Ada", birth_date="2026-03-02")).birth_year == 2026


# Corrected


async def test_correction_reaches_every_queue_that_shows_the_patient(world: World) -> None:
    patient = await register(world, "Ada Biron", birth_year=1990)
    queues = [await world.queue(name) for name in ("One", "Two", "Three")]
    for queue in queues:
        await world.do("join-queue", queue_id=queue, patient_id=patient.id)
    await world.call_next(queues[0])
    await world.do("no-show", ticket_id=(await world.call_next(queues[1], 1)).ticket.ticket)
    async with world.verify(*(f"{kind}:{queue}" for queue in queues for kind in ("board", "staff"))):
        after = await world.do("correct-patient", patient_id=patient.id, name="Ada Byron", birth_date="1991-05-06")
    assert (after.name, after.birth_year, after.number) == ("Ada Byron", 1991, patient.number)
    for queue in queues:
        (row,) = [row for key, row in (await world.fresh_rows(f"staff:{queue}")).items() if key.startswith("t:")]
        assert (row["patient"]["name"], row["patient"]["birth_date"]) == ("Ada Byron", "1991-05-06")
    assert await names(world, "byron") == ["Ada Byron"]
    assert "Byron" not in str(await world.events(f"board:{queues[0]}"))


async def test_correction_changes_what_is_given_and_nothing_else(world: World) -> None:
    patient = await register(world, "Ada", phone="020 7946 0958", birth_date="1990-01-02")

    async def corrected(**given: Any) -> tuple[Any, ...]:
        after = await world.do("correct-patient", patient_id=patient.id, **given)
        return after.name, after.phone, str(after.birth_date), after.birth_year

    assert await corrected(name="Eda") == ("Eda", "020 7946 0958", "1990-01-02", 1990)
    assert await corrected(phone=None) == ("Eda", None, "1990-01-02", 1990)
    assert await corrected(birth_year=1991) == ("Eda", None, "None", 1991)
    assert await corrected(birth_date="1992-03-04") == ("Eda", None, "1992-03-04", 1992)
    assert await corrected(birth_date=None) == ("Eda", None, "None", 1992)
    for wrong in ({}, {"name": ""}, {"name": None}, {"birth_date": "2300-01-01"}, {"number": "P000009"}):
        await refused(errors.InvalidRequest, world.do("correct-patient", patient_id=patient.id, **wrong))
    assert await names(world, "0958") == []


async def test_correction_and_joining_at_once_leave_every_stream_right(world: World) -> None:
    queues = [await world.queue(f"Queue {number}") for number in range(4)]
    for turn in range(5):
        patient = await register(world, f"Ada {turn}")
        streams = [f"staff:{queue}" for queue in queues]
        async with world.verify(*streams):
            joins = [world.do("join-queue", queue_id=queue, patient_id=patient.id) for queue in queues]
            edits = [world.do("correct-patient", patient_id=patient.id, name=f"Eda {turn} {one}") for one in range(2)]
            answers = await asyncio.gather(*joins, *edits, return_exceptions=True)
        assert not [one for one in answers if isinstance(one, Exception) and not isinstance(one, errors.Unavailable)]


# The whole record


async def test_record_shows_active_tickets_and_past_visits(world: World) -> None:
    patient = await register(world, "Ada", birth_year=1990)
    queue, other = await world.queue(), await world.queue("Other")
    for _ in range(3):
        await world.do("join-queue", queue_id=queue, patient_id=patient.id)
        await world.do("complete", ticket_id=(await world.call_next(queue)).ticket.ticket)
    await world.do("join-queue", queue_id=other, patient_id=patient.id, reason="Cough")
    shown = await world.ask("show-patient", patient_id=patient.id, limit=2)
    assert shown.patient == patient
    assert [(one.queue, one.state, one.reason) for one in shown.active] == [("Other", "waiting", "Cough")]
    assert [(one.token, one.state, one.doctor) for one in shown.visits] == [
        ("A003", "completed", "Dr. Ames"),
        ("A002", "completed", "Dr. Ames"),
    ]
    rest = await world.ask("show-patient", patient_id=patient.id, limit=2, cursor=shown.next)
    assert [one.token for one in rest.visits] == ["A001"] and rest.next is None


async def test_another_institutions_patient_is_not_there(world: World) -> None:
    other = await world.other()
    foreign = (await register(other, "Ada")).id
    for id_ in (foreign, 2**40):
        await refused(errors.NotFound, world.ask("show-patient", patient_id=id_))
        await refused(errors.NotFound, world.do("correct-patient", patient_id=id_, name="Eda"))
    assert (await world.ask("show-patient", "super_admin", patient_id=foreign)).patient.name == "Ada"


# Links


async def test_new_link_cuts_whoever_holds_the_old_one_and_nobody_else(database_url: str, redis_url: str) -> None:
    async with served(database_url, redis_url) as house:
        queue = await house.world.queue()
        joined, other = await house.world.join(queue), await house.world.join(queue)
        old, neighbour = await house.knock(holder(joined)), await house.knock(holder(other))
        reception = await house.sign_in(Role.receptionist)
        answer = await house.ask(BY_NAME["renew-link"], reception, {"ticket_id": joined.ticket_id})
        await asyncio.wait_for(old.reading, 5)
        secret = answer.json()["link"].rpartition("/")[2]
        new = await house.knock(Somebody(auth={"ticket": secret}))
        for peer in (new, neighbour):
            assert "ok" in await peer.call("subscribe", {"stream": f"board:{queue}"})
        with pytest.raises(Closed):
            await house.knock(holder(joined))


async def test_link_is_renewed_after_a_transfer_and_never_for_a_ticket_that_is_over(world: World) -> None:
    queue, target = await world.queue(), await world.queue("Other")
    joined = await world.join(queue)
    moved = await world.do("transfer", ticket_id=joined.ticket_id, queue_id=target)
    refusal = await refused(errors.WrongState, world.do("renew-link", ticket_id=joined.ticket_id))
    assert refusal.extra["state"] == "transferred"
    secrets = [joined.link, (await world.do("renew-link", ticket_id=moved.ticket.ticket)).link]
    found = [await access.by_ticket(world.pool, link.rpartition("/")[2]) for link in secrets]
    assert [one and one.id for one in found] == [None, moved.ticket.ticket]
    await world.do("cancel", ticket_id=moved.ticket.ticket)
    await refused(errors.WrongState, world.do("renew-link", ticket_id=moved.ticket.ticket))


# The location at a glance


async def test_overview_tells_of_each_queue_of_the_location_and_no_other(still: World) -> None:
    queue, own = await still.queue(), await still.queue("Own", owner=still.doctors[1])
    await still.pool.execute("update queues set department = 'Cardiology' where id = $1", own)
    for urgency in ("routine", "urgent", "emergency", "routine"):
        await still.join(queue, urgency=urgency)
    still.forward(minutes=10)
    await still.call_next(queue)
    await still.do("start", ticket_id=(await still.call_next(queue)).ticket.ticket)
    overview = await still.ask("location-overview", "doctor", location_id=still.location)
    first, second = overview.queues
    assert (first.waiting, first.urgent, first.called, first.in_consultation, first.served) == (2, 0, 0, 1, 1)
    assert (first.desks, first.serves, first.doctor_ids) == (1, True, still.doctors)
    assert first.wait_mean_s == pytest.approx(600, abs=1) and first.wait_p90_s == pytest.approx(600, abs=1)
    assert (second.name, second.department, second.doctor, second.serves) == ("Own", "Cardiology", "Dr. Bloch", False)
    assert (second.waiting, second.wait_mean_s, second.waiting_since) == (0, None, None)
    stats = await still.ask("queue-stats", queue_id=queue)
    assert (stats.day, stats.wait_mean_s, stats.served) == (overview.day, first.wait_mean_s, first.served)
    other = await still.other()
    await refused(errors.NotFound, other.ask("location-overview", location_id=still.location))


async def test_overview_is_of_ones_own_locations_alone(world: World) -> None:
    elsewhere = replace(world.actors["receptionist"], location_ids=frozenset({world.location + 1}))
    await refused(errors.NotAllowed, world.ask("location-overview", elsewhere, location_id=world.location))


# Two hands on one ticket


async def test_two_receptionists_who_drag_one_ticket_end_in_one_order_and_are_told_the_truth(world: World) -> None:
    queue = await world.queue()
    joined = [await world.join(queue) for _ in range(6)]
    dragged, others = joined[5], [one.token for one in joined[:5]]
    for _ in range(10):
        async with world.verify(f"staff:{queue}", f"board:{queue}"):
            drags = [
                world.do("prioritize", ticket_id=dragged.ticket_id, place=place, reason=f"To {place}.")
                for place in (1, 4)
            ]
            answers = await asyncio.gather(*drags)
        order = await world.order(queue)
        last = max(answers, key=lambda one: one.board_version)
        place = 1 if last is answers[0] else 4
        assert order == [*others[: place - 1], dragged.token, *others[place - 1 :]]
        row = (await world.fresh_rows(f"staff:{queue}"))[f"t:{dragged.ticket_id}"]
        assert last.ticket.model_dump(mode="json") == row
        assert answers[0].board_version != answers[1].board_version
        assert [one.ticket.order_reasons[-1].detail for one in answers] == ["To 1.", "To 4."]


async def test_ticket_dragged_while_it_is_called_is_either_called_or_moved(world: World) -> None:
    for desk in range(4):
        queue = await world.queue(f"Queue {desk}")
        first, second = await world.join(queue), await world.join(queue)
        drag = world.do("prioritize", ticket_id=first.ticket_id, place=2, reason="Later.")
        called, dragged = await asyncio.gather(world.call_next(queue, desk), drag, return_exceptions=True)
        if isinstance(dragged, errors.WrongState):
            assert called.ticket.token == first.token and dragged.extra["state"] == "called"
        else:
            assert called.ticket.token == second.token and dragged.ticket.state == "waiting"
