"""Reports of the reference studies, printed again from their committed runs.

Each folder `results/reference/NAME` with a `runs.tar.gz` has the report of `studies/reference_NAME.toml`, or of
`studies/NAME.toml` where there is no such file.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import slbench
from slbench.archive.import_archive import import_archive
from slbench.store import Store
from tests.support import ROOT

COMMITTED = ROOT / "results" / "reference"
ARCHIVE = "runs.tar.gz"
TEXTS = {".md", ".csv", ".tex"}  # compared byte by byte
KEPT = TEXTS | {".html", ".png"}  # committed; pictures depend on fonts and on the version of matplotlib


def names() -> list[str]:
    """Return the names of the reference studies with committed runs."""
    return sorted(path.parent.name for path in COMMITTED.glob(f"*/{ARCHIVE}"))


def study_of(name: str) -> Path:
    """Return the study file of a reference study."""
    own = ROOT / "studies" / f"reference_{name}.toml"
    return own if own.exists() else ROOT / "studies" / f"{name}.toml"


def regenerate(name: str, folder: Path) -> Path:
    """Import the runs of a study into `folder/store` and write their report to `folder/NAME`; return that."""
    store = folder / "store"
    import_archive(COMMITTED / name / ARCHIVE, Store(store))
    target = folder / name
    slbench.write_report(study_of(name), store=store, out=target, figures=["all"], figure_style="paper")
    return target


def kept(folder: Path) -> dict[str, Path]:
    """Return the files of a report that are committed, by name."""
    return {path.name: path for path in folder.iterdir() if path.suffix in KEPT}


def differences(name: str, made: Path) -> Iterator[str]:
    """Yield a line for each file of a report that is missing on one side, and for each text that differs."""
    committed, new = kept(COMMITTED / name), kept(made)
    for file in sorted(committed.keys() | new.keys()):
        if file not in new:
            yield f"{name}/{file}: committed, but not written"
        elif file not in committed:
            yield f"{name}/{file}: written, but not committed"
        elif new[file].suffix in TEXTS and new[file].read_bytes() != committed[file].read_bytes():
            yield f"{name}/{file}: differs from the committed file"


def replace(name: str, made: Path) -> None:
    """Replace the committed report of a study by a new one; its runs and analyses stay."""
    for path in kept(COMMITTED / name).values():
        path.unlink()
    for path in kept(made).values():
        shutil.copyfile(path, COMMITTED / name / path.name)
