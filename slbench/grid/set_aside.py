"""Ended runs that are to be trained again: their folders are kept beside those of the store."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slbench.errors import InputError, StoreError
from slbench.record import Outcome, RunRecord
from slbench.store import ENDED, Store, read_ended
from slbench.study import StudyRun


@dataclass(frozen=True)
class SetAside:
    """An ended run before it is trained again."""

    run: StudyRun
    folder: Path  # where its files are now
    outcome: Outcome | None  # None: damaged


def set_aside(runs: Iterable[StudyRun], store: Store) -> list[SetAside]:
    """Move the folders of those runs that have ended to `<store>/replaced`, so that they are trained again.

    Raises:
        InputError: if another process is working on one of them; the others may have been moved then.
    """
    runs = list(runs)
    states = store.states(run.spec for run in runs)
    return [move(run, store) for run in runs if states[run.spec.run_id] in ENDED]


def move(run: StudyRun, store: Store) -> SetAside:
    """Move the folder of one run, with the claim of the run."""
    claim = store.claims.acquire_unless_alive(run.spec.run_id)
    if claim is None:
        raise InputError(f"--force: {run.title} is being trained by another process; wait for it (slbench status)")
    try:
        folder = store.folder(run.spec, run.labels)
        try:
            outcome = read_ended(folder)
        except StoreError:
            outcome = None
        target = free_folder(store.root / "replaced", folder.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
        store.unlink(run.spec.run_id)
        return SetAside(run, target, outcome)
    finally:
        claim.release(done=True)


def free_folder(parent: Path, name: str) -> Path:
    """Return the first of NAME-1, NAME-2, ... that does not exist."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def comparison_line(before: SetAside, store: Store) -> str | None:
    """Return how a run that was trained again compares with what it was before; None if it has not finished."""
    now = store.record(before.run.spec.run_id)
    if now is None:
        return None
    kept = f"before: {before.folder}"
    if not isinstance(before.outcome, RunRecord):
        return f"again   {before.run.title}: test top-1 {now.final_test_top1:.2f} %; {kept}"
    if before.outcome.weights_sha256 == now.weights_sha256:
        return f"again   {before.run.title}: the same weights, bit for bit; {kept}"
    return (
        f"again   {before.run.title}: test top-1 {before.outcome.final_test_top1:.2f} % before, "
        f"{now.final_test_top1:.2f} % now; {kept}"
    )
