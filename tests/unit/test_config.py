import datetime as dt
import shutil
from pathlib import Path
from typing import get_args

import pytest

from batchml.config import (
    Estimator,
    ParquetSource,
    conf_folder,
    load_pipeline,
    load_places,
    parse_date,
    pipeline_names,
)
from batchml.config.features import Feature
from batchml.config.learning import METRICS
from batchml.config.sources import Source, fill_date
from batchml.errors import BadConfig
from batchml.models.estimators import ESTIMATORS
from batchml.models.gate import SMALLER_IS_BETTER
from batchml.models.metrics import MEASURES
from batchml.rows.features import FEATURES
from batchml.sources import SOURCES


def kinds(union: object) -> set[str]:
    """Return the kinds of an annotated union of models."""
    members = get_args(get_args(union)[0])
    return {name for member in members for name in get_args(member.model_fields["kind"].annotation)}


PIPELINES = ["bikes", "census", "census_logistic", "iris", "line", "taxi", "taxi_linear"]


def complaint(*settings: str, name: str = "taxi") -> str:
    with pytest.raises(BadConfig) as caught:
        load_pipeline(name, conf_folder(), settings)
    return str(caught.value)


def test_every_project_pipeline_loads():
    names = pipeline_names(conf_folder())
    assert names == PIPELINES
    assert [load_pipeline(name, conf_folder()).name for name in names] == PIPELINES


def test_configured_names_match_the_registries():
    assert kinds(Feature) == set(FEATURES)
    assert kinds(Source) == set(SOURCES)
    assert set(get_args(Estimator.model_fields["kind"].annotation)) == set(ESTIMATORS)
    assert set(METRICS) == set(MEASURES)
    assert {name for names in METRICS.values() for name in names} == set(SMALLER_IS_BETTER)


def test_misspelled_estimator_lists_expected_kinds():
    assert complaint("estimator.kind=random_forrest", name="iris") == (
        "conf/pipelines/iris.yaml: estimator.kind is 'random_forrest'\n"
        "  expected one of: linear, logistic, random_forest, gbt, xgboost, git\n"
        "  did you mean 'random_forest'?"
    )


def test_all_problems_are_listed_at_once():
    assert complaint("estimator.knd=1", "gate.limt=3") == (
        "conf/pipelines/taxi.yaml: unknown key 'estimator.knd'\n"
        "  did you mean 'kind'?\n"
        "  conf/pipelines/taxi.yaml: unknown key 'gate.limt'\n"
        "    did you mean 'limit'?"
    )


def test_key_of_another_section_is_not_suggested():
    assert complaint("training.metric=rmse") == (
        "conf/pipelines/taxi.yaml: unknown key 'training.metric'\n"
        "  a key of this name belongs to another section or kind"
    )


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "label=store_and_fwd_flag",
            "label: 'store_and_fwd_flag' is a string; a label of regression is int",
        ),
        ("columns.features=long", "columns: 'features' is a name the pipeline itself uses"),
        (
            "estimator.grid={max_depth: [6, 8]}\ntraining.validation_days=31",
            "training.validation_days: '31' leaves nothing",
        ),
        ("name=iris", "name is 'iris', but the file's name is the pipeline's"),
        ("label=trip_mins", "label names 'trip_mins', which is not known"),
        ("key=[rowid]", "key names 'rowid', which is not known"),
        (
            "inputs.numeric=[trip_minutes]",
            "inputs: 'trip_minutes' is the label: a model must not see it",
        ),
        ("inputs.numeric=[]", "inputs names no column"),
        (
            "inputs.numeric=[store_and_fwd_flag]",
            "inputs.numeric: 'store_and_fwd_flag' is a string, not int or long or double",
        ),
        ("source.event_time=pickup", "source.event_time names 'pickup', which is not known"),
        ("source.kind=parket", "source.kind is 'parket'"),
        (
            "features=[{kind: hour_of_day, of: nope, to: x}]",
            "features.0 names 'nope', which is not known",
        ),
        ("features=[{kind: hour, of: lpep_pickup_datetime, to: x}]", "features.0.kind is 'hour'"),
        (
            "features=[{kind: hour_of_day, of: store_and_fwd_flag, to: x}]",
            "features.0: 'store_and_fwd_flag' is a string; hour_of_day takes timestamp_ntz or date",
        ),
        (
            "features=[{kind: bands, of: store_and_fwd_flag, edges: [1.0], to: x}]",
            "features.0: 'store_and_fwd_flag' is a string; bands takes int or long or double",
        ),
        (
            "features=[{kind: lag, of: lpep_pickup_datetime, days: 1, to: x}]",
            "features.0: 'lpep_pickup_datetime' is a timestamp_ntz; "
            "lag takes int or long or double",
        ),
        (
            "estimator.kind=logistic",
            "estimator.kind: 'logistic' cannot be used for task 'regression'",
        ),
        ("gate.metric=accuracy", "gate.metric names 'accuracy', which is not known"),
        ("training.window_days=0", "training.window_days is 0"),
        ("columns.VendorID=number", "columns.VendorID.type is 'number'"),
        ("gate.limit.deeper=1", "gate.limit is {'deeper': 1}"),
        ("schedule=daily", "schedule is 'daily'"),
    ],
)
def test_invalid_value_is_named(setting: str, expected: str):
    assert complaint(*setting.split("\n")).startswith(f"conf/pipelines/taxi.yaml: {expected}")


