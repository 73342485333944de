"""Structured logs: one line an event, with the request, the actor and the institution it belongs to.

Invariant: no log line holds a patient's name, a credential or a ticket's secret. Every line, ours and the
libraries', tracebacks included, passes `redact`; whoever logs a personal field loses it there.
"""

import logging
import re
import sys
from typing import TextIO

import orjson
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

HIDDEN = "***"

PERSONAL = frozenset(
    {
        *("authorization", "cookie", "credential", "csrf", "password", "secret", "set-cookie"),
        *("birth_year", "body", "email", "input", "name", "patient", "phone", "reason"),
    }
)
"""Keys whose values are never written, at any depth."""

SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(/t/)(?!\{)[^\s\"'?#/<>]+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(Bearer|Device|Ticket|Pairing|Basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(callboard_(?:session|csrf)=)[^;\s\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\"(?:token|device|ticket|secret|password)\"\s*:\s*\")[^\"]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    # PostgreSQL repeats the whole row in DETAIL, and pydantic the refused value: either may be a person.
    (re.compile(r"(DETAIL:)[^\n]*"), rf"\1 {HIDDEN}"),
    (re.compile(r"input_value=.*?(, input_type=|\]|$)", re.MULTILINE), rf"input_value={HIDDEN}\1"),
)
"""What a secret or a refused value looks like inside other text, and what is left of it."""

HINT = re.compile(r"/t/|(?:Bearer|Device|Ticket|Pairing|Basic)\s|callboard_|\"\s*:|://|DETAIL:|input_value=")
"""What a text has that any of `SECRETS` may match; one look spares most texts the others."""


def scrub(value: object, key: str = "") -> object:
    """The same value without anything that `PERSONAL` or `SECRETS` names."""
    if key.lower() in PERSONAL and value is not None:
        return HIDDEN
    if isinstance(value, str):
        if HINT.search(value):
            for pattern, left in SECRETS:
                value = pattern.sub(left, value)
        return value
    if isinstance(value, dict):
        return {name: scrub(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return scrub(str(value))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The last processor before a line is rendered; see the module's invariant."""
    return {key: scrub(value, key) for key, value in event.items()}


def _metadata_out(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop what structlog's stdlib bridge adds for its own use, before `redact` would turn it to text."""
    event.pop("_record", None)
    event.pop("_from_structlog", None)
    return event


def configure(*, level: str = "info", json: bool = True, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records to one stream (stderr), as JSON lines or for eyes."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
        if json
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[_metadata_out, structlog.processors.format_exc_info, redact, renderer],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "engineio", "socketio", "arq.worker"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
        # Their debug lines hold whole frames, and frames hold patients and credentials.
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))
    # It tells of every job that begins and ends, several a second; the others tell whom we ask, by number and address.
    for name in ("arq.worker", "httpx2", "httpcore2", "aiosmtplib"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    # uvicorn's own access lines hold raw paths; the edge writes one with the route's template instead.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.access").propagate = False
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def bind(**facts: str | int | None) -> None:
    """Add facts to every line that the current request or task logs from here on."""
    structlog.contextvars.bind_contextvars(**{name: fact for name, fact in facts.items() if fact is not None})


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; call it with an event's name and its facts."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
