"""What `callboard up` keeps running: children started in readiness order, watched, and stopped together.

Invariant: a child is on record before anything waits for it, so whatever happens next, it is stopped; and every
child is tethered, so that even the supervisor's own kill -9 leaves no process behind. Nothing is restarted: a
child that ends takes the rest down, and its last words are shown.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from server import tether
from server.config import ROOT

Say = Callable[[str], None]

LOUD = {"warning", "error", "critical"}
"""Levels of log lines that also reach the terminal."""


class AlreadyUp(Exception):
    """Another supervisor holds this data folder."""


class ChildDied(Exception):
    """A child ended that should not have; the message names it and holds its last words."""


class Interrupted(BaseException):
    """Somebody asked us to stop: Ctrl-C, a signal, or the terminal's end."""


class Child(Protocol):
    """A process that the supervisor watches and stops."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def process(self) -> subprocess.Popen[bytes]: ...  # noqa: D102
    @property
    def log(self) -> Path | None: ...  # noqa: D102
    def stop(self, timeout: float) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class PythonChild:
    """One of our own processes, tethered by a pipe whose other end only the supervisor holds."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None
    rope: int
    grace: float = 0.0
    """Seconds that it gets beyond its time, as long as something is under way."""
    busy: Callable[[], bool] = lambda: True
    """Whether something is."""

    def stop(self, timeout: float) -> int:
        """Ask it to end, and after `timeout` seconds end it with its children."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(timeout)
            return self.process.wait(self.grace if self.grace and self.busy() else 0)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()
        finally:
            os.close(self.rope)


def spawn_python(
    name: str,
    args: Sequence[str],
    env: Mapping[str, str],
    log: Path | None = None,
    keep: tuple[int, ...] = (),
    grace: float = 0.0,
    busy: Callable[[], bool] = lambda: True,
) -> PythonChild:
    """Start this interpreter with `args`, tethered to us, in a session of its own; output to `log`, or to ours."""
    theirs, rope = os.pipe()
    try:
        with log.open("ab") if log else contextlib.nullcontext() as output:
            process = subprocess.Popen(
                [sys.executable, *args],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env={**env, tether.PIPE: f"{os.getpid()}:{theirs}"},
                pass_fds=(theirs, *keep),
                start_new_session=True,
            )
    finally:
        os.close(theirs)
    return PythonChild(name, process, log, rope, grace, busy)


@dataclass
class Supervisor:
    """The children of one `up`, in the order in which they were started."""

    say: Say
    children: list[PythonChild] = field(default_factory=list)
    foundations: list[Child] = field(default_factory=list)
    """What the others stand on: stopped after them."""
    may_end: set[str] = field(default_factory=set)
    """Names of children whose end with status 0 is no failure."""
    echoes: dict[Path, int] = field(default_factory=dict)

    def lay(self, *starts: Callable[[], Child]) -> None:
        """Start foundations side by side; each start returns once its server answers."""

        def run(start: Callable[[], Child]) -> None:
            self.foundations.append(start())

        with ThreadPoolExecutor(len(starts)) as pool:
            for done in [pool.submit(run, start) for start in starts]:
                done.result()

    def add(self, child: PythonChild) -> PythonChild:
        """Put a child on record that has just been started."""
        self.children.append(child)
        return child

    def wait(self, child: Child, ready: Callable[[], bool], patience: float = 30.0) -> None:
        """Return once this child is ready, and every other still runs."""
        until = time.monotonic() + patience
        while not ready():
            self.check()
            if time.monotonic() > until:
                raise ChildDied(f"{child.name} was not ready after {patience:.0f} s.\n{last_words(child.log)}")
            time.sleep(0.02)

    def check(self) -> None:
        """Refuse where a child has ended; say what its log warns of."""
        for child in list(self.children):
            self._echo(child)
            status = child.process.poll()
            if status == 0 and child.name in self.may_end:
                self.children.remove(child)
                self.say(f"{child.name} has come to its end.")
            elif status is not None:
                raise ChildDied(f"{child.name} ended {_how(status)}.\n{last_words(child.log)}")
        for foundation in self.foundations:
            if (status := foundation.process.poll()) is not None:
                raise ChildDied(f"{foundation.name} ended {_how(status)}.\n{last_words(foundation.log)}")

    def watch(self, pause: float = 0.2) -> None:
        """Look after the children until one ends or somebody interrupts."""
        while True:
            self.check()
            time.sleep(pause)

    def stop(self, grace: float = 0.9) -> None:
        """End every child: ours within `grace` seconds and their own, then what they stand on, within 0.9 s more."""
        ours: list[tuple[Child, float]] = [(child, grace) for child in self.children]
        for wave in (ours, [(foundation, 0.6) for foundation in self.foundations]):
            if wave:
                with ThreadPoolExecutor(len(wave)) as pool:
                    list(pool.map(lambda one: one[0].stop(one[1]), wave))
        self.children.clear()
        self.foundations.clear()

    def _echo(self, child: Child) -> None:
        """Repeat on the terminal the warnings that a child logged since the last look."""
        if child.log is None:
            return
        with contextlib.suppress(OSError), child.log.open("rb") as log:
            log.seek(self.echoes.get(child.log, 0))
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self.echoes[child.log] = self.echoes.get(child.log, 0) + len(line)
                with contextlib.suppress(ValueError, AttributeError):
                    entry: dict[str, Any] = json.loads(line)
                    if entry.get("level") in LOUD:
                        self.say(f"{child.name}: {entry['level']}: {entry.get('event', '')} {_facts(entry)}".rstrip())


def _facts(entry: dict[str, Any]) -> str:
    told = {"level", "event", "at", "logger", "exception"}
    facts = " ".join(f"{name}={value}" for name, value in entry.items() if name not in told)
    reason = str(entry.get("exception") or "").strip().rsplit("\n", 1)[-1]
    return f"{facts} {reason}".strip()


def _how(status: int) -> str:
    if status >= 0:
        return f"with status {status}"
    with contextlib.suppress(ValueError):
        return f"by signal {signal.Signals(-status).name}"
    return f"by signal {-status}"


def last_words(log: Path | None, lines: int = 15) -> str:
    """The end of a log, indented, and where to find the rest."""
    if log is None:
        return ""
    with contextlib.suppress(OSError):
        text = log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"Its log, {log}, ends:", *(f"    {line}" for line in text)])
    return ""


def rotate(folder: Path) -> None:
    """Set last time's logs aside, so that each log begins with this start."""
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))


