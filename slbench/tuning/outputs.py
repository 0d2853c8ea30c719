"""Write tables, figures and study files of a search."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from slbench.csv_text import to_csv
from slbench.errors import StoreError
from slbench.files import write_atomic
from slbench.plotting.style import SCREEN, FigureStyle
from slbench.provenance import provenance_texts
from slbench.store import Store
from slbench.tuning.compare import PROTOCOL
from slbench.tuning.record import FILE, MethodRecord, SearchRecord, setting_words
from slbench.tuning.space import Space
from slbench.tuning.target import TuningTarget

SUMMARY, TRIALS = "summary.md", "trials.csv"


def check_outputs(folder: Path) -> None:
    """Raise StoreError for a folder where a file of a search is to be written."""
    names = {SUMMARY, TRIALS, FILE, "best.toml"}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and (path.name in names or path.suffix in (".png", ".svg", ".pdf", ".toml")):
            raise StoreError(f"{path}: must be a file, but is a folder; move it away")


def write(
    record: SearchRecord, folder: Path, targets: Sequence[TuningTarget], spaces: Sequence[Space], seeds: Sequence[int]
) -> None:
    """Write the study files of the winners, tables and figures."""
    for name, result, target, space in winners(record, targets, spaces):
        won = result.trial(result.winner)
        assert won is not None
        text = target.study_file(
            space.changes(won.setting),
            seeds=seeds or [0],
            protocol=PROTOCOL,
            title=f"{result.title}, tuned by the search {record.name}",
            comments=[
                f"The winner of the search {record.name} (trial {won.number}): {setting_words(won.setting)}.",
                f"Command: {record.command}",
            ],
        )
        write_atomic(folder / name, text.encode())
    write_tables(record, folder)


def write_tables(record: SearchRecord, folder: Path, look: FigureStyle = SCREEN) -> str:
    """Write `trials.csv`, figures and `summary.md` from the record; return the summary."""
    from slbench.tuning.figures import draw
    from slbench.tuning.summary import summary

    write_trials(record, folder)
    files = [name for name in study_files(record) if (folder / name).exists()]
    text = summary(record, draw(record, folder, look), files)
    write_atomic(folder / SUMMARY, text.encode())
    return text


def write_trials(record: SearchRecord, folder: Path) -> None:
    """Write `trials.csv`."""
    from slbench.tuning.summary import trials_frame

    write_atomic(folder / TRIALS, to_csv(trials_frame(record)).encode())


def best_method(record: SearchRecord) -> MethodRecord | None:
    """Return the method with the best winner on the validation images."""
    candidates = [
        (result, won.value) for result in record.rows if (won := result.trial(result.winner)) and won.value is not None
    ]
    return max(candidates, key=lambda pair: pair[1])[0] if candidates else None


def study_files(record: SearchRecord) -> list[str]:
    """Return the names of the winners' study files: `best.toml`, and one per method if there are several."""
    if len(record.rows) == 1:
        return ["best.toml"]
    return ["best.toml", *(f"best-{result.method}.toml" for result in record.rows)]


def winners(
    record: SearchRecord, targets: Sequence[TuningTarget], spaces: Sequence[Space]
) -> Iterator[tuple[str, MethodRecord, TuningTarget, Space]]:
    """Yield the file name, record, target and space of each study file to write."""
    best = best_method(record)
    for result, target, space in zip(record.rows, targets, spaces, strict=True):
        if result.winner is None:
            continue
        if result is best:
            yield "best.toml", result, target, space
        if len(record.rows) > 1:
            yield f"best-{result.method}.toml", result, target, space


def made_with(store: Store, run_ids: Sequence[str]) -> tuple[str, ...]:
    """Return devices, versions and commits of the finished runs."""
    devices, codes = provenance_texts(store.records(run_ids))
    return (*devices, *codes)