def test_unknown_pipeline_suggests_the_nearest():
    assert complaint(name="taxy") == (
        "--pipeline is 'taxy', but there is no conf/pipelines/taxy.yaml\n"
        f"  expected one of: {', '.join(PIPELINES)}\n"
        "  did you mean 'taxi'?"
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "source.path=green_{YYYY}.parquet",
            "source.path: no placeholder {YYYY}; did you mean {yyyy}?",
        ),
        ("source.time_zone=Mars/Base", "source.time_zone: 'Mars/Base' is not a time zone"),
        (
            'columns={"trip km": double}',
            "columns: 'trip km' has a space in it: name the column trip_km and map it",
        ),
        (
            "columns={id.orig_h: string}",
            "columns: 'id.orig_h' has a dot in it: name the column id_orig_h",
        ),
        (
            "columns={Event_Date: string}",
            "columns: 'Event_Date' is a name the pipeline itself uses",
        ),
        ("columns={vendorid: long}", "'vendorid' and 'VendorID' differ in case only"),
        (
            "columns={VendorID: {type: long, epoch: s}}",
            "epoch is for date and timestamp_ntz only, not for long",
        ),
        ("checks=[{name: VendorID_fits_long, expect: a}]", "checks.0.name"),
        (
            "checks=[{name: line_is_well_formed, expect: a}]",
            "is a reason that the pipeline generates",
        ),
        ("estimator.params={a/b: 1}", "estimator.params.a/b"),
        ("estimator.grid={'a:b': [1]}", "estimator.grid.a:b"),
        (
            "columns={ehail_fee: {type: double, from: extra}}",
            "'extra' is the source of two columns",
        ),
    ],
)
def test_unusable_setting_is_refused_at_load(setting: str, message: str):
    assert message in complaint(setting)


