"""The schedulers by name of their engine."""

from collections.abc import Mapping
from types import MappingProxyType

from slbench.engine_settings import Engine
from slbench.engines.engine import Scheduler
from slbench.engines.ray_cluster import RayCluster
from slbench.engines.slurm import Slurm

SCHEDULERS: Mapping[Engine, Scheduler] = MappingProxyType({"slurm": Slurm(), "ray": RayCluster()})
