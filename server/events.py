"""Every stream, every row that a stream's audience can see, and every event, one pydantic model each.

Invariants: an event is a frozen fact with ids and no personal data; what an audience may see of a person stands
only in that stream's row types, so `append` to a board cannot be given a name: `BoardTicket` has no field for one,
and `Stream[BoardRow]` takes nothing else. Fields are added as optional; a meaning never changes.

A stream's state is a map from row key to row. An event carries what it changes of that map (`put`, `drop`), so one
reducer serves Redis, the browser and the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """Frozen, and closed against fields nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class State(StrEnum):
    """The states of a ticket, named as in the database. The transitions stand in `queue.rules.LIFE`."""

    waiting = "waiting"
    called = "called"
    in_consultation = "in_consultation"
    on_hold = "on_hold"
    completed = "completed"
    no_show = "no_show"
    transferred = "transferred"
    cancelled = "cancelled"


class Urgency(StrEnum):
    """How urgent a person at the desk judged a ticket."""

    routine = "routine"
    urgent = "urgent"
    emergency = "emergency"


QueueState = Literal["open", "paused", "closed"]

# Rows


class Row(Fact):
    """One entry of a stream's state."""

    @property
    def key(self) -> str:
        """The entry's name within its stream."""
        raise NotImplementedError


class Call(Fact):
    """A call of a ticket: the how-many-eth it is, when, and the board version that carries it."""

    number: int
    at: datetime
    version: int


class PublicQueue(Row):
    """What everybody may see of a queue. `waits` are (50th, 90th percentile) in seconds from `waits_at`, by place."""

    queue: int
    name: str
    doctor: str | None
    state: QueueState
    message: str | None
    show_waits: bool
    desks: int
    waits: list[tuple[int, int]]
    waits_at: datetime

    @property
    def key(self) -> str:
        """Always `queue`: a board stream is one queue's."""
        return "queue"


class BoardQueue(PublicQueue):
    """A queue as a waiting room sees it."""


class PublicTicket(Row):
    """What everybody may see of a ticket: the token, where it stands, which desk it is called to. Never who it is."""

    ticket: int
    token: str
    state: State
    rank: float
    desk: str | None
    call: Call | None

    @property
    def key(self) -> str:
        """`t:` and the ticket's id."""
        return f"t:{self.ticket}"


class BoardTicket(PublicTicket):
    """A ticket as a waiting room sees it."""


class Serving(Fact):
    """A desk that serves a queue now."""

    desk_id: int
    desk: str
    doctor: str | None


class StaffQueue(PublicQueue):
    """A queue as those who work it see it: its effective settings and who serves."""

    settings: dict[str, Any]
    mode: str
    serving: list[Serving]


class Person(Fact):
    """The patient of a ticket, as staff see them."""

    id: int
    name: str
    phone: str | None
    birth_year: int | None
    number: str | None = None
    birth_date: date | None = None


class Reason(Fact):
    """Why a ticket stands where it stands, or was called when it was."""

    code: str
    detail: str


class Factor(Fact):
    """One term of a score."""

    factor: str
    points: float


class Score(Fact):
    """The score of a ticket when it joined or was last re-prioritised; minutes waited add the same to everyone."""

    total: float
    factors: list[Factor]
    per_minute: float


class StaffTicket(PublicTicket):
    """A ticket as those who work the queue see it."""

    patient: Person
    urgency: Urgency
    reason: str | None
    requirements: list[str]
    joined_at: datetime
    called_at: datetime | None
    started_at: datetime | None
    desk_id: int | None
    doctor_id: int | None
    score: Score | None
    order_reasons: list[Reason]
    undo: str | None


class StaffBoard(Row):
    """An enrolled board at the queue's location."""

    device: int
    name: str

    @property
    def key(self) -> str:
        """`board:` and the device's id."""
        return f"board:{self.device}"


class ShownBoard(Row):
    """What one board has painted and spoken: everything up to these versions of the board stream."""

    device: int
    name: str
    connected: bool
    shown: int
    spoken: int
    at: datetime

    @property
    def key(self) -> str:
        """`d:` and the device's id."""
        return f"d:{self.device}"


class PatientTicket(Row):
    """A patient's own ticket."""

    ticket: int
    token: str
    queue: int
    queue_name: str
    state: State
    desk: str | None

    @property
    def key(self) -> str:
        """`t:` and the ticket's id."""
        return f"t:{self.ticket}"


class ShownQueue(Fact):
    """How far a board said that it had shown a queue, and the call that it showed last."""

    queue: int
    version: int
    token: str | None
    called_at: datetime | None


class AdminDevice(Row):
    """An enrolled device of the institution."""

    device: int
    name: str
    device_kind: str
    location: int
    enrolled_at: datetime
    revoked_at: datetime | None
    seen_at: datetime | None = None
    """Its last sign of life, to the minute."""
    build: str | None = None
    """The build of the page that it runs."""
    shown: list[ShownQueue] = []

    @property
    def key(self) -> str:
        """`device:` and its id."""
        return f"device:{self.device}"


