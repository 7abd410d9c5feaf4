"""What an edit of the YAML changes, by the ledger and the record of the champion's training."""

import datetime as dt

import pytest

from batchml.commands.plan import text
from batchml.commands.plan.champion import Champion
from batchml.commands.plan.dates import DateRange
from batchml.commands.plan.edit import (
    Columns,
    EditPlan,
    Known,
    Rebuild,
    TablePlan,
    horizon_of,
    next_run,
    plan_edit,
)
from batchml.config import Pipeline, conf_folder, load_pipeline
from batchml.config.definitions import INGESTED, definition_of
from batchml.config.sources import days_between
from batchml.lake import owed
from batchml.lake.ledger import IN_WORK, Entry, Ledger
from batchml.lake.owed import Deliveries

DATES = days_between(dt.date(2021, 1, 1), dt.date(2021, 1, 10))
ROWS = 3
DELIVERED = Deliveries(dict.fromkeys(DATES, "file"), is_complete=True)
SHORT = ("training.window_days=3", "training.holdout_days=1")
CHECK = "checks=[{name: is_far, expect: trip_distance > 1}]"
HOUR = "{kind: hour_of_day, of: lpep_pickup_datetime, to: pickup_hour}"
WEEKDAY = "{kind: day_of_week, of: lpep_pickup_datetime, to: pickup_weekday}"
MINUTES = (
    "{kind: duration_minutes, start: lpep_pickup_datetime, "
    "end: lpep_dropoff_datetime, to: trip_minutes}"
)
FEATURES = f"features=[{MINUTES}, {HOUR}, {WEEKDAY}]"
PLAIN = (*SHORT, FEATURES, "gate.slices=[]", "lookups={}")
HOUR_ONLY = "inputs={numeric: [trip_distance, pickup_hour]}"
WITH_WEEKDAY = "inputs={numeric: [trip_distance, pickup_hour, pickup_weekday]}"
FARE = "label=fare_amount"


def taxi(*settings: str) -> Pipeline:
    return load_pipeline("taxi", conf_folder(), [*PLAIN, HOUR_ONLY, *settings])


@pytest.fixture(scope="module")
def before() -> Pipeline:
    return taxi()


@pytest.fixture(scope="module")
def ledger(before: Pipeline) -> Ledger:
    """Return the ledger after all jobs have run for ``DATES``."""
    entries = []
    for table in INGESTED:
        definition = definition_of(before, table)
        entries += [Entry(table, day, "done", ROWS, "i", "file", definition, "r") for day in DATES]
    for derivation in owed.DERIVATIONS.values():
        table = derivation.table
        definition, known = definition_of(before, table), Ledger.of(entries)
        for day in DATES:
            source = owed.made_from(known, before, table, day)
            entries.append(Entry(table, day, "done", ROWS, table, source, definition, "r"))
    return Ledger.of(entries)


def plan(
    ledger: Ledger,
    pipeline: Pipeline,
    champion: Champion | str | None = "not read",
    deliveries: Deliveries = DELIVERED,
) -> EditPlan:
    run = next_run(ledger)
    horizon = None if run is None else horizon_of(ledger, pipeline, run)
    return plan_edit(pipeline, ledger, horizon, Known(deliveries, champion))


def table(of: EditPlan, name: str) -> TablePlan:
    return next(each for each in of.tables if each.table == name)


def rebuilt(of: EditPlan) -> dict[str, list[str]]:
    """Return the reasons by table."""
    return {
        each.table: [part.reason for part in each.rebuild] for each in of.tables if each.rebuild
    }


def in_january(first: int, last: int) -> DateRange:
    days = last - first + 1
    return DateRange(days, dt.date(2021, 1, first), dt.date(2021, 1, last), days * ROWS)


def printed(of: EditPlan) -> str:
    return "\n".join(text.sentences(of))


def test_unchanged_pipeline_rebuilds_nothing(ledger, before):
    unchanged = plan(ledger, before)
    assert rebuilt(unchanged) == {}
    assert not any(each.is_changed for each in unchanged.tables)


def test_unchanged_pipeline_prints_nothing_to_rebuild(ledger, before):
    assert "taxi: nothing to rebuild" in printed(plan(ledger, before))


