"""The way out over SMTP: text and HTML, and the calendar entry as a part that mail programs act on.

SMTP knows no keys: a repeat after a lost answer carries the same Message-ID, by which mail systems know it.
"""

import contextlib
import ssl
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit

import aiosmtplib

from server.notices import Message
from server.store import Store
from workers.senders import Later, Refused

TIMEOUT = 10.0
"""Seconds that a mail server has for each of its answers; all of them fit into a notice's lease."""


class EmailSender:
    """One mail server, by its address: `smtp://user:password@host:587`, or `smtps://…` where TLS comes first."""

    provider = "mail"

    def __init__(self, store: Store, url: str, sender: str) -> None:
        where = urlsplit(url)
        self.store = store
        self.sender = sender
        self.host, self.tls = where.hostname or "localhost", where.scheme == "smtps"
        self.port = where.port or (465 if self.tls else 587)
        self.user, self.password = unquote(where.username or ""), unquote(where.password or "")
        # Named here, as looking up our own name may take seconds, for each letter.
        self.name = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
        # Reading the authorities anew for each letter would cost more than the letter.
        self.tls_context = ssl.create_default_context()

    async def send(self, message: Message, key: str, since: datetime | None = None) -> str | None:
        """Hand it to the mail server. Raises `Refused` for what it answers with 5xx, `Later` for all else."""
        mail = self.written(message, key)
        try:
            async with aiosmtplib.SMTP(
                hostname=self.host,
                port=self.port,
                local_hostname=self.name,
                use_tls=self.tls,
                # Encrypted wherever the server can, and always before a password is told.
                start_tls=True if self.user and not self.tls else None,
                tls_context=self.tls_context,
                timeout=TIMEOUT,
            ) as server:
                if self.user:
                    await server.login(self.user, self.password)
                await server.send_message(mail)
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPResponseException) as answer:
            raise _meant(answer) from answer
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as lost:
            raise Later(type(lost).__name__, down=True) from lost
        return str(mail["Message-ID"])

    def written(self, message: Message, key: str) -> EmailMessage:
        """The mail itself."""
        name, address = parseaddr(self.sender)
        mail = EmailMessage()
        mail["From"] = Address(name or "Callboard", addr_spec=address)
        mail["To"] = _address(message.recipient)
        mail["Subject"] = " ".join((message.subject or "").split())
        mail["Date"] = format_datetime(self.store.now())
        mail["Message-ID"] = f"<{key}@{address.rpartition('@')[2]}>"
        mail["Content-Language"] = message.language
        mail["Auto-Submitted"] = "auto-generated"
        if message.unsubscribe:
            mail["List-Unsubscribe"] = f"<{message.unsubscribe}>"
            mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail.set_content(message.body)
        if message.html:
            mail.add_alternative(message.html, subtype="html")
        if message.calendar:
            method = {"method": message.method or "REQUEST"}
            mail.add_alternative(message.calendar, subtype="calendar", params=method)
            mail.add_attachment(message.calendar, subtype="calendar", params=method, filename="appointment.ics")
        return mail


def _address(recipient: str) -> Address:
    with contextlib.suppress(ValueError, IndexError, MessageError):
        return Address(addr_spec=recipient)
    raise Refused("no such address")


def _meant(answer: aiosmtplib.SMTPException) -> Exception:
    """What a mail server's refusal means: 5xx is for good, except where it is we who are not let in."""
    first = answer.recipients[0] if isinstance(answer, aiosmtplib.SMTPRecipientsRefused) else answer
    code = getattr(first, "code", 0)
    text = f"{code} {getattr(first, 'message', '')}"
    if isinstance(first, aiosmtplib.SMTPAuthenticationError):
        return Later(text, down=True)
    return Refused(text) if 500 <= code < 600 else Later(text, down=code == 421)
