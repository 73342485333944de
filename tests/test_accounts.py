"""Patients' own accounts: one-time codes, whose they open, and registering by oneself."""

import asyncio
from typing import Any

import pytest

from server import access, errors
from server.access import ANONYMOUS, Role
from tests.letters import code_for, written
from tests.world import World

EMAIL, PHONE = "sam@example.org", "+442079460958"


async def patient(world: World, name: str = "Sam Carter", **known: Any) -> int:
    known.setdefault("email", EMAIL)
    reply = await world.do("register-patient", name=name, confirm_new=True, **known)
    return int(reply.patient.id)


async def asked(world: World, contact: str = EMAIL) -> str:
    await world.do("ask-code", ANONYMOUS, contact=contact)
    return await code_for(world, contact.lower())


async def sign_in(world: World, contact: str = EMAIL, **more: Any) -> Any:
    code = more.pop("code", None) or await asked(world, contact)
    return await world.do("verify-code", ANONYMOUS, contact=contact, code=code, **more)


async def test_a_code_opens_the_account_of_whoever_has_the_contact(world: World) -> None:
    id_ = await patient(world)
    opened = await sign_in(world, "Sam@Example.ORG")
    actor = await access.by_token(world.pool, opened.token)
    assert actor is not None and (actor.role, actor.patient_id) == (Role.patient, id_)
    assert (opened.user.name, opened.user.email, opened.csrf) == ("Sam Carter", None, actor.csrf)


async def test_signing_in_again_opens_the_same_account(world: World) -> None:
    await patient(world)
    assert (await sign_in(world)).user.id == (await sign_in(world)).user.id


async def test_first_sign_ins_at_once_make_one_account(world: World) -> None:
    await patient(world, phone=PHONE)
    codes = [(EMAIL, await asked(world)), (PHONE, await asked(world, PHONE))]
    opened = await asyncio.gather(*(sign_in(world, contact, code=code) for contact, code in codes))
    assert opened[0].user.id == opened[1].user.id


async def test_a_telephone_without_prefix_is_of_the_only_country(world: World) -> None:
    id_ = await patient(world, phone=PHONE)
    await world.pool.execute("update institutions set country = 'GB'")
    await world.do("ask-code", ANONYMOUS, contact="020 7946 0958")
    opened = await sign_in(world, "(020) 7946-0958", code=await code_for(world, PHONE))
    assert opened.user.patient_id == id_


async def test_a_code_works_once(world: World) -> None:
    await patient(world)
    code = await asked(world)
    await sign_in(world, code=code)
    with pytest.raises(errors.WrongSignInCode):
        await sign_in(world, code=code)


async def test_one_code_used_by_two_at_once_opens_one_session(world: World) -> None:
    await patient(world)
    code = await asked(world)
    answers = await asyncio.gather(*(sign_in(world, code=code) for _ in range(8)), return_exceptions=True)
    assert [isinstance(one, errors.WrongSignInCode) for one in answers].count(False) == 1


async def test_a_code_is_of_its_contact_alone(world: World) -> None:
    await patient(world)
    await patient(world, "Mei Tanaka", email="mei@example.org")
    with pytest.raises(errors.WrongSignInCode):
        await sign_in(world, "mei@example.org", code=await asked(world))


async def test_a_code_ends_after_ten_minutes(still: World) -> None:
    await patient(still)
    code = await asked(still)
    still.forward(minutes=10, seconds=1)
    with pytest.raises(errors.WrongSignInCode):
        await sign_in(still, code=code)


async def test_the_sixth_try_is_wrong_though_it_be_right(world: World) -> None:
    await patient(world)
    code = await asked(world)
    guesses = [one for one in ("000000", "000001", "000002", "000003", "000004", "000005") if one != code][:5]
    tries = await asyncio.gather(*(sign_in(world, code=one) for one in guesses), return_exceptions=True)
    assert {type(one) for one in tries} == {errors.WrongSignInCode}
    with pytest.raises(errors.WrongSignInCode):
        await sign_in(world, code=code)


async def test_many_guesses_at_once_are_five_guesses(world: World) -> None:
    await asked(world)
    guesses = (sign_in(world, code=f"{one:06}") for one in range(40))
    await asyncio.gather(*guesses, return_exceptions=True)
    assert await world.pool.fetchval("select tries from sign_in_codes") == 5


async def test_an_earlier_code_still_opens(world: World) -> None:
    await patient(world)
    first = await asked(world)
    await asked(world)
    assert (await sign_in(world, code=first)).user.name == "Sam Carter"


async def test_asking_answers_the_same_whoever_is_known(world: World) -> None:
    await patient(world)
    known = await world.do("ask-code", ANONYMOUS, contact=EMAIL)
    unknown = await world.do("ask-code", ANONYMOUS, contact="nobody@example.org")
    assert known == unknown
    assert [one["channel"] for one in await written(world)] == ["email", "email"]


async def test_a_contact_is_sent_five_codes_an_hour(still: World) -> None:
    for _ in range(5):
        await asked(still)
    with pytest.raises(errors.TooMany) as refusal:
        await asked(still)
    assert 0 < refusal.value.extra["retry_after"] <= 3600
    still.forward(hours=1)
    assert await asked(still)


async def test_codes_asked_for_at_once_are_counted_one_by_one(world: World) -> None:
    await asyncio.gather(*(asked(world) for _ in range(12)), return_exceptions=True)
    assert await world.pool.fetchval("select count(*) from sign_in_codes") == 5


