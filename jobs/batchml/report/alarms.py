"""Print what is late and which volumes are unusual, in a terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from batchml.config.freshness import DayVolume, Freshness
from batchml.report.calendar import ORANGE, VERMILION

RED = f"bold {VERMILION}"


def print_alarms(console: Console, pipelines: Iterable[Freshness]) -> None:
    """Print late pipelines first, then unusual volumes; nothing if all is well."""
    states = list(pipelines)
    lines = [*_late_lines(states), *_volume_lines(states)]
    for line in lines:
        console.print(line, soft_wrap=True)
    if lines:
        console.print()


def _late_lines(states: Iterable[Freshness]) -> Iterable[Text]:
    for state in states:
        if state.late is not None:
            late = state.late
            text = f"{state.pipeline} is {late.headline} ({late.cause}); {late.remedy}"
            yield Text(text, RED)


def _volume_lines(states: Iterable[Freshness]) -> Iterable[Text]:
    """Yield a line for each pipeline, about its newest volume at the highest level."""
    for state in states:
        worst = state.alarms or state.volume
        if not worst:
            continue
        newest = worst[-1]
        others = len(state.volume) - 1
        text = f"{state.pipeline} has {newest.text}"
        if others:
            text += f"; other unusual dates: {others}"
        yield Text(text, _style(newest))


def _style(volume: DayVolume) -> str:
    if volume.level == "alarm":
        return RED
    return ORANGE
