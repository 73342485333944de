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
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

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


class AppointmentState(StrEnum):
    """The states of an appointment, named as in the database. The transitions stand in `appointments.rules.LIFE`."""

    pending = "pending"
    confirmed = "confirmed"
    rejected = "rejected"
    checked_in = "checked_in"
    in_progress = "in_progress"
    completed = "completed"
    cancelled = "cancelled"
    no_show = "no_show"
    rescheduled = "rescheduled"


Mode = Literal["in_person", "online"]
"""Whether a patient comes, or is seen over video."""
SlotMode = Literal["in_person", "online", "both"]
Source = Literal["online", "reception", "kiosk", "phone", "import"]
Payment = Literal["unpaid", "paid", "waived", "refunded"]
PartOfDay = Literal["morning", "afternoon", "evening"]
"""Before 12, before 17, or later, by the clock of the place."""
WaitState = Literal["waiting", "offered", "booked", "left", "over"]
"""A place on the waitlist: in the line, with an offer to answer, and how it ended."""

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


class PatientNotice(Row):
    """Something that a patient was told in the app and has not seen; `opens` is the page that says more."""

    notice: int
    kind: str
    title: str
    body: str
    opens: str
    at: datetime

    @property
    def key(self) -> str:
        """`n:` and the notice's id."""
        return f"n:{self.notice}"


class Slot(Row):
    """A doctor's bookable time, as everybody sees it who may book: how many seats it has and how many are left."""

    slot: int
    location: int
    starts_at: datetime
    ends_at: datetime
    mode: SlotMode
    capacity: int
    left: int

    @property
    def key(self) -> str:
        """`s:` and the slot's id."""
        return f"s:{self.slot}"


class LockedSlot(Row):
    """The locks on a slot: until when each holds, soonest first. Never who holds them."""

    slot: int
    until: list[datetime]

    @property
    def key(self) -> str:
        """`s:` and the slot's id."""
        return f"s:{self.slot}"


class VisitType(Fact):
    """What an appointment is for."""

    id: int
    name: str
    colour: str


class DoctorAppointment(Row):
    """An appointment as its doctor and the desk see it. `request` is one that waits for an answer.

    What the treating side writes about it stands in no stream.
    """

    appointment: int
    number: str
    walk_in: bool
    state: AppointmentState
    starts_at: datetime
    ends_at: datetime | None
    doctor: int | None
    specialty: int | None
    location: int
    mode: Mode
    visit_type: VisitType | None
    patient: Person
    reason: str | None
    symptoms: str | None
    urgency: Urgency
    requirements: list[str]
    source: Source
    created_at: datetime
    expires_at: datetime | None
    fee: str | None
    payment: Payment
    insurance_verified: bool
    cancelled_by: str | None
    cancel_reason: str | None
    answer_reason: str | None
    rescheduled_from: int | None
    rescheduled_to: int | None
    ticket: int | None
    token: str | None
    checked_in_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    undo: str | None

    @property
    def key(self) -> str:
        """`a:` and the appointment's id."""
        return f"a:{self.appointment}"


class PatientAppointment(Row):
    """A patient's own appointment. `change_until` is null where it cannot be changed any more."""

    appointment: int
    number: str
    state: AppointmentState
    starts_at: datetime
    ends_at: datetime | None
    doctor: int | None
    doctor_name: str | None
    specialty_name: str | None
    location: int
    location_name: str
    mode: Mode
    visit_type: VisitType | None
    reason: str | None
    answer_reason: str | None
    cancel_reason: str | None
    cancelled_by: str | None
    change_until: datetime | None
    """Until when the patient may cancel or move it."""
    expires_at: datetime | None
    fee: str | None
    payment: Payment
    rescheduled_from: int | None
    rescheduled_to: int | None
    token: str | None
    queue: int | None

    @property
    def key(self) -> str:
        """`a:` and the appointment's id."""
        return f"a:{self.appointment}"


class WaitlistOffer(Fact):
    """A freed time that is held for somebody on the waitlist until they answer, or until `expires_at`."""

    offer: int
    doctor: int
    doctor_name: str
    location: int
    location_name: str
    mode: Mode
    starts_at: datetime
    ends_at: datetime
    offered_at: datetime
    expires_at: datetime