def test_invalid_files_do_not_affect_others(tmp_path: Path):
    shutil.copytree(conf_folder(), tmp_path / "conf")
    folder = tmp_path / "conf" / "pipelines"
    (folder / "._taxi.yaml").write_bytes(b"\x00\x05\x16\x07\xb0")
    (folder / ".#taxi.yaml").symlink_to("nobody@host.1")
    (folder / "german.yaml").write_bytes("extends: taxi\ndescription: für alle".encode("cp1252"))
    (folder / "gone.yaml").symlink_to("nowhere")
    (folder / "late.yaml").write_text("extends: taxi\nstart_date: 2024-13-45\n")
    names = pipeline_names(tmp_path / "conf")
    assert names == sorted([*PIPELINES, "german", "gone", "late"])
    for name in ("german", "gone", "late"):
        with pytest.raises(BadConfig):
            load_pipeline(name, tmp_path / "conf")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a mapping of keys to values"),
        (b"a: [1\n", "not valid YAML"),
        (b"a:\n\tb: 1\n", "not valid YAML"),
        (b"extends: taxi\nlabel: a\nlabel: b\n", "the key 'label' occurs twice"),
        (b"extends: taxi\ngate: {limit: 1, limit: 2}\n", "the key 'limit' occurs twice"),
        (b'extends: taxi\ndescription: "\\0"\n', "has characters that text cannot contain"),
        (b'extends: taxi\ndescription: "\\ud800"\n', "has characters that text cannot contain"),
        (b"[" * 5000, "not valid YAML"),
        (b"a: !!python/object:os.system {}\n", "not valid YAML"),
        (b"extends: taxi\n---\na: 1\n", "not valid YAML"),
        (bytes(range(256)), "not text in UTF-8"),
        (b"extends: [taxi]\n", "extends is"),
        (b"1: x\n", "Keys should be strings"),
    ],
)
def test_invalid_content_is_bad_configuration(tmp_path: Path, content: bytes, message: str):
    shutil.copytree(conf_folder(), tmp_path / "conf")
    (tmp_path / "conf" / "pipelines" / "odd.yaml").write_bytes(content)
    with pytest.raises(BadConfig) as caught:
        load_pipeline("odd", tmp_path / "conf")
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a_folder", "a_link"])
def test_non_file_is_named(tmp_path: Path, name: str):
    shutil.copytree(conf_folder(), tmp_path / "conf")
    folder = tmp_path / "conf" / "pipelines"
    (folder / "a_folder.yaml").mkdir()
    (folder / "a_link.yaml").symlink_to("nowhere")
    with pytest.raises(BadConfig, match=f"conf/pipelines/{name}.yaml is not a file"):
        load_pipeline(name, tmp_path / "conf")


@pytest.mark.parametrize(
    "name", ["Taxi", "taxi copy", "1taxi", "freshness", "maintenance", "preflight"]
)
def test_invalid_pipeline_name_is_refused(tmp_path: Path, name: str):
    shutil.copytree(conf_folder(), tmp_path / "conf")
    (tmp_path / "conf" / "pipelines" / f"{name}.yaml").write_text("extends: taxi\n")
    with pytest.raises(
        BadConfig, match=f"conf/pipelines/{name}.yaml: name.*(is '{name}'|a DAG of the stack)"
    ):
        load_pipeline(name, tmp_path / "conf")


@pytest.mark.parametrize(
    "setting", ["start_date=2024-13-45", "label=[[", "a=!!python/object:os.system {}"]
)
def test_set_with_invalid_yaml_is_refused(setting: str):
    assert complaint(setting).startswith(f"--set {setting}: not valid YAML")


@pytest.mark.parametrize(
    "settings", [("source.password=secret",), ("source.headers={A: [secret]}",)]
)
def test_possible_secret_is_not_shown(settings: tuple[str, ...]):
    name = "census" if "password" in settings[0] else "line"
    assert "secret" not in complaint(*settings, name=name)


def test_extends_inherits_unset_keys():
    taxi, linear = (load_pipeline(name, conf_folder()) for name in ("taxi", "taxi_linear"))
    assert linear.columns == taxi.columns
    assert linear.estimator.kind == "linear"
    assert "n_estimators" not in linear.estimator.params
    assert linear.schedule is None


def test_circular_extends_is_refused(tmp_path: Path):
    shutil.copytree(conf_folder(), tmp_path / "conf")
    (tmp_path / "conf/pipelines/a.yaml").write_text("extends: b")
    (tmp_path / "conf/pipelines/b.yaml").write_text("extends: a")
    with pytest.raises(BadConfig, match="extends goes in a circle: a -> b -> a"):
        load_pipeline("a", tmp_path / "conf")


def test_set_reaches_any_value():
    pipeline = load_pipeline(
        "taxi",
        conf_folder(),
        ["training.window_days=31", "gate.limit=7.5", "estimator.params.eta=1"],
    )
    assert (pipeline.training.window_days, pipeline.gate.limit) == (31, 7.5)
    assert pipeline.estimator.params["eta"] == 1
    assert pipeline.estimator.params["max_depth"] == 8


