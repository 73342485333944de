"""The way out over SMTP: text and HTML, and the calendar entry as a part that mail programs act on.

SMTP knows no keys: a repeat after a lost answer carries the same Message-ID, by which mail systems know it. One
connection carries one letter after another; one on which anything went wrong, or that has rested long, carries no more.
"""

import asyncio
import contextlib
import re
import ssl
import time
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import formataddr, parseaddr
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

from server.notices import Message
from server.store import Store
from workers.senders import Later, Refused
from workers.senders.mime import letter

TIMEOUT = 10.0
"""Seconds that a mail server has for each of its answers; all of them fit into a notice's lease."""
RESTS = 15.0
"""Seconds for which an unused connection is kept: far fewer than after which servers or routers drop one."""
CARRIES = 100
"""Letters that one connection carries: servers have their own limits, and several behind one name share the work."""
USUAL: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*@[a-z0-9-]+(\.[a-z0-9-]+)*", re.A | re.I)
"""An address as nearly all are: read by the rules of RFC 5322 it would cost as much as the letter."""


class EmailSender:
    """One mail server, by its address: `smtp://user:password@host:587`, or `smtps://…` where TLS comes first."""

    provider = "mail"

    def __init__(self, store: Store, url: str, sender: str) -> None:
        where = urlsplit(url)
        self.store = store
        name, self.address = parseaddr(sender)
        self.sender = formataddr((name or "Callboard", self.address))
        self.host, self.tls = where.hostname or "localhost", where.scheme == "smtps"
        self.port = where.port or (465 if self.tls else 587)
        self.user, self.password = unquote(where.username or ""), unquote(where.password or "")
        # Named here, as looking up our own name may take seconds, for each letter.
        self.name = self.address.rpartition("@")[2] or "localhost"
        # Reading the authorities anew for each letter would cost more than the letter.
        self.tls_context = ssl.create_default_context()
        self._resting: list[Line] = []
        self._looking: asyncio.TimerHandle | None = None
        self._quitting: set[asyncio.Task[None]] = set()

    async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
        """Hand it to the mail server. Raises `Refused` for what it answers with 5xx, `Later` for all else."""
        mail, name = self.written(message, key), self.named(key)
        try:
            line = await self._begun(message.recipient)
            try:
                await line.smtp.rcpt(message.recipient, encoding="utf-8")
                await line.smtp.data(mail)
            except BaseException:
                line.smtp.close()
                raise
            line.since = time.monotonic()
            self._rest(line)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as answer:
            raise _meant(answer) from answer
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as lost:
            raise Later(type(lost).__name__, down=True) from lost
        return name

    def written(self, message: Message, key: str) -> bytes:
        """The mail itself."""
        _check(message.recipient)
        headers = {
            "From": self.sender,
            "To": message.recipient,
            "Subject": message.subject or "",
            "Message-ID": self.named(key),
            "Content-Language": message.language,
            "Auto-Submitted": "auto-generated",
        }
        if message.unsubscribe:
            headers["List-Unsubscribe"] = f"<{message.unsubscribe}>"
            headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        return letter(message, headers, self.store.now())

    def named(self, key: str) -> str:
        """By what name mail systems know it."""
        return f"<{key}@{self.name}>"

    async def close(self) -> None:
        """Take leave of the mail server."""
        if self._looking is not None:
            self._looking.cancel()
        for line in self._resting:
            self._quit(line)
        self._resting.clear()
        await asyncio.gather(*self._quitting)

    async def _begun(self, recipient: str) -> "Line":
        """A connection on which a letter to them is begun; a resting one, unless the server is tired of that."""
        options = [] if recipient.isascii() else ["SMTPUTF8"]
        while self._resting:
            line = self._resting.pop()
            # Nothing of the letter is told yet: what goes wrong here says only that this connection is over.
            try:
                await line.begin(self.address, options)
            except (aiosmtplib.SMTPException, OSError):
                line.smtp.close()
            except BaseException:
                line.smtp.close()
                raise
            else:
                return line
        line = await self._opened()
        try:
            await line.begin(self.address, options)
        except BaseException:
            line.smtp.close()
            raise
        return line

    async def _opened(self) -> "Line":
        """A new connection, encrypted, and signed in where there is a password."""
        smtp = aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            local_hostname=self.name,
            use_tls=self.tls,
            # Encrypted wherever the server can, and always before a password is told.
            start_tls=True if self.user and not self.tls else None,
            tls_context=self.tls_context,
            timeout=TIMEOUT,
        )
        try:
            await smtp.connect()
            if self.user:
                await smtp.login(self.user, self.password)
        except BaseException:
            smtp.close()
            raise
        return Line(smtp)

    def _rest(self, line: "Line") -> None:
        """Keep a connection for the next letter, for a while."""
        if line.carried >= CARRIES:
            self._quit(line)
            return
        self._resting.append(line)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(RESTS, self._tidy)

    def _tidy(self) -> None:
        """Take leave on what has rested long enough; look again where something rests still."""
        self._looking = None
        resting, self._resting = self._resting, []
        for line in resting:
            if time.monotonic() - line.since < RESTS:
                self._rest(line)
            else:
                self._quit(line)

    def _quit(self, line: "Line") -> None:
        task = asyncio.create_task(line.quit())
        self._quitting.add(task)
        task.add_done_callback(self._quitting.discard)


class Line:
    """A connection to a mail server."""

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        self.smtp = smtp
        self.carried = 0
        self.since = 0.0
        """Since when it has been resting."""

    async def begin(self, sender: str, options: list[str]) -> None:
        """Begin one more letter."""
        if options and not self.smtp.supports_extension("smtputf8"):
            raise Refused("no mail to such an address")
        self.carried += 1
        await self.smtp.mail(sender, options=options)

    async def quit(self) -> None:
        """Take leave, and wait for no answer long."""
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await self.smtp.quit(timeout=1)
        self.smtp.close()


def _check(recipient: str) -> None:
    """Refuse what is no address."""
    if USUAL.fullmatch(recipient):
        return
    try:
        Address(addr_spec=recipient)
    except (ValueError, IndexError, MessageError):
        raise Refused("no such address") from None


def _meant(answer: aiosmtplib.SMTPException) -> Exception:
    """What a mail server's refusal means: 5xx is for good, except where it is we who are not let in."""
    first = answer.recipients[0] if isinstance(answer, aiosmtplib.SMTPRecipientsRefused) else answer
    code = getattr(first, "code", 0)
    text = f"{code} {getattr(first, 'message', '')}"
    if isinstance(first, aiosmtplib.SMTPAuthenticationError):
        return Later(text, down=True)
    return Refused(text) if 500 <= code < 600 else Later(text, down=code == 421)
