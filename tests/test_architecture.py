"""The house: who imports whom, who tells events, and who writes which table, read from the code itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.app import SLICES
from server.config import ROOT
from tests.test_schema import statements

EDGES = frozenset({"web", "live", "fanout", "contract"})
SPINE = frozenset({"config", "events", "errors", "store", "publish", "access", "asks", "logs"})
NEVER: dict[str, frozenset[str]] = {
    # A module of the table in the design, and what it never imports; `slices` stands for all of them.
    "config": frozenset({"anything"}),
    "events": frozenset({"anything"}),
    "errors": frozenset({"anything"}),
    "embedded": frozenset({"slices", *EDGES}),
    "store": frozenset({"slices", *EDGES}),
    "publish": frozenset({"slices", *EDGES}),
    "access": frozenset({"slices", *EDGES}),
    "web": frozenset({"slices", "redis"}),
    "live": frozenset({"slices"}),
    "fanout": frozenset({"slices"}),
    "contract": frozenset({"slices", "store"}),
    "workers": frozenset({"web", "live"}),
}
ASSEMBLED_BY = frozenset({"app", "cli", "importing", "people", "replay", "supervisor", "up", "workers"})
"""The entry points: whoever starts a part of Callboard may import its assembly."""


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ours by the name of its room: `server/queue/rules.py` stands in `queue`."""
    for file in sorted((ROOT / "server").rglob("*.py")):
        inside = file.relative_to(ROOT / "server")
        yield inside.parts[0].removesuffix(".py"), file
    for file in sorted((ROOT / "workers").rglob("*.py")):
        yield "workers", file


