"""What a probe would have measured."""

from slbench.grid.estimate import JobSetting, probe_key
from slbench.measurement_records import Probe
from slbench.study import StudyRun


def made_probe(run: StudyRun, setting: JobSetting, **changes: object) -> Probe:
    content: dict[str, object] = {
        "key": probe_key(run.spec, setting),
        "title": "Tiny none",
        "machine_id": "m1",
        "device_kind": setting.device_kind,
        "device_name": "Processor",
        "computes_bf16": False,
        "threads": setting.threads,
        "precision": setting.precision,
        "jobs": setting.jobs,
        "data": "its own",
        "startup_seconds": 0.0,
        "load_seconds": 2.0,
        "step_seconds": 0.5,
        "steps": 9,
        "evaluation_seconds": 0.001,
        "save_seconds": 0.25,
        "finish_seconds": 1.0,
        "params": 1000,
        "peak_memory_bytes": 3 * 10**8,
        "measured_at": "2025-11-22T23:12:54+00:00",
    }
    return Probe.model_validate(content | changes)
