"""Settings at three levels: what is set at an institution, a location or a queue, and what each thereby has.

Invariant: a change above is told to, and reorders, exactly the queues below whose effective settings it changes, all
under their gates: a queue never goes by settings that its streams do not show.
"""

from typing import Any

import orjson

from server import catalog, errors, events
from server.access import ADMINS, STAFF, Actor
from server.administration.places import (
    INSTITUTION_OF_LOCATION,
    QUEUES_AT,
    QUEUES_OF_INSTITUTION,
    OfLocation,
    access_location,
    gate_queues,
)
from server.administration.rows import hold
from server.asks import Ask, Id
from server.queue.commands import put_in_force
from server.queue.line import Line, dumps, load_line
from server.queue.queries import OfQueue, access_queue
from server.settings import Levels, Partial, QueueSettings, changed, effective
from server.store import Command, Query, Read, Tx


class Settings(Levels[QueueSettings]):
    """What is set at a level itself, what holds there, and where each of those values comes from."""


class OneInstitution(Ask):
    """One institution."""

    institution_id: Id


async def show_institution_settings(view: Read, actor: Actor, ask: OneInstitution) -> Settings:
    """What holds for queues of the institution where nothing below says otherwise. Raises `NotFound`."""
    stored = await view.conn.fetchval(OF_INSTITUTION, ask.institution_id)
    if stored is None or not actor.within(ask.institution_id):
        raise errors.NotFound("There is no such institution.")
    return Settings.of(institution=orjson.loads(stored))


async def show_location_settings(view: Read, actor: Actor, ask: OfLocation) -> Settings:
    """What holds for queues of the location where they do not say otherwise. Raises `NotFound`."""
    if not actor.within(await view.conn.fetchval(INSTITUTION_OF_LOCATION, ask.location_id)):
        raise errors.NotFound("There is no such location here.")
    row = await view.conn.fetchrow(OF_LOCATION, ask.location_id)
    assert row is not None
    return Settings.of(institution=orjson.loads(row["institution"]), location=orjson.loads(row["location"]))


async def show_queue_settings(view: Read, actor: Actor, ask: OfQueue) -> Settings:
    """What holds for a queue that the asker works. Raises `NotFound`, `NotAllowed`."""
    await access_queue(view, actor, ask.queue_id)
    row = await view.conn.fetchrow(OF_QUEUE, ask.queue_id)
    assert row is not None
    return Settings.of(**{level: orjson.loads(row[level]) for level in ("institution", "location", "queue")})


OF_INSTITUTION = "select settings from institutions where id = $1"
OF_LOCATION = """
select l.settings as location, i.settings as institution
from locations l join institutions i on i.id = l.institution_id where l.id = $1
"""
OF_QUEUE = """
select q.settings as queue, l.settings as location, i.settings as institution
from queues q join locations l on l.id = q.location_id join institutions i on i.id = q.institution_id where q.id = $1
"""


class SetInstitutionSettings(Partial):
    """Settings of the institution; null resets one to the default."""

    institution_id: Id


async def set_institution_settings(tx: Tx, actor: Actor, ask: Any) -> Settings:
    """Set what holds for every queue of the institution that does not say otherwise. Raises `NotFound`."""
    id_ = await hold(tx, actor, ask.institution_id)
    queues = await gate_queues(tx, QUEUES_OF_INSTITUTION, id_)
    lines = await _lines(tx, actor, queues)
    before = orjson.loads(await tx.conn.fetchval(OF_INSTITUTION, id_))
    after = changed(before, ask, "institution_id")
    await catalog.set_institution_settings(tx.conn, id_, dumps(after))
    tx.about(f"institution-settings:{id_}", before, after)
    await _tell_below(tx, lines)
    tx.append(events.admin(id_), events.SettingsChanged(level="institution", of=id_))
    return Settings.of(institution=after)


class SetLocationSettings(Partial):
    """Settings of a location; null resets one to the institution's."""

    location_id: Id


async def set_location_settings(tx: Tx, actor: Actor, ask: Any) -> Settings:
    """Set what holds for every queue of the location that does not say otherwise. Raises `NotFound`."""
    institution_id, _ = await access_location(tx, actor, ask.location_id)
    queues = await gate_queues(tx, QUEUES_AT, ask.location_id)
    lines = await _lines(tx, actor, queues)
    row = await tx.conn.fetchrow(OF_LOCATION, ask.location_id)
    assert row is not None
    before = orjson.loads(row["location"])
    after = changed(before, ask, "location_id")
    await catalog.set_location_settings(tx.conn, ask.location_id, dumps(after))
    tx.about(f"location-settings:{ask.location_id}", before, after)
    await _tell_below(tx, lines)
    tx.append(events.admin(institution_id), events.SettingsChanged(level="location", of=ask.location_id))
    return Settings.of(institution=orjson.loads(row["institution"]), location=after)


async def _lines(tx: Tx, actor: Actor, queues: list[int]) -> list[Line]:
    """These queues, whose gates are held, with the settings in force."""
    return [(await load_line(tx, actor, one))[0] for one in queues]


async def _tell_below(tx: Tx, lines: list[Line]) -> None:
    """Put what is stored now in force in each of these queues where it differs from what was."""
    for line in lines:
        row = await tx.conn.fetchrow(OF_QUEUE, line.id)
        assert row is not None
        stored = effective(*(orjson.loads(row[level]) for level in ("institution", "location", "queue")))
        if stored != line.settings:
            await put_in_force(line, stored)
            await line.settle()


COMMANDS: list[Command[Any, Any]] = [
    Command(
        "set-institution-settings",
        set_institution_settings,
        SetInstitutionSettings,
        Settings,
        ADMINS,
        "POST /institutions/{institution_id}/settings",
    ),
    Command(
        "set-location-settings",
        set_location_settings,
        SetLocationSettings,
        Settings,
        ADMINS,
        "POST /locations/{location_id}/settings",
    ),
]
QUERIES: list[Query[Any, Any]] = [
    Query(
        "show-institution-settings",
        show_institution_settings,
        OneInstitution,
        Settings,
        ADMINS,
        "GET /institutions/{institution_id}/settings",
    ),
    Query(
        "show-location-settings",
        show_location_settings,
        OfLocation,
        Settings,
        ADMINS,
        "GET /locations/{location_id}/settings",
    ),
    Query("show-queue-settings", show_queue_settings, OfQueue, Settings, STAFF, "GET /queues/{queue_id}/settings"),
]
