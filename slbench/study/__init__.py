"""A study: a TOML file or flags, checked and expanded into runs."""

from collections.abc import Mapping
from pathlib import Path

from slbench.errors import InputError, similar
from slbench.study.file import Flags, StudyFile, Value
from slbench.study.runs import Comparison, SeedRule, Study, StudyRun
from slbench.study.shipped import base_folder, shipped_studies, study_path
from slbench.text import choices
from slbench.toml_text import read_toml
from slbench.validation import checked

__all__ = ["Comparison", "Flags", "SeedRule", "Study", "StudyRun", "load_study", "make_study"]


def load_study(path: str | Path, flags: Flags = Flags(), *, folder: Path | None = None) -> Study:
    """Return the study of a TOML file.

    Args:
        path: of the file, or the name of a study that is shipped with slbench: "quick".
        folder: where relative paths to a user's models and plugins start; default: `base_folder`.
    Raises:
        InputError: for invalid content, as `file: key: problem (got X); allowed: ...`.
    """
    path = Path(path)
    file = study_path(path)
    try:
        content = read_toml(file)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{similar(path) or nearby(path)}") from error
    if not content and not flags.grid:
        raise InputError(f"{path}: empty study; name what to run under [grid], such as method = ['none', 'both']")
    return make_study(content, name=file.stem, where=str(path), folder=folder or base_folder(file), flags=flags)


def nearby(path: Path) -> str:
    """Return the study files beside a missing path, for its error line; for a name, the shipped studies too."""
    names = list(shipped_studies())
    files = sorted(map(str, path.parent.glob("*.toml"))) if path.parent.is_dir() else []
    if not path.suffix:
        return choices([*files, *names], str(path))
    if not files and path.stem in names:
        return f"; did you mean '{path.stem}', which is shipped with slbench?"
    return choices(files, str(path)) or "; slbench list studies names those that are shipped"


def make_study(
    content: Mapping[str, Value], *, name: str, where: str, folder: Path = Path(), flags: Flags = Flags()
) -> Study:
    """Return the study of a file's content.

    Args:
        where: name of the content in error messages: the file, or "command line".
        folder: of the file, where relative paths to a user's models and plugins start.
    """
    from slbench.study.expand import Expansion

    file: StudyFile = checked(StudyFile, content, where=where)
    return Expansion(file, where=where, folder=folder, flags=flags).study(name)
