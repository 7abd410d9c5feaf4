"""build_features: compute the columns of ``features`` for every row of silver."""

import datetime as dt
from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from batchml.clients.landing import lookup_fingerprints
from batchml.config import Pipeline
from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.job_line import BuildFeaturesDetails
from batchml.lake.staging import Staged
from batchml.rows import schemas
from batchml.rows.dates import is_one_of
from batchml.rows.features import with_features
from batchml.sources import read_lookups
from batchml.workflow.former_inputs import FormerInputs, former_inputs


def run(context: Context) -> Summary:
    """Replace the dates in ``features``, with one row for every row of silver."""
    pipeline, lake = context.pipeline, context.lake
    lake.require_writable()
    with context.phase("read"):
        silver_version = lake.latest_version("silver")
        # Take the fingerprints before the files are read. If a file changes in between, the old one
        # is recorded, and the next run does not skip the dates as unchanged.
        lookups = lookup_fingerprints(context.places.landing, pipeline, context.file_system)
        # Inputs that the champion needs and the pipeline no longer has.
        former = former_inputs(context, lake.read_all("silver", silver_version))
        reach_days = pipeline.reach_days
        if former is not None:
            reach_days = max(reach_days, former.trained.reach_days)
        earlier = context.start - dt.timedelta(days=reach_days)
        silver = lake.read("silver", earlier, context.end, silver_version)
        by_date = lake.rows_by_date("silver", silver_version, context.dates)
        if not by_date and not lake.has_rows("features", context.start, context.end):
            _record(context, {}, [], lookups)
            raise NothingToDo(
                f"{pipeline.name}: silver has no rows for {context.start}..{context.end}",
                remedy="run ingest for these dates first",
            )
        tables = read_lookups(context.spark, pipeline, context.places.landing)
        absent = _absent_lookups(context, tables)

    features, schema = _compute(context, silver, former, tables)
    with context.phase("write"):
        rows = schemas.select(features, schema)
        # Each of silver's files has one date. A lag joins dates, and so mixes them.
        is_by_date = not reach_days
        with lake.stage("features", rows, schema, context.dates, is_by_date=is_by_date) as staged:
            _require_every_row(pipeline, staged, by_date)
            version = staged.commit()
    _record(context, by_date, absent, lookups)
    written = sum(by_date.values())
    return Summary(
        rows_in=written,
        rows_out=written,
        tables={"features": version},
        details=BuildFeaturesDetails(silver_version=silver_version, absent_lookups=tuple(absent)),
    )


def _absent_lookups(context: Context, tables: Mapping[str, DataFrame | None]) -> list[str]:
    """Return the paths of the lookup tables that do not exist, and log them."""
    lookups = context.pipeline.lookups
    absent = [lookups[name].path for name, table in tables.items() if table is None]
    if absent:
        context.log("%s not in the landing folder: values from there are null", ", ".join(absent))
    return absent


def _compute(
    context: Context,
    silver: DataFrame,
    former: FormerInputs | None,
    tables: Mapping[str, DataFrame | None],
) -> tuple[DataFrame, T.StructType]:
    """Return the features of the dates, with the ``former`` inputs, and their schema."""
    pipeline = context.pipeline

    def add_features(frame: DataFrame) -> DataFrame:
        return with_features(frame, pipeline.features, tables)

    schema = schemas.features(pipeline)
    rows = schemas.select(silver, schemas.silver(pipeline))
    if former is None:
        features = add_features(rows)
    else:
        context.log("also computed for the champion: %s", ", ".join(former.names))
        features = former.compute_with(silver, rows.columns, add_features)
        schema = T.StructType(schema.fields + former.fields)
    return features.where(is_one_of(context.dates)), schema


def _require_every_row(
    pipeline: Pipeline,
    staged: Staged,
    by_date: Mapping[dt.date, int],
) -> None:
    """Raise BadData unless ``features`` gets as many rows as silver has on every date."""
    if staged.rows == by_date:
        return
    written = sum(staged.rows.values())
    rows = sum(by_date.values())
    raise BadData(
        f"{pipeline.name}: features would have {written} rows of {rows} in silver",
        remedy="correct the feature function that drops or doubles rows",
    )


def _record(
    context: Context,
    rows: Mapping[dt.date, int],
    absent: Sequence[str],
    lookups: Sequence[str],
) -> None:
    """Record the dates in the ledger. ``lookups`` are the fingerprints of the lookup files."""
    rows_by_date = {date: rows.get(date, 0) for date in context.dates}
    context.record_derived("features", rows_by_date, absent, lookups)
