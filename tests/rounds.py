"""A round through the house: every page in each of the states that people see it in, for whoever looks it over."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Page

from server import access
from server.access import Role
from server.events import Urgency
from server.slots import Locks
from server.slots.scripts import DUE
from tests.clinic import book as book_slots
from tests.clinic import now, patient_of, set_booking, slots_of
from tests.diary import open_books, patient
from tests.pages import Served, let_in
from tests.world import eventually
from workers.notices import Post, send_due
from workers.senders.mailbox import MailboxSender

LANGUAGES = ("en", "ar", "hi")
NAMES = ("Noor Haddad", "Tomás Herrera", "Ingrid Olsen", "Sam Carter", "Mei Tanaka", "Joseph Adeyemi", "ليلى حداد")


@dataclass
class House:
    """A clinic in the middle of a morning, and the keys to each of its pages."""

    clinic: Served
    queues: list[int] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)
    """By role, what a browser holds once somebody has signed in."""
    board: str = ""
    ticket: str = ""
    called: str = ""
    invitation: str = ""

    async def speak(self, *tags: str) -> None:
        """Let the institution speak these languages, the first of them on its boards."""
        world = self.clinic.world
        await world.pool.execute("update institutions set languages = $2 where id = $1", world.institution, list(tags))

    async def sign_in(self, context: BrowserContext, role: str) -> None:
        """Let whoever uses this browser be signed in."""
        await let_in(context, self.clinic, self.sessions[role])

    async def be_at_a_desk(self, page: Page) -> None:
        """Let this browser remember where its doctor works."""
        place = f'{{"queue":{self.queues[0]},"desk":{self.clinic.world.desks[0]}}}'
        await page.add_init_script(f"localStorage.setItem('callboard.place', '{place}')")


async def morning(clinic: Served) -> House:
    """A house with three queues, people in rooms, called and waiting, one queue paused."""
    world, house = clinic.world, House(clinic)
    house.queues = [await world.queue(name) for name in ("General practice", "Cardiology", "Walk-in")]
    for nth, queue in enumerate(house.queues):
        for number, name in enumerate(NAMES):
            urgency = Urgency.urgent if number == 4 else Urgency.routine
            needs = ["wheelchair"] if number == 5 else []
            await world.join(queue, name, urgency=urgency, requirements=needs, birth_year=1950 + 7 * number)
        called = await world.call_next(queue, nth)
        await world.do("start", "doctor", ticket_id=called.ticket.ticket)
    house.ticket = (await world.join(house.queues[0], "Rosa Delgado")).link
    first = await world.join(house.queues[2], "Bilal Aziz", urgency=Urgency.emergency)
    house.called = first.link
    await world.call_next(house.queues[2], 3)
    state = {"queue_id": house.queues[1], "state": "paused", "message": "Back at 14:30"}
    await world.do("set-queue-state", "admin", **state)
    _, house.board = await world.device()
    doctor = {"name": "Dr. Ames", "doctor_id": world.doctors[0]}
    house.sessions["doctor"] = await world.account(Role.doctor, "doctor@house.test", **doctor)
    house.sessions["receptionist"] = await world.account(Role.receptionist, "desk@house.test", name="Robin Reyes")
    house.sessions["admin"] = await world.account(Role.admin, "admin@house.test", name="Ada Lindqvist")
    await open_books(world)
    visitor, house.sessions["patient"] = await patient(world)
    await world.pool.execute("update patients set email = 'maya@house.test' where id = $1", visitor)
    for doctor, day in ((0, 3), (1, 6)):
        found = await world.ask(
            "find-slots", doctor_id=[world.doctors[doctor]], **{"from": str(now(world).date() + timedelta(days=day))}
        )
        await book_slots(world, found.items[4].slot_ids, patient_id=visitor)
    await ask_for_answers(house)
    invited = await world.do("invite-user", "admin", email="new@house.test", name="Ines Costa", role="receptionist")
    house.invitation = clinic.url + urlsplit(invited.link).path
    await send_due(Post(world.store, {}, MailboxSender(world.store), mail_from="desk@house.test"))
    return house


async def ask_for_answers(house: House) -> None:
    """Requests that wait for the first doctor's answer, and one appointment more this week."""
    world = house.clinic.world
    found = await world.ask("find-slots", doctor_id=[world.doctors[0]], **{"from": str(now(world).date())})
    people = await world.pool.fetch("select id from patients where name = any($1) order by id", list(NAMES[1:3]))
    await set_booking(world, auto_confirm_appointments=False)
    for one, item in zip(people, found.items[1:3], strict=False):
        asked = {"urgency": "urgent", "reason": "A cough that has not gone for three weeks", "source": "phone"}
        await book_slots(world, item.slot_ids, patient_id=one["id"], **asked)
    await set_booking(world, auto_confirm_appointments=True)
    await book_slots(world, found.items[5].slot_ids, patient_id=people[0]["id"], reason="Results of the blood test")


