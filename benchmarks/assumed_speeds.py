"""Write a file for `--plan --speeds` that assumes one rate of multiply-adds for every network: no measurement.

    python -m benchmarks.assumed_speeds studies/table2.toml 1.63e12 > assumed.json
    slbench run-grid studies/table2.toml --plan --speeds assumed.json --devices cuda:0,cuda:1

A step takes three forward passes of its batch; starting, reading and saving take no time.
"""

import argparse
import json
import sys
from pathlib import Path

from slbench.grid.estimate import probe_key, setting_of
from slbench.grid.slots import Device, Resolved, Slot
from slbench.measure.compute_budget import forward_macs
from slbench.measure.network import Network
from slbench.measurement_records import Probe
from slbench.study import StudyRun, load_study

DEVICE = Device("cuda:0", "assumed, not measured", computes_bf16=True)


def assumed(run: StudyRun, rate: float) -> Probe:
    """Return the cost of a job on a GPU with this many multiply-adds per second."""
    slot = Slot(0, DEVICE, threads=1)
    precision: Resolved = "fp32" if run.spec.recipe.precision == "fp32" else "bf16"
    image = forward_macs(Network.of(run.spec)) / rate
    return Probe(
        key=probe_key(run.spec, setting_of(slot, [slot], precision)),
        title=run.title,
        machine_id="assumed",
        device_kind=DEVICE.kind,
        device_name=f"{DEVICE.name}: {rate:.3g} multiply-adds/s",
        computes_bf16=DEVICE.computes_bf16,
        threads=slot.threads,
        precision=precision,
        jobs=1,
        measured_at="",
        data="random",
        startup_seconds=0,
        load_seconds=0,
        step_seconds=3 * run.spec.recipe.batch_size * image,
        steps=1,
        evaluation_seconds=image,
        save_seconds=0,
        finish_seconds=0,
        params=0,
        peak_memory_bytes=0,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("rate", type=float, help="multiply-adds per second of a GPU")
    options = parser.parse_args()
    probes = {probe.key: probe for run in load_study(options.study).runs for probe in [assumed(run, options.rate)]}
    json.dump([probe.model_dump(mode="json") for probe in probes.values()], sys.stdout, indent=2)


if __name__ == "__main__":
    main()