@contextlib.contextmanager
def held(data: Path, address: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Hold the data folder for this process alone; `AlreadyUp` says who holds it otherwise.

    Gives a function that tells further facts to whoever asks `holder`.
    """
    data.mkdir(parents=True, exist_ok=True)
    # The kernel frees the lock at our end, and nobody inherits it: children still ending hold nothing up.
    with os.fdopen(os.open(data / "up.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = holder(data) or {}
            raise AlreadyUp(
                f"Callboard already runs on {data} (pid {told.get('pid')}, {told.get('address')})."
            ) from None

        def tell(facts: dict[str, Any]) -> None:
            text = json.dumps({"pid": os.getpid(), "address": address, **facts}) + "\n"
            lock.seek(0)
            lock.write(text)
            lock.truncate(len(text))
            lock.flush()

        tell({})
        yield tell


def holder(data: Path) -> dict[str, Any] | None:
    """What the supervisor that now runs on this folder has told of itself; None where none runs."""
    with contextlib.suppress(OSError, ValueError), (data / "up.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            told: dict[str, Any] = json.loads(lock.read())
            return told
    return None


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], object]]:
    """Raise `Interrupted` in the main thread at the first SIGINT, SIGTERM or SIGHUP, and ignore the next ones.

    Gives a function that has the first ignored too: called before stopping, which nothing may interrupt.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    once = threading.Lock()

    def disarm() -> bool:
        return once.acquire(blocking=False)

    def interrupt(number: int, _frame: FrameType | None) -> None:
        if disarm():
            raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield disarm
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
