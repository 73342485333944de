"""The environment, read once into one frozen `Config`; nothing else in the project reads `os.environ`.

Invariant: a `Config` that exists is usable: every value is checked here, and a wrong one is refused by name
before any connection is opened.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The folder that holds `schema.sql` and `clients/`."""


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
    pool_size: int = Field(default=16, ge=2, le=200, description="PostgreSQL connections of one process.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = Field(default=True, description="One JSON object a line; off is for people's eyes.")

    @property
    def base_url(self) -> str:
        """The address that links are built on, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
