"""The HTTP edge: declared commands and queries become addresses, and every refusal a problem+json with its code.

Invariants: nothing is carried out before the asker is known, a cookie's unsafe request proven to be the page's own,
and the request validated; every answer, however it came about, carries the request's id and the security headers;
no address, body or credential is ever logged, only the route's template. This module knows no slice and no Redis.
"""

import asyncio
import hmac
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import orjson
import prometheus_client
import structlog
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from server import access, asks, errors, logs
from server.access import Actor, Origin, Role
from server.config import Config
from server.contract import PEOPLE, Operation
from server.doors import Doors, sender
from server.pages import PAGES, Clients
from server.store import LOST, Command, Download, Query, Store, permit

API = "/api/v1"
BODY_LIMIT = 64 * 1024
"""Bytes of a request's body that are read at most."""
PART_TIMEOUT = 2.0
"""Seconds in which a part must answer `/readyz`."""
BODY_WITHIN = 20.0
"""Seconds in which a request's body must have arrived."""
CSRF_COOKIE = "callboard_csrf"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PROBLEM = "application/problem+json"
SOCKETS = "/socket.io/"
QUIET = frozenset({"/healthz", "/readyz", "/metrics", SOCKETS})
"""Addresses that machines ask every few seconds; their access lines are for debugging alone."""

log = logs.get("callboard.web")

Endpoint = Callable[[Request], Awaitable[Response]]
Check = Callable[[], Awaitable[object]]


# Answers


class Json(Response):
    """A JSON answer that nobody keeps."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """JSON of a model, or of plain values."""
        if isinstance(content, BaseModel):
            return content.model_dump_json().encode()
        return orjson.dumps(content)

    def __init__(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status, {"Cache-Control": "no-store", **(headers or {})})


def file(download: Download) -> Response:
    """A file to save or to show; personal data, so nothing on the way keeps it."""
    text = isinstance(download.content, str)
    headers = {
        "Content-Type": f"{download.kind}; charset=utf-8" if text else download.kind,
        "Content-Disposition": f'attachment; filename="{download.name}"' if download.name else "inline",
        "Cache-Control": "no-store",
    }
    return Response(download.content, headers=headers)


def refused(refusal: errors.Refusal) -> Response:
    """The answer to a refused request, with the header fields that its status asks for."""
    headers = {"Content-Type": PROBLEM}
    match refusal.status:
        case 401:
            headers["WWW-Authenticate"] = 'Bearer realm="callboard"'
        case 405:
            headers["Allow"] = ", ".join(refusal.extra.get("allow", ()))
        case 408 | 413:
            # What is left of the body is not read, so this connection can carry no further request.
            headers["Connection"] = "close"
        case 429 | 503:
            headers["Retry-After"] = str(refusal.extra.get("retry_after", 2))
    return Json(errors.problem(refusal), refusal.status, headers)


class Address:
    """One path: what each method does there, and the right answer to every other method."""

    def __init__(self, methods: Mapping[str, Endpoint]) -> None:
        self.methods = {**methods, "HEAD": methods["GET"]} if "GET" in methods else dict(methods)
        self.allow = sorted({*self.methods, "OPTIONS"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Do what the request's method says. Raises `MethodNotAllowed`."""
        request = Request(scope, receive, send)
        if request.method == "OPTIONS":
            response = Response(status_code=204, headers={"Allow": ", ".join(self.allow)})
        elif request.method in self.methods:
            response = await self.methods[request.method](request)
        else:
            raise errors.MethodNotAllowed(allow=self.allow)
        await response(scope, receive, send)


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """What answers where no address is."""
    if scope["type"] == "websocket":
        await WebSocketClose()(scope, receive, send)
    else:
        raise errors.NotFound()


