"""What came over the wire becomes a validated ask, an idempotency key or a page's position; or a refusal.

Invariant: a refusal points at what is wrong and never repeats a value, since any value may be somebody's name.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import ErrorDetails

from server import errors
from server.access import Actor, Role

M = TypeVar("M", bound=BaseModel)

KEY = re.compile(r"[\x21-\x7e]{1,200}")
POINTER_PART = 60
"""Longest piece of a field's name that a refusal repeats: the name, too, is the sender's text."""
ERRORS_TOLD = 20
"""How many wrong places one refusal lists."""

YEARS = range(1850, 2201)
"""The years that a date or time which somebody gives can be of."""

Id = Annotated[int, Field(ge=1, lt=2**62)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Requirement = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


class Ask(BaseModel):
    """A validated request: frozen, closed against unknown fields, and of times that a clinic can have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _of_our_time(self) -> Self:
        # Besides, the database takes the first and the last day of the calendar for infinity.
        far = [name for name, at in self if isinstance(at, date) and at.year not in YEARS]
        if far:
            raise wrong(*((f"/{name.rstrip('_')}", f"Should be from {YEARS[0]} to {YEARS[-1]}.") for name in far))
        return self


class Reply(BaseModel):
    """A command's or query's answer."""

    model_config = ConfigDict(frozen=True)


class Proof(Ask):
    """An ask whose sender proves anew who they are: tries are counted with their sign-ins."""

    password: str = Field(min_length=1, max_length=1024, repr=False, description="The asker's password as it is.")


class Rotated(Reply):
    """The session goes on under a fresh token, over HTTP alone: the one before it opens nothing any more."""

    token: str | None = Field(repr=False, description="None to a page: its cookie was set.")


class Holding(Reply):
    """Something is held for the page that asked, by a token that it alone knows, until the page goes."""

    token: str = Field(repr=False, description="Needed to book, to extend and to release.")


def in_headers(ask: type[BaseModel]) -> dict[str, str]:
    """The fields of an ask that an address without a body takes from the header, and the header fields' names."""
    extras = {name: field.json_schema_extra for name, field in ask.model_fields.items()}
    return {name: str(extra["x-header"]) for name, extra in extras.items() if isinstance(extra, dict)}


class SessionUser(BaseModel):
    """The person who is signed in."""

    id: int
    name: str
    email: str | None = Field(description="Null of a patient who signs in by codes.")
    role: Role
    institution_id: int | None
    doctor_id: int | None
    patient_id: int | None
    second_factor: bool = False
    owes_second_factor: bool = Field(
        default=False, description="The institution requires one: until it is set up, the session opens nothing else."
    )


def session_user(actor: Actor, email: str | None) -> SessionUser:
    """A signed-in person as the API shows them."""
    return SessionUser(
        id=actor.id,
        name=actor.name,
        email=email,
        role=actor.role,
        institution_id=actor.institution_id,
        doctor_id=actor.doctor_id,
        patient_id=actor.patient_id,
        second_factor=actor.second_factor,
        owes_second_factor=actor.owes_factor,
    )


class Opened(Rotated):
    """A session just opened, over HTTP alone: a page's cookie is set, a program sends the token."""

    csrf: str
    user: SessionUser


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; an empty body is an empty object. Raises `MalformedJson`, `InvalidRequest`."""
    if not body.strip():
        return {}
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        # `from None`: the decoder's message quotes the document.
        raise errors.MalformedJson() from None
    if not isinstance(given, dict):
        raise wrong(("", "Should be an object."))
    return given


def validate(model: type[M], given: Mapping[str, Any], lax: bool = False) -> M:
    """The ask that a JSON object states; `lax` reads numbers and flags from text, as an address spells them.

    Raises `InvalidRequest`.
    """
    try:
        encoded = orjson.dumps(dict(given))
        # PostgreSQL cannot store NUL in a text; refused here, it is the sender's mistake and not our failure.
        if b"\\u0000" in encoded and (hollow := [pointer for pointer, text in texts(given) if "\0" in text]):
            raise wrong(*((pointer, "Should not contain a null character.") for pointer in hollow))
        return model.model_validate(dict(given)) if lax else model.model_validate_json(encoded, strict=True)
    except ValidationError as invalid:
        raise wrong(
            *(explain(error, given) for error in invalid.errors(include_url=False, include_input=False))
        ) from None
    except orjson.JSONEncodeError:
        raise errors.MalformedJson() from None


def wrong(*places: tuple[str, str] | tuple[str, str, errors.Wrong | None]) -> errors.InvalidRequest:
    """The refusal of a request that is wrong at these (JSON pointer, why, and what of it pages have words for)."""
    told = [
        {"pointer": place[0], "detail": place[1], **({"code": place[2]} if len(place) > 2 and place[2] else {})}
        for place in places[:ERRORS_TOLD]
    ]
    return errors.InvalidRequest(errors=told)


def unknown(names: Collection[str]) -> errors.InvalidRequest:
    """The refusal of fields that the request does not have."""
    return wrong(*((pointer([name]), "There is no such field.") for name in sorted(names)))


def pointer(parts: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of these parts, each cut to a bearable length."""
    return "".join("/" + str(part)[:POINTER_PART].replace("~", "~0").replace("/", "~1") for part in parts)


