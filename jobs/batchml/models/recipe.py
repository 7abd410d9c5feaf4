"""The recipe of a model: everything that defines it, except its rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from batchml.config import Estimator as EstimatorConfig
from batchml.config import Inputs, Task

LABEL_INDEX = "label_index"
PREDICTION_INDEX = "prediction_index"
CLASS_WEIGHT = "class_weight"
FILLED = "__filled"
"""Ends the name of a numeric input whose gaps are filled."""
Factory = Callable[..., Any]


@dataclass(frozen=True)
class Kind:
    """The estimator class of each task behind one name, and how to prepare its rows.

    ``one_hot``: categories become indicator columns (otherwise their index). ``fills_gaps``: it
    needs no imputation.
    """

    classes: Mapping[str, Callable[[], Any]]
    one_hot: bool
    fills_gaps: bool = False
    tolerance: float = 1e-9
    """The share by which a metric may differ when the model is trained again on the same rows."""
    row_bytes: int = 0
    """Memory that a fit needs outside of Spark's heap, per row."""
    input_bytes: int = 0
    """The same, per row and input."""
    class_bytes: int = 0
    """The same, per row and class."""


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a model, except its rows.

    ``classes`` are the label's values in the order of their index (none for regression),
    ``factory`` is the function of an estimator of kind ``git``, and ``pipeline`` the name in
    messages.
    """

    pipeline: str
    task: Task
    label: str
    inputs: Inputs
    estimator: EstimatorConfig
    seed: int
    class_weight: Literal["balanced"] | None = None
    classes: tuple[str, ...] = ()
    factory: Factory | None = None

    @property
    def file(self) -> str:
        """Return the path of its configuration, for messages."""
        return f"conf/pipelines/{self.pipeline}.yaml"
