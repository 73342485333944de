"""A person's own second factor: set up, confirmed by a first code, removed by another.

Invariants: a secret and its recovery codes are told once, to their owner; a session that still owes its factor may come
here and nowhere else; whatever changes how its owner signs in gives the session a fresh token.
"""

import secrets
from typing import Annotated, Any

import segno
from pydantic import Field, StringConstraints

from server import access, errors, events, totp
from server.access import PEOPLE, Actor
from server.administration.rows import audit, hold, tell, user_rows
from server.asks import Ask, Reply, Rotated
from server.store import Command, Tx

Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=6, max_length=40)]


class SetUpFactor(Ask):
    """A fresh secret, please."""


class FactorBegun(Reply):
    """What to scan or to type into an authenticator app."""

    secret: str
    uri: str
    qr_svg: str


async def set_up_totp(tx: Tx, actor: Actor, ask: SetUpFactor) -> FactorBegun:
    """Give the asker a fresh secret; it counts once a code of it is confirmed. Raises `FactorSetUp`."""
    row = await tx.conn.fetchrow(WHO, actor.id)
    if row is None:
        raise errors.NotAuthenticated()
    secret = secrets.token_bytes(totp.SECRET)
    await totp.begin(tx.conn, actor.id, secret, tx.secret_key)
    uri = totp.uri(secret, row["email"], row["institution"] or "Callboard")
    qr_svg = segno.make(uri, error="m").svg_inline(scale=4, border=2)
    return FactorBegun(secret=totp.spelled(secret), uri=uri, qr_svg=qr_svg)


WHO = """
select u.email, i.name as institution from users u left join institutions i on i.id = u.institution_id where u.id = $1
"""


class ConfirmFactor(Ask):
    """A code that the app shows now."""

    code: Code = Field(repr=False)


class FactorConfirmed(Rotated):
    """Codes for the day the phone is lost, each good once."""

    recovery_codes: list[str]


async def confirm_totp(tx: Tx, actor: Actor, ask: ConfirmFactor) -> FactorConfirmed:
    """Let the second factor count from here on. Raises `FactorMissing`, `FactorSetUp`, `WrongCode`, `TooMany`."""
    before = await _held(tx, actor)
    await _take(tx, actor, ask.code, confirmed=False)
    codes = totp.new_recovery_codes()
    await totp.confirm(tx.conn, actor.id, codes, tx.now)
    await _told(tx, actor, before)
    return FactorConfirmed(recovery_codes=codes, token=await fresh_token(tx, actor))


class RemoveFactor(Ask):
    """A code that the app shows now, or a recovery code."""

    code: Code = Field(repr=False)


class FactorRemoved(Rotated):
    """Whether a second factor is left; it is not."""

    second_factor: bool = False


async def remove_totp(tx: Tx, actor: Actor, ask: RemoveFactor) -> FactorRemoved:
    """Sign in with the password alone from here on.

    Raises `FactorMissing`, `WrongCode`, `TooMany`, and `SecondFactorRequired` where the institution requires one.
    """
    before = await _held(tx, actor)
    if await tx.conn.fetchval(REQUIRED, actor.institution_id):
        raise errors.SecondFactorRequired("Your institution requires a second factor; ask an admin to reset it.")
    await _take(tx, actor, ask.code, confirmed=True)
    await totp.remove(tx.conn, actor.id)
    await _told(tx, actor, before)
    return FactorRemoved(token=await fresh_token(tx, actor))


REQUIRED = "select require_totp from institutions where id = $1"


async def _take(tx: Tx, actor: Actor, code: str, confirmed: bool) -> None:
    if not await totp.take(tx.conn, actor.id, code, tx.now, tx.secret_key, confirmed):
        # The refusal takes the count back with all else.
        tx.regardless(totp.TRY, actor.id, tx.now, tx.now - totp.CLOSED_FOR, totp.TRIES)
        raise errors.WrongCode()


async def _held(tx: Tx, actor: Actor) -> Any:
    """Hold the asker's institution, where they have one, and answer their row as its admins see it."""
    if actor.institution_id is None:
        return None
    rows = await user_rows(tx.conn, await hold(tx, actor, actor.institution_id), actor.id)
    return rows[0] if rows else None


async def _told(tx: Tx, actor: Actor, before: Any) -> None:
    """Tell the admins, if the asker is of those they see."""
    if before is None or actor.institution_id is None:
        return
    after = (await user_rows(tx.conn, actor.institution_id, actor.id))[0]
    audit(tx, before, after)
    await tell(tx, actor.institution_id, events.UserChanged(user=actor.id), [after])


async def fresh_token(tx: Tx, actor: Actor) -> str:
    """Let the asker's session go on under a fresh token, and its sockets be opened anew."""
    token = await access.rotate(tx.conn, actor)
    tx.ended.append(f"{access.AGAIN}{actor.credential}")
    return token


COMMANDS: list[Command[Any, Any]] = [
    Command("set-up-totp", set_up_totp, SetUpFactor, FactorBegun, PEOPLE, "POST /session/totp", once=True, owing=True),
    Command(
        "confirm-totp",
        confirm_totp,
        ConfirmFactor,
        FactorConfirmed,
        PEOPLE,
        "POST /session/totp/confirm",
        once=True,
        owing=True,
    ),
    Command("remove-totp", remove_totp, RemoveFactor, FactorRemoved, PEOPLE, "DELETE /session/totp", once=True),
]
