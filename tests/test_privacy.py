"""What is known of a patient reaches those who work the queue and nobody else: no frame, key, log or address."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from mypy import api
from pydantic import BaseModel

from server import access, events, logs, publish
from server.access import Role
from server.app import COMMANDS, QUERIES
from server.config import ROOT
from server.events import BoardTicket, StaffTicket, State, Urgency
from server.store import Tx
from tests.clinic import day_of, slots_of
from tests.doors import NUMBERS, STRANGER, House, Peer, Somebody, holder, served
from tests.letters import code_for
from workers import tasks as worker

CANARY = "Quillonby"
"""Stands in every personal field that takes words."""
PHONE = "+49 7717717"
BIRTH_YEAR = 1913
WORDS = (CANARY.lower(), "7717717")
FIELDS = ('"birth_year"', '"requirements"', '"urgency"')
OWN_STAFF = ("their admin", "their doctor")
"""They see such fields, of their own patients."""


def traces(text: str, whose: str = "") -> set[str]:
    """What of our patients a text gives away."""
    looked_for = WORDS if whose in OWN_STAFF else WORDS + FIELDS
    return {trace for trace in looked_for if trace in text.lower()}


def patient(number: int) -> dict[str, Any]:
    """Somebody whose every detail can be recognised."""
    return {"name": f"{CANARY} {number}", "phone": PHONE, "birth_year": BIRTH_YEAR}


@dataclass
class Ward:
    """A served clinic, those who listen, and everything that was answered to anybody."""

    house: House
    log: io.StringIO
    queue: int
    other: int
    staff: dict[str, Somebody] = field(default_factory=dict)
    outside: dict[str, Somebody] = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    exercised: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    async def do(self, name: str, who: str = "receptionist", /, **ask: Any) -> Any:
        """Carry a command out over HTTP, with a key, so that its reply is kept."""
        command = next(one for one in COMMANDS if one.name == name)
        headers = {} if command.once else {"Idempotency-Key": f"{name}-{next(NUMBERS)}"}
        everybody = {**self.staff, **self.outside, "stranger": STRANGER}
        answer = await self.house.ask(command, everybody[who], ask, **headers)
        assert answer.is_success, answer.text
        self.exercised.add(name)
        return answer.json()

    async def join(self, number: int, **more: Any) -> Any:
        """A patient joins with every field filled."""
        joined = await self.do(
            "join-queue",
            queue_id=self.queue,
            patient=patient(number),
            reason=f"{CANARY} fever",
            requirements=[f"{CANARY} chair"],
            **more,
        )
        self.links.append(joined["link"])
        return joined

    async def desk(self) -> int:
        """A free desk."""
        return await self.house.desk()

    async def called(self, number: int) -> tuple[int, int]:
        """A patient who has just been called: the ticket and the desk."""
        joined, desk = await self.join(number, urgency="emergency"), await self.desk()
        moved = await self.do("call-next", queue_id=self.queue, desk_id=desk)
        assert moved["ticket"]["ticket"] == joined["ticket_id"]
        return joined["ticket_id"], desk


@asynccontextmanager
async def ward(database_url: str, redis_url: str) -> AsyncIterator[Ward]:
    """Everybody in their place, listening to all that they may."""
    log = io.StringIO()
    logs.configure(level="debug", stream=log)
    for ours in ("httpx2", "httpcore2"):
        logging.getLogger(ours).setLevel(logging.WARNING)  # the asking side is not the server's
    # Every command is sent wrongly over one socket, which is far more than a page sends.
    async with served(database_url, redis_url, limit_socket=None) as house:
        home, theirs = house.world, await house.world.other()
        one = Ward(house, log, await home.queue("Walk-in"), await home.queue("Second"))
        own = await home.join(one.queue, f"{CANARY} Own")
        own_id = await home.pool.fetchval("select patient_id from tickets where id = $1", own.ticket_id)
        their_queue = await theirs.queue()
        one.staff = {
            "receptionist": await house.sign_in(Role.receptionist),
            "admin": await house.sign_in(Role.admin),
            "doctor": await house.sign_in(Role.doctor, doctor_id=home.doctors[1]),
        }
        one.outside = {
            "board": await house.enrolled(),
            "kiosk": await house.enrolled("kiosk"),
            "holder": holder(own),
            "other patient": await house.sign_in(Role.patient, patient_id=own_id),
            "their admin": await house.sign_in(Role.admin, theirs),
            "their doctor": await house.sign_in(Role.doctor, theirs, doctor_id=theirs.doctors[0]),
            "their board": await house.enrolled(world=theirs),
            "their holder": holder(await theirs.join(their_queue)),
        }
        everything = [f"{kind}:{id_}" for kind in events.STREAM_ROWS for id_ in range(1, 9)]
        for name, who in {**one.staff, **one.outside}.items():
            peer = one.peers[name] = await house.knock(who)
            for stream in everything:
                await peer.call("subscribe", {"stream": stream})
        try:
            yield one
        finally:
            logging.getLogger().handlers.clear()


PERSONAL = {
    "ticket_id", "patient_id", "appointment_id", "patient", "phone", "birth_year", "birth_date", "contact", "reason",
    "requirements", "insurance", "medical_notes", "content",
}  # fmt: skip
OF_NOBODY = {"set-doctor-photo", "try-text"}
"""They have such a field, for a photograph and for the asker's own number."""
ABOUT_PATIENTS = {one.name for one in COMMANDS if one.ask.model_fields.keys() & PERSONAL} - OF_NOBODY
"""Every command that can be about somebody; one that is added is exercised here too."""