def imported(file: Path) -> set[str]:
    """What a module imports: rooms of ours by their name, anything else by its top-level package."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{one.name}" for one in node.names] if node.module == "server" else [node.module]
        found |= {name.split(".")[1] if name.startswith("server.") else name.split(".")[0] for name in names}
    return found


def imports() -> list[tuple[str, str, str]]:
    """(room, file, imported) of every import."""
    return [
        (room, str(file.relative_to(ROOT)), name) for room, file in modules() for name in imported(file) if name != room
    ]


OURS = {room for room, _ in modules()}


def test_no_module_imports_a_package_of_ours_relatively() -> None:
    for _, file in modules():
        levels = [node.level for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not any(levels), file


def test_a_slice_imports_only_earlier_slices() -> None:
    later = [
        f"{file} imports {name}"
        for room, file, name in imports()
        if room in SLICES and name in SLICES and SLICES.index(name) >= SLICES.index(room)
    ]
    assert later == []


def test_every_slice_is_there_and_stands_on_the_spine_alone() -> None:
    assert set(SLICES) <= OURS
    stray = [f"{file} imports {name}" for room, file, name in imports() if room in SLICES and name in EDGES]
    assert stray == []


@pytest.mark.parametrize("room", NEVER)
def test_a_room_never_imports_what_the_design_keeps_from_it(room: str) -> None:
    forbidden = NEVER[room]
    if "anything" in forbidden:
        forbidden = frozenset(OURS - {room})
    if "slices" in forbidden:
        forbidden |= set(SLICES)
    broken = [f"{file} imports {name}" for one, file, name in imports() if one == room and name in forbidden]
    assert broken == []


def test_the_spine_knows_nothing_of_the_edges() -> None:
    broken = [f"{file} imports {name}" for room, file, name in imports() if room in SPINE and name in EDGES]
    assert broken == []


def test_only_entry_points_import_the_assembly() -> None:
    assert {room for room, _, name in imports() if name == "app"} <= ASSEMBLED_BY


def test_rules_do_no_io_and_look_at_no_clock() -> None:
    impure = {"asyncio", "asyncpg", "redis", "socket", "os", "pathlib", "time", "random", "store", "access"}
    for file in (ROOT / "server").rglob("rules.py"):
        assert imported(file) & impure == set()
        assert not re.search(r"\.(now|today|utcnow)\(\s*(UTC)?\s*\)", file.read_text()), file


# Who tells, who writes


def test_only_slices_append_events() -> None:
    told = {
        (room, str(file.relative_to(ROOT)))
        for room, file in modules()
        if re.search(r"\btx\.append\(", file.read_text())
    }
    assert {room for room, _ in told} <= set(SLICES) and told


OWNERS = {
    "patients": {"patients", "patient_numbers"},
    "queue": {"queues", "queue_doctors", "serving", "tickets", "decisions"},
    "availability": {"schedules", "blocks", "slots"},
    "appointments": {"appointments", "seats", "appointment_doctors", "appointment_notes", "appointment_numbers"},
    "waitlist": {"waitlist", "offers"},
    "emergencies": {"emergencies", "emergency_doctors"},
    "notices": {
        "notices",
        "mailbox",
        "push_subscriptions",
        "push_keys",
        "notice_settings",
        "preferences",
        "opt_outs",
        "templates",
        "app_notices",
        "wait_promises",
        "feedback",
    },
    "accounts": {"sign_in_codes"},
    "devices": {"devices", "pairings"},
    "catalog": {
        "institutions",
        "locations",
        "desks",
        "specialties",
        "visit_types",
        "doctors",
        "doctor_photos",
        "doctor_locations",
        "doctor_visit_types",
        "users",
    },
    "access": {"sessions"},
    "totp": {"second_factors", "recovery_codes"},
    "administration": {"invitations", "user_locations", "processes"},
    "audit": {"audit", "seals"},
    "jobs": {"jobs"},
    "figures": {"daily_figures"},
    "store": {"streams", "events", "replies", "upgrades", "facts"},
}
"""Each table's owner; nobody else writes it."""
ALSO = {
    # Every command leaves its row on the trail in the statement that appends its events.
    ("store", "audit"),
    # The publisher notes what it has published.
    ("publish", "events"),
    # Only at a sign-in is there a password to hash anew.
    ("access", "users"),
    # A patient's first sign-in by a code makes their account.
    ("accounts", "users"),
    # The worker sweeps away what has ended.
    ("workers", "replies"),
    ("workers", "sessions"),
    ("workers", "pairings"),
    ("workers", "sign_in_codes"),
    # What an import was refused is a fact about this database that its next run goes by.
    ("importing", "facts"),
    # The demo day is seeded in one piece, by nobody's command.
    ("demo", "facts"),
    ("demo", "institutions"),
    ("demo", "devices"),
}
WRITES = re.compile(r"\b(?:insert\s+into|update|delete\s+from)\s+([a-z_]+)\b", re.IGNORECASE)


def test_only_its_owner_writes_a_table() -> None:
    owner = {table: room for room, tables in OWNERS.items() for table in tables}
    strays = set()
    for name, sql in statements().items():
        package, _, rest = name.partition(".")
        room = "workers" if package == "workers" else rest.split(".")[0]
        # `for update` locks rows and `do update set` belongs to the insert before it.
        bare = re.sub(r"--[^\n]*|\bfor\s+(no\s+key\s+)?update\b|\bdo\s+update\b", "", sql, flags=re.IGNORECASE)
        for table in WRITES.findall(bare):
            if table in owner and owner[table] != room and (room, table) not in ALSO:
                strays.add(f"{name} writes {table}, which belongs to {owner[table]}")
    assert strays == set()


def test_every_table_has_an_owner() -> None:
    tables = set(re.findall(r"^create table (\w+)", (ROOT / "schema.sql").read_text(), re.MULTILINE))
    assert tables - set().union(*OWNERS.values()) == set()


# How it reads


def test_every_module_says_what_it_owns() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for _, file in modules()
        if file.read_text().strip() and not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert silent == []


def test_no_room_is_called_by_what_it_is_not() -> None:
    assert OURS & {"utils", "helpers", "manager", "service", "services", "common", "misc"} == set()
