"""Statistics of paired runs: intervals, the 2x2, power, sequential sampling. Numbers in, numbers out."""
