"""Providers as tests need them: a mail server that speaks real SMTP, and fails as it is told to."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope


@dataclass
class Postbox:
    """What a mail server took, by Message-ID: a repeat is known by it, as mail systems know it."""

    port: int = 0
    mails: dict[str, EmailMessage] = field(default_factory=dict)
    repeats: int = 0
    tries: int = 0
    answers: list[str] = field(default_factory=list)
    """What it answers to the next messages, in turn; then it takes them."""
    failing: float = 0.0
    """How often it says that it cannot now."""
    silent: bool = False
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        """Take one message, or not."""
        self.tries += 1
        if self.silent:
            await asyncio.sleep(60)
        if self.answers:
            answer = self.answers.pop(0)
            if answer != "lost":
                return answer
        elif self.chance.random() < self.failing:
            return "451 Try again later"
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        mail = message_from_bytes(content, policy=policy.default)
        self.repeats += mail["Message-ID"] in self.mails
        self.mails[str(mail["Message-ID"])] = mail
        if self.answers[:1] == ["accepted-but-lost"]:
            self.answers.pop(0)
            session.transport = None
            server.transport.abort()
        return "250 OK"

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"smtp://127.0.0.1:{self.port}"


@asynccontextmanager
async def postbox() -> AsyncIterator[Postbox]:
    """A mail server on a free port."""
    box = Postbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, hostname="mail.test", enable_SMTPUTF8=True), "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()
