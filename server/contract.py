"""The machine-readable contract: OpenAPI 3.1 and AsyncAPI 3.0 documents, and the browser code's typings.

Invariant: everything here is derived from the very models, declarations and refusals that the edges use, so the
contract cannot say anything else than the server does. Component names are class names; a clash is an error.

    python -m server.contract --write     bring clients/shared/events.d.ts up to date
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeGuard

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from server import errors, events
from server.access import Role
from server.asks import Rotated, in_headers
from server.config import ROOT

Schema = dict[str, Any]

API = "/api/v1"
TYPINGS = ROOT / "clients" / "shared" / "events.d.ts"
SCHEMAS = "#/components/schemas/"
PEOPLE = frozenset({Role.patient, Role.doctor, Role.receptionist, Role.admin, Role.super_admin})


class Declared(Protocol):
    """A command or a query, as far as the contract is concerned."""

    @property
    def name(self) -> str:
        """Its name, in kebab-case."""

    @property
    def run(self) -> Any:
        """What carries it out; its docstring is the summary."""

    @property
    def ask(self) -> type[BaseModel]:
        """What it takes."""

    @property
    def reply(self) -> type[BaseModel]:
        """What it answers."""

    @property
    def allow(self) -> frozenset[Role]:
        """Who may."""

    @property
    def route(self) -> str:
        """Its method and its path under /api/v1."""

    @property
    def status(self) -> int:
        """The status of its answer."""


@dataclass(frozen=True)
class Operation:
    """An HTTP operation that an edge carries out itself, such as signing in."""

    name: str
    route: str
    summary: str
    allow: frozenset[Role]
    ask: type[BaseModel] | None = None
    reply: type[BaseModel] | None = None
    status: int = 200
    refusals: tuple[type[errors.Refusal], ...] = ()


@dataclass(frozen=True)
class SocketCommand:
    """A command that only sockets have."""

    name: str
    summary: str
    ask: type[BaseModel]
    reply: type[BaseModel]


# The forms that belong to no slice


class InvalidPlace(BaseModel):
    """One place where a request is wrong."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the request; a query parameter's is its name.")
    detail: str
    code: errors.Wrong | None = Field(default=None, description="Of what a person filled in: what to tell them.")


class Problem(BaseModel):
    """A refusal (RFC 9457). `code` never changes its meaning; further members depend on it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(pattern="^urn:callboard:problem:[a-z-]+$")
    title: str
    status: int
    code: str
    detail: str
    retryable: bool = Field(description="Whether the same request can succeed later.")
    errors: list[InvalidPlace] = Field(default=[], description="With `invalid-request`: what is wrong, and where.")


class Envelope(BaseModel):
    """An event on the wire; its name is its type."""

    model_config = ConfigDict(extra="forbid")

    type: str
    stream: str
    epoch: str
    version: int = Field(ge=1)
    at: datetime
    data: dict[str, Any]


class Nothing(BaseModel):
    """No fields."""

    model_config = ConfigDict(extra="forbid")


class Subscribe(BaseModel):
    """Which stream to follow, and the position that the client already has."""

    model_config = ConfigDict(extra="forbid")

    stream: str
    epoch: str | None = None
    version: int | None = Field(default=None, ge=0)


class Snapshot(BaseModel):
    """A stream's whole state."""

    rows: dict[str, dict[str, Any]]


class Subscribed(BaseModel):
    """Either the events after the client's position, in order, or a snapshot; and the position they lead to."""

    epoch: str
    version: int
    events: list[Envelope] | None = None
    snapshot: Snapshot | None = None


class Followed(BaseModel):
    """Streams that a socket followed until now, as the audit trail keeps it."""

    model_config = ConfigDict(frozen=True)

    streams: list[str]


class Unsubscribe(BaseModel):
    """The stream to follow no longer."""

    model_config = ConfigDict(extra="forbid")

    stream: str


class Greeting(BaseModel):
    """A client's own word: the build of the page that it runs."""

    model_config = ConfigDict(extra="forbid")

    build: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")


class Hello(BaseModel):
    """What the server says of itself and of the one who asks."""

    at: datetime
    build: str
    actor: dict[str, Any]
    live: bool = Field(description="Whether events reach this process now; a page that is told no says it is stale.")


