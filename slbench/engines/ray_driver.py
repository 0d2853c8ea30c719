"""Process that is connected to a Ray cluster and answers requests, one JSON document a line on stdin and stdout.

It is a process of its own because Ray prints, sets signal handlers, and ends the process when a cluster is lost.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from slbench.engines.ray_actor import NAMESPACE, RayWorker, probe_node

PROBE_SECONDS = 60.0  # for an answer of a node
ANSWER_SECONDS = 10.0  # for an answer of an actor; one that does not answer has not started
START_ATTEMPTS = 3  # of a local cluster
OBJECT_STORE_BYTES = 2**27  # of a local cluster, which transfers nothing
Request = Mapping[str, Any]


def connect(request: Request) -> dict[str, Any]:
    """Join a cluster, or start one on this machine; return its address."""
    settings = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "ERROR"}
    if request["address"]:
        ray.init(address=request["address"], **settings)
        return {"address": request["address"]}
    for left in reversed(range(START_ATTEMPTS)):
        try:
            ray.init(address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **settings)
            break
        except Exception:  # a busy machine: Ray gives up after half a minute
            ray.shutdown()
            if not left:
                raise
    return {"address": ray.get_runtime_context().gcs_address}


def check(request: Request) -> dict[str, Any]:
    """Return why workers could not run: resources that no node has, nodes that cannot start them; else nothing."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeManagerHostname"] not in request["exclude"]]
    needs: Mapping[str, float] = request["needs"]
    fitting = [node for node in nodes if all(node["Resources"].get(name, 0) >= needs[name] for name in needs)]
    if not fitting and not request["force"]:
        most = {name: max((node["Resources"].get(name, 0) for node in nodes), default=0) for name in needs}
        wanted, present = (", ".join(f"{name} {each[name]:g}" for name in needs) for each in (needs, most))
        without = f" without {', '.join(request['exclude'])}" if request["exclude"] else ""
        return {"refused": f"no node has what a worker needs ({wanted}; at most there is {present}{without})"}
    probe = ray.remote(num_cpus=0, max_retries=0)(probe_node)
    asked = {
        probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            request["folder"], request["python"]
        ): node["NodeManagerHostname"]
        for node in fitting
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_SECONDS) if asked else ([], [])
    if fitting and not answered:
        return {"unreachable": f"no node answered within {PROBE_SECONDS:g} s"}
    for reference in answered:
        try:
            node, problem = ray.get(reference)
        except ray.exceptions.RayError as error:
            node, problem = asked[reference], f"slbench cannot be imported there: {last_line(error)}"
        if problem:
            return {"refused": f"node {node}: {problem}"}
    return {}


def start(request: Request) -> dict[str, Any]:
    """Create an actor for each worker. They outlive this process, unless the cluster is its own."""
    needs, actor = dict(request["needs"]), ray.remote(RayWorker)
    left_out = [node["NodeID"] for node in ray.nodes() if node["NodeManagerHostname"] in request["exclude"]]
    elsewhere = {"label_selector": {"ray.io/node-id": f"!in({','.join(left_out)})"}} if left_out else {}
    for task in range(request["workers"]):
        name = actor_name(request["name"], task)
        actor.options(
            name=name, namespace=NAMESPACE, lifetime="detached", max_restarts=-1, scheduling_strategy="SPREAD",
            num_cpus=needs.get("CPU", 0), num_gpus=needs.get("GPU", 0),
            resources={key: value for key, value in needs.items() if key not in ("CPU", "GPU")}, **elsewhere,
        ).remote(name, request["folder"], task, umask=request["umask"], environment=request["environment"])  # fmt: skip
    return {}


def queue(request: Request) -> dict[str, Any]:
    """Return the workers that are left: submission, task, and host; no host for one that waits for resources."""
    chosen = {name: name.rpartition(".") for name in ray.util.list_named_actors()}
    wanted = {name: parts for name, parts in chosen.items() if parts[0] in request["names"]}
    nodes = answers(list(wanted), "node")
    return {"workers": [[parts[0], int(parts[2]), nodes.get(name)] for name, parts in wanted.items()]}


def cancel(request: Request) -> dict[str, Any]:
    """Let workers stop at a checkpoint; remove those that have not started."""
    left = set(ray.util.list_named_actors())
    names = [name for submission, tasks in request["workers"] for name in of_submission(left, submission, tasks)]
    stopped = answers(names, "stop")
    for name in names:
        if name not in stopped and (actor := find(name)) is not None:
            ray.kill(actor, no_restart=True)
    return {}


def of_submission(left: set[str], submission: str, tasks: list[int] | None) -> list[str]:
    """Return the names of those actors of a submission that are left; of some tasks, or of all."""
    names = {name for name in left if name.rpartition(".")[0] == submission}
    return sorted(names if tasks is None else names & {actor_name(submission, task) for task in tasks})


def answers(names: list[str], method: str) -> dict[str, Any]:
    """Call a method of actors; return the answers by name, without those that do not answer in time."""
    asked = {getattr(actor, method).remote(): name for name in names if (actor := find(name)) is not None}
    if not asked:
        return {}
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
    found = {}
    for reference in ready:
        try:
            found[asked[reference]] = ray.get(reference)
        except ray.exceptions.RayError:  # it ended meanwhile
            found[asked[reference]] = ""
    return found


def find(name: str) -> Any | None:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def actor_name(submission: str, task: int) -> str:
    return f"{submission}.{task}"


def last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


COMMANDS: dict[str, Callable[[Request], dict[str, Any]]] = {
    command.__name__: command for command in (connect, check, start, queue, cancel)
}


def main() -> None:
    """Answer requests until stdin ends; then a cluster that this process has started ends too."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what Ray prints
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = COMMANDS[request["command"]](request)
        except (Exception, SystemExit) as error:
            answer = {"error": last_line(error) if isinstance(error, Exception) else "the cluster does not answer"}
        out.write(json.dumps(answer) + "\n")
        out.flush()
    ray.shutdown()


if __name__ == "__main__":
    main()
