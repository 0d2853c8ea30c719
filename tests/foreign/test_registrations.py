"""What plugins register, read from syntax and metadata."""

from pathlib import Path

import pytest

from slbench import registrations, user_files
from slbench.cli import main
from slbench.errors import InputError
from slbench.methods import Method
from slbench.registrations import registered
from slbench.study import load_study
from tests.foreign.helpers import EXAMPLES, NEVER_RUN, write
from tests.support import missing, naming

SCORES = """
from slbench import plugins

@plugins.register_scores("sharp", initial_temperature=0.5)
class Sharp: ...

@plugins.register_tokenizer("both-parts")
class Tokens: ...

@plugins.register_scores(name="both-parts", mask_self=True)
class Masked: ...
"""


def test_decorators_are_read_without_running_the_file(tmp_path: Path) -> None:
    found = registered([write(tmp_path / "mine.py", NEVER_RUN + SCORES)])
    assert {key: (each.object, dict(each.fields)) for key, each in found.items()} == {
        ("scores", "sharp"): ("Sharp", {"initial_temperature": 0.5}),
        ("tokenizer", "both-parts"): ("Tokens", {}),
        ("scores", "both-parts"): ("Masked", {"mask_self": True}),
    }
    assert found["scores", "sharp"].where.endswith("mine.py:5")


def test_the_parts_of_one_name_are_one_method_identified_by_content(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", NEVER_RUN + SCORES)
    write(tmp_path / "study.toml", 'plugins = ["mine.py"]\n[grid]\nmethod = ["sharp", "both-parts"]\n')
    sharp, both = (run.spec.method for run in load_study(tmp_path / "study.toml").runs)
    sha256 = user_files.content_of(path)
    assert (sharp.own_tokenizer, sharp.own_scores) == ("", f"Sharp@{sha256}")
    assert (both.own_tokenizer, both.own_scores, both.mask_self) == (f"Tokens@{sha256}", f"Masked@{sha256}", True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'x'\n@register_scores(name)\nclass A: ...\n", ["mine.py:2", "name in quotes"]),
        ("@register_dataset\ndef a(): ...\n", ["mine.py:1", "name in quotes"]),
        ("@register_scores('x', mask_sel=True)\nclass A: ...\n", ["mine.py:1", "mask_sel", "mask_self"]),
        ("@register_scores('lsa')\nclass A: ...\n", ["mine.py:1", "lsa"]),
        (2 * "@register_scores('x')\nclass A: ...\n", ["mine.py:3", "mine.py:1", "x"]),
        ("def f(:\n", ["mine.py:1"]),
    ],
)
def test_a_wrong_registration_names_file_and_line(tmp_path: Path, text: str, words: list[str]) -> None:
    write(tmp_path / "mine.py", text)
    path = write(tmp_path / "study.toml", 'plugins = ["mine.py"]\n[grid]\nmethod = ["none"]\n')
    with pytest.raises(InputError) as caught:
        load_study(path)
    assert not missing(str(caught.value), *words)


def test_an_unregistered_name_is_one_line_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_bytes((EXAMPLES / "my_data.py").read_bytes())
    for setting, words in {
        '"recipe.augmentation" = "darkn"': ["recipe: augmentation", "darkn", "darken"],
        '"method.own_scores" = "darken"': ["own_scores", "darken", "plugins"],
    }.items():
        path = write(tmp_path / "s.toml", f'plugins = ["data.py"]\n[grid]\nmethod = ["lsa"]\n[set]\n{setting}\n')
        with pytest.raises(InputError) as caught:
            load_study(path)
        assert not missing(str(caught.value), *words)


def test_entry_points_of_installed_packages_are_listed_by_metadata_and_used_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "their_package" / "__init__.py", NEVER_RUN)
    write(tmp_path / "their_package" / "scores.py", NEVER_RUN + SCORES)
    info = tmp_path / "their_package-2.3.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: their-package\nVersion: 2.3\n")
    write(info / "entry_points.txt", "[slbench.methods]\nkeen = their_package.scores:Sharp\n")
    monkeypatch.syspath_prepend(tmp_path)
    registrations.installed.cache_clear()
    assert main(["list", "methods"]) == 0
    assert not missing(capsys.readouterr().out, "keen", "their_package.scores:Sharp", "their-package 2.3")
    path = write(tmp_path / "study.toml", '[grid]\nmethod = ["keen"]\n')
    (run,) = load_study(path).runs
    assert run.spec.method.own_scores.startswith("scores.Sharp@")
    assert run.spec.method.initial_temperature == 0.5
    with pytest.raises(InputError, match=naming("RuntimeError", "this file was run")):
        registrations.load(run.spec.method.own_scores, "scores")


def test_a_tokenizer_excludes_what_changes_the_patch_embedding() -> None:
    with pytest.raises(InputError, match=naming("own_tokenizer", "shift")):
        Method(own_tokenizer="x", shift="diagonal")
