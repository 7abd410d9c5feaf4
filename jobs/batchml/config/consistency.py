"""Check that the parts of a pipeline fit each other."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from batchml.config.base import NUMBERS, ColumnType
from batchml.config.columns import NAME, RESERVED, TIMES, Column, Inputs
from batchml.config.features import Feature
from batchml.config.learning import METRICS, Estimator, Gate, Task, Training
from batchml.config.sources import JdbcSource, LookupTable, Source, TextForm

Types = Mapping[str, ColumnType]
ONLY_FOR: dict[str, Task] = {"linear": "regression", "logistic": "classification"}
LABELS: dict[Task, tuple[ColumnType, ...]] = {
    "regression": NUMBERS,
    "classification": ("string", "int", "long"),
}
SPELLED_OUT = {" ": "a space", "\t": "a tab", ".": "a dot"}


class UnknownName(ValueError):
    """A value that does not fit the rest of the file: with the problem, or the values that would.

    ``place`` is the dotted key of the value.
    """

    def __init__(
        self, place: str, value: str, problem: str = "", *, expected: tuple[str, ...] = ()
    ) -> None:
        super().__init__(place, value)
        self.place = place
        self.value = value
        self.problem = problem
        self.expected = expected


@dataclass(frozen=True)
class Allowed:
    """The types that a column may have at some place, and how a message lists them."""

    types: tuple[ColumnType, ...]
    text: str


EVENT_TIME = Allowed(TIMES, "a date or time")
FORMATTED = Allowed(TIMES, "a date or timestamp_ntz")
PARTITION = Allowed(("int", "long"), "int or long")
NUMERIC = Allowed(NUMBERS, "int or long or double")
CATEGORICAL = Allowed((*NUMBERS, "string"), "int or long or double or string")


def require_known(place: str, name: str, known: Collection[str]) -> None:
    """Raise UnknownName unless ``name`` is one of ``known``."""
    if name not in known:
        raise UnknownName(place, name, expected=tuple(sorted(known)))


def require_source_columns(source: Source, types: Types) -> None:
    """Raise UnknownName if the source names a column that is not declared, or not of its type."""
    if source.event_time is not None:
        _require_column("source.event_time", source.event_time, types, EVENT_TIME)
    if isinstance(source, JdbcSource) and source.partition_column is not None:
        _require_column("source.partition_column", source.partition_column, types, PARTITION)
    if isinstance(source, TextForm):
        for name in source.formats:
            _require_column("source.formats", name, types, FORMATTED)


def require_feature_columns(
    features: Sequence[Feature], types: Types, lookups: Mapping[str, LookupTable]
) -> None:
    """Raise UnknownName if a feature reads an unknown column or table, or one of a wrong type."""
    available = dict(types)
    for index, feature in enumerate(features):
        place = f"features.{index}"
        for name in feature.reads():
            require_known(place, name, available)
        for name, allowed in feature.takes().items():
            if available[name] not in allowed:
                takes = f"{feature.kind} takes {' or '.join(allowed)}"
                raise UnknownName(place, name, f"is a {available[name]}; {takes}")
        if feature.looks_up is not None:
            require_known(f"{place}.table", feature.looks_up, lookups)
        available |= feature.adds()


def require_usable_names(columns: Mapping[str, Column], features: Sequence[Feature]) -> None:
    """Raise UnknownName for a name that no table may have, or that two columns have."""
    places = dict.fromkeys(columns, "columns")
    for index, feature in enumerate(features):
        places |= dict.fromkeys(feature.adds(), f"features.{index}")

    spellings: dict[str, str] = {}
    for name, place in places.items():
        if not NAME.fullmatch(name):
            raise UnknownName(place, name, _describe_unusable(name))
        if name.lower() in RESERVED:
            problem = "is a name the pipeline itself uses: give the column another"
            raise UnknownName(place, name, problem)
        other = spellings.setdefault(name.lower(), name)
        if other != name:
            problem = f"and {other!r} differ in case only: give one of them another name"
            raise UnknownName(place, name, problem)

    source_names = [column.name_in_source(name) for name, column in columns.items()]
    duplicate = _first_duplicate(source_names)
    if duplicate is not None:
        raise UnknownName("columns", duplicate, "is the source of two columns")


def require_inputs(inputs: Inputs, label: str, types: Types) -> None:
    """Raise UnknownName if there is no input, one of a wrong type, or the label among them."""
    if label in inputs.columns:
        raise UnknownName("inputs", label, "is the label: a model must not see it")
    if not inputs.columns:
        raise UnknownName("inputs", "", "names no column: give numeric or categorical ones")
    for name in inputs.numeric:
        _require_column("inputs.numeric", name, types, NUMERIC)
    for name in inputs.categorical:
        _require_column("inputs.categorical", name, types, CATEGORICAL)


def require_days_for_grid(estimator: Estimator, training: Training) -> None:
    """Raise UnknownName if no day is left to fit on while the grid is tried."""
    is_too_long = training.validation_days >= training.window_days
    if estimator.grid and training.split == "time" and is_too_long:
        window = f"training.window_days ({training.window_days})"
        problem = f"leaves nothing of {window} to try the grid on"
        raise UnknownName("training.validation_days", str(training.validation_days), problem)


def require_check_names(names: Sequence[str], generated: set[str]) -> None:
    """Raise UnknownName if two checks have one name, or one has that of a ``generated`` reason."""
    duplicate = _first_duplicate(names)
    if duplicate is not None:
        raise UnknownName("checks", duplicate, "is the name of two checks")
    reserved = sorted(generated & set(names))
    if reserved:
        problem = "is a reason that the pipeline generates: rename the check"
        raise UnknownName("checks", reserved[0], problem)


def require_label_type(label: str, task: Task, types: Types) -> None:
    """Raise UnknownName unless the label has a type that ``task`` can predict."""
    allowed = LABELS[task]
    if types[label] not in allowed:
        problem = f"is a {types[label]}; a label of {task} is {' or '.join(allowed)}"
        raise UnknownName("label", label, problem)


def require_baseline(baseline: str, task: Task, types: Types) -> None:
    """Raise UnknownName unless the baseline is a number, for a regression."""
    require_known("gate.baseline", baseline, types)
    if task != "regression" or types[baseline] not in NUMBERS:
        raise UnknownName("gate.baseline", baseline, "must be a number, and the task regression")


def require_suitable_learning(
    task: Task, training: Training, estimator: Estimator, gate: Gate
) -> None:
    """Raise UnknownName if class weight, estimator or metric are not for ``task``."""
    if training.class_weight is not None and task != "classification":
        problem = "is for classification only"
        raise UnknownName("training.class_weight", training.class_weight, problem)
    if ONLY_FOR.get(estimator.kind, task) != task:
        problem = f"cannot be used for task {task!r}"
        raise UnknownName("estimator.kind", estimator.kind, problem)
    if gate.metric not in METRICS[task]:
        raise UnknownName("gate.metric", gate.metric, expected=METRICS[task])


def _require_column(place: str, name: str, types: Types, allowed: Allowed) -> None:
    require_known(place, name, types)
    if types[name] not in allowed.types:
        raise UnknownName(place, name, f"is a {types[name]}, not {allowed.text}")


def _first_duplicate(names: Collection[str]) -> str | None:
    """Return the first name, in alphabetical order, that occurs more than once."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    return min(repeated, default=None)


def _describe_unusable(name: str) -> str:
    """Return the unusable character of a column's name, and how to map the column."""
    unusable = (character for character in name if not NAME.fullmatch(f"x{character}"))
    character = next(unusable, name[:1])
    shown = SPELLED_OUT.get(character, repr(character))
    plain = re.sub(r"\W+", "_", name).strip("_") or "column"
    example = f"{plain}: {{type: …, from: {name!r}}}"
    return f"has {shown} in it: name the column {plain} and map it, as in {example}"
