"""People who work at an institution: invited by a link, given a role and locations, put out at once everywhere.

Invariants: nobody but the receiver of a link ever knows a password: an account is made without one, and each link sets
it once. An admin makes nobody a super_admin and never leaves the institution without an admin. Whoever loses a right
loses every open session in the same transaction, and with it their sockets on every node.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

import segno
from pydantic import Field, model_validator

from server import access, catalog, errors, events, passwords, patients, totp
from server.access import ADMINS, PEOPLE, Actor, Role
from server.administration.doctors import add_doctor
from server.administration.places import NewInstitution, OfInstitution, create_institution
from server.administration.rows import access_row, audit, hold, tell, user_rows
from server.asks import Ask, Id, Reply, decode_cursor, encode_cursor, validate, wrong
from server.catalog import Email, Name, Practice
from server.events import AdminUser
from server.queue.queries import Nothing, Page
from server.store import Command, Query, Read, Tx

INVITATION_LIFE = timedelta(days=7)
StaffRole = Literal["doctor", "receptionist", "admin"]
LocationIds = Annotated[
    list[Id], Field(max_length=200, description="The locations they are limited to; none for all of the institution.")
]
NO_USER = "There is no such person here."


# Invitations


class InviteUser(OfInstitution):
    """Somebody who is to work here; a doctor's account is an existing doctor's, or a new one's of that name."""

    email: Email
    name: Name
    role: StaffRole
    location_ids: LocationIds = Field(default=[])
    doctor_id: Id | None = None

    @model_validator(mode="after")
    def _fits_role(self) -> Self:
        _must_fit(self.role, self.location_ids, self.doctor_id)
        return self


def _must_fit(role: str, locations: list[int], doctor: int | None) -> None:
    """Raise ValueError where locations or a doctor do not go with the role."""
    if role == "admin" and locations:
        raise errors.Misfit("role-misfit", "an admin works for the whole institution")
    if role != "doctor" and doctor is not None:
        raise errors.Misfit("role-misfit", "only a doctor's account is a doctor's")


class Invited(Reply):
    """The account, and the link that sets its password; it is told once."""

    user_id: int
    link: str
    qr_svg: str
    expires_at: datetime


async def invite_user(tx: Tx, actor: Actor, ask: InviteUser) -> Invited:
    """Make an account that its owner opens by a link. Raises `NotFound`, `NameTaken`."""
    institution_id = await hold(tx, actor, ask.within(actor))
    doctor_id = await _doctor_for(tx, institution_id, ask.name, ask.doctor_id) if ask.role == "doctor" else None
    user_id = await catalog.add_invited(
        tx.conn, institution_id=institution_id, email=ask.email, name=ask.name, role=ask.role, doctor_id=doctor_id
    )
    await _place(tx, institution_id, user_id, ask.location_ids)
    invited = await _invitation(tx, user_id)
    await _user_changed(tx, institution_id, user_id, None)
    return invited


async def _doctor_for(tx: Tx, institution_id: int, name: str, doctor_id: int | None) -> int:
    """The doctor of an account: this one, or a new one of that name. Raises `NotFound`, `NameTaken`."""
    if doctor_id is None:
        return (await add_doctor(tx, institution_id, Practice(name))).doctor
    row = await tx.conn.fetchrow(DOCTOR, doctor_id, institution_id)
    if row is None:
        raise errors.NotFound("There is no such doctor here.")
    if row["has_account"]:
        raise errors.NameTaken("That doctor signs in already.")
    return doctor_id


DOCTOR = """
select id, exists (select from users u where u.doctor_id = d.id) as has_account
from doctors d where d.id = $1 and d.institution_id = $2
"""


async def _place(tx: Tx, institution_id: int, user_id: int, locations: list[int]) -> None:
    """Limit somebody to these locations, or to none. Raises `NotFound` for a location of nowhere or elsewhere."""
    if await tx.conn.fetchval(COUNT_LOCATIONS, institution_id, locations) < len(set(locations)):
        raise errors.NotFound("There is no such location here.")
    await tx.conn.execute(LEAVE_LOCATIONS, user_id)
    await tx.conn.execute(TAKE_LOCATIONS, user_id, institution_id, sorted(set(locations)))


