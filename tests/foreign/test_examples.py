"""The examples of plugins, as a study uses them: planned, trained, continued, read again."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from slbench import user_files
from slbench.cli import main
from slbench.data import DataConfig
from slbench.errors import InputError
from slbench.store import Store
from slbench.study import Flags, StudyRun, load_study
from slbench.tuning.target import TuningTarget
from tests.foreign.helpers import EXAMPLES, write
from tests.support import naming, train_here

STUDY = f"""
plugins = ["{EXAMPLES}/my_methods.py", "{EXAMPLES}/my_data.py"]
[grid]
backbone = [{{ name = "vit", patch_size = 8, dim = 6, depth = 1, num_heads = 2 }}]
method = ["cosine", "two-convolutions"]
dataset = "stripes"
[set]
recipe.epochs = 1
recipe.batch_size = 90
recipe.precision = "fp32"
recipe.augmentation = "darken"
"""
OWN_MODEL = f"""
[grid]
backbone = [{{ name = "{EXAMPLES}/tiny_vit.py:TinyViT", patch_size = 16, dim = 4, depth = 1, num_heads = 2 }}]
method = ["both"]
[set]
recipe.epochs = 1
recipe.batch_size = 512
recipe.precision = "fp32"
"""


def runs_of(path: Path, text: str) -> tuple[StudyRun, ...]:
    return load_study(write(path, text), Flags(data=DataConfig.read(runs_plugins=True))).runs


def test_a_data_set_of_a_plugin_is_made_by_the_plan_and_then_known_to_the_status(tmp_path: Path) -> None:
    path = write(tmp_path / "study.toml", STUDY)
    config = DataConfig.read(tmp_path / "data")
    with pytest.raises(InputError, match=naming("stripes", "--plan")):
        load_study(path, Flags(data=config))
    runs = load_study(path, Flags(data=DataConfig.read(tmp_path / "data", runs_plugins=True))).runs
    user_files.loaded.clear()
    assert load_study(path, Flags(data=config)).runs == runs
    assert not user_files.loaded
    assert (runs[0].spec.dataset.num_train, runs[0].spec.dataset.num_classes) == (400, 4)
    assert runs[0].labels.dataset == "stripes"


def test_own_methods_data_and_augmentation_train_to_the_same_bits_twice(tmp_path: Path) -> None:
    for run in runs_of(tmp_path / "study.toml", STUDY):
        first, again = (train_here(run, Store(tmp_path / name)) for name in ("first", "again"))
        assert first.differences(again) == {}


def test_the_study_of_a_search_names_files_by_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    target = TuningTarget("tiny_vit.py:TinyViT", "fashion-mnist-12k", "lsa", plugins=("my_methods.py",))
    text = target.study_file({}, seeds=[3], protocol="holdout", title="best", comments=[])
    monkeypatch.chdir(tmp_path)
    (run,) = load_study(write(tmp_path / "elsewhere" / "best.toml", text)).runs
    assert run.spec == target.runs({}, seeds=[3])[0].spec


@pytest.mark.slow
def test_workers_train_an_own_model_and_analyses_need_its_file(tmp_path: Path) -> None:
    study, store = write(tmp_path / "study.toml", OWN_MODEL), ["--store", str(tmp_path / "store")]
    assert main(["run-grid", str(study), *store, "--no-throughput", "--devices", "cpu"]) == 0
    run_id = Store(tmp_path / "store").ids().popitem()[0]
    user_files.named.clear()
    analysis = ["analyze", "sharpness", run_id, "--max-images", "7", *store, "--json"]
    assert main(analysis) == 2
    with redirect_stdout(io.StringIO()) as out:
        assert main([*analysis, "--plugin", str(EXAMPLES / "tiny_vit.py")]) == 0
    assert json.loads(out.getvalue())["rows"]


@pytest.mark.slow
def test_an_own_model_resumes_bit_by_bit(tmp_path: Path) -> None:
    study = write(tmp_path / "study.toml", OWN_MODEL.replace("epochs = 1", "epochs = 4"))
    assert main(["verify-resume", str(study), "--kills", "1", "--devices", "cpu"]) == 0