def test_next_run_is_the_day_after_the_newest(ledger):
    assert next_run(ledger) == dt.date(2021, 1, 11)


def test_new_check_rebuilds_every_table(ledger):
    other, older = [owed.OTHER_DEFINITION], [owed.OLDER_INPUT]
    assert rebuilt(plan(ledger, taxi(CHECK))) == {
        **dict.fromkeys(INGESTED, other),
        **dict.fromkeys(("features", "predictions", "drift"), older),
    }


def test_new_check_rebuilds_the_training_window(ledger):
    silver = table(plan(ledger, taxi(CHECK)), "silver")
    assert silver.rebuild == (Rebuild(owed.OTHER_DEFINITION, in_january(8, 10)),)


def test_new_check_leaves_dates_before_the_window(ledger):
    assert table(plan(ledger, taxi(CHECK)), "silver").kept == in_january(1, 7)


def test_new_check_leaves_the_definition_of_features(ledger):
    assert not table(plan(ledger, taxi(CHECK)), "features").is_changed


def test_date_without_delivery_is_blocked(ledger):
    deliveries = Deliveries({DATES[-1]: "file"}, is_complete=True)
    bronze = table(plan(ledger, taxi(CHECK), deliveries=deliveries), "bronze")
    assert bronze.blocked == in_january(8, 9)


def test_changed_delivery_is_rebuilt_without_an_edit(ledger, before):
    deliveries = Deliveries({DATES[-1]: "corrected"}, is_complete=True)
    bronze = table(plan(ledger, before, deliveries=deliveries), "bronze")
    assert bronze.rebuild == (Rebuild(owed.CHANGED, in_january(10, 10)),)


def test_interrupted_date_is_rebuilt(ledger, before):
    broken = Entry("bronze", DATES[-1], "done", ROWS, made_from=IN_WORK)
    killed = Ledger.of([*ledger.entries.values(), broken])
    assert rebuilt(plan(killed, before))["bronze"] == [owed.INTERRUPTED]


def test_new_input_leaves_ingested_tables(ledger):
    assert rebuilt(plan(ledger, taxi(WITH_WEEKDAY))).keys() == {"features", "predictions", "drift"}


def test_new_input_is_an_added_column(ledger):
    features = table(plan(ledger, taxi(WITH_WEEKDAY)), "features")
    assert features.columns == Columns(added=("pickup_weekday",))


def test_removed_input_rebuilds_no_features(ledger):
    edited = taxi("inputs={numeric: [trip_distance]}")
    features = table(plan(ledger, edited), "features")
    assert features.columns == Columns(removed=("pickup_hour",))
    assert features.rebuild == ()


def test_redefined_feature_is_a_changed_column(ledger):
    edited = taxi(FEATURES.replace("of: lpep_pickup", "of: lpep_dropoff"))
    features = table(plan(ledger, edited), "features")
    assert features.columns == Columns(changed=("pickup_hour",))


def test_champion_scores_without_the_new_input(ledger, before):
    fit = plan(ledger, taxi(WITH_WEEKDAY), Champion(3, before)).champion
    assert fit is not None
    assert (fit.can_score, fit.cannot_compare) == (True, "")


def test_new_input_needs_a_training(ledger, before):
    fit = plan(ledger, taxi(WITH_WEEKDAY), Champion(3, before)).champion
    assert fit is not None
    assert fit.training_reasons == ("use the new input pickup_weekday",)
    assert not fit.starts_training


def test_removed_input_leaves_the_champion(ledger, before):
    fit = plan(ledger, taxi("inputs={numeric: [trip_distance]}"), Champion(3, before)).champion
    assert fit is not None
    assert fit.can_score
    assert fit.training_reasons == ("drop the input pickup_hour",)


def test_removed_input_of_a_retyped_column_cannot_score(ledger, before):
    edited = taxi("inputs={numeric: [pickup_hour]}", "columns.trip_distance=string", "checks=[]")
    fit = plan(ledger, edited, Champion(3, before)).champion
    assert fit is not None
    assert "trip_distance of another type" in fit.cannot_score


def test_redefined_input_prevents_the_comparison(ledger, before):
    edited = taxi(FEATURES.replace("of: lpep_pickup", "of: lpep_dropoff"))
    fit = plan(ledger, edited, Champion(3, before)).champion
    assert fit is not None
    assert fit.can_score
    assert fit.cannot_compare == "the definition of pickup_hour has changed"


