"""Slots on machines that are not there: GPUs, cores and bf16 are made up."""

from collections.abc import Callable

import pytest

from slbench import machine
from slbench.errors import InputError
from slbench.grid.processes import child_environment
from slbench.grid.slots import Device, Slot, devices, make_slots, resolve_precision, visible_gpus
from slbench.machine import Gpu
from tests.support import missing, naming

A = Gpu(0, "GPU-aaaa-1", "NVIDIA H100", True)
B = Gpu(1, "GPU-aabb-2", "NVIDIA T4", False)
C = Gpu(2, "GPU-cccc-3", "NVIDIA H100", True)
Fake = Callable[..., None]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Makes this a Linux machine with these GPUs and cores."""

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


def places(slots: list[Slot]) -> list[tuple[int, str]]:
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
        ("GPU-aa", []),  # two begin so
        ("0,7,1", [A]),  # as CUDA does, up to the first that is not there
        ("1,none,2", [B]),
        ("nothing", []),
        ("1,,2", [B]),
    ],
)
def test_cuda_visible_devices_leaves_what_cuda_would(fake: Fake, visible: str | None, expected: list[Gpu]) -> None:
    fake(A, B, C, visible=visible)
    assert visible_gpus() == expected


def test_devices_are_counted_as_cuda_counts_those_that_are_visible(fake: Fake) -> None:
    fake(A, B, C, visible="2,1")
    by_label = devices()
    assert list(by_label) == ["cuda:0", "cuda:1", "cpu"]
    assert (by_label["cuda:0"].cuda, by_label["cuda:1"].cuda) == ("GPU-cccc-3", "GPU-aabb-2")
    assert (by_label["cuda:0"].computes_bf16, by_label["cuda:1"].computes_bf16) == (True, False)


def test_a_child_sees_its_gpu_alone_and_keeps_to_its_threads(fake: Fake) -> None:
    fake(A, B)
    environment = child_environment(devices()["cuda:1"], 3)
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-aabb-2"
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"


def test_a_child_on_the_processor_sees_no_gpu(fake: Fake) -> None:
    fake(A, visible="0")
    assert child_environment(devices()["cpu"], 1)["CUDA_VISIBLE_DEVICES"] == ""


def test_auto_is_a_slot_for_each_gpu(fake: Fake) -> None:
    fake(A, B, C)
    assert places(make_slots("auto", jobs_per_device=None, threads=1)) == [(0, "cuda:0"), (1, "cuda:1"), (2, "cuda:2")]


@pytest.mark.parametrize(("cores", "threads", "jobs"), [(6, 1, 6), (6, 2, 3), (7, 2, 3), (7, 7, 1), (1, 1, 1)])
def test_without_a_gpu_auto_is_cores_over_threads_slots(fake: Fake, cores: int, threads: int, jobs: int) -> None:
    fake(cores=cores)
    slots = make_slots("auto", jobs_per_device=None, threads=threads)
    assert places(slots) == [(i, "cpu") for i in range(jobs)]
    assert {slot.threads for slot in slots} == {threads}


def test_named_devices_come_in_their_order_and_once(fake: Fake) -> None:
    fake(A, B, C)
    slots = make_slots("cuda:2, cuda:0,cuda:2", jobs_per_device=2, threads=1)
    assert places(slots) == [(0, "cuda:2"), (1, "cuda:2"), (2, "cuda:0"), (3, "cuda:0")]


def test_processor_and_gpu_can_be_used_together(fake: Fake) -> None:
    fake(A, cores=2)
    assert places(make_slots("cuda:0,cpu", jobs_per_device=None, threads=1)) == [(0, "cuda:0"), (1, "cpu"), (2, "cpu")]


@pytest.mark.parametrize(
    ("devices_flag", "label"), [("cuda:1", "cuda:1"), ("gpu", "gpu"), ("cpu,", ""), ("mps", "mps")]
)
def test_a_device_that_is_not_there_is_refused(fake: Fake, devices_flag: str, label: str) -> None:
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


def test_apples_device_stands_before_the_processor(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake()
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert places(make_slots("auto", jobs_per_device=None, threads=1)) == [(0, "mps")]


def slots_on(*able: bool) -> list[Slot]:
    return [Slot(i, Device(f"cuda:{i}", "GPU", bf16), 1) for i, bf16 in enumerate(able)]


@pytest.mark.parametrize(
    ("requested", "able", "resolved"),
    [
        ("auto", (True, True), "bf16"),
        ("auto", (False, False), "fp32"),
        ("fp32", (True, False), "fp32"),
        ("bf16", (True, False), "bf16"),
        ("bf16", (False,), "bf16"),
    ],
)
def test_auto_is_bf16_where_every_slot_computes_it(requested: str, able: tuple[bool, ...], resolved: str) -> None:
    assert resolve_precision(requested, slots_on(*able)) == resolved


def test_auto_that_would_differ_between_slots_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        resolve_precision("auto", slots_on(True, False))
    assert not missing(str(caught.value), "auto", "cuda:0", "bf16", "cuda:1", "fp32", "--set", "recipe.precision=fp32")


def affinity(monkeypatch: pytest.MonkeyPatch, *cores: int) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(cores), raising=False)


def test_jobs_that_take_all_cores_have_cores_of_their_own(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(cores=6)
    affinity(monkeypatch, 1, 2, 5, 7, 11, 13)
    made = make_slots("cpu", jobs_per_device=None, threads=2)
    assert [slot.cores for slot in made] == [(1, 2), (5, 7), (11, 13)]


@pytest.mark.parametrize(("jobs", "threads"), [(2, 2), (1, 6), (None, 4)])
def test_jobs_that_leave_cores_free_keep_to_none(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, jobs: int | None, threads: int
) -> None:
    fake(cores=6)
    affinity(monkeypatch, *range(6))
    assert {slot.cores for slot in make_slots("cpu", jobs_per_device=jobs, threads=threads)} == {()}


def test_a_plan_can_name_devices_of_another_machine(fake: Fake) -> None:
    fake(cores=2)
    there = {"cuda": Device("cuda", "NVIDIA H100", True)}
    made = make_slots("cuda:0,cuda:7", jobs_per_device=2, threads=8, elsewhere=there)
    assert places(made) == [(0, "cuda:0"), (1, "cuda:0"), (2, "cuda:7"), (3, "cuda:7")]
    assert {slot.device.name for slot in made} == {"NVIDIA H100"}
    with pytest.raises(InputError, match=naming("cuda:x")):
        make_slots("cuda:x", jobs_per_device=2, threads=8, elsewhere=there)