class PatientWait(Row):
    """What a patient waits for, and the time that is offered to them, if any; it goes when the wait is over."""

    entry: int
    doctor: int | None
    doctor_name: str | None
    specialty: int | None
    specialty_name: str | None
    visit_type: VisitType | None
    location: int | None
    location_name: str | None
    mode: SlotMode
    first_day: date
    last_day: date
    parts: list[PartOfDay]
    """Of those days; none for any."""
    state: WaitState
    joined_at: datetime
    offer: WaitlistOffer | None

    @property
    def key(self) -> str:
        """`w:` and the entry's id."""
        return f"w:{self.entry}"


class StaffWait(PatientWait):
    """Somebody on the waitlist, as the desk sees them. Ten goes first; among equals, who joined first."""

    patient: Person
    priority: int
    priority_reason: str | None


class Emergency(Row):
    """Somebody who needs help at once, as those see it who are told; it goes when it is over."""

    emergency: int
    location: int
    location_name: str
    specialty: int | None
    specialty_name: str | None
    patient: Person | None
    reason: str
    raised_at: datetime
    level: int
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    """The name of whoever is on the way."""

    @property
    def key(self) -> str:
        """`e:` and the emergency's id."""
        return f"e:{self.emergency}"


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
    country: str | None = None
    """Where phone numbers without a prefix are from."""
    currency: str = "EUR"
    """What fees are in."""

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
    telephone: str | None = None
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


class AdminSpecialty(Row):
    """A specialty that the institution offers."""

    specialty: int
    name: str

    @property
    def key(self) -> str:
        """`specialty:` and its id."""
        return f"specialty:{self.specialty}"


class AdminVisitType(Row):
    """What a visit can be for; `fee` is None where it is the doctor's."""

    visit_type: int
    name: str
    minutes: int
    fee: str | None
    colour: str
    mode: SlotMode

    @property
    def key(self) -> str:
        """`visit-type:` and its id."""
        return f"visit-type:{self.visit_type}"


class AdminDoctor(Row):
    """A doctor of the institution; without `visit_types` they take them all."""

    doctor: int
    name: str
    specialty: int | None = None
    licence: str | None = None
    fee: str | None = None
    languages: list[str] = []
    active: bool = True
    photo: str | None = None
    """The address of their photo."""
    locations: list[int] = []
    visit_types: list[int] = []

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


AdminRow = (
    AdminDevice
    | AdminInstitution
    | AdminLocation
    | AdminQueue
    | AdminSpecialty
    | AdminVisitType
    | AdminDoctor
    | AdminUser
    | Emergency
)
DoctorRow = DoctorAppointment | Emergency
PatientRow = PatientTicket | PatientAppointment | PatientNotice | PatientWait
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


def patient(patient_id: int) -> "Stream[PatientRow]":
    """What a patient sees of their own tickets and appointments."""
    return Stream("patient", patient_id)


def doctor(doctor_id: int) -> "Stream[DoctorRow]":
    """A doctor's appointments, the requests that concern them, and emergencies."""
    return Stream("doctor", doctor_id)


def slots(doctor_id: int) -> "Stream[Slot]":
    """The bookable time of a doctor, with what is left of it."""
    return Stream("slots", doctor_id)


def locks(doctor_id: int) -> "Stream[LockedSlot]":
    """Which of a doctor's slots somebody is about to book. Lives in Redis alone."""
    return Stream("locks", doctor_id)


def admin(institution_id: int) -> "Stream[AdminRow]":
    """How an institution is set up: its places, people and devices."""
    return Stream("admin", institution_id)


def waitlist(institution_id: int) -> "Stream[StaffWait]":
    """Who waits at an institution for time to be freed. Never a gate: it is written where others' gates are held."""
    return Stream("waitlist", institution_id)


STREAM_ROWS: dict[str, tuple[type[Row], ...]] = {
    "board": (BoardQueue, BoardTicket),
    "staff": (StaffQueue, StaffTicket, StaffBoard),
    "shown": (ShownBoard,),
    "patient": (PatientTicket, PatientAppointment, PatientNotice, PatientWait),
    "waitlist": (StaffWait,),
    "doctor": (DoctorAppointment, Emergency),
    "slots": (Slot,),
    "locks": (LockedSlot,),
    "admin": (
        AdminDevice,
        AdminInstitution,
        AdminLocation,
        AdminQueue,
        AdminSpecialty,
        AdminVisitType,
        AdminDoctor,
        AdminUser,
        Emergency,
    ),
}
"""Which exact row types each kind of stream may carry; `append` refuses any other, subclasses included."""

