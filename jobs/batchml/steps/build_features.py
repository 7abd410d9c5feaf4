"""build_features: compute key, inputs, label and the gate's slices of every silver row."""

import datetime as dt
from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import types as T

from batchml.clients.stored_files import fingerprint_of
from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.job_line import BuildFeaturesDetails
from batchml.rows import schemas
from batchml.rows.dates import is_one_of
from batchml.rows.features import with_features
from batchml.sources import read_lookups
from batchml.workflow.former_inputs import former_inputs


def run(context: Context) -> Summary:
    """Replace the dates in ``features``, with one row for every row of silver."""
    pipeline, lake = context.pipeline, context.lake
    lake.require_writable()
    with context.phase("read"):
        source = lake.latest_version("silver")
        former = former_inputs(context, lake.read_all("silver", source))
        reach_days = pipeline.reach_days
        if former is not None:
            reach_days = max(reach_days, former.trained.reach_days)
        earlier = context.start - dt.timedelta(days=reach_days)
        silver = lake.read("silver", earlier, context.end, source)
        by_date = lake.rows_by_date("silver", source, context.dates)
        if not by_date and not lake.has_rows("features", context.start, context.end):
            _record(context, {}, [])
            raise NothingToDo(
                f"{pipeline.name}: silver has no rows for {context.start}..{context.end}",
                remedy="run ingest for these dates first",
            )
        tables = read_lookups(context.spark, pipeline, context.places.landing)
        absent = [pipeline.lookups[name].path for name, table in tables.items() if table is None]
        if absent:
            context.log(
                "%s not in the landing folder: what is looked up there is null", ", ".join(absent)
            )

    def add_features(frame: DataFrame) -> DataFrame:
        return with_features(frame, pipeline.features, tables)

    schema = schemas.features(pipeline)
    rows = schemas.select(silver, schemas.silver(pipeline))
    if former is None:
        features = add_features(rows)
    else:
        context.log("also computed for the champion: %s", ", ".join(former.names))
        features = former.add_around(silver, rows.columns, add_features)
        schema = T.StructType(schema.fields + former.fields)
    features = features.where(is_one_of(context.dates))
    with (
        context.phase("write"),
        lake.stage(
            "features",
            schemas.select(features, schema),
            schema,
            context.dates,
            is_by_date=not reach_days,
        ) as staged,
    ):
        written = sum(staged.rows.values())
        if staged.rows != by_date:
            raise BadData(
                f"{pipeline.name}: features would have {written} rows of "
                f"{sum(by_date.values())} in silver",
                remedy="correct the feature function that drops or doubles rows",
            )
        version = staged.commit()
    _record(context, by_date, absent)
    details = BuildFeaturesDetails(silver_version=source, absent_lookups=tuple(absent))
    return Summary(rows_in=written, rows_out=written, tables={"features": version}, details=details)


def _record(context: Context, rows: Mapping[dt.date, int], absent: Sequence[str]) -> None:
    """Record the dates, also those without rows."""
    made = {date: rows.get(date, 0) for date in context.dates}
    context.record_derived("features", made, absent, _lookup_files(context))


def _lookup_files(context: Context) -> list[str]:
    """Return the fingerprints of the files of the lookup tables."""
    landing, files = context.places.landing, context.file_system
    fingerprints = []
    for table in context.pipeline.lookups.values():
        parts = files.data_files(f"{landing.rstrip('/')}/{table.path}")
        fingerprints.append(fingerprint_of(parts or []).to_text())
    return fingerprints