class CallShown(BaseModel):
    """A board has painted (and, with `spoken`, said) everything up to this version."""

    model_config = ConfigDict(extra="forbid")

    stream: str
    version: int = Field(ge=0)
    spoken: bool = False


class ClaimLock(BaseModel):
    """The token of a lock that this page has."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=200, repr=False)


class LockClaimed(BaseModel):
    """What the lock is on; it is this page's now, until then or until the page has been gone for a while."""

    slot_ids: list[int]
    until: datetime
    extended: bool


class StreamReset(BaseModel):
    """The stream was interrupted: subscribe again with the position you have."""

    model_config = ConfigDict(extra="forbid")

    stream: str


SOCKET_COMMANDS = (
    SocketCommand("subscribe", "Follow a stream from a position.", Subscribe, Subscribed),
    SocketCommand("unsubscribe", "Follow a stream no longer.", Unsubscribe, Nothing),
    SocketCommand("hello", "Tell one's build, ask the server's time and build.", Greeting, Hello),
    SocketCommand("claim-lock", "Keep a lock, taken before this page was loaded.", ClaimLock, LockClaimed),
    SocketCommand("call-shown", "A board tells how far it has shown and spoken.", CallShown, Nothing),
)
"""What a socket understands beside the declared commands."""


# Schemas


def components(wanted: Iterable[tuple[type[BaseModel], JsonSchemaMode]]) -> dict[str, Schema]:
    """The schemas of these models and all they refer to, by class name. Raises ValueError where two share a name."""
    unique = sorted(set(wanted), key=lambda pair: (pair[0].__name__, pair[1]))
    _, schema = models_json_schema(unique, ref_template=SCHEMAS + "{model}")
    found: dict[str, Schema] = schema.get("$defs", {})
    if clashes := [name for name in found if "__" in name]:
        raise ValueError(f"two models of one name: {', '.join(sorted(clashes))}")
    return found


def reference(schemas: Mapping[str, Schema], model: type[BaseModel], mode: JsonSchemaMode) -> Schema:
    """A reference to a model's schema; the two modes have two names where they differ."""
    suffix = "Input" if mode == "validation" else "Output"
    name = model.__name__ if model.__name__ in schemas else f"{model.__name__}-{suffix}"
    if name not in schemas:
        raise KeyError(name)
    return {"$ref": SCHEMAS + name}


def without(schema: Schema, names: Iterable[str]) -> Schema:
    """An object's schema without some of its fields."""
    gone = set(names)
    kept = {name: field for name, field in schema.get("properties", {}).items() if name not in gone}
    required = [name for name in schema.get("required", ()) if name not in gone]
    rest = {key: value for key, value in schema.items() if key not in ("properties", "required")}
    return {**rest, "properties": kept, **({"required": required} if required else {})}


def spelled(schema: Schema) -> Schema:
    """A field's schema in an address, where null cannot be spelled."""
    plain = {key: value for key, value in schema.items() if key not in ("default", "title")}
    members = [member for member in plain.pop("anyOf", ()) if member != {"type": "null"}]
    if len(members) == 1:
        plain |= members[0]
    elif members:
        plain["anyOf"] = members
    if schema.get("default") is not None:
        plain["default"] = schema["default"]
    return plain


# OpenAPI

ALWAYS = (
    errors.NotAuthenticated,
    errors.NotAllowed,
    errors.SecondFactorRequired,
    errors.TooMany,
    errors.Unavailable,
    errors.Internal,
)
OF_ASKS = (errors.InvalidRequest, errors.NotFound)
OF_BODIES = (errors.MalformedJson, errors.BodyTooLarge, errors.UnsupportedMediaType, errors.CsrfFailed)
OF_COMMANDS = (errors.InvalidKey, errors.KeyReused)
ELSEWHERE = (
    *(errors.Refusal, errors.InvalidCursor, errors.MethodNotAllowed, errors.UnknownEvent),
    *(errors.WrongSignIn, errors.PairingUnknown),
)
"""Refusals that no command's rules give."""


def refusals_of_rules() -> list[type[errors.Refusal]]:
    """What a command's own rules may answer: every refusal that is not about the request, the asker or the system."""
    edge = {*ALWAYS, *OF_ASKS, *OF_BODIES, *OF_COMMANDS, *ELSEWHERE}
    return [each for _, each in inspect.getmembers(errors, _is_refusal) if each not in edge]


