"""Simulations of `benchmarks.simulated`: they judge as slbench does, and the promises of intervals hold."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.simulated import differences, half_width, means, prior_of, own_spread, sequential_verdicts, spread_of
from slbench.stats import contrasts
from slbench.stats.contrast import Contrast
from slbench.stats.moderation import Variance, estimate_prior
from slbench.stats.sequential import SequentialDesign, interim_analyses
from slbench.stats.simultaneous import sidak_level
from slbench.study import SeedRule
