"""The `callboard` command: one thin function for each thing that people and platforms call it for.

Invariant: nothing is decided here. Each command reads its configuration, imports what it needs and calls it; so
`callboard --help` is quick, and a process loads only what it runs.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from server import tether
from server.config import ROOT, Config

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

app = typer.Typer(
    help="A live queue for clinics: boards, consoles and phones that see each call at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
user_app = typer.Typer(help="People who sign in.", no_args_is_help=True, rich_markup_mode=None)
device_app = typer.Typer(help="Enrolled boards and kiosks.", no_args_is_help=True, rich_markup_mode=None)
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(user_app, name="user")
app.add_typer(device_app, name="device")
app.add_typer(audit_app, name="audit")

Data = Annotated[
    Path, typer.Option("--data", help="Folder of `callboard up`.", file_okay=False, envvar="CALLBOARD_DATA")
]
DATA = ROOT / "data"
SPARE = 2000
"""Connections of one process beyond its sockets: requests, and sockets that are just being refused."""


def main() -> None:
    """Run the command line, tethered to the supervisor if one started us."""
    tether.hold_on()
    app()


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the web server; 0 takes any that is free.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for other devices too.")] = "127.0.0.1",
    data: Data = DATA,
    demo: Annotated[bool, typer.Option("--demo/--no-demo", help="Seed a demo clinic where the database is empty.")] = (
        True
    ),
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, server, worker and a demo day."""
    from server.up import Wish
    from server.up import up as run

    def say(line: str) -> None:
        print(line, flush=True)

    raise typer.Exit(run(Wish(host=host, port=port, data=data.absolute(), demo=demo, say=say)))


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [HOST, else 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on [PORT, else 8000].")] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Web processes that share the port.")] = 1,
    drain: Annotated[float, typer.Option(min=0, help="Seconds that open requests get when stopping.")] = 5.0,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A bound socket to serve instead.")] = None,
) -> None:
    """Run the web process: pages, HTTP and Socket.IO."""
    if processes > 1 and fd is None:
        raise typer.Exit(_serve_many(_config(host=host, port=port), processes, drain))
    _serve(_config(host=host, port=port), fd, drain)


@app.command()
def worker() -> None:
    """Run the worker: whatever is due, and the sweep that publishes what a crash left behind."""
    config = _config()
    from workers.main import run

    run(config)


@app.command()
def jobs(data: Data = DATA) -> None:
    """What is done by the clock: last run, next run, last error, and how late each is."""
    from datetime import UTC, datetime

    from server.jobs import table

    print(_run(table(_config(data=data, redis=False).database_url, datetime.now(UTC))))


@app.command()
def migrate(
    restored: Annotated[bool, typer.Option("--restored", help="The database was put back from a backup.")] = False,
) -> None:
    """Bring the database to this version's schema; safe to run at every release, by several at once."""
    from server import store

    names = _run(store.migrate(_config(redis=False).database_url))
    if restored:
        _run(store.new_epochs(_config(redis=False).database_url))
        print("Every board and page starts from what the database has now.")
    print("\n".join(f"Applied {name}." for name in names) or "The schema is up to date.")


@app.command()
def replay(
    file: Annotated[Path | None, typer.Argument(help="A CSV of visits [the one that ships with Callboard].")] = None,
    speed: Annotated[float, typer.Option(min=1, max=3600, help="How many minutes pass in one.")] = 60.0,
    demo: Annotated[bool, typer.Option("--demo", help="Play the demo clinic's day.")] = False,
    data: Data = DATA,
) -> None:
    """Play recorded visits into the demo clinic's queues."""
    from server import replay as player

    _run(player.run(_config(data=data), file=file, speed=speed))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV of appointments.")],
    institution: Annotated[str | None, typer.Option(help="Whose they are [the only one].")] = None,
    location: Annotated[str | None, typer.Option(help="Where they are [the first].")] = None,
    report: Annotated[Path | None, typer.Option(help="Write every row that could not be placed here, as CSV.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Try what an earlier run was refused, too.")] = False,
    data: Data = DATA,
) -> None:
    """Bring appointments of another system in; run again, it goes on, or changes nothing."""
    from server import importing, logs

    logs.configure(level="warning", json=False)
    with importing.progress(sys.stderr) as told:
        done = _run(importing.run(_config(data=data), file, institution, location, told, again))
    print("\n".join(importing.summary(done)))
    if report:
        importing.write_report(report, done.refused)
    elif done.refused:
        print("\n".join(importing.first_refused(done)), file=sys.stderr)


