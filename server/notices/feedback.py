"""How a visit was: one question, answered by the link in the thanks for it, and what the answers come to.

Invariant: a link answers for the one visit that it was sent for, and the last answer holds.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from server import errors
from server.access import ADMINS, ANYBODY, Actor
from server.asks import Ask, Id, Reply, wrong
from server.notices import rules
from server.notices.levels import access_institution
from server.notices.preferences import BehindLink, Proof
from server.store import Command, Connection, Query, Read, Tx

SATISFIED = 4
"""From this answer on somebody counts as satisfied."""


class GiveFeedback(Ask):
    """The end of the link in the thanks, and how it was: from 1, bad, to 5, very good."""

    token: Proof = Field(repr=False)
    score: int = Field(ge=1, le=5)


class VisitAsked(Reply):
    """The visit that is asked about, and what its patient has answered so far."""

    institution: str
    doctor: str | None
    started_at: datetime
    zone: str
    language: str
    score: int | None


async def give_feedback(tx: Tx, actor: Actor, ask: GiveFeedback) -> VisitAsked:
    """Keep how a visit was. Raises `LinkUnknown`."""
    row = await _behind(tx.conn, ask.token)
    tx.institution_id = row["institution_id"]
    await tx.conn.execute(ANSWER, row["appointment_id"], row["institution_id"], row["patient_id"], row["doctor_id"],
                          ask.score, tx.now)  # fmt: skip
    tx.about(f"feedback:{row['appointment_id']}", {"score": row["score"]}, {"score": ask.score}, row["patient_id"])
    return _visit(row, ask.score)


ANSWER = """
insert into feedback (appointment_id, institution_id, patient_id, doctor_id, score, at) values ($1, $2, $3, $4, $5, $6)
on conflict (appointment_id) do update set score = excluded.score, at = excluded.at
"""


async def feedback_form(view: Read, actor: Actor, ask: BehindLink) -> VisitAsked:
    """What a link asks about. Raises `LinkUnknown`."""
    row = await _behind(view.conn, ask.token)
    return _visit(row, row["score"])


async def _behind(conn: Connection, token: str) -> Any:
    """The visit that a link was sent for. Raises `LinkUnknown`."""
    number, _, proof = token.partition(".")
    row = await conn.fetchrow(BEHIND_LINK, int(number), UUID(proof))
    if row is None:
        raise errors.LinkUnknown()
    return row


BEHIND_LINK = """
select a.id as appointment_id, a.institution_id, a.patient_id, a.doctor_id, a.starts_at, d.name as doctor,
    i.name as institution, coalesce(l.zone, i.zone) as zone, n.language, p.language as spoken, f.score
from notices n join appointments a on a.id = n.appointment_id join institutions i on i.id = a.institution_id
join locations l on l.id = a.location_id join patients p on p.id = a.patient_id
left join doctors d on d.id = a.doctor_id left join feedback f on f.appointment_id = a.id
where n.id = $1 and n.opens = $2 and n.kind = 'thank-you' and a.state = 'completed'
"""


def _visit(row: Any, score: int | None) -> VisitAsked:
    return VisitAsked(
        institution=row["institution"],
        doctor=row["doctor"],
        started_at=row["starts_at"],
        zone=row["zone"],
        language=rules.language(row["language"], row["spoken"]),
        score=score,
    )


class AnswersOf(Ask):
    """An institution and the local days of answers to count, both included."""

    institution_id: Id
    first_day: date
    last_day: date


class Satisfaction(Reply):
    """What answers came to: how many of each, their mean, and the share of those who were satisfied."""

    doctor_id: int | None
    doctor: str | None
    answers: int
    scores: list[int] = Field(description="How often each answer was given, from 1 to 5.")
    mean: float | None
    satisfied: float | None = Field(description="The share of the answers from 4 on.")


class Satisfactions(Reply):
    """The institution's figure, how many were asked, and each doctor's figure."""

    asked: int
    all: Satisfaction
    doctors: list[Satisfaction]


async def satisfaction(view: Read, actor: Actor, ask: AnswersOf) -> Satisfactions:
    """How satisfied patients were, by their answers. Raises `NotFound`, `InvalidRequest`."""
    await access_institution(view.conn, actor, ask.institution_id)
    if ask.last_day < ask.first_day:
        raise wrong(("/last_day", "Should not be before the first day."))
    rows = await view.conn.fetch(SCORES, ask.institution_id, ask.first_day, ask.last_day)
    doctors = [_figure(row["scores"], row["doctor_id"], row["doctor"]) for row in rows]
    whole = [sum(row["scores"][nth] for row in rows) for nth in range(5)]
    asked = await view.conn.fetchval(ASKED, ask.institution_id, ask.first_day, ask.last_day)
    return Satisfactions(asked=asked, all=_figure(whole), doctors=doctors)


def _figure(scores: Sequence[int], doctor_id: int | None = None, doctor: str | None = None) -> Satisfaction:
    answers = sum(scores)
    total = sum(nth * times for nth, times in enumerate(scores, start=1))
    return Satisfaction(
        doctor_id=doctor_id,
        doctor=doctor,
        answers=answers,
        scores=list(scores),
        mean=round(total / answers, 2) if answers else None,
        satisfied=round(sum(scores[SATISFIED - 1 :]) / answers, 4) if answers else None,
    )


SCORES = """
select f.doctor_id, d.name as doctor, array[
    count(*) filter (where f.score = 1), count(*) filter (where f.score = 2), count(*) filter (where f.score = 3),
    count(*) filter (where f.score = 4), count(*) filter (where f.score = 5)
] as scores
from feedback f join institutions i on i.id = f.institution_id left join doctors d on d.id = f.doctor_id
where f.institution_id = $1 and f.at >= ($2::date)::timestamp at time zone i.zone
    and f.at < ($3::date + 1)::timestamp at time zone i.zone
group by f.doctor_id, d.name order by d.name nulls last, f.doctor_id
"""
ASKED = """
select count(distinct n.appointment_id) from notices n join institutions i on i.id = n.institution_id
where n.institution_id = $1 and n.kind = 'thank-you' and n.state in ('sent', 'delivered')
    and n.sent_at >= ($2::date)::timestamp at time zone i.zone
    and n.sent_at < ($3::date + 1)::timestamp at time zone i.zone
"""

COMMANDS: list[Command[Any, Any]] = [
    Command("give-feedback", give_feedback, GiveFeedback, VisitAsked, ANYBODY, "POST /feedback"),
]
QUERIES: list[Query[Any, Any]] = [
    # A link's end opens something: it is asked in the body.
    Query("feedback-form", feedback_form, BehindLink, VisitAsked, ANYBODY, "POST /feedback/show"),
    Query(
        "show-satisfaction",
        satisfaction,
        AnswersOf,
        Satisfactions,
        ADMINS,
        "GET /institutions/{institution_id}/satisfaction",
    ),
]
