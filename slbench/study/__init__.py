"""A study: a TOML file, or the flags that stand for one, checked and expanded into runs."""

from collections.abc import Mapping
from pathlib import Path

from slbench.errors import InputError
from slbench.names import suggestion
from slbench.study.file import Flags, StudyFile, Value
from slbench.study.runs import Comparison, SeedRule, Study, StudyRun
from slbench.validation import checked

__all__ = ["Comparison", "Flags", "SeedRule", "Study", "StudyRun", "load_study", "make_study"]


def load_study(path: Path, flags: Flags = Flags()) -> Study:
    """The study of a TOML file.

    Raises:
        InputError: for anything wrong in it, as `file: key: what, what was got, what is allowed`.
    """
    import tomllib

    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{nearby(path)}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    return make_study(content, name=path.stem, where=str(path), flags=flags)


def nearby(path: Path) -> str:
    """A suggestion of study files beside a path that is not there."""
    folder = path.parent if path.parent.is_dir() else Path("studies")
    known = sorted(found.name for found in folder.glob("*.toml"))
    return suggestion(path.name, known) + f" (in {folder})" if known else ""


def make_study(content: Mapping[str, Value], *, name: str, where: str, flags: Flags = Flags()) -> Study:
    """The study of a file's content.

    Args:
        where: what error lines call the content: the file, or "command line".
    """
    from slbench.study.expand import Expansion

    file: StudyFile = checked(StudyFile, content, where=where)
    return Expansion(file, where=where, flags=flags).study(name)