def refusals_named(declared: Declared) -> list[type[errors.Refusal]]:
    """The refusals that a declaration's docstring names."""
    names = re.findall(r"`(\w+)`", inspect.getdoc(declared.run) or "")
    members = (getattr(errors, name, None) for name in names)
    return [member for member in members if _is_refusal(member)]


def _is_refusal(member: object) -> TypeGuard[type[errors.Refusal]]:
    return inspect.isclass(member) and issubclass(member, errors.Refusal)


SECURITY_SCHEMES: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token that POST /api/v1/session answers."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "callboard_session", "description": "Set on signing in."},
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "The session's `csrf` value; unsafe requests need it beside the cookie.",
    },
    "device": {"type": "http", "scheme": "Device", "description": "An enrolled board's or kiosk's credential."},
    "ticket": {"type": "http", "scheme": "Ticket", "description": "The secret in a ticket's link."},
    "pairing": {"type": "http", "scheme": "Pairing", "description": "The secret that a screen got with its code."},
    "invitation": {"type": "http", "scheme": "Invitation", "description": "The secret in an invitation's link."},
}


BY_LINK = (Role.device, Role.ticket, Role.pairing, Role.invitation)


def security(allow: frozenset[Role], unsafe: bool) -> list[Schema]:
    """The credentials that open an operation; an empty one where strangers may."""
    ways: list[Schema] = []
    if allow & PEOPLE:
        ways += [{"cookie": [], "csrf": []} if unsafe else {"cookie": []}, {"bearer": []}]
    ways += [{role.value: []} for role in BY_LINK if role in allow]
    return [{}, *ways] if Role.anonymous in allow else ways


def openapi(
    commands: Sequence[Declared],
    queries: Sequence[Declared],
    operations: Sequence[Operation] = (),
    version: str = "0.1.0",
) -> Schema:
    """The OpenAPI 3.1 document of all commands, queries, and the edge's own operations."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Problem, "serialization")]
    everything: list[Declared | Operation] = [*commands, *queries, *operations]
    for each in everything:
        models += [(each.ask, "validation")] if each.ask else []
        models += [(each.reply, "serialization")] if each.reply else []
    schemas = {name: evened(schema) for name, schema in components(models).items()}
    paths: dict[str, Schema] = {}
    bodies: dict[str, Schema] = {}
    for command in commands:
        _place(paths, command.route, command_operation(command, schemas, bodies))
    for query in queries:
        _place(paths, query.route, query_operation(query, schemas, bodies))
    for operation in operations:
        _place(paths, operation.route, edge_operation(operation, schemas))
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Callboard",
            "version": version,
            "summary": "A real-time queue and appointment server for clinics.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": reachable({**schemas, **bodies}, paths),
            "securitySchemes": SECURITY_SCHEMES,
            "headers": {"RequestId": {"description": "Names this request in the log.", "schema": {"type": "string"}}},
        },
    }


def _place(paths: dict[str, Schema], route: str, operation: Schema) -> None:
    method, _, path = route.partition(" ")
    item = paths.setdefault(API + path, {})
    if method.lower() in item:
        raise ValueError(f"{operation['operationId']}: {route} is taken")
    item[method.lower()] = operation


def _name(ref: Schema) -> str:
    return str(ref["$ref"]).removeprefix(SCHEMAS)


def evened(value: Any) -> Any:
    """A schema whose tuples of one kind are lists of a fixed length: tools read that alike, `prefixItems` not."""
    if isinstance(value, list):
        return [evened(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {key: evened(inner) for key, inner in value.items()}
    members = plain.get("prefixItems")
    if isinstance(members, list) and members and all(one == members[0] for one in members):
        del plain["prefixItems"]
        plain["items"] = members[0]
    return plain


def reachable(schemas: dict[str, Schema], paths: Schema) -> dict[str, Schema]:
    """The schemas that the paths refer to, directly or not; an ask that became parameters is none of them."""
    found: set[str] = set()
    waiting = list(references(paths))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += references(schemas[name])
    return {name: schemas[name] for name in sorted(found)}


def references(value: Any) -> Iterator[str]:
    """The names of all schemas that a piece of the document refers to."""
    if isinstance(value, dict):
        target = value.get("$ref")
        if isinstance(target, str) and target.startswith(SCHEMAS):
            yield target.removeprefix(SCHEMAS)
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def path_fields(route: str) -> list[str]:
    """The fields that a route's path holds, in order."""
    return re.findall(r"{(\w+)}", route)


