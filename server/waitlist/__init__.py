"""The waitlist: whoever waits for a seat is offered the next that is freed, and the offer holds it."""

from typing import Any

from server.store import Command, Query, Reactions
from server.waitlist import commands, offering, queries
from server.waitlist.forgetting import forget_of_patients, forget_waits
from server.waitlist.line import desk_rows, patient_rows
from server.waitlist.links import new_link
from server.waitlist.upkeep import end_waits, expire_offers, look_for_marked

COMMANDS: list[Command[Any, Any]] = [*commands.COMMANDS]
QUERIES: list[Query[Any, Any]] = [*queries.QUERIES]
REACTIONS: Reactions = {**offering.REACTIONS}

__all__ = [
    "COMMANDS",
    "QUERIES",
    "REACTIONS",
    "desk_rows",
    "end_waits",
    "expire_offers",
    "forget_of_patients",
    "forget_waits",
    "look_for_marked",
    "new_link",
    "patient_rows",
]