# Who asks


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, found out in a time that tells nothing of either."""
    return hmac.compare_digest(one.encode(), other.encode())


class Gate:
    """Finds out who asks, and that it is really they."""

    def __init__(self, store: Store, doors: Doors) -> None:
        self.store, self.doors = store, doors

    async def actor(self, request: Request, strangers: bool = False) -> Actor:
        """The asker; bound to the log from here on.

        Raises `NotAuthenticated`, `CsrfFailed`, `Unavailable`, and `TooMany` for one who asks too often.

        Where `strangers` may ask, a cookie that is spent, or that the page does not vouch for, counts for nothing:
        a screen asks for its code in a browser where a doctor has signed in.
        """
        header, cookie = request.headers.get("authorization"), request.cookies.get(access.SESSION_COOKIE)
        proof = request.headers.get("x-csrf-token")
        if strangers and not header and request.method not in SAFE and proof is None:
            cookie = None
        try:
            actor = await access.by_authorization(self.store.pool, header, cookie)
        except errors.NotAuthenticated:
            if header or not strangers:
                raise
            actor = access.ANONYMOUS
        except LOST as lost:
            raise errors.Unavailable() from lost
        by_cookie = not header and actor.role is not Role.anonymous
        if by_cookie and request.method not in SAFE and not same(proof or "", actor.csrf):
            raise errors.CsrfFailed()
        logs.bind(actor=actor.key, institution=actor.institution_id)
        self.doors.ask(actor, request.scope, request.method not in SAFE)
        return actor


# Commands and queries


@dataclass(frozen=True, slots=True)
class Where:
    """A declaration's method, its full path, and the fields of its ask that the path holds."""

    method: str
    path: str
    fields: frozenset[str]


def where(declared: Command[Any, Any] | Query[Any, Any]) -> Where:
    """Where a declaration is reached. Raises ValueError where its path names a field that its ask does not have."""
    method, _, path = declared.route.partition(" ")
    fields = frozenset(re.findall(r"{(\w+)}", path))
    if missing := fields - declared.ask.model_fields.keys():
        raise ValueError(f"{declared.name}: {sorted(missing)} of its path are no fields of {declared.ask.__name__}")
    return Where(method, API + path, fields)


def path_model(declared: Command[Any, Any] | Query[Any, Any]) -> type[BaseModel]:
    """The part of an ask that its path states, which arrives as text."""
    fields = {name: declared.ask.model_fields[name] for name in where(declared).fields}
    definitions: dict[str, Any] = {name: (field.annotation, field) for name, field in fields.items()}
    return create_model(f"{declared.ask.__name__}Path", **definitions)


class CommandEndpoint:
    """Carries out one declared command."""

    def __init__(self, command: Command[Any, Any], store: Store, gate: Gate, secure: bool) -> None:
        self.command, self.store, self.gate, self.secure = command, store, gate, secure
        self.path = path_model(command)

    async def __call__(self, request: Request) -> Response:
        """Know the asker, then the key, then the ask; only then carry it out."""
        actor = await self.gate.actor(request, Role.anonymous in self.command.allow)
        permit(self.command, actor)
        key = asks.idempotency_key(request.headers.get("idempotency-key"))
        ask = await asked_in_body(self.path, self.command.ask, request, self.command.body_limit or BODY_LIMIT)
        if isinstance(ask, asks.Proof):
            reply = await self.proved(request, actor, ask)
        else:
            reply = await self.store.execute(self.command, actor, ask, key)
        if isinstance(reply, asks.Opened):
            response = Json(reply, self.command.status)
            keep_session(response, str(reply.token), reply.csrf, self.secure)
            return response
        if not isinstance(reply, asks.Rotated) or request.headers.get("authorization"):
            return Json(reply, self.command.status)
        response = Json(reply.model_copy(update={"token": None}), self.command.status)
        keep_session(response, str(reply.token), actor.csrf, self.secure)
        return response

    async def proved(self, request: Request, actor: Actor, ask: asks.Proof) -> Any:
        """Carry it out for somebody who gives their password anew: guesses count with wrong sign-ins.

        Raises `WrongPassword`, `TooMany`.
        """
        sign_ins = self.gate.doors.sign_ins
        account = await email_of(self.store, actor) or actor.key
        one = await sign_ins.begin(account, sender(request.scope))
        try:
            reply = await self.store.execute(self.command, actor, ask)
        except errors.WrongPassword:
            raise
        except errors.Refusal:
            await sign_ins.void(one)
            raise
        await sign_ins.right(one)
        return reply


