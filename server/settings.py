"""Settings of queues, of booking and of notices: what can be set, and how a queue inherits from its location and
institution, and a doctor from the institution.

Invariant: what is stored at each level is only what was set there; a level without a value shows the one above, and
a stored value is always one that `Partial`, `BookingPartial` or `NoticePartial` accepts.
"""

from collections.abc import Mapping, Sequence
from datetime import time
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from server.asks import Reply

S = TypeVar("S", bound=BaseModel)


def _whole_minute(at: time) -> time:
    if at.second or at.microsecond or at.tzinfo:
        raise ValueError("a whole minute, without a zone")
    return at


WallTime = Annotated[
    time,
    AfterValidator(_whole_minute),
    WithJsonSchema({"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d(:00)?$", "examples": ["08:30"]}),
]
"""What a clock on the wall shows: a whole minute, without a zone."""


class Order(StrEnum):
    """How a queue orders those who wait; an emergency goes first in each of them."""

    fifo = "fifo"
    urgent_first = "urgent_first"
    scored = "scored"


class Place(StrEnum):
    """What somebody with an appointment goes by among those who wait."""

    appointment = "appointment"
    arrival = "arrival"


class Weights(BaseModel):
    """Points of a score. Whoever has most is called first; one minute of waiting is worth `per_minute`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_minute: float = Field(default=1.0, gt=0, le=1000)
    urgent: float = Field(default=60.0, ge=0, le=10_000)
    elderly: float = Field(default=15.0, ge=0, le=10_000, description="From `elderly_from` years of age.")
    elderly_from: int = Field(default=75, ge=0, le=150)
    child: float = Field(default=10.0, ge=0, le=10_000, description="Up to `child_to` years of age.")
    child_to: int = Field(default=5, ge=0, le=150)
    requirement: float = Field(default=10.0, ge=0, le=10_000, description="Once, with any special requirement.")


class Hours(BaseModel):
    """One opening on a weekday (0 is Monday), local time; one that closes at or before it opens ends the next day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weekday: int = Field(ge=0, le=6)
    opens: WallTime
    closes: WallTime


Always = Literal["always"]
"""Open at any hour; said at a level, it holds against a week that the level above keeps."""


class QueueSettings(BaseModel):
    """The effective settings of one queue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: Order = Order.urgent_first
    token_prefix: Annotated[str, Field(pattern=r"^[A-Z]{0,3}$")] = "A"
    token_digits: int = Field(default=3, ge=1, le=6)
    max_length: int = Field(default=50, ge=1, le=100_000)
    walk_ins_per_day: int = Field(default=20, ge=0, le=1_000_000, description="Of each doctor who serves the queue.")
    show_waits: bool = True
    hours: Annotated[list[Hours], Field(max_length=50)] | Always = Field(
        default="always", description="The week's openings, none for a queue that is never open; or `always`."
    )
    call_next_completes: bool = Field(
        default=True,
        description="Calling the next completes whoever is at the desk; off, somebody called there is settled first.",
    )
    weights: Weights = Weights()
    appointment_on_time: Place = Field(
        default=Place.appointment, description="What an appointment goes by among walk-ins if its patient is on time."
    )
    appointment_late: Place = Field(default=Place.arrival, description="The same if the patient is late.")
    appointment_grace_minutes: int = Field(default=10, ge=0, le=240, description="So long after it is on time.")
    show_arrival_code: bool = Field(
        default=False, description="Whether boards show the code that patients check themselves in with there."
    )
    closes_day: bool = Field(
        default=True,
        description="At the end of the local day, whatever still waits is ended. Off, for a queue that never closes.",
    )


class BookingSettings(BaseModel):
    """The effective settings of booking one doctor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    advance_booking_days: int = Field(default=60, ge=1, le=730, description="How far ahead slots are made and booked.")
    min_notice_minutes: int = Field(default=0, ge=0, le=43_200, description="How soon patients can still book.")
    auto_confirm_appointments: bool = True
    request_expires_hours: int = Field(default=24, ge=1, le=720, description="As long a request holds its seat.")
    cancellation_deadline_hours: int = Field(default=24, ge=0, le=720, description="Later, patients may not cancel.")
    lock_minutes: int = Field(default=5, ge=1, le=60, description="As long a slot is held while a form is filled in.")
    open_per_patient: int = Field(default=5, ge=1, le=100, description="Future appointments that a patient may have.")
    self_registration: bool = Field(default=True, description="Whether people who are not known yet may register.")
    emergency_escalates_seconds: int = Field(
        default=60, ge=5, le=3600, description="After so long without an answer, an emergency is told to more people."
    )
    no_show_after_minutes: int | None = Field(
        default=None,
        ge=0,
        le=2880,
        description="So long after its time a visit without its patient is a no-show. None or 0: never by itself.",
    )
    waitlist: bool = Field(default=True, description="Whether people may wait for time that is freed.")
    waitlist_per_patient: int = Field(default=3, ge=1, le=50, description="Wishes that one patient may wait for.")
    offer_minutes: int = Field(
        default=30, ge=2, le=1440, description="As long freed time is held for whoever is first on the waitlist."
    )


