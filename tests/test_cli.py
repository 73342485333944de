"""The command line does what it says, and refuses in a sentence."""

import asyncio
import socket
import subprocess
import sys
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from server import access, audit, passwords
from server.cli import app
from server.config import ROOT
from server.store import NOTE_APPLIED, OPEN_STREAMS, connect, upgrades


@pytest.fixture
def callboard(database_url, redis_url, tmp_path, monkeypatch):
    """Run the command on a clean database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("CALLBOARD_DATA", str(tmp_path))

    def run(*args: str, password: str | None = None) -> Result:
        return CliRunner().invoke(app, args, input=password)

    return run


def rows(url: str, question: str, *args: Any) -> list[tuple[Any, ...]]:
    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(question, *args)]
        finally:
            await connection.close()

    return asyncio.run(ask())


def add(callboard, role, email, institution="Clinic", name="Ada Quist", password="correct horse\n"):
    return callboard(
        "user", "add", email, "--role", role, "--institution", institution, "--name", name, password=password
    )


def test_every_promised_command_is_there():
    said = CliRunner().invoke(app, ["--help"]).output
    for command in ["up", "serve", "worker", "migrate", "replay", "evaluate-waits", "user", "device", "bench"]:
        assert f"\n  {command}" in said


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_without_an_address_of_the_database_the_refusal_names_the_variable(command, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    done = CliRunner().invoke(app, [command])
    assert done.exit_code == 1
    assert "DATABASE_URL" in done.output and "must be set" in done.output


def test_a_wrong_setting_is_refused_by_name(callboard, monkeypatch):
    monkeypatch.setenv("POOL_SIZE", "many")
    done = callboard("migrate")
    assert done.exit_code == 1
    assert done.output.startswith("pool_size: ") and "\n" not in done.output.strip()


def test_migrate_brings_an_empty_database_to_the_schema_once(postgres, monkeypatch):
    url = postgres.fresh("template0")
    monkeypatch.setenv("DATABASE_URL", url)
    first, second = (CliRunner().invoke(app, ["migrate"]).output for _ in range(2))
    assert first.startswith("Applied 0001")
    assert second == "The schema is up to date.\n"
    postgres.drop(url)


def test_a_user_that_was_added_can_sign_in(callboard, database_url):
    done = add(callboard, "admin", "Ada@Clinic.test")
    assert done.exit_code == 0
    assert done.output.startswith("ada@clinic.test can sign in as admin")
    ((email, role, stored, institution),) = rows(
        database_url,
        "select u.email, u.role, u.password_hash, i.name from users u join institutions i on i.id = u.institution_id",
    )
    assert (email, role, institution) == ("ada@clinic.test", "admin", "Clinic")
    assert asyncio.run(passwords.fits(stored, "correct horse"))


def test_an_institution_is_made_once_and_then_found_by_name_or_id(callboard, database_url):
    add(callboard, "admin", "a@clinic.test")
    add(callboard, "receptionist", "b@clinic.test")
    ((id_,),) = rows(database_url, "select id from institutions")
    assert add(callboard, "doctor", "c@clinic.test", institution=str(id_)).exit_code == 0
    assert rows(database_url, "select count(*) from users where institution_id = $1", id_) == [(3,)]


def test_a_doctor_who_already_works_here_gets_the_account_not_a_double(callboard, database_url):
    add(callboard, "admin", "a@clinic.test")
    rows(database_url, "insert into doctors (institution_id, name) select id, 'Dr. Okoro' from institutions")
    add(callboard, "doctor", "o@clinic.test", name="Dr. Okoro")
    assert rows(database_url, "select d.name from users u join doctors d on d.id = u.doctor_id") == [("Dr. Okoro",)]
    assert rows(database_url, "select count(*) from doctors") == [(1,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"email": "nobody"}, "email: "),
        ({"role": "janitor"}, "role: "),
        ({"role": "system"}, "The role must be one of"),
        ({"password": "short\n"}, "password: "),
        ({"institution": "777"}, "There is no institution 777."),
        ({"institution": ""}, "institution: "),
    ],
)
def test_a_user_who_cannot_be_is_refused_in_one_line_and_not_made(callboard, database_url, change, said):
    done = add(callboard, **({"role": "admin", "email": "a@clinic.test"} | change))
    assert done.exit_code == 1
    assert said in done.output and len(done.output.splitlines()) == 1
    assert "short" not in done.output
    assert rows(database_url, "select (select count(*) from users), (select count(*) from institutions)") == [(0, 0)]


def test_an_address_is_one_account(callboard):
    add(callboard, "admin", "a@clinic.test")
    again = add(callboard, "doctor", "A@clinic.test")
    assert again.exit_code == 1 and len(again.output.splitlines()) == 1


def test_a_screen_is_enrolled_by_its_code_listed_and_shut_out(callboard, database_url):
    add(callboard, "admin", "a@clinic.test")
    ((location,),) = rows(
        database_url,
        "insert into locations (institution_id, name) select id, 'Ground floor' from institutions returning id",
    )
    rows(
        database_url,
        "insert into pairings (code, secret_hash, expires_at) values ('K7QM42', $1, now() + interval '1 minute')",
        access.digest("secret"),
    )
    at = ("--location", str(location), "--name", "By the door")
    assert callboard("device", "enroll", "XXX-XXX", *at).exit_code == 1
    assert callboard("device", "enroll", "k7q-m42", *at).exit_code == 0
    ((device,),) = rows(database_url, "select id from devices")
    assert "enrolled" in callboard("device", "list").output
    assert callboard("device", "revoke", str(device)).exit_code == 0
    listed = callboard("device", "list").output
    assert "revoked" in listed and "By the door" in listed
    assert callboard("device", "revoke", "999").exit_code == 1


def test_the_audit_trail_is_verified_and_what_was_altered_is_told(callboard, database_url):
    add(callboard, "admin", "a@clinic.test")
    asyncio.run(_sealed(database_url))
    whole = callboard("audit", "verify")
    assert whole.exit_code == 0 and whole.output.startswith("The audit trail is whole.\n1\t")
    rows(database_url, "alter table audit disable trigger user")
    rows(database_url, "update audit set actor = 'user:7' where action = 'add-account'")
    altered = callboard("audit", "verify")
    assert altered.exit_code == 1 and "was altered" in altered.output


async def _sealed(url: str) -> None:
    pool = await connect(url, 1)
    await audit.seal(pool)
    await pool.close()


def test_up_on_a_port_that_is_taken_says_so_and_starts_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "-m", "server.cli", "up", "--port", port, "--data", str(tmp_path / "data")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stdout == f"Port {port} is taken by another program: choose another with --port.\n"
    assert not (tmp_path / "data").exists()


def test_a_restored_database_gives_its_streams_other_epochs(callboard, database_url):
    asyncio.run(_open_stream(database_url))
    before = rows(database_url, "select name, epoch from streams")
    assert callboard("migrate", "--restored").exit_code == 0
    after = rows(database_url, "select name, epoch from streams")
    assert before and [name for name, _ in after] == [name for name, _ in before] and after != before


async def _open_stream(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(OPEN_STREAMS, ["board:1"])
    for one in upgrades():
        await connection.execute(NOTE_APPLIED, one.number, one.name, one.checksum)
    await connection.close()
