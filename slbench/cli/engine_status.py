"""Lines and JSON on the workers of submissions, for `slbench status`."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from slbench.engines.watch import SubmissionStatus, WorkerStatus, bad_nodes
from slbench.text import distinct

MAX_SHOWN = 4  # nodes, or tasks, of a line


def engine_lines(found: Sequence[SubmissionStatus], problem: str) -> Iterator[str]:
    """Yield a line on each submission, on bad nodes, and on a scheduler that could not be asked."""
    for each in found:
        job = f"job {each.job_id}" if each.job_id is not None else "not confirmed"
        groups = defaultdict[tuple[str, str], list[WorkerStatus]](list)
        for worker in each.workers:
            groups[worker.state, worker.why].append(worker)
        parts = [group_text(workers) for workers in groups.values()]
        yield f"{each.submission.engine:<7} {job} ({each.submission.name}): {'; '.join(parts)}"
        if any(worker.failed_to_start for worker in each.workers):
            yield f"        logs: {each.folder.path}"
    for node, why in bad_nodes(found).items():
        yield f"node {node}: {why}; it is left out for a day, as by --exclude {node}"
    if problem:
        yield f"workers: state unknown: {problem}"


def group_text(workers: Sequence[WorkerStatus]) -> str:
    """Return "2 running on n1, n2" for workers in the same state."""
    first = workers[0]
    nodes = distinct(worker.node for worker in workers if worker.node)
    where = f" on {shortened(nodes)}" if nodes and first.state == "running" else ""
    why = f" ({first.why})" if first.state == "pending" and first.why else f": {first.why}" if first.why else ""
    return f"{len(workers)} {first.state}{where}{why}"


def shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_SHOWN]) + (", ..." if len(names) > MAX_SHOWN else "")


def engine_document(found: Sequence[SubmissionStatus], problem: str) -> dict[str, Any]:
    """Return what the workers of submissions add to `--json`."""
    return {
        "engines": [
            {
                "engine": each.submission.engine,
                "name": each.submission.name,
                "job_id": each.job_id,
                "submitted_at": each.submission.created_at,
                "folder": str(each.folder.path),
                "workers": [
                    {
                        "task": worker.task,
                        "state": worker.state,
                        "why": worker.why,
                        "node": worker.node,
                        "attempts": [attempt.model_dump(mode="json") for attempt in worker.attempts],
                    }
                    for worker in each.workers
                ],
            }
            for each in found
        ],
        "engine_problem": problem or None,
    }