def parameters(
    schema: Schema, route: str, fields: Iterable[str], place: Literal["path", "query", "header"]
) -> list[Schema]:
    """Fields of an ask as parameters of an operation."""
    required = schema.get("required", ())
    found = []
    for name in fields:
        field = schema["properties"][name]
        needed = place == "path" or name in required
        found.append({"name": name, "in": place, "required": needed, "schema": spelled(field)})
    return found


def command_operation(command: Declared, schemas: dict[str, Schema], bodies: dict[str, Schema]) -> Schema:
    """A command as an operation; the schema of its body, the ask less what the path holds, is added to `bodies`."""
    name = _name(reference(schemas, command.ask, "validation"))
    in_path = path_fields(command.route)
    in_header = in_headers(command.ask) if command.route.startswith("DELETE ") else {}
    body = without(schemas[name], [*in_path, *in_header])
    if bodies.setdefault(name, body) != body:
        raise ValueError(f"{command.name}: another command's path holds other fields of {name}")
    usual = [*ALWAYS, *OF_ASKS, *OF_BODIES, *OF_COMMANDS]
    refusals: list[type[errors.Refusal]] = [*usual, *refusals_of_rules(), *refusals_named(command)]
    content = {
        "required": bool(body.get("required")),
        "content": {"application/json": {"schema": {"$ref": SCHEMAS + name}}},
    }
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "Names this request: a repeat with the same key gets the same answer and does nothing again.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
    }
    return {
        **_common(command, unsafe=True),
        "parameters": [
            *parameters(schemas[name], command.route, in_path, "path"),
            *({**one, "name": in_header[one["name"]]} for one in parameters(schemas[name], "", in_header, "header")),
            # An answer that is given only once cannot be given again for the same key.
            *([] if getattr(command, "once", False) else [key]),
        ],
        **({"requestBody": content} if body["properties"] or not in_header else {}),
        "responses": {**answered(command, schemas), **problems(refusals)},
    }


def query_operation(query: Declared, schemas: dict[str, Schema], bodies: dict[str, Schema]) -> Schema:
    """A query as an operation; its ask becomes parameters, or a body where it may name a person."""
    if query.route.startswith("POST "):
        name = _name(reference(schemas, query.ask, "validation"))
        bodies.setdefault(name, schemas[name])
        asked_so: list[type[errors.Refusal]] = [*ALWAYS, *OF_ASKS, *OF_BODIES, *refusals_named(query)]
        return {
            **_common(query, unsafe=True),
            "requestBody": {
                "required": bool(schemas[name].get("required")),
                "content": {"application/json": {"schema": {"$ref": SCHEMAS + name}}},
            },
            "responses": {**answered(query, schemas), **problems(asked_so)},
        }
    schema = schemas[_name(reference(schemas, query.ask, "validation"))]
    in_path = path_fields(query.route)
    asked = [name for name in schema.get("properties", {}) if name not in in_path]
    cursor = [errors.InvalidCursor] if "cursor" in asked else []
    refusals: list[type[errors.Refusal]] = [*ALWAYS, *OF_ASKS, *cursor, *refusals_named(query)]
    return {
        **_common(query, unsafe=False),
        "parameters": [
            *parameters(schema, query.route, in_path, "path"),
            *parameters(schema, query.route, asked, "query"),
        ],
        "responses": {**answered(query, schemas), **problems(refusals)},
    }


def edge_operation(operation: Operation, schemas: dict[str, Schema]) -> Schema:
    """One of the edge's own operations."""
    unsafe = not operation.route.startswith("GET ")
    refusals = (*ALWAYS, *((*OF_ASKS, *OF_BODIES) if operation.ask else ()), *operation.refusals)
    body: Schema = {}
    if operation.ask:
        ref = reference(schemas, operation.ask, "validation")
        body = {"requestBody": {"required": True, "content": {"application/json": {"schema": ref}}}}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [_tag(operation.route)],
        "security": security(operation.allow, unsafe and Role.anonymous not in operation.allow),
        "x-roles": sorted(operation.allow),
        **body,
        "responses": {**answered(operation, schemas), **problems(refusals)},
    }