COUNT_LOCATIONS = """
select count(*) from locations where institution_id = $1 and id = any($2::bigint[]) and retired_at is null
"""
LEAVE_LOCATIONS = "delete from user_locations where user_id = $1"
TAKE_LOCATIONS = """
insert into user_locations (user_id, institution_id, location_id) select $1, $2, unnest($3::bigint[])
"""


async def _invitation(tx: Tx, user_id: int) -> Invited:
    """A link that replaces any before it."""
    secret, secret_hash = access.new_secret()
    expires_at = tx.now + INVITATION_LIFE
    await tx.conn.execute(END_INVITATIONS, user_id, tx.now)
    await tx.conn.execute(ADD_INVITATION, user_id, secret_hash, tx.now, expires_at)
    link = f"{tx.base_url}/invite/{secret}"
    qr_svg = segno.make(link, error="m").svg_inline(scale=4, border=2)
    return Invited(user_id=user_id, link=link, qr_svg=qr_svg, expires_at=expires_at)


END_INVITATIONS = "update invitations set ended_at = $2 where user_id = $1 and ended_at is null"
ADD_INVITATION = "insert into invitations (user_id, secret_hash, created_at, expires_at) values ($1, $2, $3, $4)"


class Invitation(Reply):
    """Whom an invitation is for."""

    email: str
    name: str
    role: str
    institution: str
    expires_at: datetime


async def show_invitation(view: Read, actor: Actor, ask: Nothing) -> Invitation:
    """The invitation whose link the asker holds. Raises `InvitationEnded`."""
    row = await view.conn.fetchrow(INVITATION, actor.id, view.now)
    if row is None:
        raise errors.InvitationEnded()
    return Invitation(**{name: row[name] for name in Invitation.model_fields})


INVITATION = """
select n.user_id, u.email, u.name, u.role, i.name as institution, n.expires_at
from invitations n join users u on u.id = n.user_id join institutions i on i.id = u.institution_id
where n.id = $1 and n.ended_at is null and n.expires_at > $2 and u.active
"""


class AcceptInvitation(Ask):
    """The password that the invited person chose."""

    password: str = Field(min_length=1, max_length=1024, repr=False)


class Accepted(Reply):
    """The address to sign in with."""

    email: str


async def accept_invitation(tx: Tx, actor: Actor, ask: AcceptInvitation) -> Accepted:
    """Set the password, once. Raises `InvitationEnded`, `WeakPassword`."""
    row = await tx.conn.fetchrow(INVITATION, actor.id, tx.now)
    if row is None:
        raise errors.InvitationEnded()
    passwords.check(ask.password, row["name"], row["email"], row["institution"])
    # Before anybody waits for us at the lock: it takes its time.
    hashed = await passwords.hash_password(ask.password)
    institution_id = await hold(tx, actor, actor.institution_id)
    if await tx.conn.fetchval(USE_INVITATION, actor.id, tx.now) is None:
        raise errors.InvitationEnded()
    before = await _user(tx, institution_id, row["user_id"])
    await catalog.set_password(tx.conn, row["user_id"], hashed)
    await _user_changed(tx, institution_id, row["user_id"], before)
    return Accepted(email=row["email"])


USE_INVITATION = "update invitations set ended_at = $2 where id = $1 and ended_at is null returning id"


# From the command line


class NewAccount(Ask):
    """Somebody whom an operator lets sign in at once, at an institution of this name or id; made if there is none."""

    email: Email
    role: Role
    name: Name
    institution: Name | None
    zone: str = "UTC"
    password: str = Field(min_length=passwords.SHORTEST, max_length=passwords.LONGEST, repr=False)


class AccountAdded(Reply):
    """The account, and the institution that had to be `made` for it."""

    user_id: int
    made: int | None