def test_nested_lags_add_up_their_reach():
    week = "{kind: lag, of: cnt, days: 7, by: [hr], to: week}"
    weeks = "{kind: lag, of: week, days: 7, by: [hr], to: weeks}"
    settings = (
        f"features=[{week}, {weeks}]",
        "monitoring.ignore=[]",
        "gate.baseline=null",
        "inputs={numeric: [weeks]}",
    )
    assert load_pipeline("bikes", conf_folder(), settings).reach_days == 14


def test_new_kind_drops_former_parameters():
    assert load_pipeline("taxi", conf_folder(), ["estimator.kind=gbt"]).estimator == Estimator(
        kind="gbt"
    )


@pytest.mark.parametrize("setting", ["training.window_days", "=3", "label: x"])
def test_malformed_set_is_refused(setting: str):
    assert "--set" in complaint(setting)


def test_period_follows_the_path():
    source = ParquetSource(kind="parquet", path="a_{yyyy}-{MM}.parquet")
    assert source.period == "month"
    assert source.first_day(dt.date(2021, 2, 17)) == dt.date(2021, 2, 1)
    assert source.path_on(dt.date(2021, 2, 17)) == "a_2021-02.parquet"
    assert ParquetSource(kind="parquet", path="{yyyy}/{MM}/{dd}.parquet").period == "day"
    assert ParquetSource(kind="parquet", path="{yyyy}.parquet").first_day(
        dt.date(2021, 2, 17)
    ) == dt.date(2021, 1, 1)
    assert ParquetSource(kind="parquet", path="all.parquet").period == "snapshot"
    assert fill_date("{yyyy}{MM}{dd}", dt.date(2021, 2, 7)) == "20210207"


def test_environment_variables_override_the_file():
    places = load_places(
        "local",
        conf_folder(),
        {"BATCHML_LAKE": "s3a://lake", "MLFLOW_TRACKING_URI": "http://m:5000"},
    )
    assert places.lake == "s3a://lake"
    assert places.tracking_uri == "http://m:5000"
    assert places.landing == str(conf_folder().parent / "data" / "landing")


def test_unknown_environment_is_refused():
    with pytest.raises(BadConfig, match=r"--env prod: there is no .*prod.yaml"):
        load_places("prod", conf_folder(), {})


@pytest.mark.parametrize("text", ["2021-02-30", "yesterday", "2021-2-1", ""])
def test_invalid_date_is_refused(text: str):
    with pytest.raises(BadConfig, match="not a date of the form YYYY-MM-DD"):
        parse_date(text, "--end")


@pytest.mark.parametrize(
    "value", ["0", "-1", "true", "1.5", "10081", "{ingest: 0}", "{nightly: 5}", "soon"]
)
def test_invalid_time_limit_is_refused(value: str):
    assert "limits.minutes" in complaint(f"limits.minutes={value}")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("source.wait_hours=24", "is not below the schedule's interval of 24 hours"),
        ("limits.run_hours=3", "is not above the 16.25 hours of waiting, approval and all jobs"),
        ("source.days=sundays", "weekdays"),
    ],
)
def test_too_short_run_is_refused(setting: str, message: str):
    assert message in complaint(setting)


def test_run_hours_include_all_waiting():
    settings = ["source.wait_hours=5", "gate.approval=manual", "gate.approval_hours=7"]
    taxi, longer = (load_pipeline("taxi", conf_folder(), each) for each in ([], settings))
    assert longer.least_run_hours - taxi.least_run_hours == 12
    assert longer.run_hours > longer.least_run_hours


def test_calendar_has_weekdays_without_holidays():
    settings = ["source.days=weekdays", "source.holidays=[2021-01-06]"]
    source = load_pipeline("taxi", conf_folder(), settings).source
    days = [day for day in range(1, 11) if source.has_delivery(dt.date(2021, 1, day))]
    assert days == [1, 4, 5, 7, 8]
