"""What a search has found, as it is filed: `search.json` beside its tables. Validation numbers, but in `Comparison`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from slbench.errors import StoreError
from slbench.files import dump_json, write_atomic
from slbench.record import first_wrong
from slbench.spec import Protocol
from slbench.store import Store
from slbench.tuning.search import State

FILE = "search.json"
Value = bool | int | float | str


class StoredModel(BaseModel):
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")


class TrialRecord(StoredModel):
    """One trial: a setting, and the validation accuracies of its runs in %."""

    number: int
    state: State
    is_baseline: bool  # the row's own setting, which is the paper's unless the user set another
    setting: dict[str, Value]
    value: float | None  # mean over the seeds of the last epoch's; None unless complete
    last_value: float | None  # of a trial that is not complete, the last that was seen
    by_seed: tuple[float, ...]  # last epoch's, of the seeds that have ended
    curve: tuple[float, ...]  # of the first seed, after each epoch
    epochs: int  # trained, of all seeds together
    images: int  # trained on, counted at each use
    run_ids: tuple[str, ...]
    note: str = ""  # why it failed


class Comparison(StoredModel):
    """The winner beside the row's own setting, both trained anew, on the test images. Accuracies in %."""

    protocol: Protocol
    seeds: tuple[int, ...]
    tuned: tuple[float, ...]  # test top-1 of the last epoch, by seed
    own: tuple[float, ...]
    difference: float | None  # mean of tuned - own over the seeds
    low: float | None  # of its 95 % interval; None with one seed
    high: float | None
    verdict: Literal["better", "worse", "undecided"]
    words: str
    run_ids: tuple[str, ...]


class MethodRecord(StoredModel):
    """The search of one row of an ablation."""

    method: str
    title: str  # as the paper names it
    space: tuple[str, ...]  # a line a parameter
    parameters: tuple[str, ...]  # their paths
    log: tuple[str, ...]  # those of them on a logarithmic scale
    trials: tuple[TrialRecord, ...]
    importance: dict[str, float] | None  # share of each parameter; None with too few trials
    winner: int | None  # number of the trial that was chosen
    comparison: Comparison | None

    def trial(self, number: int | None) -> TrialRecord | None:
        return next((trial for trial in self.trials if trial.number == number), None)

    @property
    def baseline(self) -> TrialRecord | None:
        """The trial of the row's own setting."""
        return next((trial for trial in self.trials if trial.is_baseline), None)

    @property
    def complete(self) -> tuple[TrialRecord, ...]:
        return tuple(trial for trial in self.trials if trial.state == "complete")


class SearchRecord(StoredModel):
    """A search, finished or not."""

    name: str
    command: str
    backbone: str  # as tables print it
    dataset: str
    seeds: int  # of a trial
    epochs: int  # of each of its runs
    images_per_epoch: int
    validation_images: int
    test_images: int
    trials: int  # that were asked for, of each row
    sampler: str
    pruner: str
    sampler_seed: int
    study_names: dict[str, str]  # in Optuna's storage, by row
    storage: str  # without a password
    made_with: tuple[str, ...]  # devices, threads, precision; versions; commits
    notes: tuple[str, ...]
    rows: tuple[MethodRecord, ...]

    @property
    def is_over(self) -> bool:
        return all(not any(trial.state == "running" for trial in row.trials) and row.trials for row in self.rows)


def folder_of(store: Store, name: str) -> Path:
    return store.root / "tuning" / name


def save(record: SearchRecord, folder: Path) -> None:
    write_atomic(folder / FILE, dump_json(record.model_dump(mode="json")))


def load(folder: Path) -> SearchRecord:
    """Raises StoreError, naming the file and the first thing wrong in it."""
    path = folder / FILE
    try:
        return SearchRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StoreError(f"{path}: damaged or of another version: {first_wrong(error)}") from error


def searches(store: Store) -> list[Path]:
    """Folders of the store's searches, by name."""
    return sorted(path.parent for path in (store.root / "tuning").glob(f"*/{FILE}"))


def setting_words(setting: Mapping[str, Value]) -> str:
    """A setting for a person: "initial_temperature 0.71, shift_pixels 2"."""
    return ", ".join(
        f"{path.partition('.')[2]} {f'{value:g}' if isinstance(value, float) else value}"
        for path, value in setting.items()
    )
