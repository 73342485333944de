"""Every refusal that Callboard can give: its stable code, its HTTP status, and whether a retry can help.

Invariant: a code never changes its meaning and is the same over HTTP (RFC 9457) and in a socket's ack.
A refusal is raised where the fact is known and carries only facts that its receiver may see.
"""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Literal


class Refusal(Exception):
    """A request that Callboard understands and does not carry out. Keyword arguments become members of the problem."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 409
    title: ClassVar[str] = "The request was refused."
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra = extra
        self.look: Callable[[Any], Awaitable[dict[str, Any]]] | None = None
        """Finds further members in a fresh view, once the command's gates are given back: nobody waits for it."""


Wrong = Literal[
    "birth-years-differ",
    "breaks-misfit",
    "ends-before-start",
    "formula",
    "in-future",
    "licence-taken",
    "missing",
    "no-browser",
    "no-choice",
    "no-contact",
    "no-date",
    "no-letter",
    "no-number",
    "no-picture",
    "no-such-name",
    "no-such-phone",
    "no-such-zone",
    "out-of-range",
    "over-already",
    "picture-too-large",
    "role-misfit",
    "same-time",
    "sessions-overlap",
    "starts-too-late",
    "too-long",
    "too-many-slots",
    "too-short",
]
"""What can be wrong with a place of a request that a person filled in, and that a page says in their language."""


class Misfit(ValueError):
    """A value that a validator does not take, for one of the reasons that pages have words for."""

    def __init__(self, code: Wrong, detail: str) -> None:
        super().__init__(detail)
        self.code: Wrong = code


def problem(refusal: Refusal) -> dict[str, Any]:
    """The RFC 9457 problem object of a refusal."""
    return {
        **refusal.extra,
        "type": f"urn:callboard:problem:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "retryable": refusal.retryable,
    }


# The request itself


class MalformedJson(Refusal):
    """The body or message is not JSON."""

    code, status, title = "malformed-json", 400, "The body is not valid JSON."


class InvalidRequest(Refusal):
    """The request does not have the declared form; `errors` points at each wrong place without repeating its value."""

    code, status, title = "invalid-request", 422, "The request does not have the expected form."


class InvalidCursor(Refusal):
    """A page's cursor was not made by this server for this list."""

    code, status, title = "invalid-cursor", 400, "That page cursor is not valid here."


class InvalidKey(Refusal):
    """The idempotency key is empty, too long or has characters that a header cannot carry."""

    code, status, title = (
        "invalid-idempotency-key",
        400,
        "The Idempotency-Key must be 1 to 200 visible ASCII characters.",
    )


class KeyReused(Refusal):
    """The idempotency key came before with another request."""

    code, status, title = (
        "idempotency-key-reused",
        422,
        "This Idempotency-Key was used for a different request.",
    )


class BodyTooLarge(Refusal):
    """The body or message is larger than this server reads."""

    code, status, title = "body-too-large", 413, "The body is too large."


class TooSlow(Refusal):
    """The body did not arrive in the time that a request has."""

    code, status, title, retryable = "too-slow", 408, "The request took too long to arrive.", True


class UnsupportedMediaType(Refusal):
    """The body is not declared as JSON."""

    code, status, title = "unsupported-media-type", 415, "Send the body as application/json."


class NotFound(Refusal):
    """Nothing of that kind is there for the one who asks."""

    code, status, title = "not-found", 404, "There is nothing here by that name."


class MethodNotAllowed(Refusal):
    """The address exists and does not take this method."""

    code, status, title = "method-not-allowed", 405, "This address does not take that method."


class UnknownEvent(Refusal):
    """A socket sent an event that is no command."""

    code, status, title = "unknown-event", 404, "There is no command of that name."


class TooMany(Refusal):
    """More requests than one sender may make; `retry_after` seconds tells when to come again."""

    code, status, title, retryable = (
        "too-many-requests",
        429,
        "Too many requests; try again in a moment.",
        True,
    )


# Who asks


class NotAuthenticated(Refusal):
    """Nobody is signed in, or the credential has ended."""

    code, status, title = "not-authenticated", 401, "Sign in first."


class WrongSignIn(Refusal):
    """E-mail or password is wrong; which of the two is never told."""

    code, status, title = "wrong-sign-in", 401, "E-mail or password is wrong."


