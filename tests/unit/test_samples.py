from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from batchml.config import conf_folder, load_pipeline
from batchml.errors import BadConfig
from local.samples.green_taxi import SYNTHETIC, green_taxi_month
from local.samples.registry import provide_sample

QUIET = Console(quiet=True)


def test_synthetic_months_have_realistic_errors():
    january = green_taxi_month("2021-01")
    assert january.equals(green_taxi_month("2021-01"))
    seconds = pc.seconds_between(
        january["lpep_pickup_datetime"], january["lpep_dropoff_datetime"]
    ).to_numpy()
    assert (seconds < 0).sum() > 10
    assert (seconds > 3600).sum() > 10
    assert pc.sum(pc.is_null(january["passenger_count"])).as_py() > 1000
    assert pc.sum(pc.equal(pc.year(january["lpep_pickup_datetime"]), 2009)).as_py() == 4
    assert pc.sum(pc.less(january["fare_amount"], 0)).as_py() > 0


def test_types_drift_between_the_months():
    january, february = green_taxi_month("2021-01").schema, green_taxi_month("2021-02").schema
    drifted = {
        name for name in january.names if january.field(name).type != february.field(name).type
    }
    assert drifted >= {"VendorID", "PULocationID", "passenger_count", "ehail_fee"}
    assert set(february.names) - set(january.names) == {"cbd_congestion_fee"}


def test_sample_is_marked_as_synthetic(tmp_path: Path):
    pipeline = load_pipeline("taxi", conf_folder())
    provide_sample(pipeline, tmp_path, QUIET)
    names = sorted(path.name for path in tmp_path.iterdir())
    months = ["green_tripdata_2021-01.parquet", "green_tripdata_2021-02.parquet"]
    assert names == [*months, "taxi_zone_lookup.csv"]
    assert SYNTHETIC in (tmp_path / names[2]).read_bytes()
    assert SYNTHETIC in pq.read_schema(tmp_path / names[0]).metadata


def test_landing_folder_with_source_file_is_unchanged(tmp_path: Path):
    (tmp_path / "green_tripdata_2019-07.parquet").write_bytes(b"mine")
    provide_sample(load_pipeline("taxi", conf_folder()), tmp_path, QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["green_tripdata_2019-07.parquet"]


def test_iris_sample_has_150_rows(tmp_path: Path):
    provide_sample(load_pipeline("iris", conf_folder()), tmp_path, QUIET)
    lines = (tmp_path / "iris.csv").read_text().splitlines()
    assert lines[0] == "5.1,3.5,1.4,0.2,Iris-setosa"
    species = [line.rsplit(",", 1)[1] for line in lines]
    assert {name: species.count(name) for name in set(species)} == {
        "Iris-setosa": 50,
        "Iris-versicolor": 50,
        "Iris-virginica": 50,
    }


def test_service_without_sample_writes_nothing(tmp_path: Path):
    provide_sample(load_pipeline("line", conf_folder(), ["sample=null"]), tmp_path, QUIET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "sample"), [("iris", "tulips"), ("line", "tulips"), ("line", "iris")]
)
def test_unknown_sample_is_refused(tmp_path: Path, name: str, sample: str):
    with pytest.raises(BadConfig, match=f"sample is '{sample}'"):
        provide_sample(load_pipeline(name, conf_folder(), [f"sample={sample}"]), tmp_path, QUIET)