Channel = Literal["email", "sms", "whatsapp", "voice", "push", "app"]


class Reminder(BaseModel):
    """A reminder of an appointment: over which channel, and how long before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: Channel
    minutes: int = Field(ge=5, le=20_160)


REMINDERS = (
    Reminder(channel="email", minutes=1440),
    Reminder(channel="email", minutes=60),
    Reminder(channel="sms", minutes=120),
    Reminder(channel="push", minutes=60),
)


class NoticeSettings(BaseModel):
    """The effective settings of what patients are told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reminders: Annotated[list[Reminder], Field(max_length=12)] = list(REMINDERS)
    channels: Annotated[list[Channel], Field(max_length=6)] = ["email", "sms", "push", "app", "whatsapp", "voice"]
    quiet_from: WallTime = Field(default=time(21), description="What can wait wakes nobody from then on.")
    quiet_to: WallTime = Field(
        default=time(8), description="Until then; the same as its beginning where no hour is quiet."
    )
    wait_grown_minutes: int = Field(
        default=15, ge=5, le=240, description="By so much a wait has to have grown for those who wait to be told."
    )
    no_show_minutes: int = Field(default=30, ge=0, le=1440, description="So long after it a missed visit is told of.")
    thank_minutes: int = Field(default=60, ge=0, le=1440, description="So long after a visit its patient is thanked.")
    thank: bool = Field(default=True, description="Whether patients are thanked, and asked how it was.")
    follow_no_show: bool = Field(default=True, description="Whether patients are told of a visit that they missed.")


class RetentionSettings(BaseModel):
    """After how many days what is known of patients is forgotten; without a number it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    visits_days: int | None = Field(default=None, ge=30, le=36_500, description="What was written down about a visit.")
    notices_days: int | None = Field(default=None, ge=7, le=36_500, description="What was sent, and to where.")
    events_days: int | None = Field(default=None, ge=7, le=36_500, description="What streams told.")
    patients_days: int | None = Field(
        default=None, ge=365, le=36_500, description="Who patients are who have not been seen since."
    )


def _optional(of: type[BaseModel]) -> dict[str, Any]:
    """Each of the settings, with its limits, or null: take it back to the inherited value."""
    return {
        name: (Annotated[field.annotation, Field(), *field.metadata] | None, None)
        for name, field in of.model_fields.items()
    }


Partial: type[BaseModel] = create_model(
    "QueueSettingsPartial",
    __config__=ConfigDict(frozen=True, extra="forbid"),
    __doc__="Some settings; null takes a value back to the inherited one.",
    **_optional(QueueSettings),
)
BookingPartial: type[BaseModel] = create_model(
    "BookingSettingsPartial",
    __config__=ConfigDict(frozen=True, extra="forbid"),
    __doc__="Some settings; null takes a value back to the inherited one.",
    **_optional(BookingSettings),
)

NoticePartial: type[BaseModel] = create_model(
    "NoticeSettingsPartial",
    __config__=ConfigDict(frozen=True, extra="forbid"),
    __doc__="Some settings; null takes a value back to the inherited one.",
    **_optional(NoticeSettings),
)


RetentionPartial: type[BaseModel] = create_model(
    "RetentionPartial",
    __config__=ConfigDict(frozen=True, extra="forbid"),
    __doc__="Some settings; null keeps what they are about.",
    **_optional(RetentionSettings),
)


def effective(*levels: Mapping[str, Any]) -> QueueSettings:
    """The settings that hold, from what is set at institution, location and queue, in that order."""
    return QueueSettings.model_validate(_merged(levels))


def effective_booking(*levels: Mapping[str, Any]) -> BookingSettings:
    """The settings of booking that hold, from what is set at the institution and of the doctor, in that order."""
    return BookingSettings.model_validate(_merged(levels))


def effective_notices(*levels: Mapping[str, Any]) -> NoticeSettings:
    """The settings of notices that hold, from what is set at institution, doctor and patient, in that order."""
    return NoticeSettings.model_validate(_merged(levels))


def _merged(levels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for level in levels:
        merged.update({key: value for key, value in level.items() if value is not None})
    return merged


class Levels(Reply, Generic[S]):
    """What is set at a level itself, what holds there, and where each of those values comes from."""

    own: dict[str, Any]
    effective: S
    origin: dict[str, str]

    @classmethod
    def of(cls, **levels: Mapping[str, Any]) -> Self:
        """The settings of the last of these levels, which stand in their order."""
        settings = cls.model_fields["effective"].annotation
        assert settings is not None
        origin = dict.fromkeys(settings.model_fields, "default")
        for level, own in levels.items():
            origin.update({name: level for name, value in own.items() if value is not None})
        stored = list(levels.values())
        return cls(own=dict(stored[-1]), effective=settings.model_validate(_merged(stored)), origin=origin)


def changed(stored: Mapping[str, Any], change: BaseModel, of: str = "") -> dict[str, Any]:
    """What is stored at a level after a change: given values replace, null resets to the inherited one.

    `of` is the field of the change, if there is one, that tells whose settings they are.
    """
    given = change.model_dump(mode="json", exclude_unset=True, exclude={of})
    return {key: value for key, value in {**stored, **given}.items() if value is not None}
