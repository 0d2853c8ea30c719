"""Storages of a search: opening, repair and one-line errors."""

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from slbench import claims
from slbench.claims import Owner, boot_id, process_start_time
from slbench.errors import InputError
from slbench.store import Store
from slbench.text import hide_password
from slbench.tuning.run import claim_search
from slbench.tuning.storage import (
    JOURNAL,
    OWNER,
    StorageError,
    close_storage,
    ended_twice,
    open_storage,
    open_study,
    reporting_outages,
)
from slbench.tuning.storage_url import without_secrets
from tests.kills import killed_folders
from tests.support import naming
from tests.tuning.simulation import World, config, new_study, states

DEFINITION = {"run": {"recipe": {"lr": 0.003}}, "space": [{"path": "recipe.lr", "low": 0.1}], "seeds_per_trial": 3}


def opened(url: str | None, folder: Path, **changes: object) -> optuna.Study:
    return open_study(open_storage(url, folder), "search-both", {**DEFINITION, **changes}, store=str(folder))


def test_a_search_continues_from_a_journal_and_a_database(tmp_path: Path) -> None:
    for url in (None, f"sqlite:///{tmp_path}/search.db"):
        uninterrupted = new_study()
        World().search([World().method_search(uninterrupted, config=config(trials=4))])
        world = World()
        world.search([world.method_search(opened(url, tmp_path), config=config(trials=2))])
        again = World(done=world.done)
        again.search([again.method_search(opened(url, tmp_path), config=config(trials=4))])
        assert states(opened(url, tmp_path)) == states(uninterrupted)


def test_an_incomplete_last_line_of_a_journal_is_cut_off(tmp_path: Path) -> None:
    world = World()
    world.search([world.method_search(opened(None, tmp_path), config=config(trials=2))])
    before = states(opened(None, tmp_path))
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code":8,"trial_id":')
    again = World(done=world.done)
    again.search([again.method_search(opened(None, tmp_path), config=config(trials=3))])
    assert states(opened(None, tmp_path))[:2] == before
    assert len(states(opened(None, tmp_path))) == 3


def test_a_search_continues_whose_process_was_killed_with_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    dead = Owner(token="t", hostname="far", boot="before the restart", processes=((1, "1"),))
    (store.claims.root / "tuning-search").mkdir(parents=True)
    (store.claims.root / "tuning-search" / "1.json").write_text(dead.model_dump_json())
    monkeypatch.setattr(claims, "STALE_SECONDS", 0.0)
    monkeypatch.setattr(claims, "LOOK_SECONDS", 0.0)
    tuning: Any = SimpleNamespace(store=store, config=config())
    with claim_search(tuning), pytest.raises(InputError, match=naming("--name", "search")), claim_search(tuning):
        pass
    assert store.claims.names() == set()


