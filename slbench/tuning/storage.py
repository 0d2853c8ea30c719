"""Optuna storage of a search: by default a journal in the store, else a URL."""

import contextlib
import json
import os
import platform
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.claims import boot_id, is_alive, process_start_time
from slbench.errors import InputError, SlbenchError
from slbench.files import read_regular
from slbench.text import hide_password, shown
from slbench.tuning.storage_url import check_database, without_secrets

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal.log"
GRPC = "grpc://"
GRPC_PORT, GRPC_SECONDS, MAX_PORT = 13000, 10.0, 65535
DEFINITION, OWNER = "slbench", "owner"  # attributes of a study


class StorageError(SlbenchError):
    """The storage became unreachable during a search."""


def open_storage(url: str | None, folder: Path) -> "optuna.storages.BaseStorage":
    """Open the storage of a search.

    Args:
        url: sqlite:///FILE, postgresql://..., mysql://..., grpc://HOST:PORT; None for a journal in the folder.
    Raises:
        InputError: if it is not reachable.
    """
    from optuna.logging import WARNING, set_verbosity

    set_verbosity(WARNING)
    if url is None:
        return open_journal(folder / JOURNAL)
    if url.startswith(GRPC):
        return open_proxy(url)
    return open_database(url)


def open_journal(path: Path) -> "optuna.storages.BaseStorage":
    """Open a journal without what a killed process left: an incomplete last line, a lock for which Optuna may wait.

    The caller must hold the claim of the search.
    """
    from optuna.exceptions import OptunaError
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = read_regular(path) if os.path.lexists(path) else b""
        if not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1) if content else None
        check_lines(content[: content.rfind(b"\n") + 1])
        for lock in path.parent.glob(f"{path.name}.lock*"):
            lock.unlink()
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as error:
        raise InputError(f"{path}: not usable as a journal: {error.strerror}; move it away") from error
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, OptunaError) as error:
        problem = f"damaged ({first_line(error)})"
        raise InputError(f"{path}: {problem}; move it away to restart the search, whose runs are kept") from error


