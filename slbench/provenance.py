"""Devices, versions and commits of results, as one sentence each."""

from collections.abc import Collection, Iterable

from slbench.machine import Code
from slbench.record import Outcome
from slbench.text import distinct, plural


def version_text(code: Code, package: str) -> str:
    """Return "torch 2.9.0"."""
    return f"{package} {code.versions.get(package, 'of unknown version')}"


def commit_text(code: Code) -> str:
    """Return "commit 2c11378aa with uncommitted changes", or "no commit"."""
    if code.commit is None:
        return "no commit"
    return f"commit {code.commit[:9]}{' with uncommitted changes' if code.dirty else ''}"


def code_text(code: Code) -> str:
    """Return "slbench 0.1.0, torch 2.9.0, commit 2c11378aa"."""
    return f"{version_text(code, 'slbench')}, {version_text(code, 'torch')}, {commit_text(code)}"


def device_text(record: Outcome, *, index: bool = False, without: Collection[str] = ()) -> str:
    """Return "NVIDIA H100 (cuda, 1 thread, bf16, compiled)": what determines the bits of a run besides its spec.

    Args:
        index: keep the index of the device, "cuda:1".
        without: fields of the recipe whose outcome is left out, "recipe.precision" or "recipe.compile".
    """
    parts = [record.device if index else record.device.partition(":")[0], plural(record.threads, "thread")]
    parts += [record.precision] if "recipe.precision" not in without else []
    parts += ["compiled"] if record.compiled and "recipe.compile" not in without else []
    return f"{record.device_name} ({', '.join(parts)})"


def provenance_texts(records: Iterable[Outcome]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the distinct devices and the distinct code versions of some records."""
    records = list(records)
    devices = distinct(device_text(record, index=True) for record in records)
    return devices, distinct(code_text(record.code) for record in records)
