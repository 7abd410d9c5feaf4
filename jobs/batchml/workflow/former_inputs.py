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
        return [T.StructField(name, SPARK_TYPES[types[name]]) for name in self.names]

    def add_around(
        self,
        silver: DataFrame,
        columns: Sequence[str],
        add_features: Callable[[DataFrame], DataFrame],
    ) -> DataFrame:
        """Return ``add_features`` of the ``columns`` of ``silver``, with these inputs added.

        A column of the pipeline may have the name of a former input, and another definition.
        """
        row = F.struct(list(columns)).alias(ROW)
        raw = [self._raw(field, columns) for field in schemas.silver(self.trained)]
        both = silver.select(row, *raw)
        computed = with_features(both, self.trained.features, self.tables)
        former = {name: f"former {name}" for name in self.names}
        inputs = [F.col(name).alias(hidden) for name, hidden in former.items()]
        rows = add_features(computed.select(f"`{ROW}`.*", *inputs)).drop(*self.names)
        return rows.withColumnsRenamed({hidden: name for name, hidden in former.items()})

    def _raw(self, field: T.StructField, columns: Sequence[str]) -> Column:
        """Return a column of silver, or its value in ``undeclared`` if it is no longer declared."""
        if field.name in columns:
            return F.col(field.name)
        source_name = self.trained.columns[field.name].name_in_source(field.name)
        path = f"$['{source_name}']"
        undeclared = F.get_json_object(schemas.UNDECLARED, path).try_cast(field.dataType)
        return F.coalesce(F.col(field.name), undeclared).alias(field.name)


def former_inputs(context: Context, silver: DataFrame) -> FormerInputs | None:
    """Return the champion's inputs that the pipeline no longer gives to ``features``.

    Return None if there are none, or if the columns behind them no longer exist. MLflow is read
    only if the table has columns that the pipeline does not compute.
    """
    pipeline, lake = context.pipeline, context.lake
    if not lake.exists("features"):
        return None
    present = set(lake.read_all("features").columns)
    former = present - set(schemas.features(pipeline).fieldNames())
    if not former:
        return None

    trained = _champion_config(context)
    if trained is None or (trained.label, trained.task) != (pipeline.label, pipeline.task):
        return None
    names = tuple(name for name in trained.inputs.columns if name in former)
    if not names:
        return None

    parts = {
        "features": features_behind(trained, names),
        "columns": columns_behind(trained, names),
    }
    trained = trained.model_copy(update=parts)
    gone = _absent_columns(trained, silver)
    try:
        tables = read_lookups(context.spark, trained, context.places.landing)
    except (BadData, Unavailable) as error:
        gone = gone or error.message
    if gone:
        context.log("not computed for the champion: %s, without %s", ", ".join(names), gone)
        return None
    return FormerInputs(trained, names, tables)


def _absent_columns(trained: Pipeline, silver: DataFrame) -> str:
    """Return the columns of ``trained`` that ``silver`` does not have with their types."""
    needed = {(field.name, field.dataType.simpleString()) for field in schemas.silver(trained)}
    return ", ".join(sorted(name for name, _ in needed - set(silver.dtypes)))


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