def check_lines(content: bytes) -> None:
    """Raise ValueError for the first line of a journal that is no operation. Optuna overlooks a damaged last line."""
    from optuna.storages.journal._storage import JournalOperation

    known = {int(operation) for operation in JournalOperation}
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            operation = json.loads(line)["op_code"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise ValueError(f"line {number} is no operation") from error
        if type(operation) is not int or operation not in known:
            raise ValueError(f"line {number} has an unknown operation, {shown(operation)}")


def ended_twice(path: Path) -> set[int]:
    """Return the ids of the trials that a journal ends more than once; for Optuna the first end counts."""
    from optuna.storages.journal._storage import JournalOperation
    from optuna.trial import TrialState

    final = [state.value for state in TrialState if state.is_finished()]
    ends = Counter[int]()
    for operation in map(json.loads, read_regular(path).splitlines()):
        if operation["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES and operation.get("state") in final:
            ends[operation["trial_id"]] += 1
    return {trial for trial, count in ends.items() if count > 1}


def open_proxy(url: str) -> "optuna.storages.BaseStorage":
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import GrpcStorageProxy

    host, _, port = url.removeprefix(GRPC).rstrip("/").partition(":")
    if not host or not (port or str(GRPC_PORT)).isdecimal() or int(port or GRPC_PORT) > MAX_PORT:
        raise InputError(f"--storage: invalid URL (got {shown(hide_password(url))}); allowed: grpc://HOST:PORT")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # the only option for many machines
            storage = GrpcStorageProxy(host=host, port=int(port or GRPC_PORT))
        storage.wait_server_ready(timeout=GRPC_SECONDS)
    except ModuleNotFoundError as error:
        raise InputError(
            f"--storage: package grpcio is missing (got {shown(url)}); pip install grpcio protobuf"
        ) from error
    except ConnectionError as error:
        raise InputError(
            f"--storage: no response within {GRPC_SECONDS:g} s (got {shown(hide_password(url))}); "
            "is the Optuna server running?"
        ) from error
    return storage


def open_database(url: str) -> "optuna.storages.BaseStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    check_database(url)
    try:
        return RDBStorage(url, skip_compatibility_check=False)
    except (ArgumentError, NoSuchModuleError) as error:
        raise InputError(
            f"--storage: invalid URL (got {shown(hide_password(url))}); "
            "allowed: sqlite:///search.db, postgresql://USER@HOST/NAME, mysql://USER@HOST/NAME or grpc://HOST:PORT"
        ) from error
    except ImportError as error:
        raise InputError(
            f"--storage: driver is not installed (got {shown(hide_password(url))}); pip install 'slbench[postgresql]' "
            "for PostgreSQL (postgresql+psycopg://...), pip install PyMySQL for MySQL (mysql+pymysql://...)"
        ) from error
    except Exception as error:  # drivers of databases raise errors of their own, and OptunaError is no common base
        problem = without_secrets(first_line(error), url)
        raise InputError(f"--storage: not reachable: {problem} (got {shown(hide_password(url))})") from error


def close_storage(storage: "optuna.storages.BaseStorage") -> None:
    """Close the connections of a storage."""
    from optuna.storages import GrpcStorageProxy, RDBStorage

    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()
    elif isinstance(storage, GrpcStorageProxy):
        storage.close()


def first_line(error: BaseException) -> str:
    """Return the first line of an error, without the SQL statement."""
    cause = getattr(error, "orig", None) or error
    return next(iter(str(cause).strip().splitlines()), type(error).__name__)


def unreachable(url: str | None, error: BaseException) -> StorageError:
    problem = without_secrets(first_line(error), url or "")
    text = f"storage {hide_password(url or '')} became unreachable: {problem}"
    return StorageError(f"{text}; run the same command to continue")


@contextlib.contextmanager
def reporting_outages(url: str | None) -> Iterator[None]:
    """Raise StorageError for any connection error of the storage in the context."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError, ConnectionError) as error:
        cause = error.__cause__ or error
        raise unreachable(url, cause) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "grpc":
            raise
        raise unreachable(url, error) from error


def open_study(
    storage: "optuna.storages.BaseStorage",
    name: str,
    definition: Mapping[str, Any],
    *,
    store: str,
    take_over: bool = False,
) -> "optuna.Study":
    """Create an Optuna study, or open that of the same search.

    Args:
        definition: settings shared by all comparable trials.
        store: absolute path of the store; the caller holds the claim of the search there.
        take_over: ignore an owner on another machine, which may still be alive.
    Raises:
        InputError: if the study has another definition, or another process owns it.
    """
    import optuna

    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    attributes = study.user_attrs
    if DEFINITION not in attributes:
        if study.get_trials(deepcopy=False):
            raise InputError(f"--name: study of the storage is not from slbench (got {shown(name)}); choose another")
        study.set_user_attr(DEFINITION, definition)
    elif (other := first_difference(attributes[DEFINITION], json.loads(json.dumps(definition)))) is not None:
        key, before, now = other
        raise InputError(
            f"--name: search '{name}' exists with another {key}: {before} (got {now}); choose another name"
        )
    check_owner(name, attributes.get(OWNER), store=store, take_over=take_over)
    pid = os.getpid()
    owner = {
        "store": store,
        "hostname": platform.node(),
        "boot": boot_id(),
        "pid": pid,
        "started": process_start_time(pid),
    }
    study.set_user_attr(OWNER, owner)
    return study


def check_owner(name: str, owner: Mapping[str, Any] | None, *, store: str, take_over: bool) -> None:
    """Raise InputError if another process may own a search; on the same store it is dead, as we hold its claim."""
    if owner is None or take_over:
        return
    if not isinstance(owner, Mapping) or not {"store", "hostname", "boot", "pid", "started"} <= set(owner):
        raise InputError(f"--name: owner of the search is unreadable (got {shown(name)}); continue with --take-over")
    if owner["store"] == store:
        return
    if owner["boot"] == boot_id() and not is_alive(owner["pid"], owner["started"]):
        return
    where = f"process {owner['pid']} on {owner['hostname']}, with the store {owner['store']}"
    hint = "" if owner["boot"] == boot_id() else "; if it is dead, continue with --take-over"
    raise InputError(f"--name: search is owned by {where} (got {shown(name)}){hint}")


def release_owner(study: "optuna.Study") -> None:
    """Remove the owner of a search."""
    study.set_user_attr(OWNER, None)


def first_difference(before: Any, now: Any, path: str = "") -> tuple[str, str, str] | None:
    """Return the first difference of two definitions: key and both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            difference = first_difference(before.get(key), now.get(key), f"{path}.{key}" if path else key)
            if difference is not None:
                return difference
        return None
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        differences = (first_difference(*pair, path) for pair in zip(before, now, strict=True))
        return next((difference for difference in differences if difference is not None), None)
    return None if before == now else (path, short(before), short(now))


def short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "..."
