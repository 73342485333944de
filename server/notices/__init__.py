"""Notices: one message to one person over one channel, written with the change that caused it, sent once."""

from typing import Any

from server.notices import (
    alarming,
    callbacks,
    failed,
    feedback,
    following,
    inapp,
    levels,
    mailbox,
    merging,
    offers,
    oneclick,
    preferences,
    push,
    story,
    templates,
    waiting,
)
from server.notices.anew import WRITE_ANEW, changed_levels
from server.notices.inapp import patient_rows
from server.notices.texts import Message
from server.notices.waking import Waker
from server.notices.writing import Wanted, unmasked, write
from server.store import Command, Query, Reactions, reactions

COMMANDS: list[Command[Any, Any]] = [
    *inapp.COMMANDS,
    *push.COMMANDS,
    *failed.COMMANDS,
    *levels.COMMANDS,
    *preferences.COMMANDS,
    *feedback.COMMANDS,
    *templates.COMMANDS,
]
QUERIES: list[Query[Any, Any]] = [
    *mailbox.QUERIES,
    *push.QUERIES,
    *failed.QUERIES,
    *levels.QUERIES,
    *preferences.QUERIES,
    *feedback.QUERIES,
    *templates.QUERIES,
    *story.QUERIES,
]
REACTIONS: Reactions = reactions(
    following.REACTIONS, waiting.REACTIONS, offers.REACTIONS, alarming.REACTIONS, merging.REACTIONS
)

__all__ = [
    "COMMANDS",
    "QUERIES",
    "REACTIONS",
    "WRITE_ANEW",
    "Message",
    "Waker",
    "Wanted",
    "callbacks",
    "changed_levels",
    "mailbox",
    "oneclick",
    "patient_rows",
    "preferences",
    "push",
    "unmasked",
    "write",
]