CODES: dict[str, errors.Wrong] = {
    "date_from_datetime_parsing": "no-date",
    "date_parsing": "no-date",
    "date_type": "no-date",
    "decimal_parsing": "no-number",
    "enum": "no-choice",
    "float_parsing": "no-number",
    "greater_than": "out-of-range",
    "greater_than_equal": "out-of-range",
    "int_from_float": "no-number",
    "int_parsing": "no-number",
    "less_than": "out-of-range",
    "less_than_equal": "out-of-range",
    "literal_error": "no-choice",
    "missing": "missing",
    "string_too_long": "too-long",
    "string_too_short": "too-short",
    "too_long": "too-long",
    "too_short": "too-short",
}
"""What pages have words for of that which pydantic finds by itself."""


def code_of(error: ErrorDetails) -> errors.Wrong | None:
    """What of a validation error pages have words for."""
    cause = error.get("ctx", {}).get("error")
    return cause.code if isinstance(cause, errors.Misfit) else CODES.get(error["type"])


PLAIN = {"extra_forbidden": "There is no such field.", "missing": "This field is needed."}


def explain(error: ErrorDetails, given: Any) -> tuple[str, str, errors.Wrong | None]:
    """Where a validation error is, what should be there instead, and its code where it has one.

    pydantic's place also names the members of unions it tried; only parts that the request has are kept.
    """
    parts: list[str | int] = []
    here = given
    for part in error["loc"]:
        lacking = error["type"] == "missing" and isinstance(here, dict) and part == error["loc"][-1]
        inside = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int)
        if inside:
            here = here[part]
        if inside or lacking:
            parts.append(part)
    # A validator of our own speaks plainly; pydantic puts words before it.
    detail = PLAIN.get(error["type"]) or error["msg"].removeprefix("Value error, ").rstrip(".") + "."
    return pointer(parts), detail, code_of(error)


def texts(value: Any, parts: tuple[str | int, ...] = ()) -> list[tuple[str, str]]:
    """Every text in a JSON value, names of fields included, with its pointer."""
    if isinstance(value, str):
        return [(pointer(parts), value)]
    if isinstance(value, Mapping):
        found = [(pointer(parts), str(name)) for name in value]
        return found + [each for name, inner in value.items() for each in texts(inner, (*parts, name))]
    if isinstance(value, list):
        return [each for at, inner in enumerate(value) for each in texts(inner, (*parts, at))]
    return []


def idempotency_key(given: object) -> str | None:
    """A key that a header can carry, or None where none was sent. Raises `InvalidKey`."""
    if given is None:
        return None
    if not isinstance(given, str) or KEY.fullmatch(given) is None:
        raise errors.InvalidKey()
    return given


# A list's pages


def encode_cursor(listing: str, *position: int | float | str) -> str:
    """An opaque name for a position in a listing, such as `history:5`; only that listing takes it back."""
    payload = orjson.dumps(position)
    return base64.urlsafe_b64encode(_mark(listing, payload) + payload).rstrip(b"=").decode()


def decode_cursor(listing: str, cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The position that `encode_cursor` named, of exactly these types. Raises `InvalidCursor`."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        position = orjson.loads(raw[8:])
    except (binascii.Error, ValueError):
        raise errors.InvalidCursor() from None
    if raw[:8] != _mark(listing, raw[8:]) or [type(part) for part in position] != list(kinds):
        raise errors.InvalidCursor()
    return tuple(position)


def _mark(listing: str, payload: bytes) -> bytes:
    """Eight bytes that fit only this listing and position: against accidents, not against forgers, who gain nothing."""
    return hashlib.sha256(listing.encode() + b"\0" + payload).digest()[:8]