def _common(declared: Declared, unsafe: bool) -> Schema:
    return {
        "operationId": declared.name,
        "summary": summary(declared),
        "tags": [_tag(declared.route)],
        "security": security(declared.allow, unsafe),
        "x-roles": sorted(declared.allow),
    }


def _tag(route: str) -> str:
    return route.partition(" ")[2].split("/")[1]


def summary(declared: Declared) -> str:
    """The first sentence of what carries a declaration out."""
    text = inspect.getdoc(declared.run) or declared.name
    return text.split("\n\n")[0].replace("\n", " ")


def answered(declared: Declared | Operation, schemas: dict[str, Schema]) -> Schema:
    """The answer to a request that was carried out."""
    headers = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
    if declared.reply is None:
        return {str(declared.status): {"description": "Done.", "headers": headers}}
    ref = reference(schemas, declared.reply, "serialization")
    described = (inspect.getdoc(declared.reply) or "Done.").split("\n\n")[0].replace("\n", " ")
    content = {"application/json": {"schema": ref}}
    if declared.reply.__name__ == "Download":
        # A file of any kind; what it is, its Content-Type tells.
        content = {"*/*": {"schema": {"type": "string"}}}
    return {str(declared.status): {"description": described, "headers": headers, "content": content}}


def problems(refusals: Iterable[type[errors.Refusal]]) -> Schema:
    """The answers to a refused request: one for each status, with the codes that it may have."""
    by_status: dict[int, set[type[errors.Refusal]]] = {}
    for refusal in refusals:
        by_status.setdefault(refusal.status, set()).add(refusal)
    return {str(status): _problem(by_status[status]) for status in sorted(by_status)}


def _problem(refusals: set[type[errors.Refusal]]) -> Schema:
    ordered = sorted(refusals, key=lambda refusal: refusal.code)
    codes = {"type": "object", "properties": {"code": {"enum": [refusal.code for refusal in ordered]}}}
    return {
        "description": "\n".join(f"`{refusal.code}`: {refusal.title}" for refusal in ordered),
        "headers": {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}},
        "content": {"application/problem+json": {"schema": {"allOf": [{"$ref": SCHEMAS + "Problem"}, codes]}}},
    }


# AsyncAPI

ADDRESSES: dict[str, tuple[str, str]] = {
    "board": ("queue", "What a waiting room sees of a queue: tokens, never people."),
    "staff": ("queue", "What those who work a queue see of it."),
    "shown": ("queue", "What each board has shown and spoken. It begins anew, with a new epoch, when Redis is lost."),
    "patient": ("patient", "A patient's own tickets and appointments."),
    "doctor": ("doctor", "A doctor's appointments and requests, and emergencies."),
    "slots": ("doctor", "A doctor's bookable time, and what is left of it."),
    "locks": ("doctor", "Which of a doctor's slots are locked. It begins anew when Redis is lost."),
    "waitlist": ("institution", "Who waits for time to be freed, and what is offered to whom."),
    "admin": ("institution", "An institution's devices and settings."),
}
"""What the number in a stream's name is, and what the stream is for."""


