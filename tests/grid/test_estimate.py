"""Estimated time, disk and memory of grids, from invented probes with hand-computed sums and from a measured one."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

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
from slbench.train.job_probe import probe
from tests.grid.helpers import CPU, SHORT, make_probe, slots_on
from tests.support import missing, naming, runs

GPU = Device("cuda:0", "GPU", True, memory_bytes=10**9)
FP32: dict[Precision, Resolved] = {"fp32": "fp32"}
THREE_EPOCHS = {**SHORT, "recipe.epochs": 3}


def slots(jobs: int, device: Device = CPU) -> list[Slot]:
    return slots_on(*[device] * jobs)


def test_a_job_takes_the_sum_of_loading_epochs_and_finishing() -> None:
    (run,) = runs(set=THREE_EPOCHS)
    # 17 steps, 1,000 validation and 2,000 test images an epoch
    epoch = 17 * 0.5 + 3_000 * 0.001 + 0.25
    invented = make_probe(run, JobSetting("cpu", 1, "fp32", 1))
    assert job_seconds(run.spec, invented) == pytest.approx(2 + 3 * epoch + 1)
    full = dataclasses.replace(run.spec, protocol="full")  # 19 steps, no validation
    assert job_seconds(full, invented) == pytest.approx(2 + 3 * (19 * 0.5 + 2 + 0.25) + 1)


def test_seeds_and_epochs_share_a_probe_but_methods_jobs_and_batches_do_not() -> None:
    def key(*, jobs: int = 2, seed: int = 0, method: str = "none", settings: Mapping[str, float] | None = None) -> str:
        (run,) = runs({"seed": [seed], "method": [method]}, set=THREE_EPOCHS | dict(settings or {}))
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


def test_the_longest_jobs_are_scheduled_first(tmp_path: Path) -> None:
    some = runs({"method": ["none", "lsa"], "seed": [0, 1]}, set=THREE_EPOCHS)
    two = slots(2)
    setting = setting_of(two[0], two, "fp32")
    probes = ProbeResults(
        Store(tmp_path),
        machine_id="m1",
        others=[
            make_probe(some[0], setting, step_seconds=0.1),
            make_probe(some[2], setting, params=5000, startup_seconds=4.0),
        ],
    )
    short = job_seconds(some[0].spec, probes.get(some[0].spec, setting))  # type: ignore[arg-type]
    long = job_seconds(some[2].spec, probes.get(some[2].spec, setting))  # type: ignore[arg-type]
    estimated = estimate(some, two, precisions=FP32, probes=probes)
    assert estimated is not None
    assert estimated.wall_seconds == pytest.approx(4 + long + short)
    three = estimate(some[:3], two, precisions=FP32, probes=probes)
    assert three is not None
    assert three.wall_seconds == pytest.approx(4 + max(long, 2 * short))
    outputs = 2_000 * (2 * 10 + 8 + 4 + 1)  # logits, labels, predictions, top-5
    assert estimated.disk_bytes == 2 * 4 * 6000 + 4 * outputs + 2 * (3 * 3) * 4 * 5000
    assert estimate(some, slots(3), precisions=FP32, probes=probes) is None  # no probe with three jobs
    assert estimate([], two, precisions=FP32, probes=probes) is None


@pytest.mark.slow
def test_a_probe_is_measured_once_and_stored_by_machine(tmp_path: Path) -> None:
    store, two, lines = Store(tmp_path), slots(2), list[str]()
    some = runs({"seed": [0, 1]}, set=THREE_EPOCHS)
    probes = ProbeResults(store, machine_id=machine.host().machine_id)
    unknown = unprobed(some, two, precisions=FP32, probes=probes)
    assert len(unknown) == 1
    probe_missing(unknown, two, store, tell=lines.append)
    assert len(lines) == 1 and not missing(lines[0], "Tiny none", "cpu")
    assert unprobed(some, two, precisions=FP32, probes=probes) == []
    (file,) = (tmp_path / "probes" / machine.host().machine_id).iterdir()
    stored = Probe.model_validate_json(file.read_bytes())
    assert (stored.params, stored.jobs, stored.data) == (2_786, 2, "its own")
    assert stored.steps >= 5
    assert 0 < stored.step_seconds < 5
    assert 0 < stored.startup_seconds < 60
    assert store.states(run.spec for run in some) == {run.spec.run_id: "missing" for run in some}


def test_a_failed_probe_is_reported_and_leaves_no_estimate(tmp_path: Path, python: Callable[[str], None]) -> None:
    python("echo RuntimeError: no memory >&2; exit 1")
    store, one, lines = Store(tmp_path), slots(1), list[str]()
    some = runs(set=THREE_EPOCHS)
    probes = ProbeResults(store, machine_id=machine.host().machine_id)
    probe_missing(unprobed(some, one, precisions=FP32, probes=probes), one, store, tell=lines.append)
    assert not missing(lines[1], "Tiny none", "exit code 1")
    assert estimate(some, one, precisions=FP32, probes=probes) is None


def test_saved_probes_are_loaded_from_a_file(tmp_path: Path) -> None:
    (run,) = runs(set=THREE_EPOCHS)
    invented = make_probe(run, JobSetting("cuda", 1, "fp32", 1), device_kind="cuda")
    save_probes(tmp_path / "speeds.json", [invented])
    assert load_probes(tmp_path / "speeds.json") == [invented]


@pytest.mark.parametrize("content", ["", "{}", '[{"key": 1}]', "\x00\xff", None])
def test_a_file_without_probes_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "speeds.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=naming("--speeds", "speeds.json")):
        load_probes(path)


def estimate_of(wall_seconds: float, memory: int) -> Estimate:
    return Estimate({}, wall_seconds, 0, memory)


def test_the_fastest_number_of_jobs_that_fits_into_memory_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = runs(set=THREE_EPOCHS)
    monkeypatch.setattr(concurrency, "candidates", lambda devices, threads: [slots(n, GPU) for n in (1, 2, 4)])
    monkeypatch.setattr(concurrency, "unprobed", lambda *_, **__: [])
    estimated = {
        1: estimate_of(100, 10**8),
        2: estimate_of(80, 4 * 10**8),
        4: estimate_of(60, 3 * 10**8),
    }  # four need 1.2 GB of 1 GB
    monkeypatch.setattr(concurrency, "estimate", lambda runs, slots, **_: estimated[len(slots)])
    lines: list[str] = []

    def choose() -> int:
        return concurrency.choose(some, "cuda:0", threads=1, precisions=FP32, store=Store(tmp_path), tell=lines.append)

    assert choose() == 2
    for line, parts in zip(lines, [("1", "100 s"), ("2", "80 s")], strict=True):
        assert not missing(line, *parts)
    estimated[2] = estimate_of(120, 10**8)
    assert choose() == 1
    estimated[1] = estimated[2] = estimate_of(1, 10**9)
    with pytest.raises(InputError, match=naming("--jobs-per-device", "auto")):
        choose()


def test_candidate_numbers_of_jobs_double_up_to_one_job_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.machine.usable_cores", lambda: 12)
    assert [len(candidate) for candidate in concurrency.candidates("cpu", threads=1)] == [1, 2, 4, 8, 12]
    assert [len(candidate) for candidate in concurrency.candidates("cpu", threads=4)] == [1, 2, 3]
    monkeypatch.setattr("slbench.machine.usable_cores", lambda: 1)
    assert [len(candidate) for candidate in concurrency.candidates("cpu", threads=1)] == [1]


def test_finished_epochs_of_a_killed_run_are_subtracted(tmp_path: Path) -> None:
    (run,) = runs(set=THREE_EPOCHS)
    one = slots(1)
    invented = make_probe(run, setting_of(one[0], one, "fp32"))
    store = Store(tmp_path)
    folder = store.begin(run.spec, run.labels)
    (folder / "metrics.csv").write_text("epoch\n1\n2\n")

    def wall() -> float:
        estimated = estimate(
            [run], one, precisions=FP32, probes=ProbeResults(store, machine_id="m1", others=[invented])
        )
        assert estimated is not None
        return estimated.wall_seconds

    assert wall() == pytest.approx(job_seconds(run.spec, invented))  # without a checkpoint it restarts
    (folder / "checkpoint.pt").touch()
    epoch = 17 * 0.5 + 3_000 * 0.001 + 0.25
    assert wall() == pytest.approx(job_seconds(run.spec, invented) - 2 * epoch)


def test_a_probe_of_a_run_with_two_steps_per_epoch_ends() -> None:
    (run,) = runs(set={**SHORT, "recipe.epochs": 100_000, "recipe.batch_size": 4096})
    assert run.spec.steps_per_epoch == 2
    cost = probe(
        run.spec,
        run.labels,
        device=torch.device("cpu"),
        precision="fp32",
        threads=1,
        seconds=0.1,
        share=1.0,
        asked_at=time.monotonic(),
    )
    assert cost.steps == 1
    assert 0 < cost.step_seconds < 60