class WrongPassword(Refusal):
    """The password with which somebody proves anew who they are is wrong; their session goes on."""

    code, status, title = "wrong-password", 403, "That is not your password."


class SecondFactorNeeded(Refusal):
    """The password is right, and this account asks for a code besides."""

    code, status, title = "second-factor-needed", 401, "Enter the code from your authenticator app."


class WrongCode(Refusal):
    """The second factor's code is wrong, too old, or was used already."""

    code, status, title = "wrong-code", 401, "That code is wrong or was used already."


class SecondFactorRequired(Refusal):
    """The institution requires a second factor of its staff; until it is set up, the session opens nothing else."""

    code, status, title = "second-factor-required", 403, "Set up your second factor first."


class InvitationEnded(Refusal):
    """The invitation was used, replaced or is too old; whoever sent it can send another."""

    code, title = "invitation-ended", "This invitation has ended; ask for a new one."


class NotAllowed(Refusal):
    """The role, the institution or the location does not allow it."""

    code, status, title = "not-allowed", 403, "You are not allowed to do that."


class CsrfFailed(Refusal):
    """A cookie came without the token that proves the page sent it."""

    code, status, title = "csrf", 403, "The page's security token is missing or wrong; reload the page."


class WeakPassword(Refusal):
    """The password is too short, or somebody could guess it; `reason` is too-short, too-long, common or personal."""

    code, status, title = "weak-password", 422, "That password is too easy to guess."


class PairingUnknown(Refusal):
    """No screen shows this pairing code now."""

    code, status, title = (
        "pairing-unknown",
        404,
        "No screen shows that code now; codes change every ten minutes.",
    )


# A part is away


class Unavailable(Refusal):
    """A part that this request needs does not answer; nothing was changed."""

    code, status, title, retryable = (
        "unavailable",
        503,
        "A part of the system does not answer; try again in a moment.",
        True,
    )


class Internal(Refusal):
    """Something unexpected; the log has it under the request's id."""

    code, status, title, retryable = "internal", 500, "Something went wrong on our side.", True


# Queues and tickets


class QueueEmpty(Refusal):
    """Nobody waits in this queue."""

    code, title = "queue-empty", "Nobody is waiting."


class QueuePaused(Refusal):
    """The queue calls nobody at the moment; `state` is the queue's, `message` what the board says."""

    code, title = "queue-paused", "The queue is paused."


class QueueClosed(Refusal):
    """The queue takes nobody in, by hand or by its hours; `state` is the queue's, `message` what the board says."""

    code, title = "queue-closed", "The queue is closed."


class QueueFull(Refusal):
    """The queue has its greatest length."""

    code, title = "queue-full", "The queue is full."


class WalkInLimit(Refusal):
    """This doctor's walk-ins of the day are all given out."""

    code, title = "walk-in-limit", "No more walk-ins today."


class AlreadyWaiting(Refusal):
    """This patient has a ticket in this queue already; `ticket_id` tells which."""

    code, title = "already-waiting", "This patient already has a ticket in this queue."


class DeskBusy(Refusal):
    """Another patient is at this desk and has to be settled first; `ticket_id` and `token` tell who, if it is known."""

    code, title = "desk-busy", "There is another patient at this desk."


class DeskUnknown(Refusal):
    """This desk does not belong to the queue's location."""

    code, status, title = "desk-unknown", 422, "That desk is not at this queue's location."


class WrongState(Refusal):
    """The ticket's state does not allow the step; `state` is the one that was found."""

    code, title = "wrong-state", "The ticket's state does not allow that."


class NothingToUndo(Refusal):
    """The last step of this ticket cannot be taken back, or no longer; `state` is the ticket's."""

    code, title = "nothing-to-undo", "There is nothing that can be undone."


class BehindEmergency(Refusal):
    """A manual place would put somebody before an emergency."""

    code, title = "behind-emergency", "Nobody but an emergency goes before an emergency."


class SameQueue(Refusal):
    """A transfer names the queue where the ticket already is."""

    code, status, title = "same-queue", 422, "The ticket is in that queue already."


class LastAdmin(Refusal):
    """Nobody would be left who administers the institution."""

    code, title = "last-admin", "Somebody has to stay to administer the institution."


class QueueInUse(Refusal):
    """Somebody waits, is called or is on hold in the queue; `tickets` tells how many."""

    code, title = "queue-in-use", "There are still patients in this queue."