async def exercise_every_command(ward: Ward) -> None:
    """One of each, with whatever a person can write into it."""
    words = f"{CANARY} said so"
    registered = await ward.do("register-patient", **patient(0), confirm_new=True)
    await ward.do("correct-patient", patient_id=registered["patient"]["id"], **patient(0))
    await ward.join(1)
    ticket, _ = await ward.called(2)
    await ward.do("recall", ticket_id=ticket)
    await ward.do("start", ticket_id=ticket)
    await ward.do("complete", ticket_id=ticket)
    await ward.do("undo", ticket_id=ticket)
    ticket, _ = await ward.called(3)
    await ward.do("no-show", ticket_id=ticket, reason=words)
    await ward.do("return-ticket", ticket_id=ticket, reason=words, after=1)
    await ward.do("prioritize", ticket_id=ticket, urgency="urgent", reason=words)
    await ward.do("hold", ticket_id=ticket, reason=words)
    await ward.do("return-ticket", ticket_id=ticket)
    await ward.do("call-ticket", ticket_id=ticket, desk_id=await ward.desk(), reason=words)
    ticket = (await ward.join(4))["ticket_id"]
    ward.links.append((await ward.do("renew-link", ticket_id=ticket))["link"])
    moved = await ward.do("transfer", ticket_id=ticket, queue_id=ward.other, reason=words)
    await ward.do("cancel", ticket_id=moved["ticket"]["ticket"], reason=words)
    await ward.do("set-queue-state", queue_id=ward.queue, state="paused", message="Back at two.")
    await ward.do("set-queue-state", queue_id=ward.queue, state="open")
    await ward.do("set-queue-settings", queue_id=ward.queue, order="scored")
    pairing = await ward.do("open-pairing")
    told = {"code": pairing["code"], "location_id": ward.house.world.location, "name": "Hall"}
    device = await ward.do("enroll-device", "admin", **told)
    await ward.do("revoke-device", "admin", device_id=device["device_id"])
    await exercise_appointments(ward)
    await exercise_visits(ward)
    await exercise_waitlist(ward)
    await exercise_records(ward)