async def add_account(tx: Tx, actor: Actor, ask: NewAccount) -> AccountAdded:
    """Add an account, with the institution, doctor or patient that it needs.

    Raises `WeakPassword`, `InvalidRequest` where the role and the institution do not go together, `NotFound`,
    `NameTaken`.
    """
    passwords.check(ask.password, ask.name, ask.email, ask.institution)
    institution_id, made = await _institution_for(tx, actor, ask)
    doctor_id = patient_id = None
    if institution_id is not None and ask.role is Role.doctor:
        found = await tx.conn.fetchval(DOCTOR_WITHOUT_ACCOUNT, institution_id, ask.name)
        doctor_id = await _doctor_for(tx, institution_id, ask.name, found)
    if institution_id is not None and ask.role is Role.patient:
        patient_id = (await patients.add_patient(tx.conn, institution_id, patients.NewPatient(name=ask.name))).id
    user_id = await catalog.add_user(
        tx.conn,
        institution_id=institution_id,
        email=ask.email,
        name=ask.name,
        role=ask.role,
        password=ask.password,
        doctor_id=doctor_id,
        patient_id=patient_id,
    )
    if institution_id is not None and ask.role is not Role.patient:
        await _user_changed(tx, institution_id, user_id, None)
    return AccountAdded(user_id=user_id, made=made)


DOCTOR_WITHOUT_ACCOUNT = """
select d.id from doctors d
where d.institution_id = $1 and d.name = $2 and not exists (select from users u where u.doctor_id = d.id)
order by d.id limit 1
"""


async def _institution_for(tx: Tx, actor: Actor, ask: NewAccount) -> tuple[int | None, int | None]:
    """The institution that the account belongs to, held, and the same once more where it had to be made."""
    if ask.role not in PEOPLE:
        raise errors.InvalidRequest(f"The role must be one of {', '.join(sorted(PEOPLE))}.")
    if (ask.role is Role.super_admin) == bool(ask.institution):
        raise errors.InvalidRequest("Every role but super_admin belongs to an institution; name it with --institution.")
    if not ask.institution:
        return None, None
    found = await tx.conn.fetchval(NAMED_INSTITUTION, ask.institution)
    if found is not None:
        return await hold(tx, actor, found), None
    if ask.institution.isdigit():
        raise errors.NotFound(f"There is no institution {ask.institution}.")
    new = validate(NewInstitution, {"name": ask.institution, "zone": ask.zone})
    made = (await create_institution(tx, actor, new)).institution
    return made, made


NAMED_INSTITUTION = "select id from institutions where id::text = $1 or name = $1 order by (id::text = $1) desc limit 1"
ADD_ACCOUNT: Command[NewAccount, AccountAdded] = Command(
    "add-account", add_account, NewAccount, AccountAdded, frozenset(), ""
)


# People


async def _user(tx: Tx, institution_id: int, user_id: int) -> AdminUser:
    rows = await user_rows(tx.conn, institution_id, user_id)
    if not rows:
        raise errors.NotFound(NO_USER)
    return rows[0]


async def _access_user(tx: Tx, actor: Actor, user_id: int) -> tuple[int, AdminUser]:
    """Hold the institution of somebody whom the asker administers; answers both. Raises `NotFound`."""
    return await access_row(tx, actor, user_id, INSTITUTION_OF_USER, user_rows, NO_USER)


INSTITUTION_OF_USER = "select institution_id from users where id = $1 and role <> 'patient'"


async def _user_changed(tx: Tx, institution_id: int, user_id: int, before: AdminUser | None) -> AdminUser:
    after = await _user(tx, institution_id, user_id)
    audit(tx, before, after)
    await tell(tx, institution_id, events.UserChanged(user=user_id), [after])
    return after


class EditUser(Ask):
    """What is to change of somebody; what is left out stays."""

    user_id: Id
    name: Name | None = None
    role: StaffRole | None = None
    location_ids: LocationIds | None = None
    doctor_id: Id | None = None


