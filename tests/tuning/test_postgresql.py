"""Search stored in a PostgreSQL server started by the test."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from slbench.errors import InputError
from slbench.tuning.storage import StorageError, close_storage, open_storage, open_study, reporting_outages
from tests.tuning.simulation import World, config, new_study, states

pytestmark = pytest.mark.slow
USER = "postgres"


def programs() -> Path:
    """Return the folder of the server's programs; skip the test where there is none (`.ci/run` installs them)."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not candidates:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return candidates[-1].parent


def as_user(*command: object) -> list[str]:
    """Return a command that runs as the server's user; the server refuses root."""
    arguments = [str(word) for word in command]
    return ["runuser", "-u", USER, "--", *arguments] if os.geteuid() == 0 else arguments


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of a new server, and the command that stops it."""
    where = programs()
    folder = Path(subprocess.run(as_user("mktemp", "-d"), capture_output=True, text=True, check=True).stdout.strip())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [where / "pg_ctl", "-D", folder / "data", "-w"]
    subprocess.run(
        as_user(where / "initdb", "-D", folder / "data", "-U", USER, "-A", "trust"), check=True, capture_output=True
    )
    subprocess.run(as_user(*control, "-l", folder / "log", "-o", options, "start"), check=True, capture_output=True)
    stop = as_user(*control, "-m", "immediate", "stop")
    yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres", stop
    subprocess.run(stop, check=False, capture_output=True)
    subprocess.run(as_user("rm", "-rf", folder), check=False)


def test_a_search_in_postgresql_equals_one_in_a_journal_and_reports_outages(
    server: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, stop = server

    storages = []

    def opened() -> optuna.Study:
        storages.append(open_storage(url, tmp_path))
        return open_study(storages[-1], "search-both", {"seeds_per_trial": 2}, store=str(tmp_path))

    options = config(trials=6, sampler="tpe", pruner="median")
    uninterrupted = new_study()
    World().search([World().method_search(uninterrupted, config=options)])
    world = World(steps=15)
    assert not world.search([world.method_search(opened(), config=options)])
    again = World(done=world.done)
    study = opened()
    assert again.search([again.method_search(study, config=options)])
    assert states(study) == states(uninterrupted)

    subprocess.run(stop, check=True, capture_output=True)
    with pytest.raises(StorageError, match="postgresql"), reporting_outages(url):
        study.set_user_attr("any", 1)
    with pytest.raises(InputError, match="not reachable"):
        open_storage(url, tmp_path)
    for storage in storages:
        close_storage(storage)