async def asked_in_body(
    path_fields: type[BaseModel], model: type[BaseModel], request: Request, limit: int = BODY_LIMIT
) -> BaseModel:
    """The ask that the path and the body make up; neither may state what the other does."""
    if request.query_params:
        raise asks.unknown(request.query_params.keys())
    path = asks.validate(path_fields, request.path_params, lax=True).model_dump(mode="json")
    body = await json_body(request, limit)
    if twice := path.keys() & body.keys():
        raise asks.unknown(twice)
    for name, header in asks.in_headers(model).items():
        if request.method == "DELETE" and (given := request.headers.get(header)) is not None:
            body.setdefault(name, given)
    ask: BaseModel = asks.validate(model, {**body, **path})
    return ask


class QueryEndpoint:
    """Answers one declared query."""

    def __init__(self, query: Query[Any, Any], store: Store, gate: Gate) -> None:
        self.query, self.store, self.gate = query, store, gate
        self.place, self.path = where(query), path_model(query)
        self.fields = self.place.fields
        self.lists = {name for name, field in query.ask.model_fields.items() if "list[" in str(field.annotation)}

    async def __call__(self, request: Request) -> Response:
        """Know the asker, then the ask, then answer."""
        actor = await self.gate.actor(request, Role.anonymous in self.query.allow)
        permit(self.query, actor)
        # What may name a person is asked in the body: addresses are written down by every machine on the way.
        by_body = self.place.method == "POST"
        ask = await asked_in_body(self.path, self.query.ask, request) if by_body else self.ask(request)
        reply = await self.store.read(self.query, actor, ask)
        return file(reply) if isinstance(reply, Download) else Json(reply, self.query.status)

    def ask(self, request: Request) -> BaseModel:
        """The ask that the path and the query string make up."""
        given: dict[str, Any] = dict(request.path_params)
        for name in request.query_params:
            values = request.query_params.getlist(name)
            if name in self.fields:
                raise asks.unknown([name])
            if name not in self.lists and len(values) > 1:
                raise asks.wrong((asks.pointer([name]), "Should be given once."))
            given[name] = values if name in self.lists else values[0]
        ask: BaseModel = asks.validate(self.query.ask, given, lax=True)
        return ask


