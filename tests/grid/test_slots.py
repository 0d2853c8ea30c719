"""Devices and slots of invented machines: GPUs, cores and bf16 are replaced."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slbench import kernel_choice, machine
from slbench.errors import InputError
from slbench.grid.processes import child_environment
from slbench.grid.slots import (
    Device,
    Slot,
    devices,
    free_memory,
    make_slots,
    resolve_compile,
    resolve_precision,
    visible_gpus,
)
from slbench.machine import Gpu
from tests.grid.helpers import slots_on
from tests.support import missing, naming, runs

A = Gpu(0, "GPU-aaaa-1", "NVIDIA H100", True)
B = Gpu(1, "GPU-aabb-2", "NVIDIA T4", False)
C = Gpu(2, "GPU-cccc-3", "NVIDIA H100", True)
Fake = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Return a function that replaces the GPUs and cores of this machine, as a Linux machine."""

    def make(*gpus: Gpu, cores: int = 6, bf16: bool = False, visible: str | None = None) -> None:
        monkeypatch.setattr(machine, "gpus", lambda: gpus)
        monkeypatch.setattr(machine, "usable_cores", lambda: cores)
        monkeypatch.setattr(machine, "cpu_computes_bf16", lambda: bf16)
        monkeypatch.setattr(machine, "cpu_name", lambda: "Processor")
        monkeypatch.setattr("platform.system", lambda: "Linux")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


def indices(slots: list[Slot]) -> list[tuple[int, str]]:
    """Return index and device label of each slot."""
    return [(slot.index, slot.device.label) for slot in slots]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [A, B, C]),
        ("", []),
        ("-1", []),
        ("0", [A]),
        ("2,0", [C, A]),
        (" 1 , 2 ", [B, C]),
        ("GPU-cccc-3", [C]),
        ("GPU-c,GPU-aab", [C, B]),
        ("GPU-aa", []),  # prefix of two
        ("0,7,1", [A]),  # like CUDA: up to the first unknown
        ("1,none,2", [B]),
        ("nothing", []),
        ("1,,2", [B]),
    ],
)
def test_cuda_visible_devices_selects_the_gpus_that_cuda_selects(
    fake: Fake, visible: str | None, expected: list[Gpu]
) -> None:
    fake(A, B, C, visible=visible)
    assert visible_gpus() == expected


def test_visible_gpus_are_numbered_like_in_cuda(fake: Fake) -> None:
    fake(A, B, C, visible="2,1")
    by_label = devices()
    assert list(by_label) == ["cuda:0", "cuda:1", "cpu"]
    assert (by_label["cuda:0"].cuda, by_label["cuda:1"].cuda) == ("GPU-cccc-3", "GPU-aabb-2")
    assert (by_label["cuda:0"].computes_bf16, by_label["cuda:1"].computes_bf16) == (True, False)


@pytest.mark.parametrize(("device", "visible"), [("cuda:1", "GPU-aabb-2"), ("cpu", "")])
def test_a_worker_process_sees_only_its_gpu_and_uses_its_threads(fake: Fake, device: str, visible: str) -> None:
    fake(A, B, visible="0,1")
    environment = child_environment(devices()[device], 3)
    assert environment["CUDA_VISIBLE_DEVICES"] == visible
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"


