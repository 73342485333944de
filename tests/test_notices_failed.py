"""What could not be sent: who sees it, and sending it once more."""

from datetime import timedelta
from typing import Any

import pytest

from server import errors
from tests.letters import written
from tests.test_notices import PHONE, booked
from tests.test_notices_sending import Recorder, post_of
from tests.world import World
from workers.notices import send_due
from workers.senders import Refused


async def failed(world: World, **known: Any) -> dict[str, Any]:
    """A notice that its provider refused."""
    await booked(world, after=timedelta(days=9), **{"phone": None, **known})
    await send_due(post_of(world, Recorder(failures=[Refused("550 no such user")])))
    (notice,) = await written(world, state="failed")
    return notice


async def test_admins_see_what_failed_and_why(still: World) -> None:
    notice = await failed(still)
    (item,) = (await still.ask("failed-notices", "admin")).items
    assert (item.id, item.error, item.patient, item.may_resend) == (
        notice["id"],
        "550 no such user",
        "Sam Carter",
        True,
    )
    assert item.number and item.instead_by is None


async def test_what_went_another_way_says_so(still: World) -> None:
    await failed(still, phone=PHONE)
    (item,) = (await still.ask("failed-notices", "admin")).items
    assert (item.channel, item.instead_by) == ("email", "sms")


async def test_the_list_is_read_page_by_page(still: World) -> None:
    notice = await failed(still)
    for nth in range(4):
        await still.pool.execute(COPY, notice["id"], nth)
    seen, cursor = [], None
    while True:
        page = await still.ask("failed-notices", "admin", limit=2, cursor=cursor)
        seen += [one.id for one in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert len(seen) == len(set(seen)) == 5 and seen == sorted(seen, reverse=True)
    assert (await still.ask("failed-notices", "admin", channel="sms")).items == []


COPY = """
insert into notices (institution_id, kind, cause, person, channel, patient_id, facts, state, due_at, try_at, created_at)
select institution_id, kind, cause || $2::int, person, channel, patient_id, facts, state, due_at, try_at, created_at
from notices where id = $1
"""


async def test_sent_once_more_it_has_all_its_tries_again_under_its_old_name(still: World) -> None:
    notice = await failed(still)
    await still.do("resend-notice", "admin", notice_id=notice["id"])
    recorder = Recorder()
    await send_due(post_of(still, recorder))
    (again,) = await written(still, id=notice["id"])
    assert (again["state"], again["attempts"], again["forgiven"]) == ("sent", 2, 1)
    assert recorder.keys == [f"notice-{notice['id']}"]


async def test_only_what_failed_is_sent_once_more(still: World) -> None:
    notice = await failed(still)
    await still.do("resend-notice", "admin", notice_id=notice["id"])
    with pytest.raises(errors.NoticeNotFailed):
        await still.do("resend-notice", "admin", notice_id=notice["id"])


async def test_what_would_say_nothing_any_more_is_not_sent(still: World) -> None:
    notice = await failed(still)
    still.forward(days=20)
    with pytest.raises(errors.NoticeTooLate):
        await still.do("resend-notice", "admin", notice_id=notice["id"])


async def test_another_clinics_notices_are_not_there(still: World) -> None:
    notice, other = await failed(still), await still.other()
    assert (await other.ask("failed-notices", "admin")).items == []
    with pytest.raises(errors.NotFound):
        await other.do("resend-notice", "admin", notice_id=notice["id"])
