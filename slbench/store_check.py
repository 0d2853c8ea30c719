"""Check of a whole store: every run, study, search and measurement."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from slbench.archive.export import MEASURED
from slbench.errors import StoreError
from slbench.files import read_regular
from slbench.record_files import problems
from slbench.store import Store, damage, read_ended, read_spec
from slbench.study_files import studies_of
from slbench.tuning.record import load, searches


def store_problems(store: Store) -> Iterator[str]:
    """Yield a line for everything in a store that is damaged, impossible or contradicts itself."""
    for folder in store.ids().values():
        if (line := damage(folder)) is not None:
            yield line
        elif (outcome := read_ended(folder)) is not None:
            yield from problems(folder, outcome)
        elif isinstance(text := read_spec(folder), str):
            yield text
    yield from studies_of(store)[1]
    for search in searches(store):
        try:
            load(search)
        except StoreError as error:
            yield str(error)
    for kind, model in MEASURED.items():
        yield from unreadable_measurements(store.root / kind, model)


def unreadable_measurements(folder: Path, model: type[BaseModel]) -> Iterator[str]:
    """Yield a line for each measurement of a kind that cannot be read."""
    for path in sorted(folder.glob("*/*.json")):
        try:
            model.model_validate_json(read_regular(path))
        except OSError as error:
            yield f"{path}: cannot be read: {error.strerror}"
        except ValueError as error:
            yield f"{path}: damaged: {str(error).splitlines()[0]}"
