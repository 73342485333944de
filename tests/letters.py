"""What somebody would read: the messages that were sent to them, in the project's words."""

import orjson

from server import notices
from tests.world import World


async def code_for(world: World, contact: str) -> str:
    """The last sign-in code written to a contact, still waiting to be sent or in the mailbox already."""
    row = await world.pool.fetchrow(LAST_CODE, contact)
    assert row is not None, "no code was asked for"
    if row["secret"] is not None:
        return notices.unmasked(row["secret"], world.store.secret_key)
    shown = await world.pool.fetchval(LAST_SHOWN, contact)
    return next(word for word in str(shown).replace(".", " ").split() if len(word) == 6 and word.isdigit())


LAST_CODE = "select secret from notices where person = $1 and kind = 'sign-in-code' order by id desc limit 1"
LAST_SHOWN = """
select m.body from mailbox m join notices n on n.id = m.notice_id where n.person = $1 order by m.id desc limit 1
"""


async def written(world: World, **like: object) -> list[dict[str, object]]:
    """The notices that there are, oldest first; of these kinds, states and so on, where given."""
    rows = await world.pool.fetch("select * from notices order by id")
    found = [{**dict(row), "facts": orjson.loads(row["facts"])} for row in rows]
    return [one for one in found if all(one[name] == value for name, value in like.items())]
