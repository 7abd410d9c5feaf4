"""The ledger, and which dates are owed by it."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from batchml.config import Pipeline, conf_folder, load_pipeline
from batchml.config.definitions import INGESTED, REVISIONS, covers, definition_of
from batchml.config.sources import days_between
from batchml.errors import Unavailable
from batchml.lake import owed
from batchml.lake.first_ledger import ledger_from_tables, read_ledger, write_entries
from batchml.lake.ledger import IN_WORK, NO_ROWS, Entry, Ledger, LedgerTable
from batchml.lake.owed import Deliveries, Horizon, Owed

DAY = dt.date(2021, 1, 10)
NONE = Deliveries({}, is_complete=True)
# Raise the revision of a table when its code changes the rows that the same input gives, and state
# the new hash here. A hash that changes without it outdates the dates of every lake.
FEATURES = [
    "DOLocationID=f51eb4",
    "PULocationID=6e3f3d",
    "lpep_dropoff_datetime=8414ed",
    "lpep_pickup_datetime=3682b8",
    "pickup_band=c42f79",
    "pickup_borough=e4c9cb",
    "pickup_hour=7b7df8",
    "pickup_weekday=3ee872",
    "source_row=4fb1f6",
    "trip_distance=1e23fc",
    "trip_minutes=0eb5e5",
]
GOLDEN = {
    "bronze": "6e328b294446",
    "silver": "6e328b294446",
    "quarantine": "6e328b294446",
    "features": " ".join(FEATURES),
    "predictions": "8a1b53256dde",
    "drift": "686d44eb0bbb",
}


def day(number: int) -> dt.date:
    return dt.date(2021, 1, number)


@pytest.fixture(scope="module")
def taxi() -> Pipeline:
    return load_pipeline("taxi", conf_folder())


def ingested(pipeline: Pipeline, date: dt.date, state="done", made_from="a") -> list[Entry]:
    definition = definition_of(pipeline, "bronze")
    rows, identity = (3, f"of {date}") if state == "done" else (0, NO_ROWS)
    return [
        Entry(table, date, state, rows, identity, made_from, definition, "r") for table in INGESTED
    ]


def within(first: int, last: int) -> Horizon:
    return Horizon(day(first), day(last), recent_start=day(first), window_start=day(first))


def with_lag() -> Pipeline:
    lag = "{kind: lag, of: trip_distance, by: [PULocationID], days: 2, to: before}"
    settings = [
        *(f"features=[{lag}]", "label=trip_distance", "inputs={numeric: [before]}"),
        *("gate.slices=[]", "lookups={}"),
    ]
    return load_pipeline("taxi", conf_folder(), settings)


def features_of(pipeline: Pipeline, made_of: list[Entry], days: Iterable[int]) -> list[Entry]:
    """Return the entries of features that were made from ``made_of``."""
    ledger, definition = Ledger.of(made_of), definition_of(pipeline, "features")
    sources = {number: owed.made_from(ledger, pipeline, "features", day(number)) for number in days}
    return [
        Entry("features", day(number), "done", 3, "f", source, definition, "r")
        for number, source in sources.items()
    ]


def test_definitions_match_the_last_release(taxi):
    assert {table: definition_of(taxi, table) for table in REVISIONS} == GOLDEN


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("schedule=0 3 * * *", set()),
        ("source.lookback_days=3", set()),
        ("source.path=elsewhere/{yyyy}-{MM}.parquet", set()),
        ("estimator.params.max_depth=3", set()),
        ("training.window_days=5", set()),
        ("checks=[]", {"bronze", "silver", "quarantine"}),
        ("columns.extra_column=double", {"bronze", "silver", "quarantine"}),
        ("inputs.numeric=[trip_distance]", {"features", "drift"}),
        ("monitoring.psi={watch: 0.2, alarm: 0.3}", {"drift"}),
        ("monitoring.late_after_hours=24", set()),
        ("monitoring.volume=null", set()),
        ("key=[source_file, source_row]", {"features", "predictions"}),
    ],
)
def test_definition_changes_with_row_settings(taxi, setting, changed):
    edited = load_pipeline("taxi", conf_folder(), [setting])
    different = {
        table for table in REVISIONS if definition_of(edited, table) != definition_of(taxi, table)
    }
    assert different == changed


def test_other_entries_are_unchanged(tmp_path, taxi):
    table = LedgerTable(str(tmp_path))
    write_entries(str(tmp_path), taxi, ingested(taxi, day(1)))
    write_entries(str(tmp_path), taxi, ingested(taxi, day(2), "missing"))
    write_entries(str(tmp_path), taxi, [Entry("features", day(1), "done", 3, "f", "b", "d", "r")])
    write_entries(str(tmp_path), taxi, ingested(taxi, day(2)))
    ledger = table.read()
    assert ledger is not None
    assert {date: entry.state for date, entry in ledger.of_table("silver").items()} == {
        day(1): "done",
        day(2): "done",
    }
    assert ledger.get("features", day(1)) == Entry(
        "features", day(1), "done", 3, "f", "b", "d", "r"
    )
    table.clean_up()
    assert table.read() == ledger


def test_ledger_of_existing_tables_owes_nothing(tmp_path, taxi):
    for table, days in {"bronze": (1, 3), "silver": (1, 3), "features": (1,)}.items():
        rows = pa.table({"event_date": [day(each) for each in days], "n": list(days)})
        write_deltalake(tmp_path / table, rows, partition_by=["event_date"])
    ledger = ledger_from_tables(str(tmp_path), taxi)
    assert ledger.get("bronze", day(2)).state == "accepted", "a gap of earlier releases"
    horizon = owed.horizon(ledger, taxi, day(3), None)
    landed = Deliveries(dict.fromkeys(days_between(day(1), day(3)), "b"), is_complete=True)
    assert owed.owed_by_ingest(ledger, taxi, horizon, [], landed) == []
    for job in owed.DERIVATIONS:
        assert owed.owed_downstream(ledger, taxi, horizon, [], job) == []
    write_entries(str(tmp_path), taxi, [])
    assert read_ledger(str(tmp_path), taxi) == ledger
    assert DeltaTable(tmp_path / "ledger").metadata().partition_columns == ["table_name"]


def test_dates_before_the_first_run_are_not_owed(taxi):
    ledger = Ledger.of(ingested(taxi, day(5)))
    assert owed.horizon(Ledger(), taxi, day(9), None) is None
    assert owed.horizon(ledger, taxi, day(9), None).start == day(5)
    assert owed.horizon(ledger, taxi, day(9), day(2)).start == day(2)
    assert owed.horizon(ledger, taxi, day(4), None) is None


def test_mistyped_old_date_is_not_owed(taxi):
    typo = ingested(taxi, dt.date(2016, 1, 1), "missing", "")
    assert Ledger.of(typo).first_date(35) == dt.date(2016, 1, 1), "all that is known"
    ledger = Ledger.of([*typo, *ingested(taxi, day(3), "missing", ""), *ingested(taxi, day(5))])
    assert owed.horizon(ledger, taxi, day(9), None).start == day(3)


def test_interrupted_date_is_owed_whatever_its_age(taxi):
    entries = [replace(entry, made_from=IN_WORK, rows=None) for entry in ingested(taxi, day(1))]
    old = replace(within(1, 9), recent_start=day(8), window_start=day(8))
    landed = Deliveries({day(1): "a"}, is_complete=True)
    found = owed.owed_by_ingest(Ledger.of(entries), taxi, old, [], landed)
    assert found == [Owed(day(1), owed.INTERRUPTED)]


def test_new_lag_owes_only_the_window(taxi):
    changed = with_lag()
    entries = [entry for number in range(1, 6) for entry in ingested(taxi, day(number))]
    made = features_of(taxi, entries, range(1, 6))
    window = replace(within(1, 5), window_start=day(4))
    found = owed.owed_downstream(
        Ledger.of([*entries, *made]), changed, window, [], "build_features"
    )
    assert found == [Owed(day(number), owed.OTHER_DEFINITION) for number in (4, 5)]


def test_fewer_inputs_need_no_new_features(taxi):
    fewer = load_pipeline("taxi", conf_folder(), ["inputs.numeric=[trip_distance]"])
    stored, needed = definition_of(taxi, "features"), definition_of(fewer, "features")
    assert covers(stored, needed)
    assert not covers(needed, stored)


def test_missed_dates_are_owed_once_delivered(taxi):
    ledger = Ledger.of([*ingested(taxi, day(1)), *ingested(taxi, day(2), "missing", "")])
    landed = Deliveries({day(2): "b", day(3): "b"}, is_complete=True)
    found = owed.owed_by_ingest(ledger, taxi, within(1, 5), [day(5)], landed)
    assert found == [Owed(day(2), owed.ARRIVED), Owed(day(3), owed.MISSED)]
    assert owed.owed_by_ingest(ledger, taxi, within(1, 5), [day(5)], NONE) == []


def test_unlistable_source_is_asked_again(taxi):
    line = load_pipeline("line", conf_folder(), ["source.address=http://x/{yyyy}-{MM}-{dd}"])
    ledger = Ledger.of([*ingested(line, day(1)), *ingested(line, day(2), "missing", "")])
    unknown = Deliveries({}, is_complete=False)
    recent = replace(within(1, 4), recent_start=day(2))
    found = owed.owed_by_ingest(ledger, line, recent, [day(4)], unknown)
    assert found == [Owed(day(2), owed.RECHECKED), Owed(day(3), owed.MISSED)]
    later = replace(within(1, 4), recent_start=day(3))
    assert owed.owed_by_ingest(ledger, line, later, [day(4)], unknown) == [
        Owed(day(3), owed.MISSED)
    ]


def test_rechecked_source_is_read_again(taxi):
    settings = ["source.address=http://x/{yyyy}-{MM}-{dd}", "source.recheck=true"]
    line = load_pipeline("line", conf_folder(), settings)
    ledger = Ledger.of(ingested(line, day(1)))
    found = owed.owed_by_ingest(ledger, line, within(1, 1), [], Deliveries({}, is_complete=False))
    assert found == [Owed(day(1), owed.RECHECKED)]


def test_changed_rejected_delivery_is_owed(taxi):
    ledger = Ledger.of(ingested(taxi, day(1), "rejected", owed.rejection_identity(taxi, "bad")))
    old = replace(within(1, 9), recent_start=day(8))
    changed = [Owed(day(1), owed.CHANGED)]
    laxer = load_pipeline("taxi", conf_folder(), ["max_rejected_share=0.9"])
    for pipeline, fingerprint, found in (
        (taxi, "bad", []),
        (taxi, "good", changed),
        (laxer, "bad", changed),
    ):
        landed = Deliveries({day(1): fingerprint}, is_complete=True)
        assert owed.owed_by_ingest(ledger, pipeline, old, [], landed) == found


def test_undated_snapshot_owes_no_earlier_date():
    iris = load_pipeline("iris", conf_folder())
    landed = Deliveries(dict.fromkeys(days_between(day(1), day(5)), "b"), is_complete=True)
    ledger = Ledger.of(ingested(iris, day(1)))
    assert owed.owed_by_ingest(ledger, iris, within(1, 5), [], landed) == []


def test_changed_day_outdates_its_lags(taxi):
    lagged = with_lag()
    entries = [entry for number in (1, 2, 3, 4) for entry in ingested(lagged, day(number))]
    made = features_of(lagged, entries, (1, 2, 3, 4))
    changed = [replace(entry, identity="new") for entry in ingested(lagged, day(1))]
    ledger = Ledger.of([*entries, *made, *changed])
    found = owed.owed_downstream(ledger, lagged, within(1, 4), [], "build_features")
    assert found == [Owed(day(number), owed.OLDER_INPUT) for number in (1, 2, 3)]


def test_changed_definition_owes_only_the_window(taxi):
    entries = [
        replace(entry, definition="another")
        for number in (1, 2)
        for entry in ingested(taxi, day(number))
    ]
    landed = Deliveries({day(1): "a", day(2): "a"}, is_complete=True)
    window = replace(within(1, 2), window_start=day(2))
    found = owed.owed_by_ingest(Ledger.of(entries), taxi, window, [], landed)
    assert found == [Owed(day(2), owed.OTHER_DEFINITION)]


def test_day_limit_keeps_the_oldest():
    dates = [Owed(day(number), owed.MISSED) for number in (3, 1, 2)]
    window = [Owed(day(number), owed.OTHER_DEFINITION) for number in (4, 5)]
    rechecked = [Owed(day(number), owed.RECHECKED) for number in (6, 7)]
    chosen = owed.limit_dates([*dates, *window, *rechecked], 2, window_start=day(4))
    assert [each.date.day for each in chosen] == [1, 2, 4, 5]
    assert [each.date.day for each in owed.limit_dates([*dates[1:], *rechecked], 3, day(4))] == [
        1,
        2,
        7,
    ]


def test_consecutive_dates_are_one_range():
    dates = [Owed(day(number), owed.MISSED) for number in (1, 2, 4, 5)]
    ranges = owed.consecutive(dates, lambda _: None)
    assert [[each.date.day for each in part] for part in ranges] == [[1, 2], [4, 5]]


def test_unknown_ledger_columns_are_ignored(tmp_path, taxi):
    write_entries(str(tmp_path), taxi, ingested(taxi, day(1)))
    path = Path(tmp_path, "ledger")
    rows = DeltaTable(path).to_pyarrow_table()
    wider = rows.append_column("note", pa.array(["new"] * rows.num_rows))
    write_deltalake(path, wider, mode="overwrite", schema_mode="overwrite")
    assert LedgerTable(str(tmp_path)).read().get("bronze", day(1)).state == "done"
    write_entries(str(tmp_path), taxi, ingested(taxi, day(2)))
    assert LedgerTable(str(tmp_path)).read().get("bronze", day(2)).state == "done"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1")])
def test_ledger_with_damaged_file_is_unavailable(tmp_path, taxi, damage):
    table = LedgerTable(str(tmp_path))
    table.write(ingested(taxi, day(1)))
    for path in (tmp_path / "ledger").rglob("*.parquet"):
        damage(path)
    with pytest.raises(Unavailable, match="ledger cannot be read"):
        table.read()
