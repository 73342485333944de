"""Passwords that anybody would try first are refused, and those that are kept are kept well."""

import argon2
import pytest

from server import errors, passwords


def reason(password: str, *about: str) -> str | None:
    """Why a password is refused; None where it is taken."""
    try:
        passwords.check(password, *about)
    except errors.WeakPassword as weak:
        assert not password or password not in weak.detail
        return str(weak.extra["reason"])
    return None


@pytest.mark.parametrize("password", ["", "short", "x" * 9, "пароль"])
def test_short_password_is_refused(password: str) -> None:
    assert reason(password) == "too-short"


@pytest.mark.parametrize(
    "password",
    [
        "1234567890",
        "0987654321",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "qwertyuiop",
        "password123",
        "P4ssw0rd2024",
        "Summer2024!!",
        "letmein12345",
        "Michael1985",
        "iloveyouiloveyou",
        "callboard!!!",
        "Callboard-2026",
        "hospital1234",
        "ＰＡＳＳＷＯＲＤ１２３",
        "1q2w3e4r5t6y",
        "Dr4gonDr4gon",
    ],
)
def test_password_that_anybody_would_try_is_refused(password: str) -> None:
    assert reason(password) == "common"


def test_password_made_of_its_owners_name_address_or_institution_is_refused() -> None:
    about = ("Zoë Wittgenstein", "z.wittgenstein@quellental.example", "Klinik Quellental")
    for password in ("Wittgenstein1", "quellental2026", "zoe-wittgenstein", "Wittgen5tein!"):
        assert reason(password) is None
        assert reason(password, *about) in ("personal", "common")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "right horse bolts",
        "v9#Lq2!xTz",
        "Drei Fähren am Kai",
        "رحلة طويلة إلى",
        "a long enough password",
    ],
)
def test_password_with_something_of_its_own_is_taken(password: str) -> None:
    assert reason(password, "Ada Quist", "ada@clinic.example", "Riverside") is None


def test_longest_password_is_judged_in_bounded_time() -> None:
    assert reason("ab" * 500) == "common"
    assert reason("x" * 1001) == "too-long"


def test_list_is_what_it_says() -> None:
    lines = (passwords.Path(passwords.__file__).parent / "data" / "common-passwords.txt").read_text().splitlines()
    assert len(lines) > 1900
    assert lines == sorted(set(lines))
    assert all(line == line.lower() and len(line) >= 4 for line in lines)


async def test_password_is_kept_as_argon2id_with_the_stated_parameters() -> None:
    stored = await passwords.hash_password("v9#Lq2!xTz")
    kept = argon2.extract_parameters(stored)
    assert kept.type is argon2.Type.ID
    assert (kept.time_cost, kept.memory_cost, kept.parallelism) == (3, 65536, 4)
    assert await passwords.fits(stored, "v9#Lq2!xTz")
    assert not await passwords.fits(stored, "v9#Lq2!xTZ")
    assert not passwords.outdated(stored)


async def test_nothing_stored_or_nonsense_stored_fits_nothing() -> None:
    assert not await passwords.fits(None, "")
    assert not await passwords.fits("not a hash", "not a hash")


def test_password_kept_with_other_parameters_is_outdated() -> None:
    assert passwords.outdated(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("v9#Lq2!xTz"))
