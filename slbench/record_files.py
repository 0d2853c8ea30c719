"""Checks of the files of an ended run against its record: spec, history, weights, test outputs, nothing else."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from slbench.errors import StoreError
from slbench.files import TEMPORARY, open_regular, read_regular
from slbench.history import read_history, results_of
from slbench.record import DivergedRecord, Outcome, RunRecord, first_wrong
from slbench.run_paths import CHECKPOINTS, RunPaths
from slbench.spec import RunSpec
from slbench.stored_outputs import read_outputs
from slbench.text import shown
from slbench.validation import adapter

EXPECTED = (RunPaths.spec, RunPaths.history)
ALLOWED = (
    *EXPECTED, RunPaths.record, RunPaths.diverged, RunPaths.temperatures, RunPaths.weights, RunPaths.selected_weights,
    RunPaths.logits, RunPaths.log, *CHECKPOINTS, RunPaths.conditions, RunPaths.launch, RunPaths.failure,
    RunPaths.pruned,
)  # fmt: skip

OF_ATTEMPTS = (*CHECKPOINTS, RunPaths.conditions, RunPaths.launch, RunPaths.failure, RunPaths.pruned)
ARCHIVED = tuple(name for name in ALLOWED if name not in OF_ATTEMPTS)


def check_files(folder: Path, outcome: Outcome) -> None:
    """Raise StoreError, naming the file, if spec.json or metrics.csv of a run contradicts its record.

    Missing files contradict nothing; `problems` names them.
    """
    for found in (spec_problem(folder, outcome), history_problem(folder, outcome)):
        if found is not None:
            raise StoreError(f"{found}; delete the folder of the run to run it again")


def problems(folder: Path, outcome: Outcome) -> Iterator[str]:
    """Yield a line for everything in the folder of an ended run that is not as its record says."""
    yield from absent(folder)
    for found in (spec_problem(folder, outcome), history_problem(folder, outcome)):
        if found is not None:
            yield found
    for path in sorted(folder.iterdir()):
        if TEMPORARY.fullmatch(path.name) and path.is_file():  # of a killed process; `slbench clean` removes it
            continue
        if path.name not in ALLOWED:
            yield f"{path}: no file of a run; allowed: {', '.join(ALLOWED)}"
        elif not path.is_file() or path.is_symlink():
            yield f"{path}: must be a file"
    if isinstance(outcome, RunRecord):
        if RunPaths(folder).diverged.exists():
            yield f"{RunPaths(folder).diverged}: contradicts the record of a finished run"
        yield from weight_problems(folder, outcome)
        yield from output_problem(folder, outcome)


def absent(folder: Path) -> Iterator[str]:
    """Yield a line for each missing file that every ended run has."""
    yield from (f"{folder / name}: is missing" for name in EXPECTED if not os.path.lexists(folder / name))


def spec_problem(folder: Path, outcome: Outcome) -> str | None:
    """Return in one line how spec.json contradicts a record; None if it does not, or is missing."""
    path = RunPaths(folder).spec
    try:
        spec = adapter(RunSpec).validate_json(read_regular(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except ValidationError as error:
        return f"{path}: damaged or of another version: {first_wrong(error)}"
    if spec.run_id != outcome.run_id:
        return f"{path}: run_id: contradicts the record (got {shown(spec.run_id)}); allowed: {outcome.run_id}"
    return None


def history_problem(folder: Path, outcome: Outcome) -> str | None:
    """Return in one line how metrics.csv contradicts a record; None if it does not, or is missing."""
    path = folder / outcome.history
    try:
        history = read_history(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except ValueError as error:
        return f"{path}: damaged: {error}"
    epochs = outcome.epoch - 1 if isinstance(outcome, DivergedRecord) else outcome.spec.recipe.epochs
    if len(history) != epochs:
        return f"{path}: epochs: contradict the record (got {len(history)}); allowed: {epochs}"
    for name, value in (results_of(history) if history else {}).items():
        if getattr(outcome, name) != value:
            recorded = shown(getattr(outcome, name))
            return f"{path}: {name}: contradicts the record (got {shown(value)}); allowed: {recorded}"
    return None


def weight_problems(folder: Path, record: RunRecord) -> Iterator[str]:
    """Yield a line for each file of weights with another sha256 than the record says."""
    for name, expected in (
        (RunPaths.weights, record.weights_sha256),
        (RunPaths.selected_weights, record.selected_weights_sha256),
    ):
        path = folder / name
        if path.is_file() and (got := sha256(path)) != expected:
            allowed = (expected or "no file")[:12]
            yield f"{path}: damaged: sha256 contradicts the record (got {got[:12]}); allowed: {allowed}"


def output_problem(folder: Path, record: RunRecord) -> Iterator[str]:
    """Yield in one line how stored test outputs, if any, are damaged or contradict a record; nothing if they do not."""
    path = RunPaths(folder).logits
    try:
        if os.path.lexists(path):
            read_outputs(path, record)
    except StoreError as error:
        yield str(error)


def sha256(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
