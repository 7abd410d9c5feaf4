"""Read and write the record of a training as JSON, also records of earlier and later code."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from batchml.config import conf_folder, load_pipeline
from batchml.errors import BadData
from batchml.models.scoring import MeanBaseline, SharesBaseline
from batchml.tracking import CodeRecord, Tag, TrainingRecord

CONFIG = load_pipeline("iris", conf_folder()).model_dump(mode="json")
# A record in the form of the first release.
OLD: dict[str, Any] = {
    "pipeline": "iris",
    "end": "2021-01-31",
    "code_version": "2501f0780a28",
    "table": "/lake/iris/features",
    "features_version": 3,
    "fit": {"start": "2021-01-01", "end": "2021-01-28", "rows": 900},
    "holdout": {"start": "2021-01-29", "end": "2021-01-31", "rows": 100},
    "classes": ["setosa", "virginica"],
    "baseline": {"shares": {"setosa": 0.25, "virginica": 0.75}},
    "chosen": {"regParam": 0.1},
    "config": CONFIG,
    "model_code": None,
}


def test_record_without_version_is_read():
    record = TrainingRecord.read(OLD)
    assert (record.record_version, record.features_version) == (0, 3)
    assert (record.end, record.holdout.start) == (dt.date(2021, 1, 31), dt.date(2021, 1, 29))
    assert record.baseline == SharesBaseline({"setosa": 0.25, "virginica": 0.75})
    assert record.parse_config().inputs == load_pipeline("iris", conf_folder()).inputs


def test_record_of_later_code_is_read():
    newer = OLD | {
        "record_version": 9,
        "weather": "fine",
        "fit": OLD["fit"] | {"files": 4},
        "baseline": {"mean": 5.0, "median": 4.0},
        "config": CONFIG | {"moons": 2, "gate": CONFIG["gate"] | {"keeper": "ada"}},
        "model_code": {"repository": "r", "commit": "c", "entry": "m:f", "branch": "b"},
    }
    record = TrainingRecord.read(newer)
    assert (record.record_version, record.fit.rows) == (9, 900)
    assert record.baseline == MeanBaseline(5.0)
    assert record.model_code == CodeRecord(repository="r", commit="c", entry="m:f")
    assert record.parse_config() == TrainingRecord.read(OLD).parse_config()


def test_stored_record_has_a_version():
    stored = json.loads(json.dumps(TrainingRecord.read(OLD).as_json()))
    assert stored == OLD | {"record_version": 0, "partitions": None, "split_columns": None}
    assert TrainingRecord.read(stored) == TrainingRecord.read(OLD)


def test_unknown_key_cannot_be_written():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TrainingRecord(**OLD, weather="fine")


def test_record_without_required_key_is_refused():
    with pytest.raises(ValidationError, match="features_version"):
        TrainingRecord.read({key: value for key, value in OLD.items() if key != "features_version"})


def test_refused_configuration_does_not_hide_the_record():
    record = TrainingRecord.read(OLD | {"config": {"name": "iris"}})
    assert record.features_version == 3
    with pytest.raises(BadData, match="of the training up to 2021-01-31 is refused"):
        record.parse_config()


def test_experiments_view_reads_written_tags():
    view = Path(__file__).resolve().parents[2] / "containers" / "init_experiments.sql"
    assert set(re.findall(r"key = '([^']+)'", view.read_text())) == {Tag.END, Tag.VERDICT}


def test_newer_rule_does_not_hide_a_record():
    record = TrainingRecord.read(OLD | {"config": CONFIG | {"key": [CONFIG["label"]]}})
    assert record.parse_config().key == (CONFIG["label"],)