class LocationInUse(Refusal):
    """`tickets`, `appointments` or `people` (who work nowhere else) are still there; each tells how many."""

    code, title = "location-in-use", "There are still patients, appointments or people at this location."


class DeskInUse(Refusal):
    """A patient is called to the desk or is at it; `token` tells who."""

    code, title = "desk-in-use", "There is a patient at this desk."


class FactorSetUp(Refusal):
    """There is a confirmed second factor already; remove it first."""

    code, title = "second-factor-set-up", "A second factor is set up already."


class FactorMissing(Refusal):
    """There is no second factor to confirm or to remove."""

    code, title = "second-factor-missing", "No second factor is being set up."


class PossibleDuplicate(Refusal):
    """Somebody like this is registered; `candidates` tells who. With `confirm_new` it is a new person all the same."""

    code, title = "possible-duplicate", "This may be somebody who is registered already."


class BadFile(Refusal):
    """The file cannot be read at all: it is no CSV, lacks a column or has too many rows."""

    code, status, title = "bad-file", 422, "The file cannot be read."


class BadRows(Refusal):
    """Rows of the file cannot be brought in, so none was; `bad` tells which and why."""

    code, status, title = "bad-rows", 422, "Some rows cannot be brought in, so none was."


class PatientMerged(Refusal):
    """The record went over into another of the same person; `patient_id` tells which."""

    code, title = "patient-merged", "This record has been merged into another."


class NameTaken(Refusal):
    """The name, address or number is in use already."""

    code, title = "name-taken", "That is already in use."


class SlotFull(Refusal):
    """Every seat of the slot is taken; `alternatives` tells the nearest free ones, if there are any."""

    code, title = "slot-full", "That time is taken."


class SlotsOverlap(Refusal):
    """The doctor has another slot at that time."""

    code, title = "slots-overlap", "The doctor has another slot at that time."


class PatientElsewhere(Refusal):
    """The patient has another appointment at that time; staff may insist."""

    code, title = "patient-elsewhere", "The patient has another appointment at that time."


class ScheduleStarts(Refusal):
    """Another schedule of this doctor and location begins on the same day."""

    code, title = "schedule-starts", "Another schedule begins there on that day."


class SpecialtyInUse(Refusal):
    """Doctors have this specialty; `doctors` tells how many."""

    code, title = "specialty-in-use", "There are doctors of this specialty."


class VisitTypeInUse(Refusal):
    """Doctors take this visit type alone, and would seem to take all; `doctors` tells how many."""

    code, title = "visit-type-in-use", "There are doctors who take nothing but this."


# Appointments


class SlotPast(Refusal):
    """The time has begun or is over; `starts_at` tells when."""

    code, title = "slot-past", "That time has passed."


class SlotBlocked(Refusal):
    """The time lies in a blocked period."""

    code, title = "slot-blocked", "Nobody can be booked at that time."


class SlotClosed(Refusal):
    """The slot is not open for booking."""

    code, title = "slot-closed", "That time is not open for booking."


class SlotsApart(Refusal):
    """The slots are not one doctor's at one location, each following the one before."""

    code, status, title = "slots-apart", 422, "Those times do not follow each other."


class LockNeeded(Refusal):
    """A patient books with the token of a lock on these slots, and gave none."""

    code, title = "lock-needed", "Choose the time again before you book it."


class LockLost(Refusal):
    """The lock has ended, is not on all of these slots, or is somebody else's."""

    code, title = "lock-lost", "That time is not held for you any more; choose it again."


class TooSoon(Refusal):
    """Patients book earlier before a visit than this; `min_notice_minutes` tells how much."""

    code, title = "too-soon", "That is too soon to be booked here; please call."


class TooFarAhead(Refusal):
    """Patients book no further ahead; `advance_booking_days` tells how far."""

    code, title = "too-far-ahead", "That is too far ahead to be booked yet."


class TooManyOpen(Refusal):
    """The patient has as many future appointments as one may; `open_per_patient` tells how many. Staff may insist."""

    code, title = "too-many-appointments", "There are as many appointments as one may have."


class ModeMismatch(Refusal):
    """The slot or the visit type is not for a visit of this `mode`."""

    code, title = "mode-mismatch", "That time is not for this kind of visit."


class VisitTypeNotOffered(Refusal):
    """The doctor does not take visits of this type."""

    code, title = "visit-type-not-offered", "This doctor does not take visits of that type."