def test_jobs_share_a_cache_of_compiled_code_unless_the_environment_names_one(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(A)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    found = {child_environment(device, 1)["TORCHINDUCTOR_CACHE_DIR"] for device in devices().values()}
    assert found == {str(tmp_path / "slbench" / "compile" / machine.host().machine_id)}
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    assert child_environment(devices()["cpu"], 1)["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"


@pytest.mark.parametrize(("requested", "compiled"), [(True, True), (False, False), ("auto", False)])
def test_runs_are_compiled_as_requested_and_auto_is_never_yet(fake: Fake, requested: Any, compiled: bool) -> None:
    fake(A)
    (run,) = runs(set={"compile": requested})
    for label in devices():
        slots = make_slots(label, jobs_per_device=1, threads=1)
        assert resolve_compile(run.spec, slots) is compiled


def test_auto_compiles_long_runs_by_the_rule_of_the_device_and_must_not_differ_between_slots(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(A)
    monkeypatch.setitem(kernel_choice.COMPILED_FROM_STEPS, "cuda", 280)
    short, long = (run.spec for run in runs({"recipe.epochs": [1, 2]}, set={"compile": "auto"}))
    assert (short.steps_per_epoch, long.steps_per_epoch) == (140, 140)
    gpu = make_slots("cuda:0", jobs_per_device=1, threads=1)
    assert [resolve_compile(spec, gpu) for spec in (short, long)] == [False, True]
    both = make_slots("cuda:0,cpu", jobs_per_device=1, threads=1)
    assert not resolve_compile(short, both)
    with pytest.raises(InputError) as caught:
        resolve_compile(long, both)
    assert not missing(str(caught.value), "auto", "cuda compiled", "cpu eager", "--set", "recipe.compile=false")


@pytest.mark.parametrize(("cores", "threads", "jobs"), [(6, 1, 6), (6, 2, 3), (7, 2, 3), (7, 7, 1), (1, 1, 1)])
def test_without_a_gpu_auto_is_one_slot_per_job_of_all_cores(fake: Fake, cores: int, threads: int, jobs: int) -> None:
    fake(cores=cores)
    slots = make_slots("auto", jobs_per_device=None, threads=threads)
    assert indices(slots) == [(i, "cpu") for i in range(jobs)]
    assert {slot.threads for slot in slots} == {threads}


@pytest.mark.parametrize(
    ("flag", "jobs", "labels"),
    [
        ("auto", None, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda:2, cuda:0", 2, ["cuda:2", "cuda:2", "cuda:0", "cuda:0"]),
        ("cuda:0,cpu", None, ["cuda:0", "cpu", "cpu"]),
    ],
)
def test_slots_are_numbered_over_the_devices_of_the_flag(
    fake: Fake, flag: str, jobs: int | None, labels: list[str]
) -> None:
    fake(A, B, C, cores=2)
    assert indices(make_slots(flag, jobs_per_device=jobs, threads=1)) == list(enumerate(labels))


@pytest.mark.parametrize(
    ("devices_flag", "label"), [("cuda:1", "cuda:1"), ("gpu", "gpu"), ("cpu,", ""), ("mps", "mps")]
)
def test_an_unknown_device_is_refused_with_the_allowed_ones(fake: Fake, devices_flag: str, label: str) -> None:
    fake(A)
    with pytest.raises(InputError) as caught:
        make_slots(devices_flag, jobs_per_device=None, threads=1)
    assert not missing(str(caught.value), "--devices", label)
    assert not missing(str(caught.value), "auto", "cuda:0", "cpu")


@pytest.mark.parametrize(("jobs", "threads", "per_device"), [(4, 2, 4), (None, 7, 1), (7, 1, 7)])
def test_more_threads_than_cores_are_refused(fake: Fake, jobs: int | None, threads: int, per_device: int) -> None:
    fake(cores=6)
    with pytest.raises(InputError) as caught:
        make_slots("cpu", jobs_per_device=jobs, threads=threads)
    assert not missing(
        str(caught.value), "--jobs-per-device", per_device, "--threads", threads, per_device * threads, "6"
    )


def test_auto_prefers_apples_gpu_to_the_cpu(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake()
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert indices(make_slots("auto", jobs_per_device=None, threads=1)) == [(0, "mps")]


def slots_with_bf16(*bf16: bool) -> list[Slot]:
    return slots_on(*(Device(f"cuda:{i}", "GPU", supported) for i, supported in enumerate(bf16)))


@pytest.mark.parametrize(
    ("requested", "bf16", "resolved"),
    [
        ("auto", (True, True), "bf16"),
        ("auto", (False, False), "fp32"),
        ("fp32", (True, False), "fp32"),
        ("bf16", (True, False), "bf16"),
        ("bf16", (False,), "bf16"),
    ],
)
def test_auto_precision_is_bf16_if_every_slot_supports_it(
    requested: str, bf16: tuple[bool, ...], resolved: str
) -> None:
    assert resolve_precision(requested, slots_with_bf16(*bf16)) == resolved


def test_auto_precision_is_refused_if_it_differs_between_slots() -> None:
    with pytest.raises(InputError) as caught:
        resolve_precision("auto", slots_with_bf16(True, False))
    assert not missing(str(caught.value), "auto", "cuda:0", "bf16", "cuda:1", "fp32", "--set", "recipe.precision=fp32")


def set_affinity(monkeypatch: pytest.MonkeyPatch, *cores: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(cores), raising=False)


def test_jobs_that_use_all_cores_are_pinned_to_separate_cores(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(cores=6)
    set_affinity(monkeypatch, 1, 2, 5, 7, 11, 13)
    slots = make_slots("cpu", jobs_per_device=None, threads=2)
    assert [slot.cores for slot in slots] == [(1, 2), (5, 7), (11, 13)]


@pytest.mark.parametrize(("jobs", "threads"), [(2, 2), (1, 6), (None, 4)])
def test_jobs_that_leave_cores_free_are_not_pinned(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, jobs: int | None, threads: int
) -> None:
    fake(cores=6)
    set_affinity(monkeypatch, *range(6))
    assert {slot.cores for slot in make_slots("cpu", jobs_per_device=jobs, threads=threads)} == {()}


def test_a_plan_can_name_devices_of_another_machine(fake: Fake) -> None:
    fake(cores=2)
    other = {"cuda": Device("cuda", "NVIDIA H100", True)}
    slots = make_slots("cuda:0,cuda:7", jobs_per_device=2, threads=8, elsewhere=other)
    assert indices(slots) == [(0, "cuda:0"), (1, "cuda:0"), (2, "cuda:7"), (3, "cuda:7")]
    assert {slot.device.name for slot in slots} == {"NVIDIA H100"}
    with pytest.raises(InputError, match=naming("cuda:x")):
        make_slots("cuda:x", jobs_per_device=2, threads=8, elsewhere=other)


@pytest.mark.parametrize(("free", "expected"), [(3 * 10**8, 3 * 10**8), (0, 10**9), (10**10, 10**9)])
def test_free_memory_of_a_gpu_is_what_its_driver_says(
    monkeypatch: pytest.MonkeyPatch, free: int, expected: int
) -> None:
    gpu = Device("cuda:0", "GPU", True, cuda="GPU-aaaa-1", memory_bytes=10**9)
    monkeypatch.setattr(machine, "free_gpu_memory", {gpu.cuda: free}.__getitem__)
    assert free_memory(gpu) == expected


def test_the_driver_is_asked_for_the_free_memory_of_the_device_with_that_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    pynvml = pytest.importorskip("pynvml")
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: {"GPU-aaaa-1": 7, "GPU-bbbb-2": 8}[uuid])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(free=handle * 10**8))
    assert machine.free_gpu_memory("GPU-bbbb-2") == 8 * 10**8


def test_a_gpu_that_the_driver_does_not_know_has_unknown_free_memory() -> None:
    assert machine.free_gpu_memory("GPU-0000-0") == 0
    assert 0 < machine.available_memory() <= machine.host().memory_bytes
