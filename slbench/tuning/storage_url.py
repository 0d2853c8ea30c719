"""URL of a storage: checked before Optuna writes to it, and shown without passwords."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from slbench.errors import InputError, unreadable
from slbench.files import open_regular
from slbench.text import LOGIN, QUERY, hide_password, shown

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

ALLOWED = "allowed: sqlite:///search.db, postgresql://USER@HOST/NAME, mysql://USER@HOST/NAME or grpc://HOST:PORT"
HEADER = b"SQLite format 3\0"  # of every database file, https://www.sqlite.org/fileformat.html
OPTUNA_TABLES = {"studies", "trials", "version_info"}


def without_secrets(text: str, url: str) -> str:
    """Return a message, such as a driver's, without the passwords of a URL."""
    found = [match[2] for pattern in (LOGIN, QUERY) for match in pattern.finditer(url)]
    for secret in {*found, *map(unquote, found)} - {""}:
        text = text.replace(secret, "***")
    return hide_password(text)


def check_database(url: str) -> None:
    """Check the URL of a database; never creates or changes a file.

    Raises:
        InputError: if it is malformed or in memory, or its file is not a database of Optuna.
    """
    parsed = parse(url)
    if parsed.get_backend_name() == "sqlite":
        check_file(sqlite_file(parsed, url), url)


def parse(url: str) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InputError(f"--storage: invalid URL (got {shown(hide_password(url))}); {ALLOWED}") from error


def sqlite_file(parsed: "URL", url: str) -> Path:
    """Return the file of a SQLite URL. Raises InputError for a database in memory or an impossible file name."""
    name = parsed.database or ""
    if parsed.query.get("uri"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
    if name in ("", ":memory:") or parsed.query.get("mode") == "memory" or "mode=memory" in url:
        raise InputError(
            f"--storage: a search in memory could not be resumed (got {shown(url)}); allowed: sqlite:///FILE"
        )
    if "\0" in name:
        raise InputError(f"--storage: invalid file name (got {shown(url)}); {ALLOWED}")
    return Path(name)


def check_file(path: Path, url: str) -> None:
    """Raise InputError for a file with content that is not a database of Optuna, which opening it would overwrite."""
    if not os.path.lexists(path):
        return
    try:
        with open_regular(path) as file:
            start = file.read(len(HEADER))
    except FileNotFoundError:
        return  # a link to a file that is to be created
    except OSError as error:
        raise unreadable(f"--storage: {path}", error) from error
    if start and (start != HEADER or not has_optuna_tables(path)):
        what = "a database of another program" if start == HEADER else "not a database"
        raise InputError(f"--storage: {path}: is {what} (got {shown(url)}); choose a new file, or one of a search")


def has_optuna_tables(path: Path) -> bool:
    """Return whether a SQLite file has Optuna's tables, or none at all."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return False
    return not tables or tables >= OPTUNA_TABLES
