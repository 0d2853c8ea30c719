"""What a grid will take, from made probes whose sums can be done by hand, and from one that is made."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from slbench import machine
from slbench.errors import InputError
from slbench.grid import concurrency
from slbench.grid.estimate import (
    Estimate,
    JobSetting,
    ProbeResults,
    estimate,
    job_seconds,
    load_probes,
    probe_key,
    probe_missing,
    save_probes,
    setting_of,
    unprobed,
)
from slbench.grid.slots import Device, Resolved, Slot
from slbench.measurement_records import Probe
from slbench.recipes import Precision
from slbench.store import Store
from tests.grid.helpers import made_probe
from tests.support import missing, naming, runs

CPU = Device("cpu", "Processor", False)
GPU = Device("cuda:0", "GPU", True, memory_bytes=10**9)
FP32: dict[Precision, Resolved] = {"fp32": "fp32"}
SHORT = {"recipe.epochs": 3, "recipe.batch_size": 512, "recipe.precision": "fp32"}


def slots(jobs: int, device: Device = CPU) -> list[Slot]:
    return [Slot(i, device, 1) for i in range(jobs)]


def test_a_job_takes_its_start_its_epochs_and_its_end() -> None:
    (run,) = runs(set=SHORT)
    # 17 steps, 1,000 validation and 2,000 test images an epoch
    epoch = 17 * 0.5 + 3_000 * 0.001 + 0.25
    probe = made_probe(run, JobSetting("cpu", 1, "fp32", 1))
    assert job_seconds(run.spec, probe) == pytest.approx(2 + 3 * epoch + 2_000 * 0.001 + 1)
    full = dataclasses.replace(run.spec, protocol="full")  # 19 steps, no validation
    assert job_seconds(full, probe) == pytest.approx(2 + 3 * (19 * 0.5 + 2 + 0.25) + 2 + 1)


def test_seeds_and_epochs_share_a_probe_and_rows_packings_and_batches_do_not() -> None:
    def key(*, jobs: int = 2, seed: int = 0, method: str = "none", settings: Mapping[str, float] | None = None) -> str:
        (run,) = runs({"seed": [seed], "method": [method]}, set=SHORT | dict(settings or {}))
        return probe_key(run.spec, JobSetting("cpu", 1, "fp32", jobs))

    long, share = {"recipe.epochs": 100}, {"dataset.fraction": 0.5}
    assert key() == key(seed=5) == key(settings=long) == key(settings=share)
    others = {
        key(method="lsa"),
        key(jobs=1),
        key(settings={"recipe.batch_size": 256}),
        key(settings={"recipe.cutmix": 0.5}),
    }
    assert len(others | {key()}) == 5


def test_the_longest_jobs_go_first_to_the_slot_that_is_free_first(tmp_path: Path) -> None:
    made = runs({"method": ["none", "lsa"], "seed": [0, 1]}, set=SHORT)
    two = slots(2)
    setting = setting_of(two[0], two, "fp32")
    probes = ProbeResults(
        Store(tmp_path),
        machine_id="m1",
        others=[
            made_probe(made[0], setting, step_seconds=0.1),
            made_probe(made[2], setting, params=5000, startup_seconds=4.0),
        ],
    )
    short = job_seconds(made[0].spec, probes.get(made[0].spec, setting))  # type: ignore[arg-type]
    long = job_seconds(made[2].spec, probes.get(made[2].spec, setting))  # type: ignore[arg-type]
    estimated = estimate(made, two, precisions=FP32, probes=probes)
    assert estimated is not None
    assert estimated.wall_seconds == pytest.approx(4 + long + short)
    three = estimate(made[:3], two, precisions=FP32, probes=probes)
    assert three is not None
    assert three.wall_seconds == pytest.approx(4 + max(long, 2 * short))
    logits = 2_000 * (2 * 10 + 8)
    assert estimated.disk_bytes == 2 * 4 * 6000 + 4 * logits + 2 * (3 * 3) * 4 * 5000
    assert estimate(made, slots(3), precisions=FP32, probes=probes) is None  # never probed with three at a time
    assert estimate([], two, precisions=FP32, probes=probes) is None


@pytest.mark.slow
def test_a_probe_is_made_once_filed_by_machine_and_comes_near_the_truth(tmp_path: Path) -> None:
    store, two, lines = Store(tmp_path), slots(2), list[str]()
    made = runs({"seed": [0, 1]}, set=SHORT)
    probes = ProbeResults(store, machine_id=machine.host().machine_id)
    unknown = unprobed(made, two, precisions=FP32, probes=probes)
    assert len(unknown) == 1
    probe_missing(unknown, two, store, tell=lines.append)
    assert len(lines) == 1 and not missing(lines[0], "Tiny none", "cpu")
    assert unprobed(made, two, precisions=FP32, probes=probes) == []
    (file,) = (tmp_path / "probes" / machine.host().machine_id).iterdir()
    probe = Probe.model_validate_json(file.read_bytes())
    assert (probe.params, probe.jobs, probe.data) == (2_786, 2, "its own")
    assert probe.steps >= 5
    assert 0 < probe.step_seconds < 5
    assert 0 < probe.startup_seconds < 60
    assert store.states(run.spec for run in made) == {run.spec.run_id: "missing" for run in made}


def test_a_job_that_cannot_be_probed_is_told_and_has_no_estimate(tmp_path: Path, python: Callable[[str], None]) -> None:
    python("echo RuntimeError: no memory >&2; exit 1")
    store, one, lines = Store(tmp_path), slots(1), list[str]()
    made = runs(set=SHORT)
    probes = ProbeResults(store, machine_id=machine.host().machine_id)
    probe_missing(unprobed(made, one, precisions=FP32, probes=probes), one, store, tell=lines.append)
    assert not missing(lines[1], "Tiny none", "exit code 1")
    assert estimate(made, one, precisions=FP32, probes=probes) is None


def test_speeds_travel_in_a_file(tmp_path: Path) -> None:
    (run,) = runs(set=SHORT)
    probe = made_probe(run, JobSetting("cuda", 1, "fp32", 1), device_kind="cuda")
    save_probes(tmp_path / "speeds.json", [probe])
    assert load_probes(tmp_path / "speeds.json") == [probe]


@pytest.mark.parametrize("content", ["", "{}", '[{"key": 1}]', "\x00\xff", None])
def test_a_file_that_holds_no_speeds_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "speeds.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=naming("--speeds", "speeds.json")):
        load_probes(path)


def wall(seconds: float, memory: int) -> Estimate:
    return Estimate({}, seconds, 0, memory)


def test_as_many_jobs_are_chosen_as_end_first_and_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runs(set=SHORT)
    monkeypatch.setattr(concurrency, "candidates", lambda devices, threads: [slots(n, GPU) for n in (1, 2, 4)])
    monkeypatch.setattr(concurrency, "unprobed", lambda *_, **__: [])
    estimated = {1: wall(100, 10**8), 2: wall(80, 4 * 10**8), 4: wall(60, 3 * 10**8)}  # four need 1.2 GB of 1 GB
    monkeypatch.setattr(concurrency, "estimate", lambda runs, slots, **_: estimated[len(slots)])
    lines: list[str] = []

    def choose() -> int:
        return concurrency.choose(made, "cuda:0", threads=1, precisions=FP32, store=Store(tmp_path), tell=lines.append)

    assert choose() == 2
    assert [missing(line, *parts) for line, parts in zip(lines, [("1", "100 s"), ("2", "80 s")], strict=True)] == [
        [],
        [],
    ]
    estimated[2] = wall(120, 10**8)
    assert choose() == 1
    estimated[1] = estimated[2] = wall(1, 10**9)
    with pytest.raises(InputError, match=naming("--jobs-per-device", "auto")):
        choose()


def test_packings_to_try_end_with_a_job_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.machine.usable_cores", lambda: 12)
    assert [len(candidate) for candidate in concurrency.candidates("cpu", threads=1)] == [1, 2, 4, 8, 12]
    assert [len(candidate) for candidate in concurrency.candidates("cpu", threads=4)] == [1, 2, 3]
    monkeypatch.setattr("slbench.machine.usable_cores", lambda: 1)
    assert [len(candidate) for candidate in concurrency.candidates("cpu", threads=1)] == [1]


def test_epochs_of_an_attempt_that_was_killed_are_not_counted_again(tmp_path: Path) -> None:
    (run,) = runs(set=SHORT)
    one = slots(1)
    probe = made_probe(run, setting_of(one[0], one, "fp32"))
    store = Store(tmp_path)
    folder = store.begin(run.spec, run.labels)
    (folder / "metrics.csv").write_text("epoch\n1\n2\n")

    def wall() -> float:
        estimated = estimate([run], one, precisions=FP32, probes=ProbeResults(store, machine_id="m1", others=[probe]))
        assert estimated is not None
        return estimated.wall_seconds

    assert wall() == pytest.approx(job_seconds(run.spec, probe))  # no checkpoint: it begins again
    (folder / "checkpoint.pt").touch()
    epoch = 17 * 0.5 + 3_000 * 0.001 + 0.25
    assert wall() == pytest.approx(job_seconds(run.spec, probe) - 2 * epoch)


def test_a_probe_of_a_run_with_few_steps_an_epoch_ends() -> None:
    import torch

    from slbench.train.job_probe import probe

    (run,) = runs(set={**SHORT, "recipe.epochs": 100_000, "recipe.batch_size": 4096})
    assert run.spec.steps_per_epoch == 2
    cost = probe(
        run.spec,
        run.labels,
        device=torch.device("cpu"),
        precision="fp32",
        threads=1,
        seconds=0.1,
        asked_at=time.time(),
    )
    assert cost.steps == 1
    assert 0 < cost.step_seconds < 60
