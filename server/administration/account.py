"""A person's own password, changed by whoever knows the present one.

Invariant: a change ends every other session of that person in the same transaction, and with it their sockets on every
node; the session that asked goes on under a fresh token.
"""

from typing import Any

from pydantic import Field

from server import access, catalog, errors, passwords
from server.access import PEOPLE, Actor
from server.administration.factors import fresh_token
from server.asks import Proof, Rotated
from server.store import Command, Tx


class ChangePassword(Proof):
    """The password as it is, and the one that is to open the account from here on."""

    new_password: str = Field(min_length=1, max_length=1024, repr=False)


class PasswordChanged(Rotated):
    """How many other sessions have ended."""

    sessions_ended: int


async def change_password(tx: Tx, actor: Actor, ask: ChangePassword) -> PasswordChanged:
    """Change the asker's own password; every other session of theirs ends. Raises `WrongPassword`, `WeakPassword`."""
    row = await tx.conn.fetchrow(OWN_ACCOUNT, actor.id)
    if row is None or not await passwords.fits(row["password_hash"], ask.password):
        raise errors.WrongPassword()
    if ask.new_password == ask.password:
        raise errors.WeakPassword("It is the one that you have.", reason="same")
    passwords.check(ask.new_password, row["name"], row["email"], row["institution"])
    await catalog.set_password(tx.conn, actor.id, await passwords.hash_password(ask.new_password))
    ended = await access.end_other_sessions(tx.conn, actor, tx.now)
    tx.ended += ended
    tx.about(f"user:{actor.id}", None, {"password": "changed", "sessions_ended": len(ended)})
    return PasswordChanged(sessions_ended=len(ended), token=await fresh_token(tx, actor))


# The row is held: of two who change it at once, the second must know what the first has made of it.
OWN_ACCOUNT = """
select u.password_hash, u.name, u.email, i.name as institution
from users u left join institutions i on i.id = u.institution_id where u.id = $1 for no key update of u
"""


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "change-password",
        change_password,
        ChangePassword,
        PasswordChanged,
        PEOPLE,
        "POST /session/password",
        once=True,
    ),
]
