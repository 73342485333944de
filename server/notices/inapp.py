"""In the app: what a patient is told on their own pages while these are open, until they have seen it.

Invariant: a notice is shown once, on the patient's stream, however often a worker hands it over; what is seen is shown
no more.
"""

from typing import Annotated, Any

from pydantic import Field

from server import events
from server.access import Actor, Role
from server.asks import Ask, Id, Reply
from server.events import PatientNotice
from server.store import Command, Connection, Tx


class ShowNotice(Ask):
    """A notice in words."""

    notice_id: Id
    title: str
    body: str
    opens: str


class Shown(Reply):
    """Whether it was shown just now; not where it had been before."""

    shown: bool


async def show_notice(tx: Tx, actor: Actor, ask: ShowNotice) -> Shown:
    """Have a patient see a notice on whichever of their pages is open; a repeat finds it there already."""
    row = await tx.conn.fetchrow(SHOW, ask.notice_id, ask.title, ask.body, ask.opens, tx.now)
    if row is None:
        return Shown(shown=False)
    tx.institution_id = row["institution_id"]
    tx.append(events.patient(row["patient_id"]), events.NoticeTold(notice=row["notice"]), put=[notice_row(row)])
    return Shown(shown=True)


SHOW = """
insert into app_notices (notice_id, patient_id, kind, title, body, link, at)
select n.id, coalesce(p.merged_into, p.id), n.kind, $2, $3, $4, $5
from notices n join patients p on p.id = n.patient_id
where n.id = $1 and n.channel = 'app'
on conflict (notice_id) do nothing
returning notice_id as notice, patient_id, kind, title, body, link as opens, at,
    (select n.institution_id from notices n where n.id = $1) as institution_id
"""


def notice_row(row: Any) -> PatientNotice:
    """A row as its patient sees it."""
    return PatientNotice(**{name: row[name] for name in PatientNotice.model_fields})


class SeeNotices(Ask):
    """What the patient has seen."""

    notices: Annotated[list[Id], Field(min_length=1, max_length=100)]


class Seen(Reply):
    """How many of them had not been seen before."""

    seen: int


async def see_notices(tx: Tx, actor: Actor, ask: SeeNotices) -> Seen:
    """Take what a patient has seen off their pages, on all their devices; what is not theirs stays."""
    rows = await tx.conn.fetch(SEE, actor.patient_id, ask.notices, tx.now)
    seen = sorted(row["notice_id"] for row in rows)
    if seen:
        told = events.NoticesSeen(notices=seen)
        tx.append(events.patient(int(actor.patient_id or 0)), told, drop=[f"n:{id_}" for id_ in seen])
    return Seen(seen=len(seen))


SEE = """
update app_notices set seen_at = $3
where patient_id = $1 and notice_id = any($2::bigint[]) and seen_at is null returning notice_id
"""


async def patient_rows(conn: Connection, patient_id: int) -> list[PatientNotice]:
    """What a patient has not seen, from PostgreSQL alone."""
    return [notice_row(row) for row in await conn.fetch(UNSEEN, patient_id)]


UNSEEN = """
select notice_id as notice, kind, title, body, link as opens, at from app_notices
where patient_id = $1 and seen_at is null order by notice_id
"""

SHOW_NOTICE: Command[ShowNotice, Shown] = Command(
    "show-notice", show_notice, ShowNotice, Shown, frozenset({Role.system}), ""
)
COMMANDS: list[Command[Any, Any]] = [
    Command("see-notices", see_notices, SeeNotices, Seen, frozenset({Role.patient}), "POST /notices/seen"),
]
