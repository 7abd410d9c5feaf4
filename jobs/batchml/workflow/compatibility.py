"""State why a trained model does not suit the present configuration of its pipeline."""

from batchml.config import Pipeline
from batchml.config.definitions import redefined_columns


def has_same_target(pipeline: Pipeline, trained: Pipeline) -> bool:
    """Return True if both predict the same label, as the same task."""
    return trained.label == pipeline.label and trained.task == pipeline.task


def other_target(pipeline: Pipeline, trained: Pipeline) -> str:
    """Return how the prediction of the model differs from the pipeline's; empty if it does not."""
    if has_same_target(pipeline, trained):
        return ""
    return (
        f"it predicts {trained.label} ({trained.task}), "
        f"and the pipeline {pipeline.label} ({pipeline.task})"
    )


def changed_definitions(pipeline: Pipeline, trained: Pipeline) -> str:
    """Return which inputs or label of the model are defined differently now; empty if none."""
    names = redefined_columns(pipeline, trained)
    if not names:
        return ""
    return f"the definition of {', '.join(names)} has changed"