def test_a_process_that_was_killed_at_a_journal_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna would wait for ever for a lock in a folder that was given as a relative path, as the default store is."""
    monkeypatch.chdir(tmp_path)
    locks = 0
    for folder in killed_folders(Path(), lambda folder: opened(None, folder)):
        locks += len(list(folder.glob(f"{JOURNAL}.*")))
        open_storage(None, folder)
        assert [path.name for path in folder.iterdir()] == [JOURNAL]
        assert opened(None, folder).user_attrs[OWNER]["pid"] == os.getpid()
    assert locks


def test_a_journal_that_is_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    world = World()
    world.search([world.method_search(opened(None, tmp_path), config=config(trials=2))])
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([*lines[:3], b"rubbish\n", *lines[3:]]))
    with pytest.raises(InputError, match=naming("journal.log")):
        open_storage(None, tmp_path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", naming("--storage", "URL", "sqlite:///search.db")),
        ("oracles://a@b/c", naming("--storage", "oracles://a@b/c", "URL")),
        ("grpc://", naming("--storage", "grpc://", "grpc://HOST:PORT")),
        ("grpc://host:port", naming("--storage", "grpc://host:port", "grpc://HOST:PORT")),
        ("grpc://me:secret@host:x", naming("--storage", "me:***@host", "grpc://HOST:PORT")),
        ("grpc://host:99999", naming("--storage", "grpc://host:99999", "grpc://HOST:PORT")),
        ("postgresql://me:secret@[::1", naming("--storage", "me:***@[::1", "sqlite:///search.db")),
        ("postgresql://me:secret@h:port/d", naming("--storage", "me:***@h:port")),
        ("postgresql://me:se/secret@h:port/d", naming("--storage", "me:***@h:port")),
        ("postgresql+psycopg://127.0.0.1:1/d?user=me&password=secret", naming("password=***")),
        ("sqlite:///a\0b", naming("--storage", "file name")),
        ("sqlite://", naming("--storage", "memory", "sqlite:///FILE")),
        ("sqlite:///:memory:", naming("--storage", "memory")),
        ("sqlite:///file:x?mode=memory&uri=true", naming("--storage", "memory")),
        ("mysql+nodriver://a@b/c", naming("URL")),
        ("sqlite:////no/such/folder/search.db", naming("database")),
        (
            "postgresql+psycopg://me:secret@127.0.0.1:1/db",
            naming("--storage", "postgresql+psycopg://me:***@127.0.0.1:1/db"),
        ),
    ],
)
def test_an_unreachable_storage_is_one_line_without_the_password(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_storage(url, tmp_path)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [b"x", b"[grid]\nseed = [0]\n" * 99, b"SQLite format 3\0", "tables"])
def test_a_file_that_is_not_a_database_of_a_search_is_refused_and_kept(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE photos (id INTEGER)")
            connection.commit()
    before = path.read_bytes()
    with pytest.raises(InputError, match=naming("--storage", path, "database")):
        open_storage(f"sqlite:///{path}", tmp_path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_storage_and_a_folder_or_fifo_does_not(tmp_path: Path) -> None:
    (tmp_path / "new.db").touch()
    close_storage(open_storage(f"sqlite:///{tmp_path}/new.db", tmp_path))
    os.mkfifo(tmp_path / "fifo")
    for name in ("", "fifo"):
        with pytest.raises(InputError, match="--storage"):
            open_storage(f"sqlite:///{tmp_path}/{name}", tmp_path)


def test_passwords_are_hidden_wherever_a_url_stands() -> None:
    for url in ("a://me:secret@h/d", "--storage=a://me:secret@h/d", "a://me:s@secret@[::1", "a://h/d?password=secret"):
        assert "secret" not in hide_password(url) and "***" in hide_password(url)
    assert without_secrets("login with se@cret failed", "a://me:se%40cret@h/d") == "login with *** failed"
    for url in ("sqlite:///search.db", "postgresql://me@h:5432/d", "npz:/data/a@b.npz"):
        assert hide_password(url) == url


DAMAGE = {
    "an unknown operation": b'{"op_code":99,"worker_id":"a"}\n',
    "an operation that is text": b'{"op_code":"6"}\n',
    "a list": b"[1]\n",
    "a study that does not exist": b'{"op_code":2,"worker_id":"a"}\n',
    "a damaged last line": b"rubbish\n",
    "an empty line": b"\n",
    "no text": b"\xff\xfe\n",
    "deep nesting": b"[" * 100_000 + b"\n",
    "an impossible date": b'{"op_code":6,"worker_id":"a","trial_id":0,"state":9}\n',
}


@pytest.mark.parametrize("line", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_line_of_a_journal_is_one_line(line: bytes, tmp_path: Path) -> None:
    opened(None, tmp_path).ask()
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(line)
    with pytest.raises(InputError, match=naming(JOURNAL, "damaged", "move it away")) as caught:
        open_storage(None, tmp_path)
    assert "\n" not in str(caught.value)


def test_trials_that_a_journal_ends_twice_are_found(tmp_path: Path) -> None:
    study = opened(None, tmp_path)
    for value in (45.0, 46.0):
        study.tell(study.ask(), value)
    assert ended_twice(tmp_path / JOURNAL) == set()
    (last,) = (tmp_path / JOURNAL).read_bytes().splitlines()[-1:]
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(last.replace(b"46.0", b"99.0") + b"\n")
    assert ended_twice(tmp_path / JOURNAL) == {1}
    assert opened(None, tmp_path).best_value == 46.0


def test_a_journal_that_is_a_folder_or_a_fifo_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a" / JOURNAL).mkdir(parents=True)
    (tmp_path / "b").mkdir()
    os.mkfifo(tmp_path / "b" / JOURNAL)
    for folder in ("a", "b"):
        with pytest.raises(InputError, match=naming(JOURNAL, "not usable")):
            open_storage(None, tmp_path / folder)


def test_an_unreadable_owner_is_one_line(tmp_path: Path) -> None:
    opened(None, tmp_path).set_user_attr(OWNER, "me")
    with pytest.raises(InputError, match=naming("owner", "--take-over")):
        opened(None, tmp_path)


def test_a_proxy_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.tuning.storage.GRPC_SECONDS", 0.2)
    with pytest.raises(InputError, match=naming("--storage", "grpc://127.0.0.1:1", "0.2 s")):
        open_storage("grpc://127.0.0.1:1", tmp_path)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")  # the server's; ours is silenced
def test_a_proxy_serves_a_search(tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = open_storage(f"sqlite:///{tmp_path}/behind.db", tmp_path)
    server = threading.Thread(
        target=optuna.storages.run_grpc_proxy_server, args=(backend,), kwargs={"host": "127.0.0.1", "port": port},
        daemon=True,
    )  # fmt: skip
    server.start()
    world = World()
    proxy = open_storage(f"grpc://127.0.0.1:{port}", tmp_path)
    study = open_study(proxy, "search-both", DEFINITION, store=str(tmp_path))
    world.search([world.method_search(study, config=config(trials=3))])
    close_storage(proxy)
    uninterrupted = new_study()
    World().search([World().method_search(uninterrupted, config=config(trials=3))])
    assert states(opened(f"sqlite:///{tmp_path}/behind.db", tmp_path)) == states(uninterrupted)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds_per_trial": 2}, ("seeds_per_trial", "3", "2")),
        ({"run": {"recipe": {"lr": 0.001}}}, ("run.recipe.lr", "0.003", "0.001")),
        ({"space": [{"path": "recipe.lr", "low": 0.2}]}, ("space.low", "0.1", "0.2")),
        ({"space": []}, ("space",)),
    ],
)
def test_the_name_of_another_search_is_refused(
    changes: dict[str, object], words: tuple[str, ...], tmp_path: Path
) -> None:
    opened(None, tmp_path)
    with pytest.raises(InputError, match=naming("search-both", *words)):
        opened(None, tmp_path, **changes)


def test_a_study_not_from_slbench_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/search.db"
    study = optuna.create_study(storage=url, study_name="search-both")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(InputError, match=naming("search-both", "--name")):
        opened(url, tmp_path)


def owned_by(study: optuna.Study, **changes: object) -> None:
    owner = {"store": "/elsewhere", "hostname": "host-7", "boot": boot_id(), "pid": 1, "started": process_start_time(1)}
    study.set_user_attr(OWNER, {**owner, **changes})


def test_a_search_with_a_live_owner_is_refused(tmp_path: Path) -> None:
    study = opened(None, tmp_path)
    owned_by(study, pid=os.getpid(), started=process_start_time(os.getpid()))
    with pytest.raises(InputError, match=naming(os.getpid(), "host-7")) as caught:
        opened(None, tmp_path)
    assert "--take-over" not in str(caught.value)  # it is alive
    owned_by(study, boot="of another machine")
    with pytest.raises(InputError, match=naming("--take-over")):
        opened(None, tmp_path)
    open_study(open_storage(None, tmp_path), "search-both", DEFINITION, store=str(tmp_path), take_over=True)


@pytest.mark.parametrize("owner", [{"started": "long ago"}, {"store": "ours"}, {"boot": boot_id(), "started": ""}])
def test_a_dead_owner_is_replaced(owner: dict[str, object], tmp_path: Path) -> None:
    study = opened(None, tmp_path)
    owned_by(study, **{**owner, "store": str(tmp_path) if owner.get("store") else "/elsewhere"})
    assert opened(None, tmp_path).user_attrs[OWNER]["pid"] == os.getpid()


def test_an_outage_is_one_line_without_the_password() -> None:
    from sqlalchemy.exc import OperationalError

    with (
        pytest.raises(StorageError, match=naming("postgresql://me:***@h/d")),
        reporting_outages("postgresql://me:secret@h/d"),
    ):
        raise OperationalError("SELECT 1", {}, Exception("gone\nmore"))
