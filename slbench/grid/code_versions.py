"""Versions of the code with which a study began in a store; workers with others are refused, or recorded."""

import hashlib
import platform
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slbench import __version__
from slbench.errors import InputError
from slbench.files import dump_json, read_regular, write_atomic, write_new
from slbench.store import Store, safe

FOLDER = "versions"
PACKAGES = ("torch", "timm")


class CodeVersions(BaseModel):
    """Code of a worker, as far as it can change results."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    slbench: str
    source: str  # hash of the files of slbench: a changed copy has the same version
    packages: dict[str, str]

    @classmethod
    def here(cls) -> "CodeVersions":
        from importlib.metadata import PackageNotFoundError, version

        packages = {}
        for package in PACKAGES:
            try:
                packages[package] = version(package)
            except PackageNotFoundError:
                continue
        return cls(slbench=__version__, source=hash_of_source(), packages=packages)

    def difference(self, other: "CodeVersions") -> str | None:
        """Return the first difference as "torch 2.9.1, not 2.8.0", this one first; None if there is none."""
        mine, others = ({"slbench": each.slbench, **each.packages} for each in (self, other))
        for name in sorted({*mine, *others}):
            if mine.get(name) != others.get(name):
                return f"{name} {mine.get(name, 'absent')}, not {others.get(name, 'absent')}"
        if self.source != other.source:
            return f"another copy of slbench {self.slbench}: source {self.source[:12]}, not {other.source[:12]}"
        return None


class Mixed(BaseModel):
    """A worker that joined with other versions, as it was told to."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    code: CodeVersions
    hostname: str
    joined_at: str


class StudyVersions(BaseModel):
    """Versions of the code of a study in a store."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    began: CodeVersions
    mixed: list[Mixed] = []


def hash_of_source() -> str:
    """Return the sha256 of all Python files of slbench."""
    digest, package = hashlib.sha256(), Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        digest.update(
            f"{path.relative_to(package).as_posix()}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()


def join_study(name: str, store: Store, *, allow_mixed: bool) -> str | None:
    """Check that this process has the code with which a study began in a store; the first one says which that is.

    Args:
        allow_mixed: join with other code, which is recorded.
    Returns:
        A note on the difference, if it was allowed.
    Raises:
        InputError: if the code differs.
    """
    path, here = store.root / FOLDER / f"{safe(name)}.json", CodeVersions.here()
    known = read_versions(path)
    if known is None:
        write_new(path, content(StudyVersions(began=here)))
        known = read_versions(path) or StudyVersions(began=here)
    difference = known.began.difference(here)
    if difference is None:
        return None
    if not allow_mixed:
        raise InputError(
            f"{store.root}: study '{name}' began here with {difference}; "
            f"use the same versions, or --allow-mixed; delete {path} to begin with others"
        )
    if all(each.code != here for each in known.mixed):
        now = datetime.now(UTC).isoformat(timespec="seconds")
        mixed = [*known.mixed, Mixed(code=here, hostname=platform.node(), joined_at=now)]
        write_atomic(path, content(known.model_copy(update={"mixed": mixed})))
    return f"other code than the study began with: {difference}"


def read_versions(path: Path) -> StudyVersions | None:
    """Return the versions of a file; None if there is none, or if it is damaged."""
    try:
        return StudyVersions.model_validate_json(read_regular(path))
    except (OSError, ValidationError):
        return None


def content(versions: StudyVersions) -> bytes:
    return dump_json(versions.model_dump(mode="json"))
