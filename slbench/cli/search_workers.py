"""Workers on a cluster for a search."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slbench.engine_settings import Engine, RaySettings, SlurmSettings
from slbench.grid.code_versions import join_study
from slbench.grid.executor import NO_LIMITS, Limits
from slbench.grid.queue import DEFAULT_POLICY, Policy
from slbench.grid.remote import RemoteExecutor
from slbench.grid.shared_queue import SharedQueue
from slbench.store import Store
from slbench.study import StudyRun
from slbench.tuning.record import folder_of

if TYPE_CHECKING:
    from slbench.engines.submit import Request
    from slbench.grid.events import Event
    from slbench.grid.slots import Resolved, Slot
    from slbench.recipes import Precision
    from slbench.train.tracking import Tracking


class ClusterSearch:
    """Queue of a search, and the workers that train its runs.

    Args:
        name: of the search.
        address: of the cluster, for Ray.
        jobs: runs at once on a device of a worker; None: as the engine's settings say.
        more: further arguments of `slbench work`.
    Raises:
        InputError: for invalid settings.
    """

    def __init__(
        self,
        name: str,
        store: Store,
        engine: Engine,
        *,
        workers: int,
        address: str | None,
        jobs: int | None,
        threads: int,
        more: Sequence[str],
    ) -> None:
        from slbench.cli.submit import chosen_settings

        self.name, self.store, self.engine, self.workers, self.more = name, store, engine, workers, more
        flags: dict[str, Any] = {"ray_address": address, "jobs_per_device": jobs, "threads": threads}
        self.settings = chosen_settings(engine, None, flags, where=f"search {name}")
        self.queue = SharedQueue(folder_of(store, name) / "queue", store)
        self.request: Request | None = None

    @property
    def capacity(self) -> int:
        """Number of runs that train at a time."""
        return self.workers * jobs_of_worker(self.settings)

    @contextmanager
    def opened(self, runs: Sequence[StudyRun]) -> Iterator[None]:
        """Offer runs within the block; after it, unless it was interrupted, the workers end.

        Args:
            runs: of the default settings.
        """
        from slbench.cli.submit import opened
        from slbench.engines.submit import Request

        join_study(self.name, self.store, allow_mixed=False)
        with opened(self.engine, self.settings) as (scheduler, address):
            self.queue.open(self.name, runs)
            self.request = Request(
                study=self.queue.folder,
                name=self.name,
                runs=runs,
                digest="",
                store=self.store,
                scheduler=scheduler,
                settings=self.settings,
                workers=self.workers,
                max_parallel=None,
                more=self.more,
                address=address,
            )
            yield
            self.queue.close()

    def make_executor(
        self,
        slots: Sequence["Slot"],  # noqa: ARG002
        *,
        store: Store,  # noqa: ARG002
        precisions: Mapping["Precision", "Resolved"],  # noqa: ARG002
        on_event: Callable[["Event"], None],
        policy: Policy = DEFAULT_POLICY,  # noqa: ARG002
        limits: Limits = NO_LIMITS,  # noqa: ARG002
        tracking: "Tracking | None" = None,  # noqa: ARG002
    ) -> RemoteExecutor:
        """Return an executor, as a `slbench.grid.executor.MakeExecutor`; what workers find on their nodes is theirs."""
        return RemoteExecutor(self.queue, capacity=self.capacity, keep_workers=self._keep_workers, on_event=on_event)

    def _keep_workers(self) -> None:
        """Submit workers that are missing. Raises InputError if they fail to start again and again."""
        from slbench.engines.submit import submit

        assert self.request is not None
        submit(self.request)


def jobs_of_worker(settings: SlurmSettings | RaySettings) -> int:
    """Return the number of runs that a worker trains at a time, as far as its settings tell."""
    gpus = settings.gpus_per_node if isinstance(settings, SlurmSettings) else int(settings.num_gpus)
    number = gpus if isinstance(gpus, int) else int(str(gpus or "").rpartition(":")[2] or 1)
    return max(1, number) * (settings.concurrent_jobs or 1)
