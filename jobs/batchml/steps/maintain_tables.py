"""maintain_tables: compact crowded dates and remove files that no kept model needs.

--dry-run only reports what would be done.
"""

import datetime as dt
import math
from collections.abc import Collection

from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MaintainTablesDetails, MlflowIds, TableMaintenance
from batchml.lake import lease
from batchml.lake.ledger import LedgerTable
from batchml.lake.maintenance import TableFiles, crowded_dates
from batchml.tracking import Tag, Tracker, open_tracker

TABLES = (
    "bronze",
    "silver",
    "quarantine",
    "deliveries",
    "features",
    "predictions",
    "drift",
    "verdicts",
)
MARGIN_HOURS = 1


def run(context: Context) -> Summary:
    """Maintain every table of the pipeline, after archiving the versions that are not kept."""
    pipeline, lake = context.pipeline, context.lake
    is_dry_run = bool(context.options.get("dry_run"))
    tracker = open_tracker(pipeline.name, context.places)
    present = [name for name in TABLES if lake.exists(name)]
    if not present:
        raise NothingToDo(f"{pipeline.name} has no tables yet")

    kept, archived = _models(context, tracker)
    if not is_dry_run:
        _archive(context, tracker, archived)
    needed = set()
    for number in kept:
        record = tracker.record(tracker.get(number))
        needed.add(record.features_version)

    maintained: dict[str, TableMaintenance] = {}
    for name in present:
        context.require_lease()
        with context.phase(name):
            maintained[name] = _maintain_table(context, TableFiles(lake, name), needed)
        _log(context, name, maintained[name])
    if not is_dry_run:
        LedgerTable(context.folder).clean_up()
        lease.clean_up(context.folder)

    freed = sum(table.bytes for table in maintained.values())
    return Summary(
        tables={name: lake.latest_version(name) for name in present},
        mlflow=MlflowIds(model=pipeline.name),
        details=MaintainTablesDetails(
            dry_run=is_dry_run,
            kept_models=tuple(kept),
            archived_models=tuple(archived),
            tables=maintained,
            reason=f"{_verb(context)} {freed / 1e6:.1f} MB",
        ),
    )


def _archive(context: Context, tracker: Tracker, numbers: Collection[int]) -> None:
    """Tag the versions as archived."""
    tags = {Tag.ARCHIVED: str(context.end)}
    for number in numbers:
        tracker.set_tags(tracker.get(number), tags)


def _verb(context: Context) -> str:
    if context.options.get("dry_run"):
        return "would free"
    return "freed"


def _log(context: Context, name: str, table: TableMaintenance) -> None:
    context.log(
        "%-11s %s %.1f MB in %d files, %d dates compacted, keeps %d hours",
        name,
        _verb(context),
        table.bytes / 1e6,
        table.files,
        table.compacted,
        table.retention_hours,
    )


def _models(context: Context, tracker: Tracker) -> tuple[list[int], list[int]]:
    """Return the versions that stay reproducible, and those to be archived now.

    Those with an alias and the newest stay.
    """
    versions = tracker.versions()
    keep_models = context.pipeline.maintenance.keep_models
    newest = sorted(versions, reverse=True)[:keep_models]
    with_alias = [number for number, version in versions.items() if version.aliases]
    kept = sorted(set(newest).union(with_alias))

    archived = []
    for number, version in versions.items():
        if number not in kept and Tag.ARCHIVED not in version.tags:
            archived.append(number)
    return kept, sorted(archived)


def _maintain_table(
    context: Context,
    files: TableFiles,
    needed: set[int],
) -> TableMaintenance:
    """Maintain one table. ``needed`` are the versions of ``features`` that models need."""
    if files.name != "features":
        needed = set()
    hours = _retention(context, files, needed)
    if context.options.get("dry_run"):
        return _dry_run(files, hours, context)
    return _maintain(files, hours, context)


def _retention(context: Context, files: TableFiles, needed: set[int]) -> int:
    """Return the hours for which replaced files stay.

    These are the configured days, or the time since the oldest needed version was replaced.
    """
    hours = context.pipeline.maintenance.retention_days * 24
    replaced = []
    for version in needed:
        time = files.replaced_at(version)
        if time is not None:
            replaced.append(time)
    if not replaced:
        return hours

    age = dt.datetime.fromtimestamp(context.now()) - min(replaced)
    age_hours = math.ceil(age / dt.timedelta(hours=1))
    return max(hours, age_hours + MARGIN_HOURS)


def _maintain(files: TableFiles, hours: int, context: Context) -> TableMaintenance:
    files.extend_retention(hours)
    live = files.live_files()
    crowded = crowded_dates(live, context.pipeline.maintenance.small_files)
    if crowded:
        files.compact(crowded)

    before = files.usage()
    # Without files of older versions VACUUM would only add two commits.
    if before.files <= len(live):
        return TableMaintenance(compacted=0, files=0, bytes=0, retention_hours=hours)
    files.vacuum(hours)
    after = files.usage()
    return TableMaintenance(
        compacted=len(crowded),
        files=before.files - after.files,
        bytes=before.bytes - after.bytes,
        retention_hours=hours,
    )


def _dry_run(files: TableFiles, hours: int, context: Context) -> TableMaintenance:
    live = files.live_files()
    crowded = crowded_dates(live, context.pipeline.maintenance.small_files)
    removable: list[str] = []
    if files.usage().files > len(live):
        removable = files.vacuum_dry_run(hours)
    return TableMaintenance(
        compacted=len(crowded),
        files=len(removable),
        bytes=sum(map(files.file_size, removable)),
        retention_hours=hours,
    )