class AdminInstitution(Row):
    """The institution itself."""

    institution: int
    name: str
    zone: str
    languages: list[str]
    require_totp: bool

    @property
    def key(self) -> str:
        """Always `institution`: an admin stream is one institution's."""
        return "institution"


class AdminDesk(Fact):
    """A room or counter of a location."""

    desk: int
    name: str


class AdminLocation(Row):
    """A branch or waiting room with its desks; `zone` is None where the institution's holds."""

    location: int
    name: str
    zone: str | None
    desks: list[AdminDesk]

    @property
    def key(self) -> str:
        """`location:` and its id."""
        return f"location:{self.location}"


class AdminQueue(Row):
    """A queue as it is set up; `owner` is None for a pool, `doctors` are all who may serve it."""

    queue: int
    location: int
    name: str
    department: str | None = None
    owner: int | None
    doctors: list[int]

    @property
    def key(self) -> str:
        """`queue:` and its id."""
        return f"queue:{self.queue}"


class AdminDoctor(Row):
    """A doctor of the institution."""

    doctor: int
    name: str

    @property
    def key(self) -> str:
        """`doctor:` and its id."""
        return f"doctor:{self.doctor}"


class AdminUser(Row):
    """Somebody who works at the institution and signs in; without `locations` they work at all of them."""

    user: int
    name: str
    email: str
    role: str
    state: Literal["invited", "active", "inactive"]
    locations: list[int]
    doctor: int | None
    second_factor: bool

    @property
    def key(self) -> str:
        """`user:` and its id."""
        return f"user:{self.user}"


AdminRow = AdminDevice | AdminInstitution | AdminLocation | AdminQueue | AdminDoctor | AdminUser
BoardRow = BoardQueue | BoardTicket
StaffRow = StaffQueue | StaffTicket | StaffBoard

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Stream(Generic[R]):
    """The name of a stream, typed by the rows that its audience may see."""

    kind: str
    id: int

    @property
    def name(self) -> str:
        """As on the wire: `board:17`."""
        return f"{self.kind}:{self.id}"


def board(queue_id: int) -> "Stream[BoardRow]":
    """What the waiting room sees of a queue."""
    return Stream("board", queue_id)


def staff(queue_id: int) -> "Stream[StaffRow]":
    """What those who work a queue see of it."""
    return Stream("staff", queue_id)


def shown(queue_id: int) -> "Stream[ShownBoard]":
    """What the boards have shown of a queue. Lives in Redis alone."""
    return Stream("shown", queue_id)


def patient(patient_id: int) -> "Stream[PatientTicket]":
    """What a patient sees of their own tickets."""
    return Stream("patient", patient_id)


def doctor(doctor_id: int) -> "Stream[Row]":
    """A doctor's appointments and requests."""
    return Stream("doctor", doctor_id)


def admin(institution_id: int) -> "Stream[AdminRow]":
    """How an institution is set up: its places, people and devices."""
    return Stream("admin", institution_id)


STREAM_ROWS: dict[str, tuple[type[Row], ...]] = {
    "board": (BoardQueue, BoardTicket),
    "staff": (StaffQueue, StaffTicket, StaffBoard),
    "shown": (ShownBoard,),
    "patient": (PatientTicket,),
    "doctor": (),
    "admin": (AdminDevice, AdminInstitution, AdminLocation, AdminQueue, AdminDoctor, AdminUser),
}
"""Which exact row types each kind of stream may carry; `append` refuses any other, subclasses included."""

IN_REDIS_ALONE = frozenset({"shown"})
"""Streams that no table backs: they have their own epoch and begin anew when Redis is lost."""


def parse(name: str) -> "Stream[Row] | None":
    """The stream of a wire name, or None where the name has not that form."""
    kind, _, number = name.partition(":")
    if kind not in STREAM_ROWS or not number.isascii() or not number.isdigit() or len(number) > 18 or number[0] == "0":
        return None
    return Stream(kind, int(number))


# Events


class Event(Fact):
    """A fact, past tense. `type` is its name on the wire."""

    type: ClassVar[str]


class TicketEvent(Event):
    """A fact about one ticket."""

    ticket: int
    token: str


class TicketJoined(TicketEvent):
    """Somebody joined the queue."""

    type = "ticket-joined"


class PatientCalled(TicketEvent):
    """A ticket is called to a desk: boards show, chime and speak it."""

    type = "patient-called"
    desk: str
    number: int


class PatientRecalled(TicketEvent):
    """A called ticket is called again."""

    type = "patient-recalled"
    desk: str
    number: int


class ConsultationStarted(TicketEvent):
    """The patient is with the doctor."""

    type = "consultation-started"
    desk: str


class ConsultationCompleted(TicketEvent):
    """The consultation is over."""

    type = "consultation-completed"


class TicketNoShow(TicketEvent):
    """The patient did not come when called."""

    type = "ticket-no-show"