async def test_an_address_is_sent_codes_for_sixty_contacts_an_hour(world: World) -> None:
    access.ORIGIN.set(access.Origin("203.0.113.9"))
    for nth in range(60):
        await world.do("ask-code", ANONYMOUS, contact=f"somebody{nth}@example.org")
    with pytest.raises(errors.TooMany):
        await world.do("ask-code", ANONYMOUS, contact="one-more@example.org")


async def test_no_code_is_in_the_database_as_it_is(world: World) -> None:
    world.store.secret_key = "a key of the deployment's own"
    code = await asked(world)
    rows = await world.pool.fetch("select c::text as text from sign_in_codes c union select n::text from notices n")
    trail = await world.pool.fetch("select a::text as text from audit a")
    assert rows and not any(code in row["text"] for row in rows)
    assert trail and not any(code in row["text"] or EMAIL in row["text"] for row in trail)


@pytest.mark.parametrize("contact", ["sam@", "@x.org", "a@b", "12", "+", "sam carter", "0791 234567", "+44 20 79"])
async def test_what_cannot_be_a_contact_is_refused(world: World, contact: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        await world.do("ask-code", ANONYMOUS, contact=contact)


# Whose contact it is


async def test_a_contact_of_several_asks_which_and_then_opens_that(world: World) -> None:
    first, second = await patient(world), await patient(world, "Kim Carter")
    code = await asked(world)
    with pytest.raises(errors.ChoosePatient) as refusal:
        await sign_in(world, code=code)
    shown = [(one["id"], one["first_name"], one["institution"]) for one in refusal.value.extra["patients"]]
    assert sorted(shown) == sorted([(first, "Sam", "Riverside"), (second, "Kim", "Riverside")])
    assert (await sign_in(world, code=code, patient_id=second)).user.patient_id == second


async def test_namesakes_are_told_apart_by_their_birth(world: World) -> None:
    for year in (1980, 2015):
        await patient(world, birth_year=year)
    with pytest.raises(errors.ChoosePatient) as refusal:
        await sign_in(world)
    assert {one["birth_year"] for one in refusal.value.extra["patients"]} == {1980, 2015}


async def test_nobody_is_chosen_who_has_another_contact(world: World) -> None:
    await patient(world)
    other = await patient(world, "Mei Tanaka", email="mei@example.org")
    with pytest.raises(errors.NotFound):
        await sign_in(world, patient_id=other)


async def test_a_closed_account_stays_closed(world: World) -> None:
    opened = await patient(world) and await sign_in(world)
    await world.pool.execute("update users set active = false where id = $1", opened.user.id)
    with pytest.raises(errors.UnknownContact):
        await sign_in(world)


# Registering


async def test_an_unknown_contact_is_told_only_with_the_right_code(world: World) -> None:
    with pytest.raises(errors.UnknownContact) as refusal:
        await sign_in(world)
    assert refusal.value.extra == {"registration": True}


def new(world: World, name: str = "Ada Obi") -> dict[str, Any]:
    return {"register": {"institution_id": world.institution, "name": name, "birth_date": "1990-02-03"}}


async def test_whoever_is_unknown_registers_with_the_same_code(world: World) -> None:
    code = await asked(world)
    with pytest.raises(errors.UnknownContact):
        await sign_in(world, code=code)
    opened = await sign_in(world, code=code, **new(world))
    row = await world.pool.fetchrow("select name, email from patients where id = $1", opened.user.patient_id)
    assert row is not None and tuple(row) == ("Ada Obi", EMAIL)
    assert (await sign_in(world)).user.id == opened.user.id


async def test_somebody_registered_with_another_contact_is_sent_to_the_desk(world: World) -> None:
    await patient(world, "Ada Obi", email="other@example.org", birth_date="1990-02-03")
    with pytest.raises(errors.KnownOtherwise) as refusal:
        await sign_in(world, **new(world))
    assert refusal.value.extra == {}


async def test_a_parent_registers_another_child_by_the_same_telephone(world: World) -> None:
    first = await patient(world, "Kim Carter", email=None, phone=PHONE, birth_date="2015-01-01")
    opened = await sign_in(world, PHONE, **new(world, "Lou Carter"))
    assert opened.user.patient_id not in (None, first)


async def test_nobody_registers_where_the_clinic_does_it(world: World) -> None:
    await world.pool.execute("""update institutions set booking = '{"self_registration": false}'""")
    assert (await world.ask("open-institutions", ANONYMOUS)).items == []
    with pytest.raises(errors.UnknownContact) as refusal:
        await sign_in(world)
    assert refusal.value.extra == {"registration": False}
    with pytest.raises(errors.RegistrationClosed):
        await sign_in(world, **new(world))


async def test_institutions_that_register_are_told_by_name_alone(world: World) -> None:
    answer = await world.ask("open-institutions", ANONYMOUS)
    assert answer.model_dump() == {"items": [{"id": world.institution, "name": "Riverside"}]}


async def test_a_patient_with_a_second_factor_needs_it_too(world: World) -> None:
    opened = await patient(world) and await sign_in(world)
    actor = await access.by_token(world.pool, opened.token)
    assert actor is not None
    await world.pool.execute(
        "insert into second_factors (user_id, secret, confirmed_at) values ($1, $2, now())", actor.id, b"s" * 20
    )
    code = await asked(world)
    with pytest.raises(errors.SecondFactorNeeded):
        await sign_in(world, code=code)
    with pytest.raises(errors.WrongCode):
        await sign_in(world, code=code, factor="000000")
