"""Workers with other code than a study began with are refused, or recorded."""

from pathlib import Path

import pytest

from slbench.errors import InputError
from slbench.grid import code_versions
from slbench.grid.code_versions import CodeVersions, join_study, read_versions
from slbench.store import Store
from tests.cli.conftest import Command, slbench, study
from tests.support import naming

__all__ = ["slbench", "study"]
BEGAN = CodeVersions(slbench="0.1.0", source="a" * 64, packages={"torch": "2.9.1"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def be(monkeypatch: pytest.MonkeyPatch, **changes: object) -> CodeVersions:
    """Let this process have other versions."""
    here = BEGAN.model_copy(update=changes)
    monkeypatch.setattr(CodeVersions, "here", lambda: here)
    return here


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"slbench": "0.2.0"}, ("slbench 0.1.0, not 0.2.0",)),
        ({"packages": {"torch": "2.8.0"}}, ("torch 2.9.1, not 2.8.0",)),
        ({"packages": {"torch": "2.9.1", "timm": "1.0"}}, ("timm absent, not 1.0",)),
        ({"source": "b" * 64}, ("another copy of slbench 0.1.0", "a" * 12, "b" * 12)),
    ],
)
def test_other_code_is_refused_unless_allowed_and_then_recorded_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], parts: tuple[str, ...]
) -> None:
    be(monkeypatch)
    assert join_study("tiny", store, allow_mixed=False) is None
    other = be(monkeypatch, **changes)
    path = store.root / "versions" / "tiny.json"
    with pytest.raises(InputError, match=naming("tiny", *parts, "--allow-mixed", path)):
        join_study("tiny", store, allow_mixed=False)
    assert (known := read_versions(path)) is not None and known.mixed == []
    for _ in range(2):
        assert parts[0] in str(join_study("tiny", store, allow_mixed=True))
    assert (known := read_versions(path)) is not None and [each.code for each in known.mixed] == [other]
    assert join_study("another", store, allow_mixed=False) is None


def test_a_worker_of_another_version_does_not_join(
    slbench: Command, study: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch)
    join_study("tiny", store, allow_mixed=False)
    monkeypatch.undo()
    slbench("work", study, "--store", store.root, "--devices", "cpu").check_error("tiny", "began", "--allow-mixed")
    assert not (store.root / "runs").exists()


def test_the_source_is_hashed_by_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "slbench"
    (package / "grid").mkdir(parents=True)
    monkeypatch.setattr(code_versions, "__file__", str(package / "grid" / "code_versions.py"))
    hashes = []
    for name, text in (("a.py", "1"), ("a.py", "2"), ("a.py", "1"), ("b.py", "")):
        (package / name).write_text(text)
        hashes.append(code_versions.hash_of_source())
    assert hashes[0] == hashes[2] and len(set(hashes)) == 3