def asyncapi(
    commands: Sequence[Declared],
    built_in: Sequence[SocketCommand] = SOCKET_COMMANDS,
    version: str = "0.1.0",
) -> Schema:
    """The AsyncAPI 3.0 document: a channel for each kind of stream, and one for commands and their acks."""
    commands = [one for one in commands if not issubclass(one.reply, Rotated)]
    kinds = [kind for kind in events.STREAM_EVENTS if events.STREAM_EVENTS[kind]]
    rows = [row for kind in kinds for row in events.STREAM_ROWS[kind]]
    told: list[type[BaseModel]] = [Problem, Envelope, StreamReset, *events.EVENTS.values(), *rows]
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "serialization") for model in told]
    asked: list[Declared | SocketCommand] = [*commands, *built_in]
    for each in asked:
        models += [(each.ask, "validation"), (each.reply, "serialization")]
    schemas = components(models)
    messages: dict[str, Schema] = {}
    channels: dict[str, Schema] = {}
    operations: dict[str, Schema] = {}
    for kind in kinds:
        names = []
        for event in events.STREAM_EVENTS[kind]:
            names.append(f"{kind}.{event.type}")
            messages[names[-1]] = event_message(kind, event, schemas)
        parameter, described = ADDRESSES[kind]
        channels[kind] = {
            "address": f"{kind}:{{{parameter}}}",
            "description": described,
            "parameters": {parameter: {"description": f"The {parameter}'s id."}},
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        }
        operations[f"tell-{kind}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{kind}"},
            "summary": f"Tell those who subscribed to a {kind} stream what happened, in order of versions.",
            "messages": [{"$ref": f"#/channels/{kind}/messages/{name}"} for name in names],
        }
    for command in commands:
        ask = keyed(schemas[_name(reference(schemas, command.ask, "validation"))])
        roles = sorted(command.allow)
        messages |= command_messages(command.name, ask, reference(schemas, command.reply, "serialization"))
        operations[command.name] = {**command_exchange(command.name, summary(command)), "x-roles": roles}
    for own in built_in:
        ask = reference(schemas, own.ask, "validation")
        messages |= command_messages(own.name, ask, reference(schemas, own.reply, "serialization"))
        operations[own.name] = command_exchange(own.name, own.summary)
    messages["stream-reset"] = {
        "name": "stream-reset",
        "summary": "A stream was interrupted; subscribe again.",
        "payload": {"$ref": SCHEMAS + "StreamReset"},
    }
    operations["reset-stream"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/socket"},
        "summary": "Ask a client to subscribe again.",
        "messages": [{"$ref": "#/channels/socket/messages/stream-reset"}],
    }
    spoken = [name for name in messages if name.partition(".")[0] not in kinds]
    channels["socket"] = {
        "address": None,
        "description": "The socket itself: commands, each answered by an ack.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in spoken},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Callboard",
            "version": version,
            "description": (
                "Socket.IO 4, default namespace. A message's name is the event's; an operation's reply is its ack. "
                "Sign in with Socket.IO's auth: one of `token`, `device`, `ticket`, or the session cookie."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def event_message(kind: str, event: type[events.Event], schemas: dict[str, Schema]) -> Schema:
    """An event as one kind of stream carries it: its facts, and that stream's rows."""
    facts = schemas[event.__name__]
    rows = [reference(schemas, row, "serialization") for row in events.STREAM_ROWS[kind]]
    put = {"type": "object", "additionalProperties": {"anyOf": rows}, "description": "Rows to set, by their keys."}
    drop = {"type": "array", "items": {"type": "string"}, "description": "Keys of rows to remove."}
    changes = {"put": put, "drop": drop}
    data = {**without(facts, ()), "properties": {**facts.get("properties", {}), **changes}}
    stated = {
        "type": {"const": event.type},
        "stream": {"type": "string", "pattern": f"^{kind}:[1-9][0-9]*$"},
        "data": data,
    }
    return {
        "name": event.type,
        "summary": (inspect.getdoc(event) or event.type).split("\n\n")[0],
        "payload": {"allOf": [{"$ref": SCHEMAS + "Envelope"}, {"type": "object", "properties": stated}]},
    }


def keyed(ask: Schema) -> Schema:
    """A command's ask as a socket sends it: the idempotency key is one more field."""
    key = {"type": "string", "pattern": "^[!-~]{1,200}$", "description": "Names this request, as the HTTP header does."}
    return {**ask, "properties": {**ask.get("properties", {}), "idempotency_key": key}}


def command_messages(name: str, ask: Schema, reply: Schema) -> dict[str, Schema]:
    """A command's message and its ack."""
    answers = {"ok": reply, "problem": {"$ref": SCHEMAS + "Problem"}}
    either = [
        {"type": "object", "properties": {key: answer}, "required": [key], "additionalProperties": False}
        for key, answer in answers.items()
    ]
    return {
        name: {"name": name, "payload": ask},
        f"{name}-ack": {"name": f"{name}-ack", "payload": {"oneOf": either}},
    }


def command_exchange(name: str, summary: str) -> Schema:
    """A command as an operation with its ack."""
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/socket"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/socket/messages/{name}"}],
        "reply": {
            "channel": {"$ref": "#/channels/socket"},
            "messages": [{"$ref": f"#/channels/socket/messages/{name}-ack"}],
        },
    }