class VisitTooLong(Refusal):
    """The visit needs more minutes than the slots have (`needed`, `available`): book the following ones as well."""

    code, title = "visit-too-long", "The visit takes longer than that."


class DoctorInactive(Refusal):
    """No appointments can be made with this doctor."""

    code, title = "doctor-inactive", "This doctor takes no appointments."


class DeadlinePassed(Refusal):
    """It is too late for a patient to cancel or move it; `change_until` tells until when it could be."""

    code, title = "deadline-passed", "It is too late to change that here; please call."


class AlreadyAccepted(Refusal):
    """Another doctor was faster; `doctor` tells who."""

    code, title = "already-accepted", "This request was accepted already."


class NotForYou(Refusal):
    """The request does not concern the doctor who is to accept it."""

    code, status, title = "request-not-theirs", 422, "That request does not concern this doctor."


class StepNotAllowed(Refusal):
    """The appointment's state does not allow the step; `state` is the one that was found."""

    code, title = "step-not-allowed", "The appointment's state does not allow that."


class MoveAsked(Refusal):
    """Somebody has asked already to move it, and waits for the answer; that request can be withdrawn or moved."""

    code, title = "move-asked", "Another time was asked for already; the clinic has yet to answer."


class NoteChanged(Refusal):
    """Somebody has written a newer version meanwhile; `version` tells which there is."""

    code, title = "note-changed", "The note has been changed meanwhile."


class ScheduleOverlaps(Refusal):
    """The doctor would be at two locations at once; `location_id`, `location`, `day`, `from` and `to` tell where."""

    code, title = "schedule-overlaps", "The doctor is at another location then."


class SlotBooked(Refusal):
    """Somebody has a seat in the slot; `taken` tells how many are taken."""

    code, title = "slot-booked", "Somebody has booked that time."


class TimePassed(Refusal):
    """That time is over, or has begun."""

    code, title = "time-passed", "That time has passed."


class DoctorElsewhere(Refusal):
    """The doctor works at other locations."""

    code, status, title = "doctor-elsewhere", 422, "The doctor does not work at that location."


class LockingUnavailable(Refusal):
    """Slots cannot be locked while Redis is away; staff can book without a lock."""

    code, status, title, retryable = "locking-unavailable", 503, "Slots cannot be locked at the moment.", True


# Locks on slots


class SlotLocked(Refusal):
    """Somebody is about to book what is left of the slot, `until` then at the most; `alternatives` tells others."""

    code, title, retryable = "slot-locked", "Somebody is about to book that time.", True


class LockExtended(Refusal):
    """The lock was extended before; it ends at `until`."""

    code, title = "lock-extended", "That time was held for you longer already."


class WrongSignInCode(Refusal):
    """The one-time code is wrong, too old, or was used already."""

    code, status, title = "wrong-sign-in-code", 401, "That code is wrong, too old, or was used already."


class ChoosePatient(Refusal):
    """The code is right and its contact is several patients' own; `patients` tells whose. It can be used once more."""

    code, title = "choose-patient", "Several patients have this contact; choose one."


class UnknownContact(Refusal):
    """The code is right and no patient has its contact; `registration` tells whether one may register by it."""

    code, title = "unknown-contact", "Nobody is known by this contact."


class RegistrationClosed(Refusal):
    """The institution registers its patients itself."""

    code, title = "registration-closed", "New patients are registered at the clinic."


class KnownOtherwise(Refusal):
    """Somebody like this is registered with another contact, which only the desk can correct."""

    code, title = "known-otherwise", "You may be registered already, with another contact. Ask at the clinic."


class TooManyLocks(Refusal):
    """This person, device or address holds as many slots as it may; the first is free again at `until`."""

    code, status, title, retryable = "too-many-locks", 429, "You hold too many times already.", True


# Visits, blocks, records and emergencies


class AlreadyCheckedIn(Refusal):
    """The patient is there already; `token` is the ticket's, `state` the appointment's."""

    code, title = "already-checked-in", "That appointment is checked in already."


class NotToday(Refusal):
    """The appointment is on another day; `starts_at` tells when."""

    code, title = "not-today", "That appointment is not today."


class NothingToCheckIn(Refusal):
    """Nobody with that number and date of birth has an appointment here today."""

    code, title = "nothing-to-check-in", "There is no appointment here today to check in for."


class SeenOnline(Refusal):
    """The appointment is over video: nobody comes for it."""

    code, title = "seen-online", "That appointment is online; there is nothing to check in."