async def exercise_records(ward: Ward) -> None:
    """What is written about somebody, a file full of people, and somebody who lets themselves in."""
    words, home = f"{CANARY} said so", ward.house.world
    person = (await ward.do("register-patient", **patient(50), confirm_new=True))["patient"]["id"]
    await ward.do("write-medical-notes", "doctor", patient_id=person, medical_notes=words)
    times = await slots_of(home, 1, after=timedelta(days=50))
    booked = await ward.do("book-appointment", slot_ids=times, doctor_id=home.doctors[1], patient_id=person)
    one = {"appointment_id": booked["appointment_id"]}
    await ward.do("write-note", "doctor", **one, kind="note", content=words)
    await ward.do("set-payment", **one, payment="paid", fee="80.00")
    listed = f"name,phone,address\n{CANARY} 51,+44 20 7717 7171,{CANARY} Lane\n"
    for trial in (True, False):
        await ward.do("import-file", "admin", kind="patients", content=listed, trial=trial)
    contact = f"{CANARY}@clinic.example".lower()
    await ward.do("ask-code", "stranger", contact=contact)
    code = await code_for(home, contact)
    new = {"institution_id": home.institution, "name": f"{CANARY} Anew", "birth_date": "1990-02-03"}
    opened = await ward.do("verify-code", "stranger", contact=contact, code=code, register=new)
    ward.links.append(f"/{opened['token']}")


async def exercise_appointments(ward: Ward) -> None:
    """Appointments asked for, turned down, moved and called off, with whatever a person can write into them."""
    words, home = f"{CANARY} said so", ward.house.world

    async def booked(days: int) -> int:
        times = await slots_of(home, 1, after=timedelta(days=days))
        whom = {"patient": patient(30 + days), "reason": words, "symptoms": words, "requirements": [words]}
        return int(
            (await ward.do("book-appointment", slot_ids=times, doctor_id=home.doctors[1], **whom))["appointment_id"]
        )

    first, second, third = [await booked(days) for days in (10, 11, 12)]
    later = await slots_of(home, 1, after=timedelta(days=15))
    await ward.do("reschedule-appointment", appointment_id=first, slot_ids=later, reason=words)
    await ward.do("cancel-appointment", appointment_id=second, reason=words)
    insurance = {"insurer": words, "policy": words}
    await ward.do("verify-insurance", appointment_id=third, verified=True, insurance=insurance)
    await ward.do("change-appointments", action="cancel", appointment_ids=[third], reason=words)
    await home.pool.execute("update institutions set booking = '{\"auto_confirm_appointments\": false}'")
    await ward.do("reject-request", appointment_id=await booked(13), reason=words)
    asked = await booked(14)
    await ward.do("accept-request", appointment_id=asked)
    await ward.do("confirm-appointment", appointment_id=await booked(16))
    await home.pool.execute("update institutions set booking = '{}'")


async def exercise_visits(ward: Ward) -> None:
    """The day of a visit, an emergency, blocked time and merged records, with whatever a person can write into them."""
    words, home = f"{CANARY} said so", ward.house.world
    people = [
        (await ward.do("register-patient", **patient(number), confirm_new=True))["patient"]["id"] for number in (20, 21)
    ]
    raised = await ward.do("emergency-request", reason=words, location_id=home.location, patient_id=people[0])
    await ward.do("acknowledge-emergency", emergency_id=raised["emergency_id"])
    await ward.do("end-emergency", emergency_id=raised["emergency_id"])
    for hours, step in ((1, "complete-appointment"), (4, "no-show-appointment")):
        slots = await slots_of(home, after=timedelta(days=5, hours=hours))
        whom = {"patient_id": people[0], "reason": words, "symptoms": words, "requirements": [words]}
        booked = await ward.do("book-appointment", slot_ids=slots, doctor_id=home.doctors[0], **whom)
        appointment = {"appointment_id": booked["appointment_id"]}
        await home.pool.execute(BEGINS_NOW, booked["appointment_id"])
        queue = {"queue_id": await home.queue(f"Visits {hours}")}
        await ward.do("check-in", **appointment, **queue)
        desk = {"desk_id": await ward.desk()}
        if step == "complete-appointment":
            await ward.do("start-appointment", **appointment, **desk)
            await ward.do(step, **appointment)
            await ward.do("undo-appointment", **appointment)
        else:
            await ward.do("call-next", **queue, **desk)
            await ward.do(step, **appointment, reason=words)
    slots = await slots_of(home, after=timedelta(days=5, hours=8))
    born = (await ward.do("register-patient", name=f"{CANARY} 22", birth_date="1913-05-17", confirm_new=True))[
        "patient"
    ]
    booked = await ward.do("book-appointment", slot_ids=slots, doctor_id=home.doctors[0], patient_id=born["id"])
    await home.pool.execute(BEGINS_NOW, booked["appointment_id"])
    await ward.do("check-in-here", "kiosk", number=booked["number"], birth_date="1913-05-17")
    days = {"first_day": "2031-01-01", "last_day": "2031-01-02"}
    await ward.do("block-time", doctor_id=home.doctors[0], kind="other", reason=words, **days)
    wishes = {"choices": [{"kind": "reminder", "channel": "sms", "allowed": False}]}
    await ward.do("set-patient-preferences", patient_id=people[1], **wishes)
    await ward.do("merge-patients", patient_id=people[1], into=people[0])


