"""Study files that come with slbench, by name: those of `studies/` of a clone, which a wheel has in the package."""

import re
from pathlib import Path

import slbench
from slbench.toml_text import read_toml


def shipped_folder() -> Path:
    """Return the folder of the shipped study files."""
    package = Path(slbench.__file__).parent
    installed = package / "shipped_studies"
    return installed if installed.is_dir() else package.parent / "studies"


def shipped_studies() -> dict[str, Path]:
    """Return the shipped study files by name, sorted."""
    return {path.stem: path for path in sorted(shipped_folder().glob("*.toml"))}


def study_path(path: Path) -> Path:
    """Return the path of a study file that is named by path or, if it is shipped, by name ("quick")."""
    if path.suffix or len(path.parts) != 1 or path.is_file():
        return path
    return shipped_studies().get(path.name, path)


def base_folder(file: Path) -> Path:
    """Return where the relative paths of a study file start: its folder; of a shipped study, one in the package's.

    `../slbench/examples` is then the same in a clone and in an installed package.
    """
    return Path(slbench.__file__).parent if file.parent == shipped_folder() else file.parent


def about(file: Path) -> str:
    """Return the title of a shipped study and its cost, both as its file says: "SPT and LSA; 8 runs, 3 minutes"."""
    cost = re.search(r"^# cost +(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    short = "" if cost is None else re.split(r"[;:(]| on \d+ cores|, estimated", cost[1])[0]
    return "; ".join(filter(None, [read_toml(file).get("title", ""), short]))
