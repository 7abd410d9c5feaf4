"""The parts of a trial without its jobs: dates, differences, text, and the sandbox."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batchml.commands.trial import text
from batchml.commands.trial.champion import TriedChampion
from batchml.commands.trial.dates import TriedDates, choose_dates, divide_dates, training_settings
from batchml.commands.trial.difference import Counts, Difference, compare_tables, differing_columns
from batchml.commands.trial.jobs import exit_code_of
from batchml.commands.trial.sandbox import open_sandbox, sandbox_folder
from batchml.commands.trial.trial import Trial
from batchml.config import Pipeline, Places, conf_folder, load_pipeline
from batchml.config.sources import days_between
from batchml.errors import BadConfig, BadData, Unavailable
from batchml.job_line import EvaluateModelDetails, JobError, JobLine, Rows, TrainModelDetails
from batchml.lake.ledger import Entry, Ledger
from batchml.lake.table_version import (
    ColumnSummary,
    PredictionsDifference,
    TableVersion,
    compare_predictions,
)

DATES = days_between(dt.date(2021, 1, 1), dt.date(2021, 1, 3))
NO_CHAMPION = TriedChampion()
NO_DATES = TriedDates()
SUMMARY = ColumnSummary("double", 10, 1, 2.5, None, "5")


def taxi(*settings: str) -> Pipeline:
    return load_pipeline("taxi", conf_folder(), settings)


def entry(day: dt.date, state: str = "done", made_from: str = "file", table: str = "bronze"):
    return Entry(table, day, state, 5, "i", made_from, "d", "r")


def places(folder: Path) -> Places:
    return Places(str(folder / "landing"), str(folder / "lake"), "sqlite:///p.db", str(folder))


def trial(
    *jobs: JobLine,
    champion: TriedChampion = NO_CHAMPION,
    dates: TriedDates = NO_DATES,
) -> Trial:
    return Trial("taxi", tuple(DATES), (), "rmse", champion, dates, jobs)


# Dates.


def test_last_dates_of_silver_are_chosen():
    ledger = Ledger.of([entry(day, table="silver") for day in DATES])
    assert choose_dates(ledger, taxi(), 2) == DATES[1:]


def test_missing_date_is_not_chosen():
    entries = [entry(DATES[0], table="silver"), entry(DATES[1], "missing", table="silver")]
    assert choose_dates(Ledger.of(entries), taxi(), 7) == DATES[:1]


@pytest.mark.parametrize("days", [0, 7])
def test_no_dates_is_wrong_configuration(days: int):
    with pytest.raises(BadConfig):
        choose_dates(Ledger(), taxi(), days)


def test_dates_are_divided_by_their_state():
    states = [entry(DATES[0]), entry(DATES[1], "rejected"), entry(DATES[2], "missing")]
    divided = divide_dates(DATES, Ledger(), Ledger.of(states))
    assert divided == TriedDates(tuple(DATES[:1]), tuple(DATES[1:2]), tuple(DATES[2:]))


def test_other_delivery_is_redelivered():
    before, after = Ledger.of([entry(DATES[0])]), Ledger.of([entry(DATES[0], made_from="other")])
    assert divide_dates(DATES[:1], before, after).redelivered == (DATES[0],)


def test_training_is_shortened_in_proportion():
    expected = ("training.window_days=6", "training.holdout_days=1")
    assert training_settings(taxi(), 7) == expected


def test_enough_days_leave_the_training():
    assert training_settings(taxi(), 38) == ()


def test_single_day_leaves_the_training():
    assert training_settings(taxi(), 1) == ()


def test_hash_split_leaves_the_training():
    assert training_settings(load_pipeline("iris", conf_folder()), 1) == ()


def test_shortened_training_keeps_days_for_the_grid():
    grid = taxi("estimator.grid={max_depth: [2, 3]}")
    assert training_settings(grid, 7) == ()
    assert training_settings(grid, 10) == ("training.window_days=8", "training.holdout_days=2")


# Differences.


@pytest.fixture
def table(tmp_path: Path) -> TableVersion:
    """Return a table with three rows of two dates."""
    rows = {
        "event_date": [DATES[0], DATES[0], DATES[1]],
        "miles": [1.0, 3.0, None],
        "zone": ["a", "b", "b"],
        "reasons": [["far", "odd"], ["far"], []],
    }
    path = str(tmp_path / "table")
    write_deltalake(path, pa.table(rows), partition_by=["event_date"])
    version = TableVersion.latest(path)
    assert version is not None
    return version


def test_missing_table_has_no_version(tmp_path):
    assert TableVersion.latest(str(tmp_path)) is None


def test_rows_are_counted_by_date(table):
    assert table.rows_by_date(DATES) == {DATES[0]: 2, DATES[1]: 1}


def test_no_dates_have_no_rows(table):
    assert table.rows_by_date([]) == {}
    assert table.summaries([]) == {}


def test_number_is_summarised_by_its_mean(table):
    miles = table.summaries(DATES)["miles"]
    assert (miles.type, miles.rows, miles.nulls) == ("double", 3, 1)
    assert (miles.mean, miles.distinct) == (2.0, None)


def test_text_is_summarised_by_its_distinct_values(table):
    zone = table.summaries(DATES)["zone"]
    assert (zone.mean, zone.distinct, zone.null_share) == (None, 2, 0.0)


def test_names_are_counted_by_row(table):
    assert table.count_names("reasons", DATES) == {"far": 2, "odd": 1}


def test_absent_column_has_no_names(table):
    assert table.count_names("warnings", DATES) == {}


def test_version_ignores_later_commits(table):
    rows = pa.table({"event_date": [DATES[0]], "miles": [9.0]})
    write_deltalake(table.path, rows, mode="append", schema_mode="merge")
    assert table.rows_by_date(DATES)[DATES[0]] == 2


def test_removed_file_is_unavailable(table):
    for path in Path(table.path).rglob("*.parquet"):
        path.unlink()
    with pytest.raises(Unavailable, match="cannot be read"):
        table.summaries(DATES)


def test_empty_copy_has_the_same_columns(table, tmp_path):
    table.create_empty_copy(str(tmp_path / "copy"))
    copy = DeltaTable(str(tmp_path / "copy"))
    assert copy.schema() == DeltaTable(table.path).schema()
    assert copy.metadata().partition_columns == ["event_date"]


def test_same_table_has_no_difference(table):
    same = {"silver": table, "features": table, "quarantine": table}
    difference = compare_tables(same, same, DATES, ())
    assert difference.columns == ()
    assert difference.equal_columns == {"silver": 3, "features": 3}
    assert difference.rows["silver"][DATES[0]] == Counts(2, 2)
    assert difference.reasons == {"far": Counts(2, 2), "odd": Counts(1, 1)}


def test_missing_table_counts_as_empty(table):
    difference = compare_tables({"quarantine": table}, {}, DATES, ())
    assert difference.rows["quarantine"][DATES[0]] == Counts(2, 0)
    assert difference.reasons["far"] == Counts(2, 0)


def test_other_values_of_the_same_mean_differ():
    other = ColumnSummary("double", 10, 1, 2.5, None, "6")
    (differing,) = differing_columns("silver", {"x": SUMMARY}, {"x": other})
    assert (differing.before, differing.after) == (SUMMARY, other)


def test_mean_of_another_order_of_rows_is_equal():
    other = ColumnSummary("double", 10, 1, 2.5000000000000004, None, "5")
    assert differing_columns("silver", {"x": SUMMARY}, {"x": other}) == []


def test_lost_rows_of_the_same_figures_are_equal():
    other = ColumnSummary("double", 20, 2, 2.5, None, "9")
    assert differing_columns("silver", {"x": SUMMARY}, {"x": other}) == []


def test_lost_rows_of_another_mean_differ():
    other = ColumnSummary("double", 20, 2, 2.6, None, "9")
    summaries = ({"x": SUMMARY, "id": SUMMARY}, {"x": other, "id": other})
    differing = differing_columns("silver", *summaries, key=["id"])
    assert [column.name for column in differing] == ["x"]


@pytest.mark.parametrize(
    ("before", "after"),
    [({}, {"x": SUMMARY}), ({"x": SUMMARY}, {})],
)
def test_column_of_one_table_differs(before, after):
    (differing,) = differing_columns("features", before, after)
    assert (differing.before, differing.after) == (before.get("x"), after.get("x"))


def predicted(folder: Path, name: str, values: list[object]) -> TableVersion:
    columns = {
        "event_date": [DATES[0]] * len(values),
        "id": list(range(len(values))),
        "prediction": values,
        "model_version": [3] * len(values),
    }
    path = str(folder / name)
    write_deltalake(path, pa.table(columns), partition_by=["event_date"])
    version = TableVersion.latest(path)
    assert version is not None
    return version


def test_predictions_are_joined_by_key(tmp_path):
    tables = (predicted(tmp_path, "a", [1.0, 2.0]), predicted(tmp_path, "b", [1.0, 4.0, 7.0]))
    assert compare_predictions(tables, DATES, ["id"], 3) == PredictionsDifference(
        dates=1,
        rows_before=2,
        rows_after=3,
        matched=2,
        changed=1,
        mean_before=1.5,
        mean_after=4.0,
        mean_absolute_difference=1.0,
    )


def test_predicted_classes_have_no_mean(tmp_path):
    tables = (predicted(tmp_path, "a", ["x", "y"]), predicted(tmp_path, "b", ["x", "z"]))
    difference = compare_predictions(tables, DATES, ["id"], 3)
    assert difference is not None
    assert (difference.changed, difference.mean_before) == (1, None)


def test_other_version_has_no_comparison(tmp_path):
    tables = (predicted(tmp_path, "a", [1.0]), predicted(tmp_path, "b", [1.0]))
    assert compare_predictions(tables, DATES, ["id"], 4) is None


# Text.


def done(job: str, details: object = None) -> JobLine:
    rows = Rows(read=30, written=20)
    return JobLine(job=job, status="done", rows=rows, seconds={"total": 12.3}, details=details)


def failed(kind: str, message: str = "too many rows") -> JobLine:
    error = JobError(kind=kind, message=message)
    return JobLine(job="ingest", status="failed", error=error)


TRAINED = done("train_model", TrainModelDetails(fit="2021-01-01..2021-01-02"))
EVALUATED = done(
    "evaluate_model",
    EvaluateModelDetails(
        metrics={"challenger": {"rmse": 5.0}, "champion": {"rmse": 6.0}, "baseline": {}},
        passed=True,
        reason="rmse 5 is better",
    ),
)
CHAMPION = TriedChampion(version=3)
SHARED = {"challenger": 5.0, "challenger_shared": 7.0, "champion": 6.0}


def model_text(tried: Trial) -> str:
    return "\n".join(text.model_sentences(tried))


def test_done_job_is_one_line():
    line = "  ingest          done             12 s   30 rows in, 20 out"
    assert text.job_text(done("ingest")) == line


def test_failed_job_prints_its_error():
    assert "too many rows" in text.job_text(failed("bad_data"))


def test_rehearsal_prints_rows_decision_and_metrics():
    printed = model_text(trial(TRAINED, EVALUATED, champion=CHAMPION))
    assert "fitted on 20 rows of 2021-01-01..2021-01-02, with a holdout of 10 rows" in printed
    assert "the gate would pass (a rehearsal on the tried dates): rmse 5 is better" in printed
    assert "rmse on the same holdout: challenger 5, champion 6" in printed


def test_challenger_is_measured_on_the_champions_rows():
    metrics = {role: {"rmse": value} for role, value in SHARED.items()}
    line = done("evaluate_model", EvaluateModelDetails(metrics=metrics))
    assert "challenger 7, champion 6" in model_text(trial(TRAINED, line, champion=CHAMPION))


def test_incomparable_champion_is_stated():
    champion = TriedChampion(version=3, cannot_compare="the definition of hour has changed")
    printed = model_text(trial(TRAINED, EVALUATED, champion=champion))
    assert "champion version 3 is not compared: the definition of hour" in printed


def test_trial_without_champion_is_stated():
    assert "there is no champion" in model_text(trial())


def test_unknown_champion_leaves_the_tables():
    unknown = TriedChampion(unknown="MLflow failed")
    printed = model_text(trial(champion=unknown))
    assert printed == "the champion is unknown: MLflow failed. Only tables are compared"


def test_dates_without_comparison_are_printed():
    dates = TriedDates((), (DATES[0],), (DATES[1], DATES[2]))
    printed = "\n".join(text.date_sentences(trial(dates=dates)))
    assert "as ingest rejects them (see above): 2021-01-01" in printed
    assert "as the delivery is missing now: 2021-01-02, 2021-01-03" in printed
    assert "no date can be compared" in printed


def test_tables_of_an_equal_trial_are_short():
    rows = {"silver": {DATES[0]: Counts(5, 5), DATES[1]: Counts(5, 4)}}
    difference = Difference(rows, {}, {}, (), {"silver": 3})
    assert text.check_table(difference) is None
    assert text.column_table(difference) is None
    assert list(text.row_table(difference).columns[1].cells) == ["5 → 4", "10 → 9"]
    assert list(text.column_sentences(difference)) == ["silver: all 3 columns are equal"]


def test_added_column_has_no_former_type():
    columns = differing_columns("features", {}, {"x": SUMMARY})
    difference = Difference({}, {}, {}, tuple(columns), {"features": 3})
    table = text.column_table(difference)
    assert table is not None
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells == ["features", "x", "- → double", "- → 10.00%", "- → 2.5", "-"]
    assert list(text.column_sentences(difference)) == ["features: 1 of 4 columns differ"]


# Exit codes.


@pytest.mark.parametrize(
    ("kind", "code"),
    [("bad_data", 3), ("bad_config", 4), ("unavailable", 5), ("unexpected", 1)],
)
def test_failed_job_has_an_exit_code(kind: str, code: int):
    assert exit_code_of(failed(kind)) == code


def test_rejected_data_is_a_result():
    assert trial(failed(BadData.kind)).exit_code == 0


def test_wrong_configuration_ends_the_trial():
    assert trial(failed(BadConfig.kind)).exit_code == BadConfig.exit_code


def test_trial_without_deliveries_is_unavailable():
    dates = TriedDates(gone=tuple(DATES))
    assert trial(dates=dates).exit_code == Unavailable.exit_code


# The sandbox.


def test_sandbox_is_next_to_the_lake(tmp_path):
    assert sandbox_folder("taxi", places(tmp_path)) == tmp_path / "trials" / "taxi"


def test_sandbox_of_an_object_store_is_local(tmp_path):
    lake = Places("s3://landing", "s3://lake", "http://mlflow", "s3://artifacts")
    assert sandbox_folder("taxi", lake) == conf_folder().parent / "data" / "trials" / "taxi"


def test_jobs_write_to_the_sandbox_only(tmp_path):
    production = places(tmp_path)
    folder = tmp_path / "trials" / "taxi"
    with open_sandbox(folder, production) as sandbox:
        written = sandbox.places
    assert written.landing == production.landing
    places_written = (written.lake, written.artifacts, written.tracking_uri)
    assert all(str(folder) in place for place in places_written)


def test_sandbox_is_removed_after_an_error(tmp_path):
    folder = tmp_path / "trials" / "taxi"
    with pytest.raises(KeyboardInterrupt), open_sandbox(folder, places(tmp_path)):
        (folder / "lake").mkdir()
        raise KeyboardInterrupt
    assert not folder.exists()


def test_kept_sandbox_is_emptied_by_the_next(tmp_path):
    folder = tmp_path / "trials" / "taxi"
    with open_sandbox(folder, places(tmp_path), keep=True):
        (folder / "lake").mkdir()
    assert (folder / "lake").exists()
    with open_sandbox(folder, places(tmp_path)):
        assert not (folder / "lake").exists()


def test_second_trial_is_refused(tmp_path):
    folder = tmp_path / "trials" / "taxi"
    second = open_sandbox(folder, places(tmp_path))
    with (
        open_sandbox(folder, places(tmp_path)),
        pytest.raises(Unavailable, match=r"another trial uses .* \(process \d+\)"),
        second,
    ):
        pass


def test_unwritable_folder_is_unavailable(tmp_path):
    (tmp_path / "trials").touch()
    folder = tmp_path / "trials" / "taxi"
    with (
        pytest.raises(Unavailable, match="cannot be written"),
        open_sandbox(folder, places(tmp_path)),
    ):
        pass


def test_folder_of_others_is_left(tmp_path):
    lake = tmp_path / "trials" / "taxi"
    (lake / "silver").mkdir(parents=True)
    with pytest.raises(BadConfig, match="not a sandbox"), open_sandbox(lake, places(tmp_path)):
        pass
    assert (lake / "silver").exists()
