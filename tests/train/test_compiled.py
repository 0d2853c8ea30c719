"""Compiled runs: the same training up to rounding; without a compiler eager, which log and record say."""

import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from slbench.errors import TrainingError
from slbench.record import RunRecord
from slbench.store import Store
from slbench.train import compiled as compiling
from slbench.train.checkpoint import Checkpoints
from tests.support import make_record, missing, runs
from tests.train.helpers import LABELS, SPEC, FinishedRun, execute, reproducible_fields, run_until_killed, tiny

COMPILED = dataclasses.replace(SPEC.recipe, compile=True)
ASKED = tiny(recipe=COMPILED)
SAME = """
import dataclasses, torch
from torch._dynamo.utils import counters
from slbench.data import load
from slbench.torch_runtime import reproducible
from slbench.train import compiled as compiling
from slbench.train.run import prepare
from tests.train.helpers import RECIPE, tiny

def with_torch_kernels(network, *, threads):
    graph = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    return lambda images: graph(images.contiguous())

compiling.compiled = with_torch_kernels
recipe = dataclasses.replace(RECIPE, epochs=1, batch_size=390, drop_last=False, drop_path=0.4, ema_decay=0.5)
spec, states = tiny(recipe=recipe), []
with reproducible(1):
    for compiles in (False, True):
        how = {"device": torch.device("cpu"), "precision": "fp32", "on_progress": lambda progress: None}
        training, network = prepare(spec, load(spec.dataset), **how)
        if compiles:
            reason = compiling.compile_steps(training, threads=1)
            assert not reason, reason
            graphs = counters["stats"]["unique_graphs"]
            assert graphs == 2, graphs  # of the last batch, which is smaller, too
        training._train_epoch(1)
        states.append(training.state())
assert counters["stats"]["unique_graphs"] == graphs  # none is compiled while a clock runs
for part in ("network", "averaged"):
    first, second = (state[part] for state in states)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first), part
assert torch.equal(states[0]["total"], states[1]["total"])
print("equal")
"""


def script(text: str) -> str:
    """Return what a script prints, in a process without the shape checks of the tests, which graphs cannot contain."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_graph_of_the_training_step_has_the_weights_and_draws_of_the_eager_one() -> None:
    assert script(SAME) == "equal\n"


def test_warming_up_leaves_weights_statistics_and_gradients_as_they_were() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    compiling.warm_up(network, network, [torch.randn(7, 3, 2, 2), torch.randn(2, 3, 2, 2)])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def fail(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("no such kernel\nand a second line")
    monkeypatch.setattr(compiling, "compiled", Mock(side_effect=error))


def compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have compiling succeed with the eager network."""
    monkeypatch.setattr(compiling, "compiled", lambda network, *, threads: network)


def kept(record: RunRecord) -> dict[str, object]:
    """Return the results of a record, which the request to compile does not change."""
    about = {"run_id", "spec", "compiled", "not_compiled"}
    return {name: value for name, value in reproducible_fields(record).items() if name not in about}


def test_a_run_that_cannot_be_compiled_is_eager_and_says_so_once(
    undisturbed: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail(monkeypatch)
    with caplog.at_level(logging.WARNING):
        record = execute(Store(tmp_path), spec=ASKED, compiled=True)
    assert (record.compiled, record.not_compiled) == (False, "RuntimeError: no such kernel")
    (line,) = [entry.getMessage() for entry in caplog.records]
    assert not missing(line, "compile", "eager", "no such kernel") and "second line" not in line
    assert kept(record) == kept(undisturbed[0])


def test_without_a_compiler_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not missing(compiling.missing_compiler("cpu"), "no C++ compiler", "no-such-compiler", "CXX")
    assert compiling.missing_compiler("cuda") == ""
    monkeypatch.setenv("CXX", sys.executable)
    assert compiling.missing_compiler("cpu") == ""


def test_a_compiled_run_stays_compiled_when_it_resumes_or_fails_with_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    compile_nothing(monkeypatch)
    run_until_killed(store, 5, spec=ASKED, compiled=True)
    with monkeypatch.context() as broken:
        fail(broken)
        with pytest.raises(TrainingError) as caught:
            execute(store, spec=ASKED, compiled=True)
    assert not missing(str(caught.value), "compile", "no such kernel", "--force")
    state = Checkpoints(store.folder(ASKED, LABELS)).load()
    assert state is not None and state["training"]["done"] == 5
    record = execute(store, spec=ASKED, compiled=False)  # as another grid may resolve "auto"
    assert record.compiled
    assert not missing(caplog.text, "compiled True", "False")


def test_a_run_that_fell_back_stays_eager_when_it_resumes(
    undisturbed: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as broken:
        fail(broken)
        run_until_killed(store, 5, spec=ASKED, compiled=True)
    monkeypatch.setattr(compiling, "compiled", None)  # not called
    record = execute(store, spec=ASKED, compiled=True)
    assert (record.compiled, record.not_compiled) == (False, "RuntimeError: no such kernel")
    assert kept(record) == kept(undisturbed[0])


@pytest.mark.parametrize(
    ("requested", "how", "named"),
    [
        (True, {}, ("compiled", "not_compiled")),
        (True, {"compiled": True, "not_compiled": "no compiler"}, ("not_compiled",)),
        (False, {"compiled": True}, ("compiled", "recipe.compile")),
        (False, {"not_compiled": "no compiler"}, ("compiled", "recipe.compile")),
    ],
)
def test_no_record_says_otherwise_than_its_recipe_without_a_reason(
    requested: bool, how: dict[str, object], named: tuple[str, ...]
) -> None:
    (run,) = runs(set={"compile": requested})
    with pytest.raises(ValidationError) as caught:
        make_record(run, **{"compiled": False, "not_compiled": "", **how})
    assert not missing(str(caught.value), *named)


def test_compile_is_an_axis_and_part_of_the_id_unless_it_is_false() -> None:
    default, *asked = runs({"compile": [False, True, "auto"]})
    assert default.spec.run_id == runs()[0].spec.run_id
    assert len({run.spec.run_id for run in (default, *asked)}) == 3
    assert [run.spec.recipe.compile for run in asked] == [True, "auto"]
    assert "compile" not in default.spec.numerics
    assert all(run.spec.numerics == default.spec.numerics | {"compile": 1} for run in asked)


STUDY = """
[grid]
backbone = [{ name = "vit", patch_size = 16, dim = 16, depth = 1, num_heads = 2 }]
method = ["both"]
seed = [0]

[set]
recipe = { epochs = 4, batch_size = 100, drop_path = 0.2, precision = "fp32" }
compile = true
"""


@pytest.mark.slow
def test_a_run_compiled_by_inductor_resumes_to_the_bit_and_loads_into_an_eager_network(tmp_path: Path) -> None:
    """The undisturbed run compiles into a new cache, in which the killed one finds the code."""
    (tmp_path / "study.toml").write_text(STUDY)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)

    def slbench(*arguments: str) -> str:
        command = [sys.executable, "-m", "slbench", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "identical" in slbench("verify-resume", "study.toml", "--kills", "1", "--keep", "kept")
    assert any((tmp_path / "cache" / "slbench" / "compile").rglob("*.so"))
    for name in ("undisturbed", "killed"):
        (record,) = Store(tmp_path / "kept" / name).records()
        assert record.compiled
    data = ["--dataset", "fashion-mnist-12k", "--store", "kept/killed", "--json"]
    (result,) = json.loads(slbench("evaluate", record.run_id, *data))
    assert result["top1"] == record.final_test_top1  # by the eager network