IN_REDIS_ALONE = frozenset({"shown", "locks"})
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


EndReason: TypeAlias = Literal["day-ended"] | None
"""Why a ticket ended, where everybody may know: what staff write stands on record alone."""


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
    """The ticket was given up, by its holder or by staff; or the day ended before its turn."""

    type = "ticket-cancelled"
    ended: EndReason = None


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
    """A doctor was added, or anything about them changed."""

    type = "doctor-changed"
    doctor: int


class UserChanged(Event):
    """Somebody was invited, or their role, name, locations, second factor or state changed."""

    type = "user-changed"
    user: int


class SettingsChanged(Event):
    """Settings were set or reset at this level: the institution, one of its locations or one of its queues."""

    type = "settings-changed"
    level: Literal["institution", "location", "queue", "doctor"]
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
    """The patient's own ticket moved on, or the day ended before its turn."""

    type = "ticket-changed"
    ended: EndReason = None


class NoticeTold(Event):
    """The patient is told something in the app."""

    type = "notice-told"
    notice: int


class NoticesSeen(Event):
    """The patient has seen these: they are shown no more."""

    type = "notices-seen"
    notices: list[int]


class SlotsEvent(Event):
    """A fact about some slots of one doctor."""

    doctor: int
    slots: list[int]


class SlotAdded(SlotsEvent):
    """Time can be booked that could not be before."""

    type = "slot-added"


class SlotRemoved(SlotsEvent):
    """Time cannot be booked any more, and is shown no more."""

    type = "slot-removed"


class SlotAvailabilityChanged(SlotsEvent):
    """Seats were taken or freed, or the slots' capacity or mode changed."""

    type = "slot-availability-changed"


class SlotLocked(Event):
    """Somebody is about to book these slots. Never who."""

    type = "slot-locked"
    slots: list[int]
    until: datetime


class SlotUnlocked(Event):
    """A lock on these slots ended: by hand, by a booking, or by its time."""

    type = "slot-unlocked"
    slots: list[int]
    expired: bool


class AppointmentEvent(Event):
    """A fact about one appointment."""

    appointment: int
    number: str
    kind: Literal["scheduled", "walk_in"]
    state: AppointmentState


class NewAppointment(AppointmentEvent):
    """An appointment was made, or asked for: `request` waits for an answer."""

    type = "new-appointment"
    request: bool


class AppointmentConfirmed(AppointmentEvent):
    """The appointment stands: at once, or confirmed by somebody who works there."""

    type = "appointment-confirmed"


class AppointmentAccepted(AppointmentEvent):
    """A doctor accepted the request."""

    type = "appointment-accepted"
    doctor: int


class AppointmentRejected(AppointmentEvent):
    """The request was turned down, or nobody answered it in time (`expired`)."""

    type = "appointment-rejected"
    expired: bool


class AppointmentCancelled(AppointmentEvent):
    """The appointment was called off."""

    type = "appointment-cancelled"
    by: Literal["patient", "staff", "system"]


class AppointmentRescheduled(AppointmentEvent):
    """The appointment was moved: this one ended, and `to` took its place."""

    type = "appointment-rescheduled"
    to: int


class AppointmentStatusChanged(AppointmentEvent):
    """The appointment went from one state to another on the day of the visit, or a step was taken back."""

    type = "appointment-status-changed"
    was: AppointmentState
    undid: str | None = None


class AppointmentUpdated(AppointmentEvent):
    """Something else about the appointment changed, such as its payment or its patient's record."""

    type = "appointment-updated"


class AppointmentsFiled(Event):
    """Appointments that have been over for a while left the stream; lists still have them."""

    type = "appointments-filed"


class AppointmentsCorrected(Event):
    """What appointments show was corrected: their patient's record, or the name of something they are at or for."""

    type = "appointments-corrected"


class EmergencyEvent(Event):
    """A fact about one emergency."""

    emergency: int


class EmergencyRequest(EmergencyEvent):
    """Somebody asked for help at once."""

    type = "emergency-request"


class EmergencyAlert(EmergencyEvent):
    """Those who can help are told, at first or because nobody has acknowledged it yet."""

    type = "emergency-alert"
    level: int


class EmergencyAcknowledged(EmergencyEvent):
    """Somebody is on the way."""

    type = "emergency-acknowledged"


