"""What tests ask about processes, by id."""

import contextlib
import time
from collections.abc import Callable, Iterable

import psutil


def running(pids: Iterable[int]) -> set[int]:
    """Those of the processes that still run; a zombie is only an entry that nobody has read yet."""
    alive = set()
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                alive.add(pid)
    return alive


def family(pid: int) -> set[int]:
    """A process's descendants."""
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def eventually(fact: Callable[[], object], patience: float = 10.0) -> None:
    """Return once the fact is true."""
    until = time.monotonic() + patience
    while not fact():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)