# Typings


def typings() -> str:
    """TypeScript declarations of every row, event and stream, for the pages' own code."""
    rows = {row: None for kind in events.STREAM_ROWS.values() for row in kind}
    models = [*rows, *events.EVENTS.values()]
    schemas = components((model, "serialization") for model in models)
    facts = {event.__name__ for event in events.EVENTS.values()}
    parts = [TYPINGS_HEAD]
    parts += [declaration(name, schemas[name]) for name in sorted(schemas) if name not in facts]
    parts += [declaration(event.__name__, schemas[event.__name__]) for event in events.EVENTS.values()]
    streams = {kind: rows for kind, rows in events.STREAM_ROWS.items() if rows}
    parts.append(
        mapping(
            "StreamRows",
            "The rows of each kind of stream.",
            {kind: " | ".join(row.__name__ for row in rows) for kind, rows in streams.items()},
        )
    )
    facts_of = {name: event.__name__ for name, event in events.EVENTS.items()}
    parts.append(mapping("EventFacts", "Every event's facts, by its name.", facts_of))
    parts.append(
        mapping(
            "StreamEvents",
            "The names of the events that each kind of stream carries.",
            {kind: " | ".join(f'"{event.type}"' for event in events.STREAM_EVENTS[kind]) for kind in streams},
        )
    )
    parts.append(TYPINGS_FOOT)
    return "\n".join(parts)


TYPINGS_HEAD = """\
// Generated by `python -m server.contract --write` from server/events.py; a test holds that it is up to date.
"""

TYPINGS_FOOT = """\
/** An event on the wire: its facts, and the rows that it sets and removes. */
export type StreamEvent<Kind extends keyof StreamEvents> = {
  [Name in StreamEvents[Kind]]: {
    type: Name;
    stream: `${Kind}:${number}`;
    epoch: string;
    version: number;
    at: string;
    data: EventFacts[Name] & { put?: Record<string, StreamRows[Kind]>; drop?: string[] };
  };
}[StreamEvents[Kind]];
"""


def declaration(name: str, schema: Schema) -> str:
    """A schema as an exported type."""
    described = schema.get("description", "").replace("\n\n", "\n").replace("\n", "\n * ")
    comment = f"/** {described} */\n" if described else ""
    if schema.get("type") != "object":
        return f"{comment}export type {name} = {typescript(schema)};\n"
    fields = "".join(f"  {field}: {typescript(inner)};\n" for field, inner in schema.get("properties", {}).items())
    return f"{comment}export interface {name} {{\n{fields}}}\n"


def mapping(name: str, described: str, entries: Mapping[str, str]) -> str:
    """An interface whose members are named on the wire."""
    members = "".join(f'  "{key}": {value};\n' for key, value in entries.items())
    return f"/** {described} */\nexport interface {name} {{\n{members}}}\n"


PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def typescript(schema: Schema) -> str:
    """A JSON schema as a TypeScript type."""
    match schema:
        case {"$ref": ref}:
            return str(ref).removeprefix(SCHEMAS)
        case {"anyOf": members}:
            return " | ".join(typescript(member) for member in members)
        case {"const": value}:
            return f'"{value}"'
        case {"enum": values}:
            return " | ".join(f'"{value}"' for value in values)
        case {"type": "array", "prefixItems": items}:
            return f"[{', '.join(typescript(item) for item in items)}]"
        case {"type": "array", "items": items}:
            inner = typescript(items)
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        case {"type": "object", "additionalProperties": dict(inner)}:
            return f"Record<string, {typescript(inner)}>"
        case {"type": "object"}:
            return "Record<string, any>"
        case {"type": str(kind)}:
            return PLAIN[kind]
    return "any"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the typings, or say whether the file is up to date (exit status 1 where it is not)."""
    parser = argparse.ArgumentParser(prog="python -m server.contract")
    parser.add_argument("--write", action="store_true", help="bring clients/shared/events.d.ts up to date")
    if parser.parse_args(arguments).write:
        TYPINGS.write_text(typings(), encoding="utf-8")
        return 0
    return 0 if TYPINGS.is_file() and TYPINGS.read_text(encoding="utf-8") == typings() else 1


if __name__ == "__main__":
    sys.exit(main())