class EmergencyEnded(EmergencyEvent):
    """It is over, or was no emergency."""

    type = "emergency-ended"


class EmergencyCorrected(EmergencyEvent):
    """The record of whoever needs help was corrected."""

    type = "emergency-corrected"


class PatientsMerged(Event):
    """One patient's record went over into another: everything of theirs is the other's."""

    type = "patients-merged"
    gone: int
    into: int


class PatientCorrected(Event):
    """A patient's record was corrected: whoever looks at it asks for it anew."""

    type = "patient-corrected"
    record: int


class CatalogueChanged(Event):
    """A specialty or visit type was added, changed or retired."""

    type = "catalogue-changed"


class WaitlistEvent(Event):
    """A fact about one place on the waitlist."""

    entry: int


class WaitlistJoined(WaitlistEvent):
    """Somebody waits for time to be freed."""

    type = "waitlist-joined"


class WaitlistChanged(WaitlistEvent):
    """Something about somebody's place changed: its priority, or it was given back."""

    type = "waitlist-changed"


class WaitlistCorrected(WaitlistEvent):
    """Something that a place shows says otherwise: a name was corrected. What it says now follows."""

    type = "waitlist-corrected"


class WaitlistLeft(WaitlistEvent):
    """Somebody waits no more: they left, or the days that they waited for are over."""

    type = "waitlist-left"
    over: bool


class OfferEvent(WaitlistEvent):
    """A fact about a time that was offered to somebody on the waitlist."""

    offer: int


class OfferMade(OfferEvent):
    """A freed time is held for the first in the line whom it suits."""

    type = "offer-made"


class OfferAccepted(OfferEvent):
    """The time is theirs."""

    type = "offer-accepted"
    appointment: int


class OfferDeclined(OfferEvent):
    """They do not want that time, and keep their place in the line."""

    type = "offer-declined"


class OfferExpired(OfferEvent):
    """Nobody answered in time; they keep their place in the line."""

    type = "offer-expired"


class OfferWithdrawn(OfferEvent):
    """The time that was offered is not there any more; they keep their place in the line."""

    type = "offer-withdrawn"


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
        NoticeTold,
        NoticesSeen,
        SlotAdded,
        SlotRemoved,
        SlotAvailabilityChanged,
        SlotLocked,
        SlotUnlocked,
        NewAppointment,
        AppointmentConfirmed,
        AppointmentAccepted,
        AppointmentRejected,
        AppointmentCancelled,
        AppointmentRescheduled,
        AppointmentStatusChanged,
        AppointmentUpdated,
        AppointmentsFiled,
        AppointmentsCorrected,
        EmergencyRequest,
        EmergencyAlert,
        EmergencyAcknowledged,
        EmergencyEnded,
        EmergencyCorrected,
        PatientsMerged,
        PatientCorrected,
        CatalogueChanged,
        WaitlistJoined,
        WaitlistChanged,
        WaitlistCorrected,
        WaitlistLeft,
        OfferMade,
        OfferAccepted,
        OfferDeclined,
        OfferExpired,
        OfferWithdrawn,
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
    CatalogueChanged,
    PatientsMerged,
    PatientCorrected,
    DeviceEnrolled,
    DeviceRenamed,
    DeviceRevoked,
    DevicesSeen,
)
APPOINTMENT_EVENTS: tuple[type[Event], ...] = (
    *(event for event in EVENTS.values() if issubclass(event, AppointmentEvent)),
    AppointmentsFiled,
    AppointmentsCorrected,
)
EMERGENCY_EVENTS: tuple[type[Event], ...] = tuple(
    event for event in EVENTS.values() if issubclass(event, EmergencyEvent)
)
WAITLIST_EVENTS: tuple[type[Event], ...] = tuple(event for event in EVENTS.values() if issubclass(event, WaitlistEvent))
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
    "patient": (TicketChanged, NoticeTold, NoticesSeen, *APPOINTMENT_EVENTS, *WAITLIST_EVENTS, PatientsMerged),
    "waitlist": WAITLIST_EVENTS,
    "doctor": (*APPOINTMENT_EVENTS, *EMERGENCY_EVENTS),
    "slots": (SlotAdded, SlotRemoved, SlotAvailabilityChanged),
    "locks": (SlotLocked, SlotUnlocked),
    "admin": (*ADMIN_EVENTS, *EMERGENCY_EVENTS),
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
