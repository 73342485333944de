"""Providers as tests need them: they speak the real protocols over real sockets, and fail as they are told to."""

import asyncio
import base64
import hmac
import random
import re
import secrets
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
from aiohttp import BasicAuth, web
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@dataclass
class Postbox:
    """What a mail server took, by Message-ID: a repeat is known by it, as mail systems know it."""

    port: int = 0
    took: dict[str, bytes] = field(default_factory=dict)
    repeats: int = 0
    tries: int = 0
    answers: list[str] = field(default_factory=list)
    """What it answers to the next messages, in turn; then it takes them."""
    failing: float = 0.0
    """How often it fails, by any of `FAILURES`."""
    silent: bool = False
    delay: float = 0.0
    """Seconds that it takes over each message."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    failed: Counter[str] = field(default_factory=Counter)
    bounces: dict[str, str] = field(default_factory=dict)
    """What it answers to mail for these addresses, before it has seen any of it."""
    certificate: Path | None = None
    signed_in: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    FAILURES = ("451 Try again later", "421 Closing", "452 Full for now", "accepted-but-lost")

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take mail for an address, or not."""
        if address in self.bounces:
            return self.bounces[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def let_in(self, server: Any, session: Any, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        """Sign somebody in by `secret`."""
        right = isinstance(given, LoginPassword) and given.password == b"secret"
        if right:
            self.signed_in.append(given.login.decode())
        return AuthResult(success=right)

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's name)
        """Take one message, or not."""
        self.tries += 1
        if self.silent:
            await asyncio.sleep(60)
        answer = self.answers.pop(0) if self.answers else ""
        if not answer and self.chance.random() < self.failing:
            answer = self.chance.choice(self.FAILURES)
        self.failed[answer] += bool(answer)
        if answer and answer != "accepted-but-lost":
            return answer
        await asyncio.sleep(self.delay)
        self.encrypted.append(session.ssl is not None)
        content = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        name = re.search(rb"^Message-ID: (\S+)", content, re.M)
        assert name is not None
        self.repeats += name[1].decode() in self.took
        self.took[name[1].decode()] = content
        if answer:
            session.transport = None
            server.transport.abort()
        return "250 OK"

    @property
    def mails(self) -> dict[str, EmailMessage]:
        """What it took, as its reader opens it."""
        return {name: message_from_bytes(one, policy=policy.default) for name, one in self.took.items()}

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"smtp://127.0.0.1:{self.port}"


@asynccontextmanager
async def postbox(tls: Path | None = None) -> AsyncIterator[Postbox]:
    """A mail server on a free port; with a certificate, it takes passwords once the connection is encrypted."""
    box = Postbox(certificate=tls)
    more: dict[str, Any] = {}
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls)
        more = {"tls_context": context, "authenticator": box.let_in, "auth_required": True}
    loop = asyncio.get_running_loop()
    # Not the box itself: each connection would look at all that it has, and so open every letter that it took.
    hooks = SimpleNamespace(handle_RCPT=box.handle_RCPT, handle_DATA=box.handle_DATA)
    make = lambda: SMTP(hooks, hostname="mail.test", enable_SMTPUTF8=True, **more)  # noqa: E731
    server = await loop.create_server(make, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()


# Twilio


@dataclass
class Said:
    """A message or a call that Twilio accepted."""

    sid: str
    kind: str
    form: dict[str, str]
    at: float
    status: str = "queued"

    @property
    def key(self) -> str:
        """The notice's name, as the address for callbacks has it."""
        return self.form.get("StatusCallback", "").rpartition("/")[2]


@dataclass
class Twilio:
    """Twilio's REST API as we use it, over real HTTP: accounts, numbers and limits are checked as it does."""

    account: str = "AC" + "0" * 31 + "1"
    token: str = "twilio-token"
    port: int = 0
    accepted: list[Said] = field(default_factory=list)
    asked: int = 0
    answers: list[str] = field(default_factory=list)
    """What it answers to the next that are sent, in turn; then it takes them."""
    failing: float = 0.0
    """How often it fails, by any of `FAILURES`."""
    slow: float = 30.0
    """Seconds that "silent" lasts."""
    delay: float = 0.0
    """Seconds that it takes over each message."""
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    failed: Counter[str] = field(default_factory=Counter)

    FAILURES = ("429", "500", "503", "silent", "lost", "accepted-but-lost")

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, Any]:
        """What a deployment with this account is configured with."""
        return {
            "twilio_account": self.account,
            "twilio_token": self.token,
            "twilio_url": self.url,
            "twilio_sms": "+441632960000",
            "twilio_whatsapp": "+441632960001",
            "twilio_voice": "+441632960002",
        }

    async def create(self, request: web.Request) -> web.StreamResponse:
        """POST Messages.json or Calls.json."""
        self.asked += 1
        if (denied := self._denied(request)) is not None:
            return denied
        form = {name: str(value) for name, value in (await request.post()).items()}
        answer = self.answers.pop(0) if self.answers else ""
        if not answer and self.chance.random() < self.failing:
            answer = self.chance.choice(self.FAILURES)
        self.failed[answer] += bool(answer)
        match answer:
            case "429":
                return web.json_response({"code": 20429}, status=429, headers={"Retry-After": "1"})
            case "500" | "503":
                return web.Response(status=int(answer), text="<html>trouble</html>")
            case "silent":
                await asyncio.sleep(self.slow)
            case "lost":
                return self._cut(request)
        if answer.isdigit():
            return web.json_response({"code": int(answer), "message": "No."}, status=400)
        number = form.get("To", "").removeprefix("whatsapp:")
        if not re.fullmatch(r"\+[1-9]\d{6,14}", number):
            return web.json_response({"code": 21211, "message": "Invalid 'To' Phone Number"}, status=400)
        kind = request.match_info["kind"]
        said = orjson.loads(form["ContentVariables"])["1"] if "ContentSid" in form else form.get("Body", "")
        if kind == "Messages" and not 0 < len(said) <= 1600:
            return web.json_response({"code": 21617, "message": "The message body is too long"}, status=400)
        assert "From" in form or form["MessagingServiceSid"].startswith("MG")
        prefix = "SM" if kind == "Messages" else "CA"
        one = Said(f"{prefix}{len(self.accepted) + 1:032x}", kind, form, time.time())
        self.accepted.append(one)
        await asyncio.sleep(self.delay)
        if answer == "accepted-but-lost":
            return self._cut(request)
        return web.json_response(self._shown(one), status=201)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """GET Messages.json or Calls.json: latest first."""
        if (denied := self._denied(request)) is not None:
            return denied
        kind, to = request.match_info["kind"], request.query["To"]
        found = [one for one in reversed(self.accepted) if one.kind == kind and one.form["To"] == to]
        return web.json_response({kind.lower(): [self._shown(one) for one in found[: int(request.query["PageSize"])]]})

    def _denied(self, request: web.Request) -> web.Response | None:
        given = BasicAuth.decode(request.headers.get("Authorization", "Basic Og=="))
        right = given.login == request.match_info["account"] == self.account and given.password == self.token
        return None if right else web.json_response({"code": 20003, "message": "Authenticate"}, status=401)

    def _cut(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _shown(self, one: Said) -> dict[str, Any]:
        shown = {"sid": one.sid, "to": one.form["To"], "status": one.status}
        shown["date_created"] = format_datetime(datetime.fromtimestamp(int(one.at), UTC))
        return shown | ({"body": one.form["Body"]} if "Body" in one.form else {})

    def callback(
        self, one: Said, status: str, token: str = "", **more: str
    ) -> tuple[str, dict[str, str], dict[str, str]]:
        """What Twilio posts once a message's state changes: the address, the form, and the signed header."""
        names = ("MessageSid", "MessageStatus") if one.kind == "Messages" else ("CallSid", "CallStatus")
        form = dict(zip(names, (one.sid, status), strict=True)) | {"To": one.form["To"], **more}
        url = one.form["StatusCallback"]
        return url, form, {"X-Twilio-Signature": signed(token or self.token, url, form)}


def signed(token: str, url: str, form: dict[str, str]) -> str:
    """Twilio's signature, as its documentation describes it."""
    text = url
    for name in sorted(form):
        text += name + form[name]
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


@asynccontextmanager
async def twilio(**settings: Any) -> AsyncIterator[Twilio]:
    """Twilio on a free port."""
    provider = Twilio(**settings)
    app = web.Application()
    place = "/2010-04-01/Accounts/{account}/{kind:Messages|Calls}.json"
    app.add_routes([web.post(place, provider.create), web.get(place, provider.list)])
    async with listening(app) as provider.port:
        yield provider


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[int]:
    """The port at which an application is served."""
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    yield site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    await runner.cleanup()


# A push service


@dataclass
class Browser:
    """A browser that subscribed: the keys that it alone has."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    @property
    def point(self) -> bytes:
        """Its public key."""
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def read(self, body: bytes) -> bytes:
        """A message decrypted, step by step as RFC 8291 (3.4) and RFC 8188 (2) tell it."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(body) <= size == 4096
        shared = self.key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        mac = lambda key, text: hmac.digest(key, text, "sha256")  # noqa: E731
        ikm = mac(mac(self.auth, shared), b"WebPush: info\0" + self.point + sender + b"\1")
        prk = mac(salt, ikm)
        cek = mac(prk, b"Content-Encoding: aes128gcm\0\1")[:16]
        nonce = mac(prk, b"Content-Encoding: nonce\0\1")[:12]
        return AESGCM(cek).decrypt(nonce, sealed, None).rstrip(b"\0").removesuffix(b"\2")


@dataclass
class PushService:
    """A push service: it knows browsers by their address, checks who sends (VAPID), and delivers."""

    port: int = 0
    browsers: dict[str, Browser] = field(default_factory=dict)
    asked: int = 0
    known: set[str] = field(default_factory=set)
    """The public keys that senders proved to have."""

    def browser(self, name: str) -> Browser:
        """One more browser."""
        return self.browsers.setdefault(name, Browser(name))

    def subscription(self, browser: Browser) -> dict[str, str]:
        """What that browser tells the page that subscribes."""
        code = lambda content: base64.urlsafe_b64encode(content).rstrip(b"=").decode()  # noqa: E731
        endpoint = f"http://127.0.0.1:{self.port}/push/{browser.name}"
        return {"endpoint": endpoint, "p256dh": code(browser.point), "auth": code(browser.auth)}

    async def take(self, request: web.Request) -> web.Response:
        """POST /push/{browser}."""
        self.asked += 1
        browser = self.browsers.get(request.match_info["browser"])
        if browser is None:
            return web.Response(status=410)
        if browser.answers:
            status = browser.answers.pop(0)
            moved = {"Location": "http://127.0.0.1:9/"} if status == 302 else {"Retry-After": "7"}
            return web.Response(status=status, headers=moved)
        self._prove(request)
        assert request.headers["Content-Encoding"] == "aes128gcm" and int(request.headers["TTL"]) > 0
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,32}", request.headers["Topic"])
        browser.headers.append(dict(request.headers))
        browser.got.append(orjson.loads(browser.read(await request.read())))
        return web.Response(status=201)

    def _prove(self, request: web.Request) -> None:
        """RFC 8292: a JWT for this origin, signed with the key that comes along."""
        scheme, _, rest = request.headers["Authorization"].partition(" ")
        given = dict(part.strip().split("=", 1) for part in rest.split(","))
        raw = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))  # noqa: E731
        head, claims, signature = given["t"].split(".")
        told = orjson.loads(raw(claims))
        assert scheme == "vapid" and orjson.loads(raw(head)) == {"typ": "JWT", "alg": "ES256"}
        assert told["aud"] == f"http://{request.host}" and told["sub"].partition(":")[0] in ("mailto", "https")
        r, s = (int.from_bytes(raw(signature)[part], "big") for part in (slice(0, 32), slice(32, 64)))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(given["k"]))
        key.verify(encode_dss_signature(r, s), f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
        self.known.add(given["k"])


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    """A push service on a free port."""
    service = PushService()
    app = web.Application()
    app.add_routes([web.post("/push/{browser}", service.take)])
    async with listening(app) as service.port:
        yield service