async def edit_user(tx: Tx, actor: Actor, ask: EditUser) -> AdminUser:
    """Change somebody's name, role or locations; another role or other locations end their sessions.

    Raises `NotFound`, `NameTaken`, `LastAdmin`.
    """
    institution_id, before = await _access_user(tx, actor, ask.user_id)
    role = ask.role or before.role
    locations = before.locations if ask.location_ids is None else ask.location_ids
    if role == "admin" and ask.location_ids is None:
        locations = []
    try:
        _must_fit(role, locations, ask.doctor_id)
    except ValueError as misfit:
        raise wrong(("/role", str(misfit).capitalize() + ".", "role-misfit")) from None
    if before.role == "admin" and role != "admin":
        await _somebody_stays(tx, actor, institution_id, ask.user_id)
    doctor_id = before.doctor if role == "doctor" else None
    if role == "doctor" and (doctor_id is None or ask.doctor_id not in (None, doctor_id)):
        doctor_id = await _doctor_for(tx, institution_id, ask.name or before.name, ask.doctor_id)
    await catalog.change_user(tx.conn, ask.user_id, name=ask.name or before.name, role=role, doctor_id=doctor_id)
    await _place(tx, institution_id, ask.user_id, locations)
    after = await _user_changed(tx, institution_id, ask.user_id, before)
    if (before.role, before.locations, before.doctor) != (after.role, after.locations, after.doctor):
        tx.ended += await access.end_sessions_of(tx.conn, ask.user_id, tx.now)
    return after


async def _somebody_stays(tx: Tx, actor: Actor, institution_id: int, user_id: int) -> None:
    """Raise `LastAdmin` where nobody else could administer; whoever stands above the institutions still can."""
    if actor.institution_id is not None and not await tx.conn.fetchval(OTHER_ADMIN, institution_id, user_id):
        raise errors.LastAdmin()


OTHER_ADMIN = """
select exists (
    select from users
    where institution_id = $1 and id <> $2 and role = 'admin' and active and password_hash is not null
)
"""


class OfUser(Ask):
    """One person."""

    user_id: Id


async def deactivate_user(tx: Tx, actor: Actor, ask: OfUser) -> AdminUser:
    """Put somebody out: no sign-in, no session, no socket anywhere. Raises `NotFound`, `LastAdmin`."""
    institution_id, before = await _access_user(tx, actor, ask.user_id)
    if before.role == "admin" and before.state == "active":
        await _somebody_stays(tx, actor, institution_id, ask.user_id)
    await catalog.set_active(tx.conn, ask.user_id, active=False)
    await tx.conn.execute(END_INVITATIONS, ask.user_id, tx.now)
    tx.ended += await access.end_sessions_of(tx.conn, ask.user_id, tx.now)
    return await _user_changed(tx, institution_id, ask.user_id, before)


async def activate_user(tx: Tx, actor: Actor, ask: OfUser) -> AdminUser:
    """Let somebody sign in again. Raises `NotFound`."""
    institution_id, before = await _access_user(tx, actor, ask.user_id)
    await catalog.set_active(tx.conn, ask.user_id, active=True)
    return await _user_changed(tx, institution_id, ask.user_id, before)


async def reset_user(tx: Tx, actor: Actor, ask: OfUser) -> Invited:
    """Give somebody a new link: password, second factor and sessions of before have ended. Raises `NotFound`."""
    institution_id, before = await _access_user(tx, actor, ask.user_id)
    if before.state == "inactive":
        raise errors.NotFound("That person is deactivated; activate them first.")
    if before.role == "admin" and before.state == "active":
        await _somebody_stays(tx, actor, institution_id, ask.user_id)
    await catalog.set_password(tx.conn, ask.user_id, None)
    await totp.remove(tx.conn, ask.user_id)
    tx.ended += await access.end_sessions_of(tx.conn, ask.user_id, tx.now)
    invited = await _invitation(tx, ask.user_id)
    await _user_changed(tx, institution_id, ask.user_id, before)
    return invited


class ListUsers(OfInstitution, Page):
    """The people of an institution."""


class Users(Reply):
    """A page of those who work at an institution and sign in; `next` is the cursor of the following page."""

    items: list[AdminUser]
    next: str | None


