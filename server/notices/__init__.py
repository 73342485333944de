"""Notices: one message to one person over one channel, written with the change that caused it, sent once."""

from typing import Any

from server.notices import alarming, callbacks, failed, following, inapp, mailbox, merging, push, waiting
from server.notices.inapp import patient_rows
from server.notices.texts import Message
from server.notices.waking import Waker
from server.notices.writing import Wanted, unmasked, write
from server.store import Command, Query, Reactions, reactions

COMMANDS: list[Command[Any, Any]] = [*inapp.COMMANDS, *push.COMMANDS, *failed.COMMANDS]
QUERIES: list[Query[Any, Any]] = [*mailbox.QUERIES, *push.QUERIES, *failed.QUERIES]
REACTIONS: Reactions = reactions(following.REACTIONS, waiting.REACTIONS, alarming.REACTIONS, merging.REACTIONS)

__all__ = [
    "COMMANDS",
    "QUERIES",
    "REACTIONS",
    "Message",
    "Waker",
    "Wanted",
    "callbacks",
    "mailbox",
    "patient_rows",
    "push",
    "unmasked",
    "write",
]
