"""A letter as it goes over the wire (RFC 5322, 2045, 2046): text, HTML, and the entry for a calendar.

Invariant: no text makes a header, and no content ends a part. Written here, as the standard library reads each header
that it is given by the whole grammar: that took more time than everything else about a letter.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from typing import Final

from server.notices import Message

LONGEST: Final = 900
"""Letters of a header's line; no line may have a thousand."""
KINDS, PARTS = "=_kinds", "=_parts"
"""What stands between parts: as long as those are encoded, none of them can contain it."""


def letter(message: Message, headers: Mapping[str, str], at: datetime) -> bytes:
    """A message with these headers."""
    head = "".join(_header(name, value) for name, value in {**headers, "Date": format_datetime(at)}.items())
    body = _part("text/plain; charset=utf-8", message.body)
    if message.html or message.calendar:
        body = _together("alternative", KINDS, [body, *_others(message)])
    if message.calendar:
        file = _part(f"{_calendar(message)}; name=appointment.ics", message.calendar, FILE)
        body = _together("mixed", PARTS, [body, file])
    return f"{head}MIME-Version: 1.0\r\n{body}".encode()


FILE: Final = "Content-Disposition: attachment; filename=appointment.ics\r\n"


def _others(message: Message) -> list[str]:
    """The same once more, as whoever can read that would rather have it."""
    html = [_part("text/html; charset=utf-8", message.html)] if message.html else []
    return [*html, *([_part(_calendar(message), message.calendar)] if message.calendar else [])]


def _calendar(message: Message) -> str:
    return f"text/calendar; charset=utf-8; method={message.method or 'REQUEST'}"


def _part(kind: str, content: str, more: str = "") -> str:
    """One part, in whichever encoding is shorter."""
    lines = content.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").replace("\n", "\r\n") + "\r\n"
    raw = lines.encode()
    way, coded = "quoted-printable", binascii.b2a_qp(raw, istext=True)
    if len(coded) > 1.4 * len(raw):
        way, coded = "base64", base64.encodebytes(raw).replace(b"\n", b"\r\n")
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {way}\r\n{more}\r\n{coded.decode()}"


def _together(kind: str, border: str, parts: list[str]) -> str:
    inner = "".join(f"--{border}\r\n{part}\r\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{border}"\r\n\r\n{inner}--{border}--\r\n'


def _header(name: str, value: str) -> str:
    """One header, on one line as it is, or encoded where it is long or not plain (RFC 2047)."""
    line = " ".join(value.split())
    if name == "Subject" and (not line.isascii() or len(line) > LONGEST or "=?" in line):
        line = Header(line, "utf-8", header_name=name).encode(linesep="\r\n")
    return f"{name}: {line}\r\n"
