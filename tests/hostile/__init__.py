"""Battery of hostile inputs: tables of commands, what each must do, and a runner. Run by `make hostile`.

Each case runs `slbench.cli.main` in a process of its own, forked from one that has imported the heavy modules, in a
folder of its own, with limits of time and memory.
"""
