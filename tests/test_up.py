"""`callboard up`, really run: one command brings everything, and takes all of it away again."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from server.config import ROOT
from server.supervisor import holder
from tests.processes import eventually, family, running
from tests.test_cli import rows


@dataclass
class Up:
    """A `callboard up` that has said it is ready."""

    process: subprocess.Popen[str]
    data: Path
    said: list[str]

    @property
    def told(self) -> dict[str, Any]:
        return holder(self.data) or {}

    def rest(self) -> str:
        """What it says until its end."""
        said, _ = self.process.communicate(timeout=20)
        return said


@contextmanager
def up(data: Path, *flags: str, **env: str) -> Iterator[Up]:
    command = [sys.executable, "-m", "server.cli", "up", "--port", "0", "--data", str(data), *flags]
    here = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    process = subprocess.Popen(
        command, cwd=ROOT, env=here | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        else:
            pytest.fail(f"it ended with status {process.wait()}:\n" + "\n".join(said))
        yield Up(process, data, said)
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """One that these tests look at without stopping it."""
    with up(tmp_path_factory.mktemp("up")) as clinic:
        yield clinic


def callboard(*args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "server.cli", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("name", ["board", "console", "ticket"])
def test_it_serves_the_addresses_that_it_prints_and_writes(clinic, name):
    address = json.loads((clinic.data / "demo.json").read_text())["addresses"][name]
    assert address in "\n".join(clinic.said)
    assert urllib.request.urlopen(address, timeout=5).status == 200


def test_everybody_it_prints_can_sign_in(clinic):
    sign_ins = json.loads((clinic.data / "demo.json").read_text())["sign_ins"]
    assert {person["role"] for person in sign_ins} == {"doctor", "receptionist", "admin"}
    for person in sign_ins:
        assert any(person["email"] in line and person["password"] in line for line in clinic.said)
        ask = urllib.request.Request(
            f"{clinic.told['address']}/api/v1/session",
            json.dumps({"email": person["email"], "password": person["password"]}).encode(),
            {"Content-Type": "application/json"},
        )
        assert json.load(urllib.request.urlopen(ask, timeout=5))["token"]


def test_nobody_else_on_the_machine_reads_the_sign_ins(clinic):
    assert stat.S_IMODE((clinic.data / "demo.json").stat().st_mode) == 0o600


def test_a_second_up_on_the_same_folder_says_so_and_harms_nothing(clinic):
    second = callboard("up", "--port", "0", "--data", str(clinic.data))
    assert second.returncode == 1
    assert f"already runs on {clinic.data} (pid {clinic.process.pid}, {clinic.told['address']})" in second.stdout
    assert urllib.request.urlopen(f"{clinic.told['address']}/readyz", timeout=5).status == 200


def test_the_command_line_finds_the_database_of_a_running_up(clinic):
    assert "Entrance board" in callboard("device", "list", "--data", str(clinic.data)).stdout


def test_ctrl_c_stops_everything_within_two_seconds(tmp_path):
    with up(tmp_path) as clinic:
        children = family(clinic.process.pid)
        began = time.monotonic()
        clinic.process.send_signal(signal.SIGINT)
        assert clinic.process.wait(10) == 0
        assert time.monotonic() - began < 2
        assert not running(children)


def test_kill_9_leaves_no_process_and_the_next_start_finds_everything(tmp_path):
    with up(tmp_path) as clinic:
        told = (tmp_path / "demo.json").read_text().replace(clinic.told["address"], "")
        children = family(clinic.process.pid)
        assert len(children) >= 5
        clinic.process.kill()
        eventually(lambda: not running(children))
    with up(tmp_path) as clinic:
        assert (tmp_path / "demo.json").read_text().replace(clinic.told["address"], "") == told


@pytest.mark.parametrize("name", ["server", "worker", "PostgreSQL"])
def test_when_a_part_dies_all_of_it_ends_and_says_which(tmp_path, name):
    with up(tmp_path, "--no-demo") as clinic:
        children = family(clinic.process.pid)
        word = {"server": "serve", "worker": "worker", "PostgreSQL": "listen_addresses="}[name]
        victim = next(pid for pid in children if word in psutil.Process(pid).cmdline())
        os.kill(victim, signal.SIGKILL)
        said = clinic.rest()
        assert clinic.process.returncode == 1
        assert f"{name} ended by signal SIGKILL" in said
        assert not running(children)


def test_without_a_demo_nobody_can_sign_in(tmp_path):
    with up(tmp_path, "--no-demo") as clinic:
        assert not (tmp_path / "demo.json").exists()
        assert rows(clinic.told["database_url"], "select count(*) from users") == [(0,)]


def test_a_database_that_up_did_not_make_never_gets_demo_people(tmp_path, postgres, redis_url):
    url = postgres.fresh("template0")
    with up(tmp_path, DATABASE_URL=url, REDIS_URL=redis_url) as clinic:
        assert "without a demo" in "\n".join(clinic.said)
        assert rows(url, "select (select count(*) from users), (select count(*) from facts)") == [(0, 0)]
        assert not (tmp_path / "postgres").exists() and not (tmp_path / "valkey").exists()
    postgres.drop(url)
