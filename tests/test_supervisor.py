"""Children are started in order, watched, stopped in time, and never outlive their supervisor."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server import up as server_up
from server.config import ROOT
from server.supervisor import (
    AlreadyUp,
    ChildDied,
    Interrupted,
    PythonChild,
    Supervisor,
    held,
    holder,
    interruptible,
    spawn_python,
)
from tests.processes import eventually, family, running
from workers import main

PATIENT = "import time, server.tether; server.tether.hold_on(); print('on', flush=True); time.sleep(600)"
BUSY = """
import signal, sys, time
def finish(*_):
    time.sleep(1.5)
    sys.exit(print("finished", flush=True))
signal.signal(signal.SIGTERM, finish)
print("on", flush=True)
time.sleep(600)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + PATIENT


class Crew(Supervisor):
    """A supervisor whose words are kept, and whose children are one line of Python each."""

    def __init__(self, folder: Path) -> None:
        self.words: list[str] = []
        super().__init__(say=self.words.append)
        self.folder = folder

    def child(self, name: str, code: str, grace: float = 0.0) -> PythonChild:
        log = self.folder / f"{name}.log"
        return self.add(spawn_python(name, ["-c", code], dict(os.environ), log, grace=grace))


@pytest.fixture
def crew(tmp_path):
    crew = Crew(tmp_path)
    yield crew
    crew.stop()


def says(child, word):
    return lambda: word in child.log.read_text()


def test_a_child_counts_as_started_only_once_it_is_ready(crew):
    child = crew.child("server", PATIENT)
    crew.wait(child, says(child, "on"))
    assert "on" in child.log.read_text()


def test_a_child_that_dies_before_it_is_ready_is_named_with_its_last_words(crew):
    child = crew.child("server", "raise SystemExit('no such colour')")
    with pytest.raises(ChildDied, match=r"server ended with status 1[\s\S]*no such colour"):
        crew.wait(child, lambda: False)


def test_a_child_that_is_never_ready_is_named(crew):
    with pytest.raises(ChildDied, match="worker was not ready after 0 s"):
        crew.wait(crew.child("worker", PATIENT), lambda: False, patience=0.1)


def test_a_child_killed_later_ends_the_watch_and_is_named(crew):
    child = crew.child("worker", PATIENT)
    crew.wait(child, says(child, "on"))
    child.process.kill()
    with pytest.raises(ChildDied, match="worker ended by signal SIGKILL"):
        crew.watch(pause=0.01)


def test_a_child_that_may_end_is_only_mentioned(crew):
    crew.may_end.add("replay")
    crew.child("replay", "pass")
    eventually(lambda: crew.check() or crew.words)
    assert crew.words == ["replay has come to its end."]


def test_only_warnings_of_a_childs_log_reach_the_terminal(crew):
    lines = [{"level": "info", "event": "started"}, {"level": "warning", "event": "slow", "ms": 90}]
    text = "\n".join(map(json.dumps, lines))
    child = crew.child("server", f"print({text!r}, flush=True);" + PATIENT)
    crew.wait(child, says(child, "on"))
    crew.check()
    assert crew.words == ["server: warning: slow ms=90"]


def test_stopping_takes_under_two_seconds_even_with_a_child_that_will_not_listen(crew):
    children = [crew.child("server", PATIENT), crew.child("worker", DEAF)]
    for child in children:
        crew.wait(child, says(child, "on"))
    began = time.monotonic()
    crew.stop()
    assert time.monotonic() - began < 2
    assert not running(child.process.pid for child in children)


def test_a_child_that_has_something_under_way_may_finish_it(crew):
    busy, cut_off = crew.child("worker", BUSY, grace=10), crew.child("server", BUSY)
    for child in (busy, cut_off):
        crew.wait(child, says(child, "on"))
    crew.stop()
    assert (busy.process.returncode, cut_off.process.returncode) == (0, -signal.SIGKILL)
    assert "finished" in busy.log.read_text() and "finished" not in cut_off.log.read_text()


def test_the_worker_has_more_time_than_it_takes_to_hand_over_what_is_under_way():
    assert main.JOBS_WITHIN + main.DRAINED_WITHIN + 1 < server_up.DRAINED


def test_kill_9_of_the_supervisor_ends_children_that_listen_and_children_that_do_not(tmp_path):
    script = f"""
import sys
from pathlib import Path
from tests.test_supervisor import Crew, DEAF, PATIENT, says
crew = Crew(Path({str(tmp_path)!r}))
for name, code in (("server", PATIENT), ("worker", DEAF)):
    child = crew.child(name, code)
    crew.wait(child, says(child, "on"))
print("up", flush=True)
crew.watch()
"""
    supervisor = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == b"up\n"
    children = family(supervisor.pid)
    assert len(running(children)) == 2
    supervisor.kill()
    supervisor.wait()
    eventually(lambda: not running(children))


def test_a_folder_is_held_by_one_supervisor_and_the_next_learns_by_whom(tmp_path):
    with held(tmp_path, "http://127.0.0.1:8000") as tell:
        tell({"database_url": "postgresql://"})
        with pytest.raises(AlreadyUp, match=rf"pid {os.getpid()}, http://127.0.0.1:8000"), held(tmp_path, ""):
            pass
        assert (holder(tmp_path) or {})["database_url"] == "postgresql://"
    assert holder(tmp_path) is None


def test_a_signal_interrupts_once_and_never_while_stopping():
    with interruptible() as disarm:
        with pytest.raises(Interrupted, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    with interruptible() as disarm:
        disarm()
        signal.raise_signal(signal.SIGINT)
