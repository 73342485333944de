"""The way out into the app: onto the patient's own stream, exactly once."""

from datetime import datetime

from server.access import SYSTEM
from server.errors import Refusal
from server.notices import Message
from server.notices.inapp import SHOW_NOTICE, ShowNotice
from server.store import Store
from workers.senders import Later


class AppSender:
    """Shows a message on whichever of a patient's pages is open."""

    provider = "app"

    def __init__(self, store: Store) -> None:
        self.store = store

    async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
        """Show it; a repeat finds it shown already. Raises `Later` while PostgreSQL is away."""
        id_ = int(key.rpartition("-")[2])
        shown = ShowNotice(notice_id=id_, title=message.subject or "", body=message.body, opens=message.opens)
        try:
            await self.store.execute(SHOW_NOTICE, SYSTEM, shown)
        except Refusal as refusal:
            raise Later(refusal.code, down=True) from refusal
        return f"app-{id_}"
