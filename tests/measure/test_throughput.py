"""Speeds by a clock that only the passes move."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from slbench.measure import throughput
from slbench.measure.network import Network
from slbench.measure.speeds import network_key, record_key
from slbench.measure.throughput import interleaved, measure
from tests.support import make_record, runs


class Clock:
    """Time that passes when a pass says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def run(self, name: str, seconds: float) -> None:
        self.calls.append(name)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: made.now))
    return made


def test_passes_take_turns_and_give_a_speed_each_round(clock: Clock) -> None:
    passes = {"a": lambda: clock.run("a", 0.5), "b": lambda: clock.run("b", 0.25)}
    speeds = interleaved(passes, images=7, rounds=3, seconds=0.0)
    assert "".join(clock.calls) == "ababab"
    assert speeds == {"a": [14.0] * 3, "b": [28.0] * 3}


def test_a_pass_is_repeated_until_its_time_is_up(clock: Clock) -> None:
    passes = {"a": lambda: clock.run("a", 0.5), "b": lambda: clock.run("b", 0.25)}
    speeds = interleaved(passes, images=7, rounds=2, seconds=1.0)
    assert "".join(clock.calls) == "aabbbb" * 2
    assert speeds == {"a": [14.0] * 2, "b": [28.0] * 2}


def test_a_pass_slower_than_its_time_runs_once_a_round(clock: Clock) -> None:
    assert interleaved({"a": lambda: clock.run("a", 4.0)}, images=8, rounds=2, seconds=1.0) == {"a": [2.0, 2.0]}
    assert clock.calls == ["a", "a"]


def test_each_network_gets_one_speed_with_its_spread_filed_under_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        throughput,
        "interleaved",
        lambda passes, *, images, rounds, seconds: {
            key: [float(10 * i + j) for j in range(1, 1 + rounds)] for i, key in enumerate(passes)
        },
    )
    none, other_seed, lsa = (*runs({"seed": [0, 1]}), *runs({"method": ["lsa"]}))
    found = measure(
        [Network.of(run.spec) for run in (none, other_seed, lsa)],
        ["inference"],
        rounds=4,
        machine_id="m",
        device=torch.device("cpu"),
        device_label="cpu",
        device_name="Processor",
        threads=1,
        precision="fp32",
    )
    assert [speed.key for speed in found] == [
        network_key(Network.of(run.spec), device_kind="cpu", threads=1, precision="fp32") for run in (none, lsa)
    ]
    assert [(speed.median, speed.q1, speed.q3, speed.n) for speed in found] == [
        (2.5, 1.75, 3.25, 4),
        (12.5, 11.75, 13.25, 4),
    ]
    assert {(speed.machine_id, speed.device, speed.device_name, speed.batch_size) for speed in found} == {
        ("m", "cpu", "Processor", 128)
    }


def test_a_key_tells_networks_and_settings_apart_and_nothing_else() -> None:
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


def test_a_record_is_found_under_the_kind_of_device_it_was_made_on() -> None:
    (run,) = runs()
    record = make_record(run, device="cuda:3", threads=2, precision="bf16")
    assert record_key(record) == network_key(Network.of(run.spec), device_kind="cuda", threads=2, precision="bf16")