async def exercise_waitlist(ward: Ward) -> None:
    """Somebody waits, goes before others, is offered time and answers, with whatever a person can write into it."""
    words, home = f"{CANARY} said so", ward.house.world
    doctor = home.doctors[1]
    for number, answer in ((40, "accept-offer"), (41, "decline-offer")):
        person = (await ward.do("register-patient", **patient(number), confirm_new=True))["patient"]["id"]
        (slot,) = await slots_of(home, 1, after=timedelta(days=number))
        day = await day_of(home, slot)
        wish = {"doctor_id": doctor, "first_day": day, "patient_id": person}
        joined = await ward.do("join-waitlist", **wish, priority=7, reason=words)
        await ward.do("prioritize-wait", entry_id=joined["entry_id"], priority=8, reason=words)
        await ward.do(answer, offer_id=joined["offer_id"])
    await ward.do("leave-waitlist", entry_id=joined["entry_id"])


BEGINS_NOW = """
update appointments set starts_at = now(), ends_at = now() + interval '30 minutes', insisted = true where id = $1
"""


async def refuse_every_command(ward: Ward) -> None:
    """Send each command the canary where it does not belong; keep what is answered."""
    wrong = [
        {"patient": {**patient(9), "surname": CANARY}},
        {"patient": CANARY, "reason": [CANARY], "urgency": CANARY},
        {"queue_id": CANARY, "ticket_id": CANARY, "desk_id": CANARY},
        {"code": CANARY, "name": [CANARY], "kind": CANARY, "state": CANARY, "message": CANARY * 99},
        {"reason": CANARY + "\0", "patient": {"name": CANARY * 40, "phone": CANARY, "birth_year": CANARY}},
    ]
    for command in COMMANDS:
        path = {name: ward.queue if name == "queue_id" else 1 for name in re.findall(r"{(\w+)}", command.route)}
        for body in wrong:
            answer = await ward.house.ask(command, ward.staff["admin"], {**body, **path})
            assert answer.status_code in (403, 404, 422), answer.text
            ward.refusals.append(answer.text)
            told = await ward.peers["admin"].call(command.name, {**body, **path})
            ward.refusals.append(json.dumps(told["problem"]))
    for path in (f"/queues/{CANARY}", f"/queues?cursor={CANARY}", f"/queues?location_id={CANARY}", f"/{CANARY}"):
        answer = await ward.house.http.get(f"/api/v1{path}", headers=ward.staff["admin"].headers)
        ward.refusals.append(answer.text)
    answer = await ward.house.http.post("/api/v1/session", json={"email": f"{CANARY}@x.example", "password": CANARY})
    ward.refusals.append(answer.text)


async def test_no_trace_of_a_patient_leaves_the_staffs_sight(database_url: str, redis_url: str) -> None:
    async with ward(database_url, redis_url) as clinic:
        await exercise_every_command(clinic)
        assert clinic.exercised >= ABOUT_PATIENTS
        await refuse_every_command(clinic)
        await clinic.house.world.published()
        last = (await clinic.house.world.events(f"board:{clinic.queue}"))[-1][0]
        for name in ("receptionist", "board", "kiosk", "holder"):
            here = f"board:{clinic.queue}"
            await clinic.peers[name].seen(
                lambda peer, here=here: any(
                    data.get("stream") == here and data["version"] == last for _, data in peer.events
                )
            )
        staff = "\n".join(clinic.peers["receptionist"].frames)
        assert traces(staff) == {*WORDS, *FIELDS}, "what is looked for can be found"
        for name in clinic.outside:
            frames = "\n".join(clinic.peers[name].frames)
            assert "40{" in frames and "43" in frames
            assert traces(frames, name) == set(), name
        assert [refusal for refusal in clinic.refusals if CANARY.lower() in refusal.lower()] == []
        assert not any(traces(link) for link in clinic.links)
        await check_answers(clinic)
        await check_stores(clinic, redis_url)
        await check_log(clinic)