class NoQueueForDoctor(Refusal):
    """The doctor serves no queue at the appointment's location; reception can name one."""

    code, title = "no-queue-for-doctor", "That doctor has no queue at this location."


class WrongPlaceCode(Refusal):
    """The code is not the one that the location shows now."""

    code, status, title = "wrong-place-code", 422, "That is not the code that is shown here now."


class CallFirst(Refusal):
    """The patient waits in the queue; they are called to a desk first. `token` tells whom."""

    code, title = "call-first", "The patient is still waiting: call them first."


class BlockHasBookings(Refusal):
    """There are bookings in that time; `bookings` tells which. Say what becomes of them: keep, cancel or move."""

    code, title = "block-has-bookings", "There are bookings in that time."


class SamePatient(Refusal):
    """Both records are one already."""

    code, status, title = "same-patient", 422, "That is the same record."


class MergeCollides(Refusal):
    """Both stand in a queue, or have an appointment, at the same time; `collisions` tells where. Settle that first."""

    code, title = "merge-collides", "Both records are somewhere at the same time."


class EmergencyAnswered(Refusal):
    """Somebody else is on the way already; `by` tells who."""

    code, title = "emergency-answered", "Somebody is on the way already."


class EmergencyOver(Refusal):
    """The emergency has ended."""

    code, title = "emergency-over", "That emergency is over."


class PushAddressRefused(Refusal):
    """The push service's address is not one that we send to: not public, without TLS, or unknown."""

    code, status, title = "push-address-refused", 422, "Nothing is sent to that address."


class NoticeNotFailed(Refusal):
    """The notice has not failed, so there is nothing to send again; `state` tells what became of it."""

    code, title = "notice-not-failed", "That message has not failed."


class NoticeTooLate(Refusal):
    """What the notice tells of is over, or it held a code that is forgotten."""

    code, title = "notice-too-late", "That message would say nothing any more."


class LinkUnknown(Refusal):
    """The link stood in no message of ours, or has nothing to ask any more."""

    code, status, title = "link-unknown", 404, "That link leads nowhere any more."


class BadTemplate(Refusal):
    """A text cannot be used as it is; `problems` tells where and why: {part, line, why, what}."""

    code, status, title = "bad-template", 422, "That text cannot be used as it is."


# The waitlist


class WaitlistOff(Refusal):
    """The doctor, or every doctor meant, keeps no waitlist."""

    code, title = "waitlist-off", "There is no waitlist there."


class TooManyWaits(Refusal):
    """The patient waits for as much as they may; `waitlist_per_patient` tells for how much."""

    code, title = "too-many-waits", "You are on the waitlist for as much as you may be."


class AlreadyOnWaitlist(Refusal):
    """The patient waits for the same already, on days that are among these; `entry_id` tells where."""

    code, title = "already-on-waitlist", "You are on the waitlist for that already."


class NotWaiting(Refusal):
    """The wish is not in the line any more; `state` tells what became of it."""

    code, title = "not-waiting", "That place on the waitlist has ended."


class OfferExpired(Refusal):
    """The time for an answer is over: the place in the line is kept, and the time went to the next or is free."""

    code, title = "offer-expired", "That offer has expired; you keep your place on the waitlist."


class OfferAnswered(Refusal):
    """The offer was answered or taken back; `state` tells how."""

    code, title = "offer-answered", "That offer is not open any more."


CONSTRAINTS: dict[str, type[Refusal]] = {
    "slots_never_overlap": SlotsOverlap,
    "seats_pkey": SlotFull,
    "seats_within_capacity": SlotFull,
    "slots_taken_within_capacity": SlotFull,
    "appointments_one_place_at_a_time": PatientElsewhere,
    "appointments_reference_unique": NameTaken,
    "schedules_start_unique": ScheduleStarts,
    "specialties_name_unique": NameTaken,
    "visit_types_name_unique": NameTaken,
    "doctors_licence_unique": NameTaken,
    "tickets_one_active_per_patient": AlreadyWaiting,
    "tickets_one_patient_per_desk": DeskBusy,
    "users_email_unique": NameTaken,
    "institutions_name_unique": NameTaken,
    "locations_name_unique": NameTaken,
    "desks_name_unique": NameTaken,
    "queues_name_unique": NameTaken,
}
"""What a violated constraint of schema.sql says to the one who asked."""
