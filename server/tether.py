"""Processes that must not outlive the one that started them.

Invariant: a tethered process is signalled when its parent ends, however the parent ends, kill -9 included.
Linux tells it so itself (a parent-death signal); elsewhere it watches a pipe that only the parent holds open.

Run as a script, this file becomes the command it is given: tethered, and stripped of root where an account is
named. It is a script because the signal must be set after the account has changed (the kernel forgets it
then), and because code between fork and exec is unsafe in a process that has threads. So it imports little.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

PIPE = "CALLBOARD_TETHER"
"""Names, in a child's environment, its parent's pid and the pipe's end: `pid:descriptor`."""

_PR_SET_PDEATHSIG = 1


def tether(parent: int, number: int) -> None:
    """Have the kernel send this process the signal `number` when the thread that started it ends (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have ended before the line above: then no signal will ever come.
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def watch(descriptor: int, orphaned: Callable[[], object]) -> None:
    """Call `orphaned`, from a thread, once the other end of this pipe is closed: at the parent's end."""

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        orphaned()

    threading.Thread(target=wait, name="tether", daemon=True).start()


def hold_on(number: int = signal.SIGTERM, grace: float = 2.0) -> None:
    """Tether this Python process to the parent that named itself in the environment, if one did.

    It is sent `number`, to end in order, and `grace` seconds later it ends whatever it is doing.
    """
    told = os.environ.pop(PIPE, "")
    if not told:
        return
    parent, descriptor = (int(part) for part in told.split(":"))

    def orphaned() -> None:
        os.kill(os.getpid(), number)
        threading.Event().wait(grace)
        os._exit(1)

    watch(descriptor, orphaned)
    if sys.platform == "linux" and os.getppid() != parent:
        orphaned()


def _become(argv: list[str]) -> Any:
    """Replace this process by the command in `argv`: parent, signal, uid, gid, then the command itself."""
    parent, number, uid, gid = (int(part) for part in argv[:4])
    command = argv[4:]
    os.umask(0o077)
    os.chdir("/")
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        tether(parent, number)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    _become(sys.argv[1:])