def test_new_label_stops_the_champion(ledger, before):
    fit = plan(ledger, taxi(FARE), Champion(3, before)).champion
    assert fit is not None
    expected = "it predicts trip_minutes (regression), and the pipeline fare_amount (regression)"
    assert (fit.cannot_score, fit.cannot_compare) == (expected, expected)


def test_new_label_starts_a_training(ledger, before):
    fit = plan(ledger, taxi(FARE), Champion(3, before)).champion
    assert fit is not None
    assert fit.starts_training
    assert fit.training_reasons == ("predict fare_amount (regression)",)


def test_new_label_blocks_predictions(ledger, before):
    predictions = table(plan(ledger, taxi(FARE), Champion(3, before)), "predictions")
    assert predictions.rebuild == ()
    assert predictions.blocked == in_january(8, 10)


def test_new_estimator_needs_a_training(ledger, before):
    edited = taxi("estimator={kind: linear}")
    fit = plan(ledger, edited, Champion(3, before)).champion
    assert fit is not None
    assert fit.training_reasons == ("use the new estimator or its parameters",)


def test_input_made_categorical_needs_a_training(ledger, before):
    edited = taxi("inputs={numeric: [trip_distance], categorical: [pickup_hour]}")
    fit = plan(ledger, edited, Champion(3, before)).champion
    assert fit is not None
    assert fit.training_reasons == ("switch between numeric and categorical for pickup_hour",)


def test_new_seed_needs_a_training(ledger, before):
    fit = plan(ledger, taxi("training.seed=1"), Champion(3, before)).champion
    assert fit is not None
    assert fit.training_reasons == ("apply the changed training setting seed",)


def test_new_training_calendar_needs_no_training(ledger, before):
    fit = plan(ledger, taxi("training.every_days=30"), Champion(3, before)).champion
    assert fit is not None
    assert fit.training_reasons == ()


def test_unreachable_mlflow_leaves_the_tables(ledger):
    edited = plan(ledger, taxi(CHECK), "MLflow failed")
    assert "the champion is unknown: MLflow failed" in printed(edited)
    assert edited.has_rebuilds


def test_missing_champion_leaves_predictions(ledger):
    assert "predictions" not in rebuilt(plan(ledger, taxi(WITH_WEEKDAY), None))


def test_kept_dates_are_printed_once_for_several_tables(ledger):
    kept = (
        "bronze, silver, quarantine: 7 dates of another definition before the training window, "
        "2021-01-01..2021-01-07. To rebuild them: make heal PIPELINE=taxi"
    )
    assert kept in printed(plan(ledger, taxi(CHECK)))


def test_blocked_predictions_are_printed_with_the_cause(ledger, before):
    blocked = "predictions: 3 dates of another definition until a champion can score"
    assert blocked in printed(plan(ledger, taxi(FARE), Champion(3, before)))


def test_tables_older_than_the_ledger_are_reported(ledger, before):
    horizon = horizon_of(ledger, before, dt.date(2021, 1, 11))
    known = Known(DELIVERED, None, has_ledger=False)
    assert "the tables are older than the ledger" in printed(
        plan_edit(before, ledger, horizon, known)
    )


def test_earlier_date_of_a_snapshot_has_no_remedy():
    iris = load_pipeline("iris", conf_folder())
    definition = definition_of(iris, "bronze")
    stored = Ledger.of([Entry("bronze", DATES[0], "done", ROWS, "i", "f", definition, "r")])
    lines = printed(plan(stored, iris.model_copy(update={"checks": ()})))
    assert "iris: nothing to rebuild" in lines
    assert "A snapshot of an earlier date cannot be read again" in lines


def test_first_run_builds_everything(before):
    first = plan(Ledger(), before, None)
    assert first.tables == ()
    assert "taxi has no tables yet" in printed(first)


def test_new_input_is_printed_with_the_champion(ledger, before):
    lines = printed(plan(ledger, taxi(WITH_WEEKDAY), Champion(3, before)))
    assert "champion version 3 scores on" in lines
    assert "a training is needed to use the new input pickup_weekday" in lines
