"""ingest: the source's rows for the dates, as received and judged.

bronze keeps every row, silver those that pass every check, quarantine the others with their reasons.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import Row

from batchml.config import Pipeline
from batchml.context import Context, Summary
from batchml.errors import BadData, NothingToDo
from batchml.job_line import IngestDetails
from batchml.rows import checks, schemas
from batchml.sources import SOURCES, Request, reading


@dataclass(frozen=True)
class Counts:
    """Rows per date and per failed check."""

    rows: Counter[dt.date]
    rejected: int
    reasons: Counter[str]
    warnings: Counter[str]


def run(context: Context) -> Summary:
    """Replace the dates in bronze, silver and quarantine; write nothing if the data is unusable.

    A date the source has no rows for any more is emptied, as long as the source could answer for it.
    """
    pipeline = context.pipeline
    context.lake.require_writable()
    with context.phase("read"):
        request = Request(context.spark, pipeline, context.places.landing, context.start, context.end, context.clock)
        extract = SOURCES[pipeline.source.kind](request)
        checks.require_sound(pipeline.checks, extract.frame, pipeline.name)
        for difference in extract.differences:
            context.say("schema: %s", difference)
    judged = context.keep(checks.judge(extract.frame, pipeline.checks))
    with context.phase("check"), reading(f"the source of {pipeline.name} for {context.start}..{context.end}"):
        counts = _count(judged.groupBy("event_date", "reasons", "warnings").count().collect())
        _require_usable(counts, context)
    with context.phase("write"):
        parts = {
            "bronze": (judged, schemas.bronze(pipeline)),
            "silver": (judged.where(checks.passes()), schemas.silver(pipeline)),
            "quarantine": (judged.where(~checks.passes()), schemas.quarantine(pipeline)),
        }
        versions = {
            table: context.lake.replace(table, schemas.select(frame, schema), schema, extract.dates)
            for table, (frame, schema) in parts.items()
        }
    with context.phase("verify"):
        written = {
            table: context.lake.rows_by_date(table, version, extract.dates) for table, version in versions.items()
        }
        require_nothing_lost(counts.rows, written)
    rows = {table: sum(by_date.values()) for table, by_date in written.items()}
    return Summary(
        rows_in=counts.rows.total(),
        rows_out=rows["silver"] + rows["quarantine"],
        tables=versions,
        details=IngestDetails(
            rows=rows,
            rejected=dict(counts.reasons.most_common()),
            warned=dict(counts.warnings.most_common()),
            schema_differences=tuple(extract.differences),
            missing_files=tuple(extract.missing),
        ),
    )


def require_nothing_lost(read: Counter[dt.date], written: dict[str, dict[dt.date, int]]) -> None:
    """Raise BadData unless, for every date, rows read = bronze = silver + quarantine."""
    problems = []
    for date in sorted(read.keys() | written["bronze"].keys()):
        bronze, silver, quarantine = (written[table].get(date, 0) for table in ("bronze", "silver", "quarantine"))
        if not read[date] == bronze == silver + quarantine:
            problems.append(f"{date}: read {read[date]}, bronze {bronze}, silver {silver} + quarantine {quarantine}")
    if problems:
        raise BadData(
            "rows were lost or doubled between source and tables",
            *problems,
            remedy="did the file change, or did another run write these dates meanwhile? run the job again",
        )


def _count(groups: Iterable[Row]) -> Counts:
    rows: Counter[dt.date] = Counter()
    reasons: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    rejected = 0
    for date, failed, warned, size in groups:
        rows[date] += size
        rejected += size if failed else 0
        reasons.update(dict.fromkeys(failed, size))
        warnings.update(dict.fromkeys(warned, size))
    return Counts(rows, rejected, reasons, warnings)


def _require_usable(counts: Counts, context: Context) -> None:
    pipeline: Pipeline = context.pipeline
    total = counts.rows.total()
    if not total:
        raise NothingToDo(f"{pipeline.name}: the source has no rows for {context.start}..{context.end}")
    share = counts.rejected / total
    context.say("%d rows, %d rejected (%.2f %%)", total, counts.rejected, 100 * share)
    if share > pipeline.max_rejected_share:
        raise BadData(
            f"{pipeline.name} {context.start}..{context.end}: {counts.rejected} of {total} rows ({share:.1%}) fail "
            f"a check, more than max_rejected_share allows ({pipeline.max_rejected_share:.1%})",
            *(f"{name}: {size} rows" for name, size in counts.reasons.most_common()),
            remedy="look at the source; if the rows are right, correct the check or raise max_rejected_share",
        )
