"""build_features: key, inputs, label and the gate's slices of every silver row of the dates."""

import datetime as dt

from pyspark.sql import functions as F

from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.job_line import BuildFeaturesDetails
from batchml.rows import schemas
from batchml.rows.features import with_features
from batchml.sources import read_lookups


def run(context: Context) -> Summary:
    """Replace the dates in ``features``, with one row for every row of silver."""
    pipeline, lake = context.pipeline, context.lake
    lake.require_writable()
    with context.phase("read"):
        source = lake.version("silver")
        earlier = context.start - dt.timedelta(days=pipeline.reach_days)
        silver = lake.read("silver", earlier, context.end, source)
        wanted = F.col("event_date").between(F.lit(context.start), F.lit(context.end))
        by_date = lake.rows_by_date("silver", source, context.dates)
        if not by_date and not lake.holds("features", context.start, context.end):
            raise NothingToDo(
                f"{pipeline.name}: silver has no rows for {context.start}..{context.end}",
                remedy="run ingest for these dates first",
            )
        tables = read_lookups(context.spark, pipeline, context.places.landing)
        absent = [pipeline.lookups[name].path for name, table in tables.items() if table is None]
        if absent:
            context.say(
                "%s not in the landing folder: what is looked up there is null", ", ".join(absent)
            )
    schema = schemas.features(pipeline)
    features = with_features(
        schemas.select(silver, schemas.silver(pipeline)), pipeline.features, tables
    ).where(wanted)
    with (
        context.phase("write"),
        lake.stage(
            "features",
            schemas.select(features, schema),
            schema,
            context.dates,
            is_by_date=not pipeline.reach_days,
        ) as staged,
    ):
        rows = sum(staged.rows.values())
        if staged.rows != by_date:
            raise BadData(
                f"{pipeline.name}: features would have {rows} rows of {sum(by_date.values())} in silver",
                remedy="a feature function must neither drop nor double rows",
            )
        version = staged.commit()
    details = BuildFeaturesDetails(silver_version=source, absent_lookups=tuple(absent))
    return Summary(rows_in=rows, rows_out=rows, tables={"features": version}, details=details)