async def json_body(request: Request, limit: int = BODY_LIMIT) -> dict[str, Any]:
    """The object in the body.

    Raises `BodyTooLarge`, `TooSlow`, `UnsupportedMediaType`, `MalformedJson`, `InvalidRequest`.
    """
    body = await read_body(request, limit)
    if body:
        kind, _, parameters = request.headers.get("content-type", "").partition(";")
        charset = parameters.strip().lower().removeprefix("charset=").strip('"')
        if kind.strip().lower() != "application/json" or charset not in ("", "utf-8"):
            raise errors.UnsupportedMediaType()
    return asks.parse_object(body)


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The body, of which never more than the limit is held."""
    declared = request.headers.get("content-length", "0")
    if len(declared) > 12 or (declared.isdigit() and int(declared) > limit):
        raise errors.BodyTooLarge(limit=limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise errors.BodyTooLarge(limit=limit)
    return bytes(body)


# The session


class SignIn(BaseModel):
    """What a person signs in with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    email: Annotated[str, StringConstraints(min_length=3, max_length=320)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(repr=False)
    code: Annotated[str, StringConstraints(min_length=6, max_length=40)] | None = Field(
        default=None,
        repr=False,
        description="Of the authenticator app, or a recovery code; see `second-factor-needed`.",
    )


class Session(BaseModel):
    """An open session; `csrf` goes into X-CSRF-Token with every unsafe request that the cookie signs."""

    csrf: str
    user: asks.SessionUser


class OpenedSession(Session):
    """A session just opened, with the token that a program sends as `Authorization: Bearer`."""

    token: str = Field(repr=False)


def keep_session(response: Response, token: str, csrf: str, secure: bool) -> None:
    """Have the browser keep a session's token, out of the page's reach, and its proof against forged requests."""
    life = int(access.SESSION_LIFE.total_seconds())
    cookie = partial(response.set_cookie, max_age=life, secure=secure, samesite="strict")
    cookie(access.SESSION_COOKIE, token, httponly=True)
    cookie(CSRF_COOKIE, csrf)


async def email_of(store: Store, actor: Actor) -> str | None:
    """The address that a signed-in person signs in with, if they have one. Raises `Unavailable`."""
    try:
        return await access.email_of(store.pool, actor)
    except LOST as lost:
        raise errors.Unavailable() from lost


class SessionAddress:
    """Signing in, who is signed in, signing out."""

    def __init__(self, store: Store, gate: Gate, config: Config) -> None:
        self.store, self.gate, self.config = store, gate, config

    async def open(self, request: Request) -> Response:
        """Sign in: a cookie for a page, the same token for a program. Raises `WrongSignIn`, `TooMany`."""
        ask = asks.validate(SignIn, await json_body(request))
        sign_ins = self.gate.doors.sign_ins
        one = await sign_ins.begin(ask.email, sender(request.scope))
        try:
            signed_in = await access.sign_in(self.store.pool, ask.email, ask.password, ask.code, self.store.secret_key)
        except errors.SecondFactorNeeded:
            await sign_ins.void(one)
            raise
        except LOST as lost:
            await sign_ins.void(one)
            raise errors.Unavailable() from lost
        await sign_ins.right(one)
        actor = signed_in.actor
        logs.bind(actor=actor.key, institution=actor.institution_id)
        response = Json(
            OpenedSession(token=signed_in.token, csrf=actor.csrf, user=asks.session_user(actor, signed_in.email))
        )
        keep_session(response, signed_in.token, actor.csrf, self.config.secure_cookies)
        return response

    async def show(self, request: Request) -> Response:
        """Who is signed in."""
        actor = await self.person(request)
        return Json(Session(csrf=actor.csrf, user=asks.session_user(actor, await email_of(self.store, actor))))

    async def close(self, request: Request) -> Response:
        """Sign out: the token opens nothing from here on, and its sockets are cut."""
        actor = await self.person(request)
        try:
            await access.sign_out(self.store.pool, actor)
        except LOST as lost:
            raise errors.Unavailable() from lost
        self.store.outbox.end([actor.credential])
        response = Response(status_code=204, headers={"Cache-Control": "no-store"})
        for name in (access.SESSION_COOKIE, CSRF_COOKIE):
            response.delete_cookie(
                name, secure=self.config.secure_cookies, httponly=name == access.SESSION_COOKIE, samesite="strict"
            )
        return response

    async def person(self, request: Request) -> Actor:
        """The signed-in person; a device or a ticket has no session."""
        actor = await self.gate.actor(request)
        if actor.session_id is None:
            raise errors.NotAuthenticated() if actor.role is Role.anonymous else errors.NotAllowed()
        return actor


OPERATIONS = (
    Operation(
        "sign-in",
        "POST /session",
        "Sign in with e-mail and password.",
        access.ANYBODY,
        SignIn,
        OpenedSession,
        refusals=(errors.WrongSignIn, errors.SecondFactorNeeded, errors.WrongCode),
    ),
    Operation("session", "GET /session", "Tell who is signed in.", PEOPLE, reply=Session),
    Operation("sign-out", "DELETE /session", "Sign out.", PEOPLE, status=204, refusals=(errors.CsrfFailed,)),
)
"""The edge's own operations, for the contract."""


# For those who run it


class Meters(Collector):
    """What Prometheus is told: requests by route and status, their times, and what the other parts count."""

    def __init__(self, registry: CollectorRegistry, collect: Callable[[], Iterable[Metric]] | None) -> None:
        self.registry = registry
        self._collect = collect
        self.requests = prometheus_client.Counter(
            "callboard_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.seconds = prometheus_client.Histogram(
            "callboard_http_request_seconds", "Time to answer.", ["method", "route"], registry=registry
        )
        registry.register(self)

    def failed(self) -> int:
        """How many requests were answered with an error of ours."""
        samples = [sample for family in self.requests.collect() for sample in family.samples]
        return int(
            sum(one.value for one in samples if one.name.endswith("_total") and one.labels["status"].startswith("5"))
        )

    def collect(self) -> Iterable[Metric]:
        """The other parts' figures, taken when they are asked for."""
        return self._collect() if self._collect else ()

    async def show(self, _request: Request) -> Response:
        """All figures in Prometheus' text form."""
        text = prometheus_client.generate_latest(self.registry)
        return Response(
            text, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
        )


async def alive(_request: Request) -> Response:
    """The process answers; whether its parts do is `/readyz`'s to say."""
    return Json({"ok": True})


async def ready(checks: Mapping[str, Check], _request: Request) -> Response:
    """Every part answers. Raises `Unavailable`, which names those that do not."""

    async def answers(check: Check) -> bool:
        try:
            async with asyncio.timeout(PART_TIMEOUT):
                await check()
        except Exception:
            return False
        return True

    states = dict(zip(checks, await asyncio.gather(*map(answers, checks.values())), strict=True))
    if missing := [name for name, state in states.items() if not state]:
        raise errors.Unavailable(missing=missing)
    return Json({"ok": True, "parts": sorted(states)})


async def document(content: bytes, _request: Request) -> Response:
    """A machine-readable contract; public, as is the form of every request."""
    return Response(content, headers={"Cache-Control": "no-cache", "Content-Type": "application/json"})


# The outermost layer


class Edge:
    """Around every request: its id, its log line, its figures, its headers, and the answer to whatever it raises."""

    def __init__(self, app: ASGIApp, config: Config, meters: Meters, doors: Doors) -> None:
        self.app = app
        self.meters = meters
        self.doors = doors
        self.origins = frozenset(config.allowed_origins)
        self.headers = {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
        }
        if config.secure_cookies:
            self.headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens inside."""
        if scope["type"] != "http":
            await self.shake_hands(scope, receive, send)
            return
        headers = Headers(scope=scope)
        inbound = headers.get("x-request-id", "")
        request_id = inbound if REQUEST_ID.fullmatch(inbound) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        logs.bind(request_id=request_id)
        client = scope.get("client")
        access.ORIGIN.set(Origin(client[0] if client else "", headers.get("user-agent", "")[:AGENT], request_id))
        began = time.perf_counter()
        answer = Answer(
            send, {**self.headers, "X-Request-ID": request_id, **self.cors(headers)}, scope["method"] == "HEAD"
        )
        try:
            self.doors.request(scope)
            if preflight := self.preflight(scope["method"], headers):
                await preflight(scope, receive, answer)
            else:
                await self.app(scope, punctual(scope, receive), answer)
        except errors.Refusal as refusal:
            await answer.instead(refusal, scope, receive)
        except ClientDisconnect:
            answer.status = 499
        except Exception:
            log.exception("request-failed", method=scope["method"], route=template(scope))
            await answer.instead(errors.Internal(request_id=request_id), scope, receive)
        finally:
            self.account(scope, answer.status, time.perf_counter() - began)

    async def shake_hands(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a WebSocket through to whoever opens it, unless its address knocks too often."""
        try:
            if scope["type"] == "websocket":
                self.doors.request(scope)
        except errors.TooMany as refusal:
            await receive()
            await refused(refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def account(self, scope: Scope, status: int, seconds: float) -> None:
        """One log line and one count for a request that is over."""
        method, route = scope["method"] if scope["method"] in METHODS else "OTHER", template(scope)
        self.meters.requests.labels(method, route, str(status)).inc()
        self.meters.seconds.labels(method, route).observe(seconds)
        say = log.debug if route in QUIET else log.info
        say("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))

    def cors(self, headers: Headers) -> dict[str, str]:
        """What another origin's page may read: nothing, unless the origin is allowed by name."""
        origin = headers.get("origin")
        if origin not in self.origins:
            return {"Vary": "Origin"} if self.origins else {}
        exposed = "X-Request-ID, Retry-After, WWW-Authenticate, Allow"
        return {
            "Access-Control-Allow-Origin": str(origin),
            "Access-Control-Expose-Headers": exposed,
            "Cross-Origin-Resource-Policy": "cross-origin",
            "Vary": "Origin",
        }

    def preflight(self, method: str, headers: Headers) -> Response | None:
        """The answer to a browser that asks before another origin's request; None where this is no such question."""
        if (
            method != "OPTIONS"
            or "access-control-request-method" not in headers
            or headers["origin"] not in self.origins
        ):
            return None
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Methods": "GET, POST, DELETE",
                "Access-Control-Allow-Headers": (
                    "Authorization, Content-Type, Idempotency-Key, Lock-Token, X-Request-ID"
                ),
                "Access-Control-Max-Age": "600",
            },
        )


AGENT = 200
"""Characters of a browser's own name that the audit trail keeps."""


def punctual(scope: Scope, receive: Receive) -> Receive:
    """The receiving side of a request whose body must have arrived in time; raises `TooSlow`.

    Long-polling sockets read their bodies without a limit of their own.
    """
    until = time.monotonic() + BODY_WITHIN
    waits = scope["method"] not in SAFE

    async def received() -> Message:
        nonlocal waits
        if not waits:
            return await receive()
        try:
            async with asyncio.timeout(until - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise errors.TooSlow() from None
        waits = message.get("more_body", False)
        return message

    return received


METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Answer:
    """The sending side of one request: completes the headers, knows the status, and keeps HEAD silent."""

    def __init__(self, send: Send, headers: Mapping[str, str], silent: bool) -> None:
        self.status = 499
        self.started = False
        self._send, self._headers, self._silent = send, headers, silent

    async def __call__(self, message: Message) -> None:
        """Pass one part of the answer on."""
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            # Engine.IO spells names in capitals where ASGI wants none; they would be taken for others, and sent twice.
            message["headers"] = [(name.lower(), value) for name, value in message.get("headers", ())]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                if name == "Vary":
                    headers.add_vary_header(value)
                else:
                    headers.setdefault(name, value)
        elif message["type"] == "http.response.body" and self._silent:
            message = {**message, "body": b""}
        await self._send(message)

    async def instead(self, refusal: errors.Refusal, scope: Scope, receive: Receive) -> None:
        """Send a problem, unless an answer is already under way."""
        if not self.started:
            await refused(refusal)(scope, receive, self)


def template(scope: Scope) -> str:
    """The route's path with its variables unfilled; the path itself may hold a ticket's secret."""
    route = scope.get("route")
    if isinstance(route, Route):
        return route.path
    return SOCKETS if scope["path"].startswith(SOCKETS) else "(none)"


# Assembly


def build(
    *,
    config: Config,
    store: Store,
    commands: Sequence[Command[Any, Any]],
    queries: Sequence[Query[Any, Any]],
    clients: Clients | None = None,
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    checks: Mapping[str, Check] | None = None,
    registry: CollectorRegistry | None = None,
    collect: Callable[[], Iterable[Metric]] | None = None,
    doors: Doors | None = None,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    routes: Sequence[BaseRoute] = (),
    lifespan: Lifespan[Any] | None = None,
) -> Edge:
    """The whole HTTP side as one ASGI application.

    `documents` are served as JSON under their keys (`/openapi.json`), `checks` are what `/readyz` awaits, `collect`
    gives the other parts' figures to `/metrics`, `around` puts the sockets' server before the routes, `routes` come
    before all others.
    """
    doors = doors or Doors(config)
    gate = Gate(store, doors)
    meters = Meters(registry or CollectorRegistry(), collect)
    session = SessionAddress(store, gate, config)
    table: dict[str, dict[str, Endpoint]] = {
        f"{API}/session": {"POST": session.open, "GET": session.show, "DELETE": session.close},
        "/healthz": {"GET": alive},
        "/readyz": {"GET": partial(ready, checks or {})},
        "/metrics": {"GET": meters.show},
    }
    endpoints: list[tuple[Command[Any, Any] | Query[Any, Any], Endpoint]] = [
        *((command, CommandEndpoint(command, store, gate, config.secure_cookies)) for command in commands),
        *((query, QueryEndpoint(query, store, gate)) for query in queries),
    ]
    for declared, endpoint in endpoints:
        place = where(declared)
        methods = table.setdefault(place.path, {})
        if place.method in methods:
            raise ValueError(f"{declared.name}: {declared.route} is taken")
        methods[place.method] = endpoint
    for path, content in (documents or {}).items():
        table[path] = {"GET": partial(document, orjson.dumps(content))}
    if clients:
        table["/clients/{path:path}"] = {"GET": clients.serve_asset}
        table["/sw.js"] = {"GET": clients.serve_worker}
        for address in PAGES:
            table[address] = {"GET": partial(clients.serve_page, address=address)}
    # A path of words goes before a path of fields, so that `/devices/enroll` is never taken for a device's id.
    paths = sorted(table, key=lambda path: ["{" in part for part in path.split("/")])
    declared_routes = [Route(path, Address(table[path])) for path in paths]
    router = Router([*routes, *declared_routes], redirect_slashes=False, default=nowhere, lifespan=lifespan)
    return Edge(around(router), config, meters, doors)
