"""Compute inputs of the champion that the pipeline no longer has.

The table ``features`` keeps them until another model is promoted, so that the champion goes on
scoring and a challenger can be compared with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from batchml.config import Pipeline
from batchml.config.definitions import columns_behind, features_behind
from batchml.context import Context
from batchml.errors import BadConfig, BadData, Unavailable
from batchml.rows import schemas
from batchml.rows.cells import SPARK_TYPES
from batchml.rows.features import with_features
from batchml.sources import read_lookups
from batchml.workflow.compatibility import has_same_target

ROW = "columns of silver"  # a name that no column has


@dataclass(frozen=True)
class FormerInputs:
    """Columns ``names`` as the configuration of the champion's training, ``trained``, defines them.

    ``trained`` has only the features and declared columns that these need.
    """

    trained: Pipeline
    names: tuple[str, ...]
    tables: Mapping[str, DataFrame | None]
    """The lookup tables of the features."""

    @property
    def fields(self) -> list[T.StructField]:
        """Return their fields in the schema of ``features``."""
        types = self.trained.column_types
        fields = []
        for name in self.names:
            type_ = SPARK_TYPES[types[name]]
            fields.append(T.StructField(name, type_))
        return fields

    def compute_with(
        self,
        silver: DataFrame,
        columns: Sequence[str],
        add_features: Callable[[DataFrame], DataFrame],
    ) -> DataFrame:
        """Return ``add_features`` of the ``columns`` of ``silver``, with these inputs added.

        A column of the pipeline may have the name of a former input, and another definition.
        """
        selected = [F.struct(list(columns)).alias(ROW)]
        for field in schemas.silver(self.trained):
            selected.append(self._raw(field, columns))
        both = silver.select(selected)
        computed = with_features(both, self.trained.features, self.tables)

        names_by_hidden = {f"former {name}": name for name in self.names}
        inputs = []
        for hidden, name in names_by_hidden.items():
            inputs.append(F.col(name).alias(hidden))
        with_inputs = computed.select(f"`{ROW}`.*", *inputs)
        rows = add_features(with_inputs).drop(*self.names)
        return rows.withColumnsRenamed(names_by_hidden)

    def _raw(self, field: T.StructField, columns: Sequence[str]) -> Column:
        """Return a column of silver, or its value in ``undeclared`` if it is no longer declared."""
        if field.name in columns:
            return F.col(field.name)
        declared = self.trained.columns[field.name]
        path = f"$['{declared.name_in_source(field.name)}']"
        text = F.get_json_object(schemas.UNDECLARED, path)
        undeclared = text.try_cast(field.dataType)
        value = F.coalesce(F.col(field.name), undeclared)
        return value.alias(field.name)


def former_inputs(context: Context, silver: DataFrame) -> FormerInputs | None:
    """Return the champion's inputs that the pipeline no longer computes for ``features``.

    Return None if there are none, or if the columns behind them no longer exist. MLflow is read
    only if the table has columns that the pipeline does not compute.
    """
    former_columns = _columns_without_feature(context)
    if not former_columns:
        return None
    champion = _champion_config(context)
    if champion is None or not has_same_target(context.pipeline, champion):
        return None
    names = tuple(name for name in champion.inputs.columns if name in former_columns)
    if not names:
        return None

    trained = _reduced_to(names, champion)
    obstacle = _absent_columns(trained, silver)
    try:
        tables = read_lookups(context.spark, trained, context.places.landing)
    except (BadData, Unavailable) as error:
        obstacle = obstacle or error.message
    if obstacle:
        context.log("not computed for the champion: %s, without %s", ", ".join(names), obstacle)
        return None
    return FormerInputs(trained, names, tables)


def _columns_without_feature(context: Context) -> set[str]:
    """Return the columns of the table ``features`` that the pipeline does not compute."""
    if not context.lake.exists("features"):
        return set()
    stored = context.lake.read_all("features").columns
    computed = schemas.features(context.pipeline).fieldNames()
    return set(stored).difference(computed)


def _reduced_to(names: Sequence[str], trained: Pipeline) -> Pipeline:
    """Return the configuration with only the features and columns that ``names`` need."""
    parts = {
        "features": features_behind(trained, names),
        "columns": columns_behind(trained, names),
    }
    return trained.model_copy(update=parts)


def _absent_columns(trained: Pipeline, silver: DataFrame) -> str:
    """Return the columns of ``trained`` that ``silver`` does not have with their types."""
    present = dict(silver.dtypes)
    absent = []
    for field in schemas.silver(trained):
        if present.get(field.name) != field.dataType.simpleString():
            absent.append(field.name)
    return ", ".join(sorted(absent))


def _champion_config(context: Context) -> Pipeline | None:
    """Return the configuration of the champion's training; None without a usable champion."""
    from batchml.tracking import CHAMPION, open_tracker  # imports MLflow, which takes seconds

    tracker = open_tracker(context.pipeline.name, context.places)
    champion = tracker.by_alias(CHAMPION)
    if champion is None or tracker.is_gone(champion):
        return None
    try:
        return tracker.record(champion).parse_config()
    except (BadData, BadConfig) as error:
        context.log("%s", error)
        return None
