"""maintain_tables: compacts crowded dates and removes files that no kept model needs. --dry-run only tells."""

import datetime as dt
import math

from batchml.context import Context, Summary
from batchml.errors import NothingToDo
from batchml.job_line import MaintainTablesDetails, MlflowIds, TableMaintenance
from batchml.lake import lease
from batchml.lake.ledger import LedgerTable
from batchml.lake.maintenance import Upkeep, crowded_dates
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
    dry = bool(context.options.get("dry_run"))
    tracker = open_tracker(pipeline.name, context.places)
    present = [name for name in TABLES if lake.exists(name)]
    if not present:
        raise NothingToDo(f"{pipeline.name} has no tables yet")
    kept, archived = _models(context, tracker)
    if not dry:
        for number in archived:
            tracker.tag(tracker.numbered(number), {Tag.ARCHIVED: str(context.end)})
    needed = {tracker.record(tracker.numbered(number)).features_version for number in kept}
    done: dict[str, TableMaintenance] = {}
    verb = "would free" if dry else "freed"
    for name in present:
        context.require_lease()
        with context.phase(name):
            upkeep = Upkeep(lake, name)
            hours = _retention(context, upkeep, needed if name == "features" else set())
            done[name] = _tell(upkeep, hours, context) if dry else _maintain(upkeep, hours, context)
        found = done[name]
        context.say(
            "%-11s %s %.1f MB in %d files, %d dates compacted, keeps %d hours",
            *(name, verb, found.bytes / 1e6, found.files, found.compacted, found.retention_hours),
        )
    if not dry:
        LedgerTable(context.folder).clean_up()
        lease.clean_up(context.folder)
    return Summary(
        tables={name: lake.version(name) for name in present},
        mlflow=MlflowIds(model=pipeline.name),
        details=MaintainTablesDetails(
            dry_run=dry,
            kept_models=tuple(kept),
            archived_models=tuple(archived),
            tables=done,
            reason=f"{verb} {sum(freed.bytes for freed in done.values()) / 1e6:.1f} MB",
        ),
    )


def _models(context: Context, tracker: Tracker) -> tuple[list[int], list[int]]:
    """Return the versions that stay reproducible, and those to be archived now.

    Those with an alias and the newest stay.
    """
    versions = tracker.versions()
    newest = sorted(versions, reverse=True)[: context.pipeline.maintenance.keep_models]
    kept = sorted({*newest, *(number for number, version in versions.items() if version.aliases)})
    replaced = [number for number in versions if number not in kept]
    return kept, sorted(number for number in replaced if Tag.ARCHIVED not in versions[number].tags)


def _retention(context: Context, upkeep: Upkeep, needed: set[int]) -> int:
    """Return for how many hours replaced files stay.

    That is the configured days, or since the oldest needed version was replaced.
    """
    hours = context.pipeline.maintenance.retention_days * 24
    replaced = [when for version in needed if (when := upkeep.replaced(version)) is not None]
    if not replaced:
        return hours
    age = dt.datetime.fromtimestamp(context.now()) - min(replaced)
    return max(hours, math.ceil(age / dt.timedelta(hours=1)) + MARGIN_HOURS)


def _maintain(upkeep: Upkeep, hours: int, context: Context) -> TableMaintenance:
    upkeep.remember(hours)
    live = upkeep.live_files()
    crowded = crowded_dates(live, context.pipeline.maintenance.small_files)
    if crowded:
        upkeep.compact(crowded)
    before = upkeep.usage()
    if before.files <= len(
        live
    ):  # the newest version's and no others: VACUUM would only add two commits
        return TableMaintenance(compacted=0, files=0, bytes=0, retention_hours=hours)
    upkeep.vacuum(hours)
    after = upkeep.usage()
    return TableMaintenance(
        compacted=len(crowded),
        files=before.files - after.files,
        bytes=before.bytes - after.bytes,
        retention_hours=hours,
    )


def _tell(upkeep: Upkeep, hours: int, context: Context) -> TableMaintenance:
    live = upkeep.live_files()
    crowded = crowded_dates(live, context.pipeline.maintenance.small_files)
    files = upkeep.removable(hours) if upkeep.usage().files > len(live) else []
    return TableMaintenance(
        compacted=len(crowded),
        files=len(files),
        bytes=sum(upkeep.file_size(file) for file in files),
        retention_hours=hours,
    )
