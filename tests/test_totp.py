"""The second factor: codes as RFC 6238 has them, each taken once, and what a session may that owes one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from server import access, errors, logs, totp
from server.access import Actor, Role
from tests.doors import Closed, House, Somebody, person, served
from tests.world import PASSWORD, World

KEY = "a secret key of thirty-two bytes"
SECRET = b"12345678901234567890"


# The codes


@pytest.mark.parametrize(
    ("at", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_rfc_6238(at: int, code: str) -> None:
    now = datetime.fromtimestamp(at, UTC)
    assert totp.code_at(SECRET, totp.step_at(now)) == code
    assert totp.step_of(SECRET, code, now) == at // 30


def test_clock_may_be_off_by_one_step_and_not_by_two() -> None:
    now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    code = totp.code_at(SECRET, totp.step_at(now))
    fits = [totp.step_of(SECRET, code, now + timedelta(seconds=30 * off)) is not None for off in (-2, -1, 0, 1, 2)]
    assert fits == [False, True, True, True, False]


def test_secret_is_not_stored_as_it_is_where_there_is_a_key() -> None:
    stored = totp.seal(SECRET, KEY)
    assert SECRET not in stored and totp.unseal(stored, KEY) == SECRET
    assert totp.unseal(stored, "another key") != SECRET
    assert totp.unseal(totp.seal(SECRET, ""), KEY) == SECRET
    assert totp.seal(SECRET, KEY) != stored


def test_app_reads_issuer_account_and_secret() -> None:
    uri = totp.uri(SECRET, "noor@clinic.example", "St. Mary & Co")
    assert uri.startswith("otpauth://totp/St.%20Mary%20%26%20Co%3Anoor%40clinic.example?secret=GEZDGNBVGY3TQOJQ")
    assert "issuer=St.%20Mary%20%26%20Co" in uri


# Setting it up, signing in with it


@dataclass
class Phone:
    """Somebody with an account, and the secret in their app."""

    world: World
    actor: Actor
    email: str
    secret: bytes
    recovery_codes: list[str]

    def code(self, off: int = 0) -> str:
        """What the app shows now, or so many steps off."""
        return totp.code_at(self.secret, totp.step_at(datetime.now(UTC)) + off)

    async def sign_in(self, code: str | None) -> Actor:
        """Sign in with the right password."""
        return (await access.sign_in(self.world.pool, self.email, PASSWORD, code)).actor

    async def steps_on(self) -> None:
        """Let the codes of before be those of long ago."""
        await self.world.pool.execute("update second_factors set last_step = 0")


async def set_up(world: World, role: Role = Role.receptionist, email: str = "noor@clinic.example") -> Phone:
    """Somebody who has set up a second factor."""
    token = await world.account(role, email)
    actor = await access.by_token(world.pool, token)
    assert actor is not None
    begun = await world.do("set-up-totp", actor)
    secret = totp.base64.b32decode(begun.secret)
    phone = Phone(world, actor, email, secret, [])
    phone.recovery_codes = (await world.do("confirm-totp", actor, code=phone.code())).recovery_codes
    await phone.steps_on()
    return phone


async def test_set_up_adds_up_for_admins_and_is_asked_for_from_then_on(world: World) -> None:
    async with world.verify(f"admin:{world.institution}"):
        phone = await set_up(world)
    row = (await world.fresh_rows(f"admin:{world.institution}"))[f"user:{phone.actor.id}"]
    assert row["second_factor"] is True
    with pytest.raises(errors.SecondFactorNeeded):
        await phone.sign_in(None)
    with pytest.raises(errors.WrongSignIn):
        await access.sign_in(world.pool, phone.email, "not the password", phone.code())
    assert (await phone.sign_in(phone.code())).second_factor
    async with world.verify(f"admin:{world.institution}"):
        await phone.steps_on()
        await world.do("remove-totp", phone.actor, code=phone.code())
    assert not (await phone.sign_in(None)).second_factor


async def test_code_is_taken_once_and_none_before_it(world: World) -> None:
    phone = await set_up(world)
    now = phone.code()
    await phone.sign_in(now)
    for code in (now, phone.code(-1)):
        with pytest.raises(errors.WrongCode):
            await phone.sign_in(code)
    await phone.sign_in(phone.code(1))


async def test_many_at_once_take_a_code_once(world: World) -> None:
    phone = await set_up(world)
    code = phone.code()
    answers = await asyncio.gather(*(phone.sign_in(code) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(one, Actor) for one in answers) == 1
    assert all(isinstance(one, Actor | errors.WrongCode) for one in answers)


async def test_recovery_code_opens_once_however_it_is_typed(world: World) -> None:
    phone = await set_up(world)
    assert len(set(phone.recovery_codes)) == 10
    first = phone.recovery_codes[0]
    await phone.sign_in(first.lower().replace("-", " "))
    for code in (first, "AAAA-AAAA-AAAA-AAAA"):
        with pytest.raises(errors.WrongCode):
            await phone.sign_in(code)
    await phone.sign_in(phone.recovery_codes[1])
    dump = await world.pool.fetch("select code_hash from recovery_codes")
    assert all(code.encode() not in row["code_hash"] for row in dump for code in phone.recovery_codes)


async def test_ten_wrong_codes_close_the_factor_for_a_while_on_every_way_in(world: World) -> None:
    phone = await set_up(world)
    for _ in range(5):
        with pytest.raises(errors.WrongCode):
            await phone.sign_in("000000")
        with pytest.raises(errors.WrongCode):
            await world.do("remove-totp", phone.actor, code="000000")
    for again in (phone.sign_in(phone.code()), world.do("remove-totp", phone.actor, code=phone.code())):
        with pytest.raises(errors.TooMany) as closed:
            await again
        assert 0 < closed.value.extra["retry_after"] <= 900
    await world.pool.execute("update second_factors set failed_at = failed_at - interval '16 minutes'")
    await phone.sign_in(phone.code())


async def test_factor_is_confirmed_by_its_own_code_and_set_up_once(world: World) -> None:
    actor = await access.by_token(world.pool, await world.account(Role.admin, "a@clinic.example"))
    assert actor is not None
    with pytest.raises(errors.FactorMissing):
        await world.do("confirm-totp", actor, code="123456")
    await world.do("set-up-totp", actor)
    second = totp.base64.b32decode((await world.do("set-up-totp", actor)).secret)
    with pytest.raises(errors.WrongCode):
        await world.do("confirm-totp", actor, code="AAAA-AAAA-AAAA-AAAA")
    code = totp.code_at(second, totp.step_at(datetime.now(UTC)))
    await world.do("confirm-totp", actor, code=code)
    for command, ask in (("set-up-totp", {}), ("confirm-totp", {"code": code})):
        with pytest.raises(errors.FactorSetUp):
            await world.do(command, actor, **ask)


async def test_admin_resets_a_lost_factor(world: World) -> None:
    phone = await set_up(world)
    link = (await world.do("reset-user", "admin", user_id=phone.actor.id)).link
    holder = await access.by_invitation(world.pool, link.rpartition("/")[2])
    assert holder is not None
    await world.do("accept-invitation", holder, password=PASSWORD)
    assert not (await phone.sign_in(None)).second_factor


# Required by the institution


async def test_requirement_ends_sessions_without_one_and_is_not_made_by_those_without(world: World) -> None:
    admin = await set_up(world, Role.admin, "admin@clinic.example")
    tokens = {role: await world.account(role, f"{role}@c.example") for role in (Role.receptionist,)}
    patient = (await world.join(await world.queue())).ticket_id
    record = await world.pool.fetchval("select patient_id from tickets where id = $1", patient)
    tokens[Role.patient] = await world.account(Role.patient, "p@c.example", patient_id=record)
    with pytest.raises(errors.SecondFactorRequired):
        await world.do("edit-institution", "admin", institution_id=world.institution, require_totp=True)
    actor = replace(admin.actor, second_factor=True)
    await world.do("edit-institution", actor, institution_id=world.institution, require_totp=True)
    assert await access.by_token(world.pool, tokens[Role.receptionist]) is None
    assert await access.by_token(world.pool, tokens[Role.patient]) is not None
    assert (await access.sign_in(world.pool, f"{Role.receptionist}@c.example", PASSWORD)).actor.owes_factor
    assert not (await admin.sign_in(admin.code())).owes_factor
    with pytest.raises(errors.SecondFactorRequired):
        await world.do("remove-totp", actor, code=admin.code(1))


@pytest_asyncio.fixture
async def house(postgres: Any, redis_server: Any) -> AsyncIterator[House]:
    url = postgres.fresh()
    logs.configure(level="warning")
    async with served(url, redis_server.fresh(), secret_key=KEY) as house:
        yield house
    postgres.drop(url)


async def asks(house: House, who: Somebody, method: str, path: str, **body: Any) -> tuple[int, Any]:
    """An answer's status and content."""
    carried = {} if method == "GET" else {"json": body}
    answer = await house.http.request(method, f"/api/v1{path}", headers=who.headers, **carried)
    return answer.status_code, answer.json()


