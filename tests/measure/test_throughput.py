"""Throughput with a simulated clock."""

import functools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from slbench.errors import InputError
from slbench.measure import throughput
from slbench.measure.network import Network
from slbench.measure.throughput import interleaved, measure
from slbench.measure.throughput_keys import TIMINGS, Timing, choose_timing, network_key, record_key
from tests.support import make_record, missing, runs


class Clock:
    """Simulated clock that `run` advances."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def run(self, name: str, seconds: float) -> None:
        self.calls.append(name)
        self.now += seconds


def timing(*, rounds: int, warmup: int = 0, passes: int = 1, seconds: float = 0.0) -> Timing:
    return Timing(name="test", warmup=warmup, rounds=rounds, passes=passes, seconds=seconds)


def no_wait() -> None:
    """Wait for a synchronous device."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    simulated = Clock()
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: simulated.now))
    return simulated


def test_networks_alternate_and_have_one_speed_per_round(clock: Clock) -> None:
    passes = {"a": lambda: clock.run("a", 0.5), "b": lambda: clock.run("b", 0.25)}
    speeds = interleaved(passes, images=7, timing=timing(rounds=3), wait=no_wait)
    assert "".join(clock.calls) == "ababab"
    assert speeds == {"a": [14.0] * 3, "b": [28.0] * 3}


def test_a_pass_is_repeated_for_the_time_of_a_round_and_runs_at_least_once(clock: Clock) -> None:
    seconds = {"a": 0.5, "b": 0.25, "c": 4.0}
    passes = {name: functools.partial(clock.run, name, took) for name, took in seconds.items()}
    speeds = interleaved(passes, images=7, timing=timing(rounds=2, seconds=1.0), wait=no_wait)
    assert "".join(clock.calls) == "aabbbbc" * 2
    assert speeds == {"a": [14.0] * 2, "b": [28.0] * 2, "c": [1.75] * 2}


def test_every_network_is_warmed_up_before_timing(clock: Clock) -> None:
    passes = {"a": lambda: clock.run("a", 1.0), "b": lambda: clock.run("b", 1.0)}
    speeds = interleaved(passes, images=1, timing=timing(warmup=2, rounds=1, passes=3), wait=no_wait)
    assert "".join(clock.calls) == "aabb" + "aaabbb"
    assert speeds == {"a": [1.0], "b": [1.0]}


def test_an_asynchronous_device_is_synchronized_before_and_within_timing(clock: Clock) -> None:
    """A launch takes no time and its work one second; the work of the warm-up is not timed."""
    queued: list[str] = []

    def wait() -> None:
        clock.now += len(queued)
        queued.clear()

    speeds = interleaved(
        {"a": lambda: queued.append("a")}, images=8, timing=timing(warmup=5, rounds=2, passes=4), wait=wait
    )
    assert speeds == {"a": [8.0, 8.0]}


def test_timing_paper_has_200_warmup_and_1000_timed_passes() -> None:
    paper = TIMINGS["paper"]
    assert (paper.warmup, paper.rounds * paper.passes, paper.seconds) == (200, 1000, 0.0)


@pytest.mark.parametrize(
    ("kind", "batch_size", "side", "precision", "name"),
    [
        ("cuda", 128, 64, "fp32", "paper"),
        ("cpu", 128, 64, "fp32", "short"),
        ("cuda", 64, 64, "fp32", "short"),
        ("cuda", 128, 32, "fp32", "short"),
        ("cuda", 128, 64, "bf16", "short"),
    ],
)
def test_the_default_timing_is_that_of_the_paper_only_in_its_setting(
    kind: str, batch_size: int, side: int, precision: str, name: str
) -> None:
    timing = choose_timing(
        "auto", device_kind=kind, batch_size=batch_size, precision=precision, image_size=(side, side)
    )
    assert timing.name == name


def test_timing_paper_is_refused_in_another_setting() -> None:
    with pytest.raises(InputError) as caught:
        choose_timing("paper", device_kind="cpu", batch_size=32, precision="fp32", image_size=(64, 64))
    assert not missing(str(caught.value), "--timing", "128", "32")


def test_equal_networks_are_measured_once_with_quartiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        throughput,
        "interleaved",
        lambda passes, *, images, timing, wait: {
            key: [float(10 * i + j) for j in range(1, 1 + timing.rounds)] for i, key in enumerate(passes)
        },
    )
    none, other_seed, lsa = (*runs({"seed": [0, 1]}), *runs({"method": ["lsa"]}))
    results = measure(
        [Network.of(run.spec) for run in (none, other_seed, lsa)],
        ["inference"],
        timing=timing(rounds=4),
        machine_id="m",
        device=torch.device("cpu"),
        device_label="cpu",
        device_name="Processor",
        threads=1,
        precision="fp32",
    )
    assert [speed.key for speed in results] == [
        network_key(Network.of(run.spec), device_kind="cpu", threads=1, precision="fp32") for run in (none, lsa)
    ]
    assert [(speed.median, speed.q1, speed.q3, speed.n) for speed in results] == [
        (2.5, 1.75, 3.25, 4),
        (12.5, 11.75, 13.25, 4),
    ]
    assert {
        (speed.machine_id, speed.device, speed.device_name, speed.batch_size, speed.timing) for speed in results
    } == {("m", "cpu", "Processor", 128, "test")}


def test_a_key_depends_on_network_and_setting_only() -> None:
    first, seed = runs({"seed": [0, 1]})
    (lsa,) = runs({"method": ["lsa"]})
    (longer,) = runs(set={"recipe.epochs": 50})
    key = network_key(Network.of(first.spec), device_kind="cpu", threads=1, precision="fp32")
    assert key == network_key(Network.of(seed.spec), device_kind="cpu", threads=1, precision="fp32")
    assert key == network_key(Network.of(longer.spec), device_kind="cpu", threads=1, precision="fp32")
    bigger = replace(first.spec, dataset=replace(first.spec.dataset, image_size=(64, 64)))
    others = {
        network_key(Network.of(lsa.spec), device_kind="cpu", threads=1, precision="fp32"),
        network_key(Network.of(bigger), device_kind="cpu", threads=1, precision="fp32"),
        network_key(Network.of(first.spec), device_kind="cuda", threads=1, precision="fp32"),
        network_key(Network.of(first.spec), device_kind="cpu", threads=2, precision="fp32"),
        network_key(Network.of(first.spec), device_kind="cpu", threads=1, precision="bf16"),
    }
    assert len(others - {key}) == 5


def test_the_key_of_a_record_has_the_kind_of_its_device() -> None:
    (run,) = runs()
    record = make_record(run, device="cuda:3", threads=2, precision="bf16")
    assert record_key(record) == network_key(Network.of(run.spec), device_kind="cuda", threads=2, precision="bf16")