async def check_answers(clinic: Ward) -> None:
    """Nothing that others can ask over HTTP tells it."""
    documents = ["/metrics", "/openapi.json", "/asyncapi.json", "/readyz", "/healthz"]
    public = ["/", "/board", "/console", "/reception", "/t/x", *documents]
    for path in public:
        answer = await clinic.house.http.get(path)
        assert answer.status_code == 200
        assert CANARY.lower() not in answer.text.lower(), path
    for name, who in clinic.outside.items():
        for query in QUERIES:
            ask = {"queue_id": clinic.queue, "ticket_id": 2, "before": 1}
            ask = {key: value for key, value in ask.items() if key in query.ask.model_fields}
            ask = {**dict.fromkeys(re.findall(r"{(\w+)}", query.route), 1), **ask}
            answer = await clinic.house.ask(query, who, ask)
            assert traces(answer.text, name) == set(), (name, query.name)


READ: dict[bytes, Any] = {
    b"hash": lambda client, key: client.hgetall(key),
    b"stream": lambda client, key: client.xrange(key),
    b"string": lambda client, key: client.get(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1),
}
"""How each kind of key in Redis is read."""


def of_people(stream: str) -> bool:
    """Whether a stream is one by which those who work there see somebody, or the patient's own."""
    return stream.partition(":")[0] in ("staff", "patient", *OF_STAFF)


async def check_stores(clinic: Ward, redis_url: str) -> None:
    """Neither the public streams nor what is kept for retries has it."""
    pool = clinic.house.world.pool
    client = publish.connect(redis_url)
    looked = 0
    async for key in client.scan_iter(match="cb:*"):
        stream = key.decode().partition("{")[2].partition("}")[0]
        kind = await client.type(key)
        content = await READ[kind](client, key)
        if not of_people(stream):
            looked += 1
            assert traces(str(content)) == set(), key
    assert looked > 6
    await client.aclose()
    rows = await pool.fetch("select stream, type, actor, data::text as data from events")
    public = [str(dict(row)) for row in rows if not of_people(row["stream"])]
    assert len(public) > 20
    assert traces("\n".join(public)) == set()
    assert CANARY in str([row["data"] for row in rows])
    kept = await pool.fetch("select r::text from replies r")
    assert len(kept) > 10
    assert traces(str(kept)) == set()


async def check_log(clinic: Ward) -> None:
    """Neither the server nor the worker has written it down, at any level."""
    context = {"publisher": clinic.house.world.publisher, "store": clinic.house.world.store}
    await clinic.house.world.pool.execute("update queues set waits_at = now() - interval '1 hour'")
    for task in (worker.sweep, worker.verify, worker.refresh_waits, worker.tidy):
        await task(context)
    text = clinic.log.getvalue()
    assert text.count('"event":"request"') > 100
    assert CANARY.lower() not in text.lower()
    assert "7717717" not in text
    for link in clinic.links:
        assert link.rpartition("/")[2] not in text
    for who in (*clinic.staff.values(), *clinic.outside.values()):
        assert (who.header or "").split()[1] not in text


