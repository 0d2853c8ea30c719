"""Engines that start `slbench work` elsewhere and watch it; the workers pull their runs from the store.

<store>/engines/<study>/<submission>/submission.json   what was asked of the scheduler, before and after it answered
<store>/engines/<study>/<submission>/script.sh         the script that starts a worker
<store>/engines/<study>/<submission>/<study file>      copy of the study as it was submitted
<store>/engines/<study>/<submission>/<task>.json       attempts of a worker, as it records them
<store>/engines/<study>/<submission>/<task>.log        its output
"""