async def list_users(view: Read, actor: Actor, ask: ListUsers) -> Users:
    """The people whom the asker administers, by id. Raises `NotFound`."""
    start = decode_cursor("users", ask.cursor, int)[0] if ask.cursor else 0
    rows = await user_rows(view.conn, ask.within(actor), after=start, most=ask.limit + 1)
    items = rows[: ask.limit]
    return Users(items=items, next=encode_cursor("users", items[-1].user) if len(rows) > ask.limit else None)


# Sessions


class OpenSession(Reply):
    """A session that is open, and where it was opened."""

    session_id: int
    opened_at: datetime
    expires_at: datetime
    address: str | None
    agent: str | None
    current: bool


class Sessions(Reply):
    """Open sessions, the latest first."""

    items: list[OpenSession]


async def list_sessions(view: Read, actor: Actor, ask: Nothing) -> Sessions:
    """The asker's own open sessions."""
    return await _sessions(view, actor, actor.id)


async def list_user_sessions(view: Read, actor: Actor, ask: OfUser) -> Sessions:
    """The open sessions of somebody whom the asker administers. Raises `NotFound`."""
    if not actor.within(await view.conn.fetchval(INSTITUTION_OF_USER, ask.user_id)):
        raise errors.NotFound(NO_USER)
    return await _sessions(view, actor, ask.user_id)


async def _sessions(view: Read, actor: Actor, user_id: int) -> Sessions:
    rows = await view.conn.fetch(SESSIONS, user_id, view.now)
    return Sessions(items=[OpenSession(**dict(row), current=row["session_id"] == actor.session_id) for row in rows])


SESSIONS = """
select id as session_id, created_at as opened_at, expires_at, address, agent from sessions
where user_id = $1 and revoked_at is null and expires_at > $2 order by id desc
"""


class EndSession(Ask):
    """A session that is to open nothing any more."""

    session_id: Id


class SessionEnded(Reply):
    """The session that has ended."""

    session_id: int


async def end_session(tx: Tx, actor: Actor, ask: EndSession) -> SessionEnded:
    """End one's own session, or one of somebody whom the asker administers. Raises `NotFound`."""
    row = await tx.conn.fetchrow(WHOSE_SESSION, ask.session_id)
    if row is None or (
        row["user_id"] != actor.id and not (actor.role in ADMINS and actor.within(row["institution_id"]))
    ):
        raise errors.NotFound("There is no such session here.")
    await access.end_session(tx.conn, ask.session_id)
    tx.ended.append(f"session:{ask.session_id}")
    return SessionEnded(session_id=ask.session_id)


WHOSE_SESSION = "select s.user_id, u.institution_id from sessions s join users u on u.id = s.user_id where s.id = $1"


INVITED = frozenset({Role.invitation})
COMMANDS: list[Command[Any, Any]] = [
    Command("invite-user", invite_user, InviteUser, Invited, ADMINS, "POST /users", status=201, once=True),
    Command("accept-invitation", accept_invitation, AcceptInvitation, Accepted, INVITED, "POST /invitations/accept"),
    Command("edit-user", edit_user, EditUser, AdminUser, ADMINS, "POST /users/{user_id}"),
    Command("deactivate-user", deactivate_user, OfUser, AdminUser, ADMINS, "POST /users/{user_id}/deactivate"),
    Command("activate-user", activate_user, OfUser, AdminUser, ADMINS, "POST /users/{user_id}/activate"),
    Command("reset-user", reset_user, OfUser, Invited, ADMINS, "POST /users/{user_id}/reset", once=True),
    Command("end-session", end_session, EndSession, SessionEnded, PEOPLE, "POST /sessions/{session_id}/end"),
]
QUERIES: list[Query[Any, Any]] = [
    Query("show-invitation", show_invitation, Nothing, Invitation, INVITED, "GET /invitations"),
    Query("list-users", list_users, ListUsers, Users, ADMINS, "GET /users"),
    Query("list-sessions", list_sessions, Nothing, Sessions, PEOPLE, "GET /sessions"),
    Query("list-user-sessions", list_user_sessions, OfUser, Sessions, ADMINS, "GET /users/{user_id}/sessions"),
]
