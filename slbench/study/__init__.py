"""A study: a TOML file or flags, checked and expanded into runs."""

from collections.abc import Mapping
from pathlib import Path

from slbench.errors import InputError, similar
from slbench.study.file import Flags, StudyFile, Value
from slbench.study.runs import Comparison, SeedRule, Study, StudyRun
from slbench.text import choices
from slbench.toml_text import read_toml
from slbench.validation import checked

__all__ = ["Comparison", "Flags", "SeedRule", "Study", "StudyRun", "load_study", "make_study"]


def load_study(path: Path, flags: Flags = Flags(), *, folder: Path | None = None) -> Study:
    """Return the study of a TOML file.

    Args:
        folder: where relative paths to a user's models and plugins start; default: the folder of the file.
    Raises:
        InputError: for invalid content, as `file: key: problem (got X); allowed: ...`.
    """
    try:
        content = read_toml(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{similar(path) or nearby(path)}") from error
    if not content and not flags.grid:
        raise InputError(f"{path}: empty study; name what to run under [grid], such as method = ['none', 'both']")
    return make_study(content, name=path.stem, where=str(path), folder=folder or path.parent, flags=flags)


def nearby(path: Path) -> str:
    """Return the study files beside a missing path, or of the folder `studies`, for its error line."""
    folder = path.parent if path.parent.is_dir() else Path("studies")
    return choices(sorted(map(str, folder.glob("*.toml"))), str(folder / path.name))


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
