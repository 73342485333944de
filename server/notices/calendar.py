"""The calendar entry that goes with a letter (RFC 5545, iTIP's REQUEST and CANCEL of RFC 5546).

Invariant: an appointment and all that it is moved to are one entry: they share a UID, and each change has a higher
SEQUENCE, so that a reader's calendar moves or removes the very entry that it has.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from icalendar import Calendar, Event, vCalAddress, vText

if TYPE_CHECKING:
    from server.notices.texts import Told


def method(kind: str) -> str:
    """What the entry asks the reader's calendar to do."""
    return "CANCEL" if kind == "cancelled" else "REQUEST"


def entry(told: "Told", summary: str) -> str:
    """The entry as a file; the facts say when and where, and how often it has been moved."""
    facts = told.facts
    host = told.base_url.partition("://")[2].partition("/")[0].partition(":")[0] or "localhost"
    cancelled = told.kind == "cancelled"
    event = Event()
    event.add("uid", f"appointment-{facts['origin']}@{host}")
    event.add("sequence", 2 * int(facts["moves"]) + cancelled)
    event.add("dtstamp", told.written_at)
    event.add("dtstart", datetime.fromisoformat(facts["starts_at"]))
    event.add("dtend", datetime.fromisoformat(facts["ends_at"]))
    event.add("summary", summary)
    event.add("location", facts["location"])
    event.add("status", "CANCELLED" if cancelled else "CONFIRMED")
    event.add("description", f"{facts['number']}\n{told.base_url}/appointments")
    organizer = vCalAddress(f"mailto:{told.sender}")
    organizer.params["cn"] = vText(facts["institution"])
    event.add("organizer", organizer, encode=False)
    attendee = vCalAddress(f"mailto:{told.recipient}")
    attendee.params["partstat"] = vText("ACCEPTED")
    attendee.params["rsvp"] = vText("FALSE")
    event.add("attendee", attendee, encode=False)
    calendar = Calendar()
    calendar.add("prodid", "-//Callboard//Appointments//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method(told.kind))
    calendar.add_component(event)
    return str(calendar.to_ical().decode())
