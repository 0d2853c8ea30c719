"""Files of studies in an archive: without them a report would not know that a seed rule added runs.

studies/<study>.json          as in the store
studies/<study>-<digest>.json  of an imported study that asks something else than the one of its name here
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from slbench.errors import InputError
from slbench.files import dump_json, write_atomic
from slbench.store import Store, safe
from slbench.study_files import FOLDER, StoredStudy, read_study

MEMBER = re.compile(rf"{FOLDER}/([a-z0-9._-]{{1,40}})(-[0-9a-f]{{8}})?\.json")


def studies_with(store: Store, run_ids: Collection[str]) -> Iterator[Path]:
    """Yield the study files of a store that name any of these runs."""
    for path in sorted((store.root / FOLDER).glob("*.json")):
        study = read_study(path)
        is_named = MEMBER.fullmatch(f"{FOLDER}/{path.name}") is not None and not path.is_symlink()
        if is_named and isinstance(study, StoredStudy) and not set(run_ids).isdisjoint(study.runs):
            yield path


def check_studies(folder: Path, archive: Path, run_ids: Collection[str]) -> None:
    """Raise InputError unless the study files of a staging folder are readable, and each names a run of the archive."""
    for path in sorted((folder / FOLDER).glob("*")):
        name, study = f"{FOLDER}/{path.name}", read_study(path)
        if not isinstance(study, StoredStudy):
            raise InputError(f"{archive}: {name}: damaged or of another version")
        if path.name not in (f"{safe(study.name)}.json", other_name(study)):
            raise InputError(f"{archive}: {name}: damaged: its content does not match its name")
        if set(run_ids).isdisjoint(study.runs):
            raise InputError(f"{archive}: {name}: damaged: names no run of the archive")


def import_studies(folder: Path, store: Store) -> int:
    """Add the studies of a staging folder to a store; return the number of files written."""
    return sum(import_study(path, store) for path in sorted((folder / FOLDER).glob("*.json")))


def import_study(path: Path, store: Store) -> bool:
    """Add a study to the store's file of its name, or to one of its own if that asks something else."""
    there = read_study(path)
    assert isinstance(there, StoredStudy), "it has been checked"
    target = store.root / FOLDER / path.name
    here = read_study(target)
    if isinstance(here, StoredStudy) and here.question != there.question:
        target = target.with_name(other_name(there))
        here = read_study(target)
    merged = merge(here, there) if isinstance(here, StoredStudy) else there
    if merged == here:
        return False
    write_atomic(target, dump_json(merged.model_dump(mode="json")))
    return True


def merge(here: StoredStudy, there: StoredStudy) -> StoredStudy:
    """Return a study with the runs and analyses of both; of two analyses of a comparison, that of the further study."""
    first, second = sorted((here, there), key=lambda study: sum(look.n for look in study.looks), reverse=True)
    return first.with_parts(second)


def other_name(study: StoredStudy) -> str:
    """Return the name of the file of a study that asks something else than another of its name."""
    question = study.model_dump(mode="json", include={"contrasts", "statistics", "seeds"})
    return f"{safe(study.name)}-{hashlib.sha256(dump_json(question)).hexdigest()[:8]}.json"