async def front(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(house.clinic.url)
    await page.wait_for_selector("nav a")
    yield "front"


async def board(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(f"{house.clinic.url}/board")
    await page.wait_for_selector("[data-testid=board-code]")
    yield "board-pairing"
    await page.goto("about:blank")
    await page.goto(f"{house.clinic.url}/board#device={house.board}")
    await page.wait_for_selector("[data-testid=board-call]")
    yield "board"


async def console(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(f"{house.clinic.url}/console")
    await page.wait_for_selector("input[type=email]")
    yield "sign-in"
    await house.sign_in(page.context, "doctor")
    await page.reload()
    await page.wait_for_selector("input[type=radio]")
    yield "console-place"
    await house.be_at_a_desk(page)
    await page.reload()
    await page.wait_for_selector("[data-testid=console-current][data-token]")
    await page.wait_for_selector(".today dd")
    yield "console"
    await page.get_by_test_id("console-row").first.locator("button").first.click()
    await page.wait_for_selector(".more")
    yield "console-row"
    await page.keyboard.press("t")
    await page.wait_for_selector("dialog[open]")
    yield "console-transfer"


async def ticket(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(house.ticket)
    await page.wait_for_selector("[data-testid=ticket-place]")
    yield "ticket"
    await page.locator(".leave").click()
    await page.wait_for_selector("dialog[open]")
    yield "ticket-leave"
    await page.goto(house.called)
    await page.wait_for_selector("[data-testid=ticket-turn]")
    yield "ticket-turn"
    await page.locator(".turn .button").click()
    await page.wait_for_selector(".is-called")
    yield "ticket-called"
    await page.goto(f"{house.clinic.url}/t/of-another-day")
    await page.wait_for_selector(".calm-screen h1")
    yield "ticket-unknown"


async def reception(page: Page, house: House) -> AsyncIterator[str]:
    await house.sign_in(page.context, "receptionist")
    await page.goto(f"{house.clinic.url}/reception")
    await page.wait_for_selector("[data-testid=reception-column][data-live=true]", state="attached")
    await page.wait_for_selector("[data-testid=reception-column][data-live=false]", state="detached")
    yield "reception"
    await page.fill("#find", "Haddad")
    await page.wait_for_selector("[role=option]")
    yield "reception-find"


async def admin(page: Page, house: House) -> AsyncIterator[str]:
    await house.sign_in(page.context, "admin")
    await page.goto(f"{house.clinic.url}/admin")
    await page.wait_for_selector(".side a")
    for nth in range(await page.locator(".side a").count()):
        link = page.locator(".side a").nth(nth)
        name = str(await link.get_attribute("href")).rpartition("/")[2]
        await link.click()
        await page.wait_for_selector(f".side a[aria-current=page][href$='{name}']")
        await page.wait_for_load_state("networkidle")
        yield f"admin-{name}"
    for name in ("settings", "failed", "satisfaction"):
        await page.goto(f"{house.clinic.url}/admin#/messages/{name}")
        await page.wait_for_selector(f".tabs a[aria-current][href$={name}]")
        await page.wait_for_load_state("networkidle")
        yield f"admin-messages-{name}"
    queue, person = house.queues[0], await house.clinic.world.pool.fetchval("select min(id) from users")
    deeper = {"location": f"places/location/{house.clinic.world.location}", "queue": f"places/queue/{queue}"}
    known = await house.clinic.world.pool.fetchval("select min(id) from patients")
    deeper |= {"doctor": f"catalogue/doctor/{house.clinic.world.doctors[0]}", "patient": f"patients/patient/{known}"}
    for name, place in {**deeper, "user": f"people/user/{person}"}.items():
        await page.goto("about:blank")
        await page.goto(f"{house.clinic.url}/admin#/{place}")
        await page.wait_for_selector(".back")
        await page.wait_for_load_state("networkidle")
        yield f"admin-{name}"
    await page.goto("about:blank")
    await page.goto(f"{house.clinic.url}/admin#/{deeper['patient']}")
    await page.get_by_test_id("admin-duplicate").first.get_by_role("button").click()
    await page.wait_for_selector("dialog[open] .merge")
    yield "admin-merge"
    await page.goto("about:blank")
    await page.goto(f"{house.clinic.url}/admin#/people")
    await page.locator(".pane-actions button").click()
    await page.wait_for_selector("dialog[open]")
    yield "admin-invite"


async def agenda(page: Page, house: House) -> AsyncIterator[str]:
    await house.sign_in(page.context, "doctor")
    await page.goto(f"{house.clinic.url}/agenda")
    await page.wait_for_selector("[data-testid=agenda-day]")
    yield "agenda"
    await page.locator(".agenda-spans button").last.click()
    await page.wait_for_selector("[data-testid=agenda-week]")
    yield "agenda-week"
    await page.locator(".agenda-spans button").first.click()
    await page.locator(".visit-who").first.click()
    await page.wait_for_selector("dialog[open] .notes textarea")
    yield "agenda-visit"
    await page.keyboard.press("Escape")
    world = house.clinic.world
    raised = {"reason": "Collapsed beside the lift", "location_id": world.location}
    alarm = await world.do("emergency-request", "receptionist", **raised)
    await page.wait_for_selector("[data-testid=emergency]")
    yield "agenda-alarm"
    await page.get_by_test_id("emergency-raise").click()
    await page.wait_for_selector("dialog[open]")
    yield "agenda-help"
    await world.do("end-emergency", emergency_id=alarm.emergency_id)


async def bookings(page: Page, house: House) -> AsyncIterator[str]:
    await house.sign_in(page.context, "receptionist")
    await page.goto(f"{house.clinic.url}/bookings")
    await page.wait_for_selector("[data-testid=bookings-table], [data-testid=bookings-empty]")
    yield "bookings"
    await page.locator(".as-link").first.click()
    await page.wait_for_selector("dialog[open] .story")
    await page.get_by_test_id("notices").locator("summary").click()
    await page.wait_for_selector(".noticed li, .noticed p")
    await page.locator(".story summary").click()
    await page.wait_for_selector(".story li")
    yield "bookings-visit"


WAITING_OF = "select id from waitlist where patient_id = $1 and state in ('waiting', 'offered')"
LATER_SLOTS = """
select s.id, (s.starts_at at time zone coalesce(l.zone, i.zone))::date as day, s.open and s.taken < s.capacity as free
from slots s join locations l on l.id = s.location_id join institutions i on i.id = s.institution_id
where s.doctor_id = $1 and s.starts_at > now() + interval '19 days' order by s.starts_at
"""
LINKED = "update offers set secret_hash = $2 where id = $1"
OF_VISITOR = "select id from patients where email = 'maya@house.test'"


async def full_day(house: House) -> date:
    """The first day in some weeks on which the first doctor sees anybody, with nothing left of it."""
    world = house.clinic.world
    if not await world.pool.fetch(LATER_SLOTS, world.doctors[0]):
        await slots_of(world, 0, 3, after=timedelta(days=20))
    first, *others = await world.pool.fetch(LATER_SLOTS, world.doctors[0])
    for slot in (first, *others):
        if slot["day"] == first["day"] and slot["free"]:
            await book_slots(world, [slot["id"]])
    day: date = first["day"]
    return day


async def wait(house: House, patient_id: int, *, full: bool = False) -> Any:
    """Have somebody wait anew: for any time next week, which is offered at once, or for a day that is full."""
    world = house.clinic.world
    today = now(world).date()
    days: dict[str, Any] = {"first_day": str(today + timedelta(days=2)), "last_day": str(today + timedelta(days=9))}
    if full:
        day = str(await full_day(house))
        days = {"first_day": day, "last_day": day}
    doctor = world.doctors[0 if full else 1]
    return (await world.do("join-waitlist", patient_id=patient_id, doctor_id=doctor, **days)).offer_id


async def wait_no_more(house: House, patient_id: int) -> None:
    """Take somebody off the waitlist wherever they are on it."""
    for row in await house.clinic.world.pool.fetch(WAITING_OF, patient_id):
        await house.clinic.world.do("leave-waitlist", entry_id=row["id"])


async def waitlist(page: Page, house: House) -> AsyncIterator[str]:
    world = house.clinic.world
    people = await world.pool.fetch("select id from patients where name = any($1) order by id", list(NAMES[:4]))
    for nth, one in enumerate(people):
        await wait_no_more(house, one["id"])
        await wait(house, one["id"], full=nth > 0)
    entry = await world.pool.fetchval(WAITING_OF + " order by id desc", people[-1]["id"])
    await world.do("prioritize-wait", entry_id=entry, priority=8, reason="In pain since Sunday")
    await house.sign_in(page.context, "receptionist")
    await page.goto(f"{house.clinic.url}/waitlist")
    await page.wait_for_selector("[data-testid=waitlist-offer]")
    await page.wait_for_selector("[data-testid=waitlist-row]")
    yield "waitlist"
    await page.locator(".heat-cell").last.scroll_into_view_if_needed()
    yield "waitlist-demand"
    await page.locator(".open-offer .as-link").first.click()
    await page.wait_for_selector("dialog[open] .why li")
    yield "waitlist-place"
    await page.locator("dialog [data-step=priority]").click()
    await page.wait_for_selector("dialog[open] [data-testid=waitlist-priority]")
    yield "waitlist-priority"
    await page.keyboard.press("Escape")
    await page.get_by_test_id("waitlist-add").click()
    await page.get_by_test_id("waitlist-patient").fill("Haddad")
    await page.wait_for_selector("dialog [data-patient]")
    yield "waitlist-add"


async def offer(page: Page, house: House) -> AsyncIterator[str]:
    world = house.clinic.world
    somebody = await patient_of(world)
    offer_id, secret = await wait(house, somebody), f"the-secret-of-this-round-{somebody}"
    await world.pool.execute(LINKED, offer_id, access.digest(secret))
    await page.goto(f"{house.clinic.url}/offer/{secret}")
    await page.wait_for_selector("[data-testid=offer-link][data-state=open]")
    yield "offer"
    await page.get_by_test_id("decline").click()
    await page.wait_for_selector("[data-testid=offer-link][data-state=declined]")
    yield "offer-declined"
    await wait_no_more(house, somebody)
    await page.goto(f"{house.clinic.url}/offer/of-another-day-and-nobodys")
    await page.wait_for_selector(".calm-screen h1")
    yield "offer-unknown"


async def end_locks(house: House) -> None:
    """Let every time that is held be free, as when its minutes are over."""
    things = house.clinic.world.store.locks
    assert isinstance(things, Locks)
    held = await things.redis.zrange(DUE, 0, -1)
    await things.redis.zadd(DUE, dict.fromkeys(held, 1))
    await eventually(lambda: _no_lock(things))


async def _no_lock(things: Locks) -> bool:
    return not await things.redis.zcard(DUE)


async def book(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(f"{house.clinic.url}/book")
    await page.wait_for_selector(".gate-card")
    yield "book-sign-in"
    await house.sign_in(page.context, "patient")
    await page.reload()
    await page.wait_for_selector("[data-testid=choose-doctor]")
    yield "book"
    await page.get_by_test_id("choose-any").first.click()
    await page.wait_for_selector("[data-testid=slot]")
    yield "book-any"
    visitor = await house.clinic.world.pool.fetchval(OF_VISITOR)
    await wait_no_more(house, visitor)
    await page.locator(".day").first.click()
    await page.wait_for_selector("[data-testid=wait]")
    yield "book-wait"
    await page.get_by_test_id("wait-join").click()
    await page.wait_for_selector("[data-testid=waiting] [data-testid=standing]")
    yield "book-waiting"
    await wait_no_more(house, visitor)
    await page.goto("about:blank")
    await page.goto(f"{house.clinic.url}/book#/doctor/{house.clinic.world.doctors[1]}")
    await page.wait_for_selector("[data-testid=picker][data-state=ready]")
    await page.locator("[data-testid=slot][data-free='1']").nth(3).click()
    await page.wait_for_selector("[data-testid=booking-form][data-state=held]")
    yield "book-last"
    await page.locator(".more summary").click()
    yield "book-more"
    # On a wide screen the form stands beside the times, and a time is left by leaving them.
    beside = not await page.get_by_test_id("booking-form").locator(".back").is_visible()
    await page.locator(".when .back" if beside else "[data-testid=booking-form] .back").first.click()
    await page.wait_for_selector("[data-testid=going]")
    yield "book-going"
    await set_booking(house.clinic.world, lock_minutes=1)
    await page.get_by_test_id("let-go").click()
    if beside:
        await page.goto(f"{house.clinic.url}/book#/doctor/{house.clinic.world.doctors[1]}")
        await page.wait_for_selector("[data-testid=picker][data-state=ready]")
    await page.locator("[data-testid=slot][data-free='1']").nth(5).click()
    await page.wait_for_selector(".clock.is-soon")
    yield "book-soon"
    await end_locks(house)
    await page.get_by_test_id("extend").click()
    await page.wait_for_selector("[data-testid=hold-over] [data-testid=alternative]")
    await set_booking(house.clinic.world, lock_minutes=5)
    yield "book-over"
    moved = await house.clinic.world.pool.fetchval("select min(id) from appointments where state = 'confirmed'")
    await page.goto(f"{house.clinic.url}/book?move={moved}")
    await page.wait_for_selector("[data-testid=moved]")
    await page.wait_for_selector("[data-testid=slot]")
    yield "book-move"


async def mine(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(f"{house.clinic.url}/appointments#here=1.{'0' * 32}")
    await page.wait_for_selector("[data-testid=here]")
    yield "mine-here"
    await house.sign_in(page.context, "patient")
    await page.goto("about:blank")
    await page.goto(f"{house.clinic.url}/appointments")
    await page.wait_for_selector("[data-testid=appointment]")
    yield "mine"
    await page.get_by_test_id("preferences").locator("summary").click()
    await page.wait_for_selector("[data-testid=wishes]")
    await page.get_by_test_id("preferences").evaluate("part => part.scrollIntoView()")
    yield "mine-preferences"
    await page.get_by_test_id("cancel").first.click()
    await page.wait_for_selector("dialog[open]")
    yield "mine-cancel"
    await page.keyboard.press("Escape")
    await page.get_by_test_id("move").first.click()
    await page.wait_for_selector("dialog[open] [data-testid=slot]")
    yield "mine-move"
    await page.keyboard.press("Escape")
    visitor = await house.clinic.world.pool.fetchval(OF_VISITOR)
    await wait_no_more(house, visitor)
    await wait(house, visitor, full=True)
    await wait(house, visitor)
    await page.wait_for_selector("[data-testid=offer]")
    await page.wait_for_selector("[data-testid=wait] [data-testid=standing]")
    yield "mine-offer"
    await wait_no_more(house, visitor)


async def schedule(page: Page, house: House) -> AsyncIterator[str]:
    await house.sign_in(page.context, "doctor")
    world = house.clinic.world
    week = [{"weekday": day, "starts": "09:00", "ends": "13:00", "slot_minutes": 20} for day in range(5)]
    place = {"doctor_id": world.doctors[0], "location_id": world.location}
    if not await world.pool.fetchval("select exists (select from schedules where doctor_id = $1)", world.doctors[0]):
        await world.do("add-schedule", **place, starts_on="2026-01-05", week=week)
    await page.goto(f"{house.clinic.url}/schedule")
    await page.wait_for_selector(".plan-card")
    await page.locator(".plan-turn button").last.click()
    await page.wait_for_selector("[data-testid=slot]")
    yield "schedule"
    await page.get_by_test_id("slot").first.click()
    await page.wait_for_selector("dialog[open]")
    yield "schedule-slot"
    await page.keyboard.press("Escape")
    await page.locator(".plan-bar > button").last.click()
    await page.wait_for_selector("dialog[open]")
    yield "schedule-block"
    await page.keyboard.press("Escape")
    await page.locator(".plan-card-foot button").first.click()
    await page.get_by_test_id("session").nth(1).locator("button").press("ArrowDown")
    await page.wait_for_selector("[data-testid=preview]")
    yield "schedule-draft"
    await page.get_by_test_id("session").first.locator("button").press("Enter")
    await page.wait_for_selector("dialog[open]")
    yield "schedule-session"


A_VISIT = """
update appointments set state = 'completed', ended_at = now() where id = (
    select min(id) from appointments where kind = 'walk_in' and doctor_id is not null
) returning id
"""
A_NOTICE = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, appointment_id, due_at, try_at,
    created_at)
select a.institution_id, $2, 'round:' || gen_random_uuid(), 'patient:' || a.patient_id, 'email', a.patient_id, a.id,
    now() + interval '1 year', now() + interval '1 year', now()
from appointments a where a.id = $1 returning id || '.' || replace(opens::text, '-', '')
"""


async def link_in(house: House, kind: str) -> str:
    """The end of the links in a message of this kind about a visit that is over."""
    pool = house.clinic.world.pool
    await pool.execute("delete from preferences")
    visit = await pool.fetchval(A_VISIT)
    return str(await pool.fetchval(A_NOTICE, visit, kind))


async def feedback(page: Page, house: House) -> AsyncIterator[str]:
    await house.clinic.world.pool.execute("delete from feedback")
    await page.goto(f"{house.clinic.url}/feedback/{await link_in(house, 'thank-you')}")
    await page.wait_for_selector("[data-testid=feedback]")
    yield "feedback"
    await page.locator(".score").nth(3).click()
    await page.wait_for_selector("[data-testid=feedback-said]:not(:empty)")
    yield "feedback-said"
    await page.goto(f"{house.clinic.url}/feedback/1.{'0' * 32}")
    await page.wait_for_selector(".calm-screen h1")
    yield "feedback-unknown"


async def unsubscribe(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(f"{house.clinic.url}/unsubscribe/{await link_in(house, 'reminder')}")
    await page.wait_for_selector("[data-testid=unsubscribe][data-subscribed=true]")
    yield "unsubscribe"
    await page.get_by_test_id("end").click()
    await page.wait_for_selector("[data-testid=unsubscribe][data-subscribed=false]")
    yield "unsubscribe-done"


async def invite(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(house.invitation)
    await page.wait_for_selector("[data-testid=invitation]")
    yield "invite"
    await page.goto(f"{house.clinic.url}/invite/used-before")
    await page.wait_for_selector(".calm-screen h1")
    yield "invite-ended"


async def mailbox(page: Page, house: House) -> AsyncIterator[str]:
    await page.goto(f"{house.clinic.url}/mailbox")
    await page.wait_for_selector("input[type=email]")
    yield "mailbox-sign-in"
    await house.sign_in(page.context, "admin")
    await page.reload()
    await page.wait_for_selector("[data-testid=mail]")
    yield "mailbox"


ROUNDS: dict[str, Callable[[Page, House], AsyncIterator[str]]] = {
    "/": front,
    "/admin": admin,
    "/agenda": agenda,
    "/appointments": mine,
    "/board": board,
    "/book": book,
    "/bookings": bookings,
    "/console": console,
    "/mailbox": mailbox,
    "/feedback/{secret}": feedback,
    "/invite/{secret}": invite,
    "/offer/{secret}": offer,
    "/reception": reception,
    "/schedule": schedule,
    "/t/{secret}": ticket,
    "/unsubscribe/{secret}": unsubscribe,
    "/waitlist": waitlist,
}
"""The way through each page of `server.pages.PAGES`; it yields at each state, by its name."""

SIZE = {
    "/appointments": "phone",
    "/board": "tv",
    "/book": "phone",
    "/feedback/{secret}": "phone",
    "/offer/{secret}": "phone",
    "/t/{secret}": "phone",
    "/unsubscribe/{secret}": "phone",
}
"""The size at which a page is mostly seen; a desktop's where none is told."""


def reads(tag: str) -> dict[str, Any]:
    """What a browser of somebody who reads this language is opened with."""
    return {"locale": {"ar": "ar-EG", "hi": "hi-IN"}.get(tag, "en-GB")}
