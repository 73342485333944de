"""What may be known of a patient besides who they are: how to reach them, who pays, what they need.

Invariant: medical history is no part of it: that stands in `history`, for doctors alone.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from server.asks import Ask, Requirement, wrong
from server.catalog import Email, Language
from server.errors import Misfit
from server.patients import phones, spelling
from server.store import Connection


def _clean_name(name: object) -> object:
    if not isinstance(name, str):
        return name
    kept = spelling.cleaned(name)
    if kept and not spelling.is_visible(kept):
        raise Misfit("no-letter", "A name needs at least one letter.")
    return kept


def _ascii_digits(phone: object) -> object:
    return re.sub(r"\d", lambda digit: str(int(digit[0])), phone) if isinstance(phone, str) else phone


def _each_once(given: list[str]) -> list[str]:
    return list(dict.fromkeys(given))


PatientName = Annotated[
    str,
    BeforeValidator(_clean_name),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
Phone = Annotated[
    str,
    BeforeValidator(_ascii_digits),
    StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9][0-9 ()./-]{2,38}$"),
]
BirthYear = Annotated[int, Field(ge=1850, le=2200)]
BirthDate = Annotated[date, Field(ge=date(1850, 1, 1), le=date(2200, 12, 31))]
Gender = Literal["female", "male", "diverse", "unstated"]
Channel = Literal["email", "sms", "whatsapp", "voice", "push"]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Address = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class EmergencyContact(Ask):
    """Whom to call when something happens to a patient."""

    name: PatientName
    phone: Phone | None = None
    relation: Line | None = None


class Insurance(Ask):
    """Who pays for a patient, and whether somebody has seen that it is so."""

    insurer: Line
    policy: Line | None = None
    verified: bool = False


class Details(Ask):
    """Everything of a patient's record that may be known or not."""

    phone: Phone | None = Field(
        default=None, description="Kept in E.164; without a prefix, of the institution's country."
    )
    birth_date: BirthDate | None = None
    birth_year: BirthYear | None = None
    gender: Gender | None = None
    email: Email | None = None
    address: Address | None = None
    emergency_contact: EmergencyContact | None = None
    insurance: Insurance | None = None
    language: Language | None = Field(default=None, description="How they want to be spoken to.")
    channels: Annotated[list[Channel], AfterValidator(_each_once)] = Field(
        default=[], max_length=5, description="How they want to be reached, best first."
    )
    requirements: Annotated[list[Requirement], AfterValidator(_each_once)] = Field(
        default=[], max_length=20, description="What they need on every visit."
    )


class NewPatient(Details):
    """A patient as registered: a name at least; of a birth, the date or the year alone."""

    name: PatientName

    @model_validator(mode="after")
    def _one_birth(self) -> Self:
        if self.birth_date and self.birth_year not in (None, self.birth_date.year):
            raise Misfit("birth-years-differ", "birth_year is not the year of birth_date")
        return self

    @property
    def born(self) -> int | None:
        """The year of birth, as far as it is known."""
        return self.birth_date.year if self.birth_date else self.birth_year


FIELDS = tuple(NewPatient.model_fields)
"""Every field of a record that staff may write."""


async def as_kept(conn: Connection, institution_id: int, new: NewPatient, told: str = "") -> NewPatient:
    """A record whose telephone numbers are as they are kept.

    Raises `InvalidRequest`, which points below `told`, for a number that nobody can have.
    """
    contact = new.emergency_contact
    if new.phone is None and (contact is None or contact.phone is None):
        return new
    country = await conn.fetchval(COUNTRY, institution_id)
    phone = _kept(new.phone, country, f"{told}/phone")
    if contact is not None and contact.phone is not None:
        inner = _kept(contact.phone, country, f"{told}/emergency_contact/phone")
        contact = contact.model_copy(update={"phone": inner})
    return new.model_copy(update={"phone": phone, "emergency_contact": contact})


COUNTRY = "select country from institutions where id = $1"


def _kept(phone: str | None, country: str | None, pointer: str) -> str | None:
    try:
        return phones.kept(phone, country) if phone is not None else None
    except ValueError as misfit:
        raise wrong((pointer, str(misfit), "no-such-phone")) from None


def stored(patient: NewPatient) -> tuple[Any, ...]:
    """The values of a record's columns, from its name to its requirements, in the order of the statements."""
    return (
        patient.name,
        patient.phone,
        patient.birth_date,
        patient.born,
        patient.gender,
        patient.email,
        patient.address,
        _json(patient.emergency_contact),
        _json(patient.insurance),
        patient.language,
        patient.channels,
        patient.requirements,
    )


def _json(value: Ask | None) -> str | None:
    return value.model_dump_json() if value is not None else None


def read(row: Any) -> dict[str, Any]:
    """A row's fields, with what is kept as JSON read."""
    fields = {name: row[name] for name in FIELDS}
    for name in ("emergency_contact", "insurance"):
        if fields[name] is not None:
            fields[name] = orjson.loads(fields[name])
    return fields
