"""Users' files: what the hash covers, and that only a named file is run, at the content that was hashed."""

from pathlib import Path

import pytest

from slbench import user_files
from slbench.errors import InputError
from slbench.user_files import add, load_object, locate
from tests.foreign.helpers import write
from tests.support import naming

FUNCTION = "def seven():\n    return 7\n"


def test_the_hash_of_a_package_covers_every_file_of_it(tmp_path: Path) -> None:
    package = tmp_path / "package"
    write(package / "__init__.py", "from .inner import seven\n")
    write(package / "inner" / "__init__.py", FUNCTION)
    before = add(package)
    write(package / "__pycache__" / "x.pyc", "ignored")
    assert add(package) == before
    assert load_object(before, "seven")() == 7
    write(package / "inner" / "__init__.py", FUNCTION.replace("7", "8"))
    assert add(package).sha256 != before.sha256
    (package / "inner" / "__init__.py").rename(package / "inner.py")
    assert add(package).sha256 != before.sha256


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\nimport helpers\n", 2),
        ("from helpers.inner import x\n", 1),
        ("def f():\n    from . import x\n", 2),
        ("import os\nx = (\n", 2),
    ],
)
def test_an_import_that_the_hash_does_not_cover_names_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    write(tmp_path / "helpers.py", FUNCTION)
    file = add(write(tmp_path / "mine.py", text))
    with pytest.raises(InputError, match=naming(f"mine.py:{line}")):
        user_files.defined(file)


def test_modules_of_packages_and_of_python_may_be_imported(tmp_path: Path) -> None:
    write(tmp_path / "random.py", "raise RuntimeError\n")
    file = add(write(tmp_path / "mine.py", f"import random, torch.nn\nfrom slbench import plugins\n{FUNCTION}"))
    assert load_object(file, "seven")() == 7


def test_a_file_that_raises_is_one_line_with_file_and_line(tmp_path: Path) -> None:
    file = add(write(tmp_path / "mine.py", f"{FUNCTION}\nseven.missing\n"))
    with pytest.raises(InputError, match=naming("mine.py:4", "AttributeError", "missing")):
        load_object(file, "seven")


def test_a_file_that_changed_since_it_was_named_is_not_run(tmp_path: Path) -> None:
    file = add(write(tmp_path / "mine.py", FUNCTION))
    write(tmp_path / "mine.py", "raise SystemExit\n")
    user_files.syntax.cache_clear()
    with pytest.raises(InputError, match=naming("mine.py", "changed")):
        load_object(file, "seven")


def test_a_file_that_nobody_named_is_not_found_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "mine.py", FUNCTION)
    sha256 = user_files.content_of(path)
    with pytest.raises(InputError, match=naming("model M", sha256[:12], "--plugin", user_files.VARIABLE)):
        locate(sha256, what="model M")
    monkeypatch.setenv(user_files.VARIABLE, str(path))
    assert locate(sha256, what="model M").path == path


def test_workers_get_the_named_paths_and_miss_what_has_vanished(tmp_path: Path) -> None:
    kept, gone = (write(tmp_path / name, FUNCTION + "#" * len(name)) for name in ("kept.py", "gone!.py"))
    hashes = [add(path).sha256 for path in (kept, gone)]
    paths = user_files.paths()
    user_files.named.clear()
    gone.unlink()
    user_files.add_all(paths)
    assert list(user_files.named) == hashes[:1]


@pytest.mark.parametrize("kind", ["missing", "folder", "object.txt", "object.py"])
def test_what_is_no_python_file_or_function_is_one_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("object.py", "object.txt"):
        write(tmp_path / name, "x = 3\n")
    with pytest.raises(InputError, match=naming(kind)):
        load_object(add(tmp_path / kind), "x")
