"""The environment, read once into one frozen `Config`; nothing else in the project reads `os.environ`.

Invariant: a `Config` that exists is usable: every value is checked here, and a wrong one is refused by name
before any connection is opened.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds `schema.sql` and `clients/`."""


class Rate(NamedTuple):
    """How often something may happen: so many at once, and so many a second from then on."""

    per_second: float
    at_once: int


def rate(text: Any) -> Any:
    """A rate spelt `20/400`, twenty a second and four hundred at once; None for `off`."""
    if not isinstance(text, str) or text == "off":
        return None if text == "off" else text
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+)", text)
    if not found or not float(found[1]) or not int(found[2]):
        raise ValueError("Should be like 20/400 (20 a second, 400 at once), or off")
    return Rate(float(found[1]), int(found[2]))


Limited = Annotated[Rate | None, NoDecode, BeforeValidator(rate)]


class Config(BaseSettings):
    """What one process of Callboard needs to know about its surroundings."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="", extra="ignore")

    database_url: str = Field(default="", description="PostgreSQL 15 or newer, as a libpq URI.")
    redis_url: str = Field(default="", description="Redis or Valkey, as redis://, rediss:// or unix://.")
    host: str = Field(default="127.0.0.1", description="Address the web process listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port the web process listens on.")
    public_url: str = Field(default="", description="Address people reach, for links and QR codes.")
    allowed_origins: list[str] = Field(default=[], description="Further origins that may call API and sockets.")
    trusted_proxies: str = Field(default="127.0.0.1", description="Proxies whose X-Forwarded-* are believed.")
    secure_cookies: bool = Field(default=False, description="Mark cookies Secure; set it behind TLS.")
    transports: list[Literal["websocket", "polling"]] = Field(
        default=["websocket", "polling"],
        description="Long-polling needs one web process or a sticky proxy; leave it out otherwise.",
    )
    limit_address: Limited = Field(default=Rate(200, 6000), description="Requests of one address.")
    limit_person: Limited = Field(default=Rate(20, 400), description="What one person asks, over HTTP and sockets.")
    limit_device: Limited = Field(default=Rate(20, 400), description="The same of one enrolled device.")
    limit_ticket: Limited = Field(default=Rate(10, 200), description="The same of the holder of one ticket.")
    limit_stranger: Limited = Field(default=Rate(1 / 3, 100), description="Commands of one address's strangers.")
    limit_socket: Limited = Field(default=Rate(20, 300), description="Events of one socket.")
    sockets_per_address: int = Field(default=2000, ge=1, description="Sockets of one address, in one process.")
    sockets_most: int = Field(default=20_000, ge=1, description="Sockets of one process.")
    pool_size: int = Field(default=16, ge=2, le=200, description="PostgreSQL connections of one process.")
    secret_key: str = Field(
        default="", repr=False, description="Masks the secrets of second factors in the database; 32 random characters."
    )
    smtp_url: str = Field(
        default="",
        repr=False,
        description="Mail server: smtp://user:password@host:587, or smtps://…; without one, mail stays in the mailbox.",
    )
    mail_from: str = Field(default="Callboard <callboard@localhost>", description="Who mail comes from.")
    twilio_account: str = Field(default="", pattern=r"^(AC[0-9a-f]{32})?$", description="Twilio's account SID.")
    twilio_token: str = Field(default="", repr=False, description="Its auth token, which signs callbacks, too.")
    twilio_sms: str = Field(default="", description="Number or messaging service (MG…) that text messages come from.")
    twilio_whatsapp: str = Field(default="", description="Number that WhatsApp messages come from.")
    twilio_whatsapp_template: str = Field(
        default="",
        pattern=r"^(HX[0-9a-f]{32})?$",
        description="Content template whose one variable is the text: free text WhatsApp takes as an answer only.",
    )
    twilio_voice: str = Field(default="", description="Number that calls come from.")
    twilio_url: str = Field(default="https://api.twilio.com", description="Where Twilio's REST API is.")
    limit_mail: Limited = Field(default=Rate(200, 400), description="Letters handed over, by all workers.")
    limit_twilio: Limited = Field(default=Rate(200, 400), description="The same of text messages and calls.")
    limit_push: Limited = Field(default=Rate(500, 1000), description="The same of pushes.")
    push_inside: bool = Field(
        default=False, description="Push services may be at inner addresses, without TLS; for tests alone."
    )
    clock_ahead: float = Field(
        default=0.0, ge=0, description="Seconds that the clock goes ahead; only in a database for trying things out."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = Field(default=True, description="One JSON object a line; off is for people's eyes.")

    @model_validator(mode="after")
    def _complete(self) -> "Config":
        """What goes together is given together."""
        senders = (self.twilio_sms, self.twilio_whatsapp, self.twilio_voice)
        if any(senders) and not (self.twilio_account and self.twilio_token):
            raise ValueError("TWILIO_ACCOUNT and TWILIO_TOKEN are needed to send by Twilio")
        return self

    @property
    def base_url(self) -> str:
        """The address that links are built on, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