async def test_failure_in_mid_command_logs_no_patient(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ward(database_url, redis_url) as clinic:

        async def fails(tx: Any, *_: Any) -> None:
            await tx.conn.execute("insert into patients (institution_id, name) values (0, $1)", CANARY)

        monkeypatch.setattr("server.queue.commands.register_patient", fails)
        ask = {"queue_id": clinic.queue, "patient": patient(1)}
        join = next(one for one in COMMANDS if one.name == "join-queue")
        answer = await clinic.house.ask(join, clinic.staff["receptionist"], ask)
        told = await clinic.peers["receptionist"].call("join-queue", ask)
        assert (answer.status_code, told["problem"]["code"]) == (500, "internal")
        assert "ViolationError" in clinic.log.getvalue() and "DETAIL" in clinic.log.getvalue()
        assert CANARY.lower() not in (clinic.log.getvalue() + answer.text + str(told)).lower()


# By type


def models(row: Any) -> Iterator[type[BaseModel]]:
    """A model and every model inside it."""
    if isinstance(row, type) and issubclass(row, BaseModel):
        yield row
        for inside in row.model_fields.values():
            yield from models(inside.annotation)
    for argument in get_args(row):
        yield from models(argument)


def test_only_the_staffs_rows_have_fields_for_a_person() -> None:
    personal = {
        "patient",
        "phone",
        "birth_year",
        "reason",
        "requirements",
        "urgency",
        "order_reasons",
        "score",
    }
    for kind, rows in events.STREAM_ROWS.items():
        for row in (*rows, *events.STREAM_EVENTS[kind]):
            fields = {name for model in models(row) for name in model.model_fields}
            if row is StaffTicket:
                assert personal <= fields
            elif row not in OF_STAFF.get(kind, ()):
                assert fields & personal <= OWN.get(row, set()), (kind, row.__name__)


OF_STAFF: dict[str, tuple[type[BaseModel], ...]] = {
    "doctor": (events.DoctorAppointment, events.Emergency),
    "admin": (events.Emergency,),
    "waitlist": (events.StaffWait,),
}
"""The rows besides a ticket's by which those who work there see somebody, on streams that nobody else may join."""
OWN: dict[type[BaseModel], set[str]] = {events.PatientAppointment: {"reason"}}
"""What a patient sees of what they said themselves, on a stream that they alone may join."""


def staff_ticket() -> StaffTicket:
    """A ticket with its patient."""
    person = events.Person(id=1, name=CANARY, phone=None, birth_year=None)
    plain: dict[str, Any] = dict.fromkeys(
        ("desk", "call", "reason", "called_at", "started_at", "desk_id", "doctor_id", "score", "undo")
    )
    return StaffTicket(
        ticket=1,
        token="A001",
        state=State.waiting,
        rank=1.0,
        patient=person,
        urgency=Urgency.routine,
        requirements=[],
        joined_at="2026-03-02T09:00:00Z",  # type: ignore[arg-type]
        order_reasons=[],
        **plain,
    )


def test_board_takes_no_row_but_its_own() -> None:
    tx: Any = Tx(None, access.SYSTEM, None, fixed=True)  # type: ignore[arg-type]
    joined = events.TicketJoined(ticket=1, token="A001")

    class Extended(BoardTicket):
        patient: str = CANARY

    rows = [staff_ticket(), Extended(ticket=1, token="A001", state=State.waiting, rank=1.0, desk=None, call=None)]
    for row in rows:
        for stream in (events.board(1), events.patient(1), events.shown(1), events.admin(1)):
            with pytest.raises(TypeError, match="has no rows of type"):
                tx.append(stream, joined, put=[row])
    with pytest.raises(TypeError, match="has no events of type"):
        tx.append(events.board(1), events.DeviceEnrolled(device=1))


LEAK = """
from server import events
from server.store import Tx
def tell(tx: Tx, joined: events.TicketJoined, shown: events.BoardTicket, person: events.StaffTicket) -> None:
    tx.append(events.board(1), joined, put=[shown])
    tx.append(events.staff(1), joined, put=[person])
    tx.append(events.board(1), joined, put=[person])
"""


def test_mypy_lets_no_patient_onto_a_board(tmp_path: Path) -> None:
    settings = tmp_path / "mypy.ini"
    settings.write_text(f"[mypy]\nplugins = pydantic.mypy\nmypy_path = {ROOT}\nfollow_imports_for_stubs = true\n")
    cache = ROOT / ".mypy_cache" / "privacy"
    said, failed, status = api.run(["--config-file", str(settings), "--cache-dir", str(cache), "-c", LEAK])
    wrong = [line for line in said.splitlines() if line.startswith("<string>:")]
    assert status == 1 and not failed, said + failed
    assert [line.split(":")[1] for line in wrong if " error: " in line] == ["7"], said
