"""Passwords: which are good enough, how they are kept, and whether one fits.

Invariants: a password is kept as argon2id alone, with the parameters below, and one kept with others is hashed anew
when its owner next signs in. Finding out that a password does not fit costs one hash whatever the reason. Nothing here
repeats a password in a refusal, a log line or a trace.

The judgement is offline: `data/common-passwords.txt` holds some 2,000 passwords and parts of passwords that everybody
tries first. A list of whole passwords would be a poor judge (`Summer2024!!` is on none), so a password is cut into the
listed words, the words about its owner, and runs such as 1234 or aaaa; each such piece counts as much as one honest
character, and it takes `ENOUGH` of those.
"""

import asyncio
import re
import secrets
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import argon2

from server import errors

SHORTEST = 10
LONGEST = 1000
"""Characters; more would only cost time."""
ENOUGH = 5
"""Pieces that a password must at least consist of."""

HASHER = argon2.PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4, hash_len=32, salt_len=16)
"""argon2id of RFC 9106's second recommendation: 3 passes over 64 MiB in 4 lanes, some 50 ms of one sign-in."""
AT_ONCE = 2
"""Hashes under way in one process: 128 MiB and two cores at most, however many people sign in."""

_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
_NOBODY = HASHER.hash(secrets.token_urlsafe(16))
"""Compared with where there is no account, so that an unknown address takes as long as a known one."""


async def hash_password(password: str) -> str:
    """The form in which a password is stored; in a thread, as it takes tens of milliseconds."""
    return await asyncio.get_running_loop().run_in_executor(_threads, HASHER.hash, password)


async def fits(stored: str | None, password: str) -> bool:
    """Whether the password is the stored one; takes as long where nothing is stored."""

    def verify() -> bool:
        try:
            return HASHER.verify(stored or _NOBODY, password) and stored is not None
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    return await asyncio.get_running_loop().run_in_executor(_threads, verify)


def outdated(stored: str) -> bool:
    """Whether a password is stored with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


def check(password: str, *about: str | None) -> None:
    """Raise `WeakPassword` for a password that somebody could guess.

    `about` is what is known of its owner: name, e-mail, institution.
    """
    if len(password) < SHORTEST:
        raise errors.WeakPassword(f"Use at least {SHORTEST} characters.", reason="too-short")
    if len(password) > LONGEST:
        raise errors.WeakPassword(f"Use at most {LONGEST} characters.", reason="too-long")
    personal = words_about(about)
    if pieces(password, common() | personal) >= ENOUGH:
        return
    if pieces(password, common()) >= ENOUGH:
        raise errors.WeakPassword("It is little more than the name, address or place of its owner.", reason="personal")
    raise errors.WeakPassword(
        "It is one of the first that anybody would try; add a few unusual words.", reason="common"
    )


def is_random(secret: str) -> bool:
    """Whether a secret that nobody has to remember could be one: long, and nothing that anybody would try."""
    return len(secret) >= 32 and pieces(secret[:LONGEST], common()) >= 20


OWN = frozenset({"", "localhost", "127.0.0.1", "::1"})
"""Hosts that are this machine: what guards a service that only it can reach is its own affair."""


def check_url(url: str) -> None:
    """Raise `WeakPassword` for the address of a service elsewhere with a password that others could guess as well."""
    parts = urlsplit(url)
    if parts.password and (parts.hostname or "") not in OWN:
        check(unquote(parts.password))


def words_about(about: Iterable[str | None]) -> frozenset[str]:
    """The words of three letters and more in what is known of an owner."""
    known = " ".join(plain(text) for text in about if text)
    return frozenset(word for word in re.split(r"[\W_]+", known) if len(word) >= 3)


def pieces(password: str, known: frozenset[str]) -> int:
    """The least number of pieces that make up the password: known words, runs, and single characters for the rest.

    Read in two ways, as typed and with digits for the letters they resemble (p4ssw0rd); the lesser number counts.
    """
    typed = plain(password)
    return min(_cut(typed, known), *(_cut(typed.translate(reading), known) for reading in READINGS))


READINGS = [str.maketrans("@4310$5708!", f"aae{one}osstob{one}") for one in "il"]
"""Letters that digits and signs stand for; a 1 is an i or an l."""
RUNS = ("0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop")
LONGEST_REPEATED = 24
"""Characters of a part that counts once however often it is said; more would let a long password take long to judge."""
YEAR = re.compile(r"(19|20)\d\d")


def _cut(text: str, known: frozenset[str]) -> int:
    longest = max(map(len, known), default=0)
    least = [0]
    for end in range(1, len(text) + 1):
        best = least[end - 1] + 1
        run = _run(text, end)
        if run > 2:
            best = min(best, least[end - run] + 1)
        for length in range(3, min(longest, end) + 1):
            if text[end - length : end] in known:
                best = min(best, least[end - length] + 1)
        if YEAR.fullmatch(text, max(0, end - 4), end):
            best = min(best, least[end - 4] + 1)
        # What has just been said, said again, adds nothing.
        for length in range(1, min(end // 2, LONGEST_REPEATED) + 1):
            if text[end - length : end] == text[end - 2 * length : end - length]:
                best = min(best, least[end - length])
        least.append(best)
    return least[-1]


def _run(text: str, end: int) -> int:
    """How many characters before `end` follow one another on a keyboard, in the alphabet or in counting."""
    longest = 1
    for row in (*RUNS, *(row[::-1] for row in RUNS)):
        length = 1
        while length < end and (pair := text[end - length - 1 : end - length + 1]) and pair in row:
            length += 1
        longest = max(longest, length)
    return longest


def plain(text: str) -> str:
    """The text without case, accents and width, as a guesser would try it."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


@cache
def common() -> frozenset[str]:
    """The listed words."""
    return frozenset((Path(__file__).parent / "data" / "common-passwords.txt").read_text("ascii").split())
