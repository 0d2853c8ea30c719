"""What a plan says of the cost of a grid before it runs."""

from collections.abc import Sequence

from rich.console import Console

from slbench.study import StudyRun


def say_work(console: Console, todo: Sequence[StudyRun]) -> None:
    """Images and multiply-adds of the runs that are not finished. Nothing if all are."""
    if not todo:
        return
    from slbench.measure.work import total

    work = total(run.spec for run in todo)
    console.print(
        f"to do: {len(todo)} runs, {work.images:,} training images, {work.macs:.3g} multiply-adds "
        "(training and evaluation; backward counted as twice forward)",
        highlight=False,
        soft_wrap=True,
    )