@app.command("evaluate-waits")
def evaluate_waits(
    file: Annotated[Path, typer.Argument(help="A CSV of visits.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Replay recorded visits and score the wait estimates that patients would have seen."""
    from server.queue import evaluate

    try:
        told = evaluate.evaluate(file)
        print(json.dumps(told.to_json(), indent=2) if as_json else evaluate.render(told))
    except (evaluate.FileRefused, OSError) as refusal:
        _refuse(str(refusal))


@app.command()
def bench(
    name: Annotated[str | None, typer.Argument(help="One benchmark [all].")] = None,
) -> None:
    """Measure this machine, with a peer or a floor beside us in the same run."""
    if not (ROOT / "tests" / "bench").is_dir():
        _refuse("The benchmarks are in a checkout's tests/bench, which is not here.")
    command = [sys.executable, "-m", "tests.bench", *([name] if name else [])]
    os.chdir(ROOT)
    os.execv(command[0], command)  # noqa: S606


@user_app.command("add")
def user_add(
    email: str,
    role: Annotated[str, typer.Option(help="patient, doctor, receptionist, admin or super_admin.")],
    name: Annotated[str, typer.Option(help="Full name.")],
    institution: Annotated[str | None, typer.Option(help="Name or id; made if no institution has this name.")] = None,
    zone: Annotated[str, typer.Option(help="Time zone of an institution that is made.")] = "UTC",
    data: Data = DATA,
) -> None:
    """Add somebody who can sign in; the password is asked for, or read from standard input."""
    from server import people
    from server.administration.users import NewAccount

    config = _config(data=data, redis=False)
    told = {"email": email, "role": role, "name": name, "institution": institution, "zone": zone}
    new = _checked(NewAccount, **told, password=_password())
    print(_run(people.add_user(config.database_url, new)))


@audit_app.command("verify")
def audit_verify(data: Data = DATA) -> None:
    """Recompute every seal of the audit trail; tells each place where it was tampered with, and the newest hashes."""
    from server import people

    found, heads = _run(people.verify_audit(_config(data=data, redis=False).database_url))
    print("\n".join(found) or "The audit trail is whole.")
    for chain, newest in heads.items():
        print(f"{chain}\t{newest}")
    if found:
        raise typer.Exit(1)


@device_app.command("enroll")
def device_enroll(
    code: Annotated[str, typer.Argument(help="The code that the screen shows.")],
    location: Annotated[int, typer.Option(help="Id of the location whose calls it shows.")],
    name: Annotated[str, typer.Option(help="What staff call this screen.")] = "Board",
    kind: Annotated[str, typer.Option(help="board or kiosk.")] = "board",
    data: Data = DATA,
) -> None:
    """Let the screen that shows this pairing code in."""
    from server import people

    print(_run(people.enroll_device(_config(data=data), code=code, location_id=location, name=name, kind=kind)))


@device_app.command("list")
def device_list(data: Data = DATA) -> None:
    """Every enrolled device, its location, and whether it still may."""
    from server import people

    print(_run(people.list_devices(_config(data=data, redis=False).database_url)))


@device_app.command("revoke")
def device_revoke(device: Annotated[int, typer.Argument(help="Its id.")], data: Data = DATA) -> None:
    """Shut a device out, at once and for good."""
    from server import people

    print(_run(people.revoke_device(_config(data=data), device_id=device)))


# --- What the commands share


def _config(*, data: Path | None = None, redis: bool = True, **flags: Any) -> Config:
    """The environment, with flags on top; where it names no database, that of the `up` running on `data`."""
    found: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    if data is not None and not os.environ.get("DATABASE_URL"):
        from server.supervisor import holder

        told = holder(data.absolute()) or {}
        found |= {name: told[name] for name in ("database_url", "redis_url", "public_url") if name in told}
    config = _checked(Config, **found)
    missing = [name for name in ("database_url", *(["redis_url"] if redis else [])) if not getattr(config, name)]
    if missing:
        where = f" No `callboard up` runs on {data}." if data else ""
        _refuse(f"{' and '.join(missing).upper()} must be set.{where}")
    _strong(config)
    return config


def _strong(config: Config) -> None:
    """Refuse secrets that whoever reaches the services could guess; those that `up` makes are sockets of its own."""
    from server import errors, passwords

    for name in ("database_url", "redis_url"):
        try:
            passwords.check_url(getattr(config, name))
        except errors.WeakPassword as weak:
            _refuse(f"The password in {name.upper()} is too easy to guess. {weak.detail}")
    if config.secret_key and not passwords.is_random(config.secret_key):
        _refuse("SECRET_KEY is too easy to guess: it should be 32 random characters or more.")


def _checked(model: type[M], **fields: Any) -> M:
    """The model made from these fields; what is wrong with them is a sentence that never repeats a value."""
    try:
        return model(**fields)
    except ValidationError as error:
        _refuse("; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; a refusal is a sentence and status 1, not a traceback."""
    from server import errors, store

    try:
        return asyncio.run(work)
    except errors.Refusal as refusal:
        _refuse(refusal.detail)
    except store.UpgradeChanged as changed:
        _refuse(str(changed))
    except OSError as error:
        _refuse(f"Cannot reach the database: {error}")


def _refuse(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise typer.Exit(1)


def _password() -> str:
    """A password typed twice, or one line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\n")


def _serve(config: Config, fd: int | None, drain: float) -> None:
    """Serve until a signal; open sockets are closed and requests given `drain` seconds."""
    import uvicorn

    from server import logs
    from server.app import create_app
    from server.fanout import UVICORN
    from server.wire import PunctualHttpProtocol

    logs.configure(level=config.log_level, json=config.log_json)
    settings = uvicorn.Config(
        create_app(config, alone=True),
        host=config.host,
        port=config.port,
        loop="uvloop",
        http=PunctualHttpProtocol,
        lifespan="on",
        proxy_headers=True,
        forwarded_allow_ips=config.trusted_proxies,
        access_log=False,
        server_header=False,
        log_config=None,
        limit_concurrency=config.sockets_most + SPARE,
        timeout_graceful_shutdown=drain,  # type: ignore[arg-type]  # any number of seconds will do
        **{name: value for name, value in UVICORN.items() if name != "timeout_graceful_shutdown"},
    )
    server = uvicorn.Server(settings)
    server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])
    if not server.started:
        raise typer.Exit(3)


def _serve_many(config: Config, processes: int, drain: float) -> int:
    """Serve one socket from several processes; the end of any ends all, for the platform to start anew."""
    from server.supervisor import ChildDied, Interrupted, Supervisor, interruptible, spawn_python

    listener = socket.create_server((config.host, config.port), backlog=2048)
    fd = listener.fileno()
    env = {**os.environ, "HOST": config.host, "PORT": str(config.port)}
    args = ["-m", "server.cli", "serve", "--fd", str(fd), "--drain", str(drain)]
    crew = Supervisor(say=lambda line: print(line, file=sys.stderr, flush=True))
    with interruptible() as disarm:
        try:
            for number in range(1, processes + 1):
                crew.add(spawn_python(f"web process {number}", args, env, keep=(fd,)))
            crew.watch()
        except Interrupted as interrupted:
            return 0 if str(interrupted) == signal.SIGTERM.name else 130
        except ChildDied as died:
            crew.say(str(died))
            return 1
        finally:
            disarm()
            crew.stop(grace=drain + 1)
    return 0


if __name__ == "__main__":
    main()
