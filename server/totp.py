"""The second factor of a sign-in: codes by time (RFC 6238: SHA-1, six digits, thirty seconds) and recovery codes.

Invariants: a code is taken once, and no older one after it; ten wrong codes in a row close the factor for fifteen
minutes, on whichever process they come. Only who knows the password gets as far as a code, so nobody can close
somebody else's.

Secrets are masked with the deployment's `SECRET_KEY` where it has one: a copy of the database alone then gives no
codes. Without one they are stored as they are, since they must be read again, unlike a password. Recovery codes are 80
random bits, stored as SHA-256.
"""

import base64
import hashlib
import hmac
import secrets
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from server import errors

STEP = 30
"""Seconds that a code stands for."""
DRIFT = 1
"""Steps that a phone's clock may be off, either way."""
DIGITS = 6
SECRET = 20
NONCE = 16
TRIES = 10
CLOSED_FOR = timedelta(minutes=15)
RECOVERY_CODES = 10


class Db(Protocol):
    """What is needed of a pool or a connection here."""

    async def fetchrow(self, query: str, *args: Any) -> Any:
        """One row or None."""

    async def fetchval(self, query: str, *args: Any) -> Any:
        """One value or None."""

    async def execute(self, query: str, *args: Any) -> Any:
        """No answer but the status."""

    async def executemany(self, query: str, args: Any) -> Any:
        """A statement for each of many arguments."""


# Codes


def code_at(secret: bytes, step: int) -> str:
    """The code of one step: RFC 4226's dynamic truncation of HMAC-SHA-1."""
    mac = hmac.digest(secret, struct.pack(">Q", step), "sha1")
    at = mac[-1] & 15
    number = int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def step_at(now: datetime) -> int:
    """The step that an instant is in."""
    return int(now.timestamp()) // STEP


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """The step that the code is of, if that is now or next to it; found in a time that tells nothing of the code."""
    here = step_at(now)
    fits = [
        step
        for step in range(here - DRIFT, here + DRIFT + 1)
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode())
    ]
    return fits[-1] if fits else None


def uri(secret: bytes, email: str, institution: str) -> str:
    """What an authenticator app reads from a QR code."""
    label = quote(f"{institution}:{email}", safe="")
    told = {"secret": spelled(secret), "issuer": institution, "algorithm": "SHA1", "digits": DIGITS, "period": STEP}
    return f"otpauth://totp/{label}?{urlencode(told, quote_via=quote)}"


def spelled(secret: bytes) -> str:
    """A secret as people type it into an app that has no camera."""
    return base64.b32encode(secret).decode()


def new_recovery_codes() -> list[str]:
    """Ten codes for the drawer, such as `K7QM-4TXB-92HF-MW3D`."""
    drawn = [base64.b32encode(secrets.token_bytes(10)).decode() for _ in range(RECOVERY_CODES)]
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in drawn]


def recovery_hash(user_id: int, code: str) -> bytes:
    """The stored form of a recovery code, however it is typed."""
    plain = code.upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(f"callboard recovery {user_id} {plain}".encode()).digest()


# Secrets at rest


def seal(secret: bytes, key: str) -> bytes:
    """A secret as it is stored: exclusive-or SHAKE-256's output for the key and a fresh nonce, which goes before it."""
    if not key:
        return secret
    nonce = secrets.token_bytes(NONCE)
    return nonce + _masked(secret, key, nonce)


def unseal(stored: bytes, key: str) -> bytes:
    """The secret that `seal` was given; one stored without a key stays readable when there comes to be one."""
    if len(stored) == SECRET:
        return stored
    return _masked(stored[NONCE:], key, stored[:NONCE])


def _masked(content: bytes, key: str, nonce: bytes) -> bytes:
    mask = hashlib.shake_256(b"callboard totp\0" + nonce + key.encode()).digest(len(content))
    return bytes(one ^ other for one, other in zip(content, mask, strict=True))


# What is stored


async def begin(db: Db, user_id: int, secret: bytes, key: str) -> None:
    """Keep a secret that is to be confirmed, in place of one that was not. Raises `FactorSetUp`."""
    if await db.fetchval(BEGIN, user_id, seal(secret, key)) is None:
        raise errors.FactorSetUp()


BEGIN = """
insert into second_factors (user_id, secret) values ($1, $2)
on conflict (user_id) do update set secret = excluded.secret where second_factors.confirmed_at is null
returning user_id
"""


async def take(db: Db, user_id: int, code: str, now: datetime, key: str, confirmed: bool = True) -> bool:
    """Whether the code is right, now, and was not taken before; a recovery code serves as well, once.

    The try counts as wrong until it proves right, so many at once gain nothing. Raises `TooMany`, and `FactorMissing`
    where there is no factor (or, with `confirmed` off, none to confirm).
    """
    factor = await db.fetchrow(TRY, user_id, now, now - CLOSED_FOR, TRIES)
    if factor is None:
        closed_at = await db.fetchval(CLOSED_AT, user_id)
        if closed_at is None:
            raise errors.FactorMissing()
        raise errors.TooMany(retry_after=max(1, int((closed_at + CLOSED_FOR - now).total_seconds())))
    if (factor["confirmed_at"] is not None) != confirmed:
        raise errors.FactorMissing() if confirmed else errors.FactorSetUp()
    typed = code.strip().replace(" ", "")
    if len(typed) == DIGITS and typed.isascii() and typed.isdigit():
        step = step_of(unseal(factor["secret"], key), typed, now)
        return step is not None and await db.fetchval(TAKE_STEP, user_id, step) is not None
    if not confirmed or await db.fetchval(TAKE_RECOVERY_CODE, user_id, recovery_hash(user_id, typed), now) is None:
        return False
    await db.execute(FORGIVE, user_id)
    return True


TRY = """
update second_factors set failures = case when failed_at <= $3 then 1 else failures + 1 end, failed_at = $2
where user_id = $1 and (failures < $4 or failed_at <= $3)
returning secret, confirmed_at
"""
CLOSED_AT = "select failed_at from second_factors where user_id = $1"
TAKE_STEP = """
update second_factors set last_step = $2, failures = 0 where user_id = $1 and last_step < $2 returning user_id
"""
TAKE_RECOVERY_CODE = """
update recovery_codes set used_at = $3 where user_id = $1 and code_hash = $2 and used_at is null returning user_id
"""
FORGIVE = "update second_factors set failures = 0 where user_id = $1"


async def confirm(db: Db, user_id: int, codes: Sequence[str], now: datetime) -> None:
    """Let the factor count from now on, with these recovery codes."""
    await db.execute(CONFIRM, user_id, now)
    await db.executemany(ADD_RECOVERY_CODE, [(user_id, recovery_hash(user_id, code)) for code in codes])


CONFIRM = "update second_factors set confirmed_at = $2 where user_id = $1"
ADD_RECOVERY_CODE = "insert into recovery_codes (user_id, code_hash) values ($1, $2)"


async def remove(db: Db, user_id: int) -> None:
    """End a person's second factor and its recovery codes."""
    await db.execute(REMOVE, user_id)


REMOVE = "delete from second_factors where user_id = $1"