async def test_session_that_owes_a_factor_opens_nothing_until_it_is_set_up(house: House) -> None:
    world = house.world
    await world.pool.execute("update institutions set require_totp = true")
    email = "noor@clinic.example"
    who = person(await world.account(Role.receptionist, email))
    told = await asks(house, who, "GET", "/session")
    assert told[1]["user"]["owes_second_factor"] is True
    for path in ("/queues", "/sessions", "/locations"):
        assert (await asks(house, who, "GET", path))[1]["code"] == "second-factor-required"
    with pytest.raises(Closed) as refused:
        await house.knock(who)
    assert refused.value.args[0]["code"] == "second-factor-required"
    _, begun = await asks(house, who, "POST", "/session/totp")
    secret = totp.base64.b32decode(begun["secret"])
    assert "<svg" in begun["qr_svg"]
    stored = await world.pool.fetchval("select secret from second_factors")
    assert secret not in stored and totp.unseal(stored, KEY) == secret
    code = totp.code_at(secret, totp.step_at(datetime.now(UTC)))
    assert (await asks(house, who, "POST", "/session/totp/confirm", code="000000"))[1]["code"] == "wrong-code"
    status, confirmed = await asks(house, who, "POST", "/session/totp/confirm", code=code)
    assert status == 200 and len(confirmed["recovery_codes"]) == 10
    who = person(confirmed["token"])
    assert (await asks(house, who, "GET", "/queues"))[0] == 200
    await house.knock(who)
    sign_in = {"email": email, "password": PASSWORD}
    answers = [await asks(house, Somebody(), "POST", "/session", **sign_in, **more)
               for more in ({}, {"code": code}, {"code": confirmed["recovery_codes"][0]})]  # fmt: skip
    assert [one[1].get("code", one[0]) for one in answers] == ["second-factor-needed", "wrong-code", 200]