class TicketReturned(TicketEvent):
    """The ticket waits again."""

    type = "ticket-returned"


class TicketHeld(TicketEvent):
    """The ticket is set aside and keeps its place."""

    type = "ticket-held"


class TicketTransferred(TicketEvent):
    """The ticket left for another queue."""

    type = "ticket-transferred"
    to_queue: int


class TicketPrioritized(TicketEvent):
    """The ticket's urgency or place was changed by hand."""

    type = "ticket-prioritized"


class TicketCancelled(TicketEvent):
    """The ticket was given up, by its holder or by staff."""

    type = "ticket-cancelled"


class TicketUndone(TicketEvent):
    """The ticket's last step was taken back."""

    type = "ticket-undone"
    undid: str


class QueueUpdated(Event):
    """The queue's state, settings, desks or waits changed, or its order was written anew."""

    type = "queue-updated"


class DeviceEnrolled(Event):
    """A screen became a device of a location."""

    type = "device-enrolled"
    device: int


class DeviceRevoked(Event):
    """A device's credential ended."""

    type = "device-revoked"
    device: int


class QueueRetired(Event):
    """The queue is closed for good: boards drop it."""

    type = "queue-retired"
    queue: int


class LocationChanged(Event):
    """The location's name, desks, zone, languages or list of queues changed: boards ask anew what they are to show."""

    type = "location-changed"
    location: int


class InstitutionChanged(Event):
    """The institution's name, zone, languages or rules of signing in changed."""

    type = "institution-changed"


class QueueConfigured(Event):
    """A queue was made, or its name, owner or doctors changed."""

    type = "queue-configured"
    queue: int


class DoctorChanged(Event):
    """A doctor was added or renamed."""

    type = "doctor-changed"
    doctor: int


class UserChanged(Event):
    """Somebody was invited, or their role, name, locations, second factor or state changed."""

    type = "user-changed"
    user: int


class SettingsChanged(Event):
    """Settings were set or reset at this level: the institution, one of its locations or one of its queues."""

    type = "settings-changed"
    level: Literal["institution", "location", "queue"]
    of: int


class DeviceRenamed(Event):
    """A device has another name."""

    type = "device-renamed"
    device: int


class DevicesSeen(Event):
    """Devices gave a sign of life; told at most once a minute of each."""

    type = "devices-seen"


class BoardsShown(Event):
    """Boards came, went, or acknowledged what they have shown."""

    type = "boards-shown"


class TicketChanged(TicketEvent):
    """The patient's own ticket moved on."""

    type = "ticket-changed"


EVENTS: dict[str, type[Event]] = {
    event.type: event
    for event in (
        TicketJoined,
        PatientCalled,
        PatientRecalled,
        ConsultationStarted,
        ConsultationCompleted,
        TicketNoShow,
        TicketReturned,
        TicketHeld,
        TicketTransferred,
        TicketPrioritized,
        TicketCancelled,
        TicketUndone,
        QueueUpdated,
        QueueRetired,
        LocationChanged,
        InstitutionChanged,
        QueueConfigured,
        DoctorChanged,
        UserChanged,
        SettingsChanged,
        DeviceEnrolled,
        DeviceRenamed,
        DeviceRevoked,
        DevicesSeen,
        BoardsShown,
        TicketChanged,
    )
}
"""Every event by its name on the wire."""

ADMIN_EVENTS: tuple[type[Event], ...] = (
    InstitutionChanged,
    LocationChanged,
    QueueConfigured,
    QueueRetired,
    DoctorChanged,
    UserChanged,
    SettingsChanged,
    DeviceEnrolled,
    DeviceRenamed,
    DeviceRevoked,
    DevicesSeen,
)
QUEUE_EVENTS: tuple[type[Event], ...] = (
    *(event for event in EVENTS.values() if issubclass(event, TicketEvent) and event is not TicketChanged),
    QueueUpdated,
    QueueRetired,
    LocationChanged,
)
STREAM_EVENTS: dict[str, tuple[type[Event], ...]] = {
    "board": QUEUE_EVENTS,
    "staff": (*QUEUE_EVENTS, DeviceEnrolled, DeviceRenamed, DeviceRevoked),
    "shown": (BoardsShown,),
    "patient": (TicketChanged,),
    "doctor": (),
    "admin": ADMIN_EVENTS,
}
"""Which events each kind of stream carries."""


def data_of(event: Event, put: Sequence[Row], drop: Sequence[str]) -> dict[str, Any]:
    """The `data` member of an event's envelope: its facts, and what it changes of the stream's rows."""
    data = event.model_dump(mode="json")
    if put:
        data["put"] = {row.key: row.model_dump(mode="json") for row in put}
    if drop:
        data["drop"] = list(drop)
    return data


def reduce(rows: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """The rows after an event whose envelope carries `data`; the very rule that the browser and Redis apply."""
    after = {**rows, **data.get("put", {})}
    for key in data.get("drop", ()):
        after.pop(key, None)
    return after
