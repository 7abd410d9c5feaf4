"""Small source files for a first run without network: synthetic taxi months, and the real irises.

A synthetic file says so in its parquet footer, and `make fetch` replaces it by the official one.
"""

import csv
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from sklearn.datasets import load_iris

from batchml.config import Pipeline, conf_folder, default_env, load_pipeline, load_places, pipeline_names
from batchml.config.sources import FileSource
from batchml.errors import BadConfig
from local.samples import census
from local.samples.bikes import bike_hours

SYNTHETIC = b"batchml.synthetic"
SEED = 20210101
TRIPS_PER_DAY = 400
MONTHS = ("2021-01", "2021-02")
ZONES = 265
COLUMNS = [
    *("VendorID", "lpep_pickup_datetime", "lpep_dropoff_datetime", "store_and_fwd_flag", "RatecodeID"),
    *("PULocationID", "DOLocationID", "passenger_count", "trip_distance", "fare_amount", "extra", "mta_tax"),
    *("tip_amount", "tolls_amount", "ehail_fee", "improvement_surcharge", "total_amount", "payment_type"),
    *("trip_type", "congestion_surcharge"),
]


def provide_sample(pipeline: Pipeline, landing: Path, console: Console) -> None:
    """Makes the pipeline's sample in ``landing`` unless a file of its source is there already."""
    if pipeline.sample is None or pipeline.sample in SERVICES:
        return
    source = pipeline.source
    if isinstance(source, FileSource) and any(landing.glob(_any_date(source.path))):
        return
    if pipeline.sample not in SAMPLES or not isinstance(source, FileSource):
        raise BadConfig(
            f"conf/pipelines/{pipeline.name}.yaml: sample is {pipeline.sample!r}",
            f"expected one of: {', '.join([*SAMPLES, *SERVICES] if isinstance(source, FileSource) else SERVICES)}",
        )
    landing.mkdir(parents=True, exist_ok=True)
    console.print(f"sample {SAMPLES[pipeline.sample](landing)}")


def _any_date(path: str) -> str:
    """The pattern of a source's files, of whatever month or day."""
    for placeholder in ("{yyyy}", "{MM}", "{dd}"):
        path = path.replace(placeholder, "*")
    return path


def provide_rows(pipeline: Pipeline, landing: Path, console: Console, environ: Mapping[str, str]) -> None:
    """Makes the pipeline's sample in its database, which must be up, unless it has rows already."""
    if pipeline.sample == "census":
        census.provide(pipeline, landing, console, environ)


def services_of(pipelines: Iterable[Pipeline]) -> list[str]:
    """The processes of ``local/stack/Procfile`` that the samples of ``pipelines`` come from."""
    return sorted({SERVICES[pipeline.sample] for pipeline in pipelines if pipeline.sample in SERVICES})


def write_green_taxi(landing: Path) -> str:
    """Two synthetic months of TLC's green-taxi schema, with the dirt of the real ones."""
    for month in MONTHS:
        table = green_taxi_month(month)
        path = landing / f"green_tripdata_{month}.parquet"
        partial = path.with_suffix(".part")
        pq.write_table(table.replace_schema_metadata({SYNTHETIC: f"seed {SEED}".encode()}), partial)
        partial.replace(path)
    _write_zones(landing / "taxi_zone_lookup.csv")
    return (
        f"made SYNTHETIC taxi months {' and '.join(MONTHS)} in {landing}: good to see the pipeline work, not to learn "
        'of taxis. The real ones: make fetch MONTHS="2021-01 2021-02"'
    )


def _write_zones(path: Path) -> None:
    """A lookup table of the real one's schema: zones in five boroughs of the same size."""
    if path.exists():
        return
    boroughs = ("Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island")
    zones = [[zone, boroughs[zone % 5], f"Zone {zone}", SYNTHETIC.decode()] for zone in range(1, ZONES + 1)]
    _write_csv(path, [["LocationID", "Borough", "Zone", "service_zone"], *zones])


def write_iris(landing: Path) -> str:
    """Fisher's 150 irises from scikit-learn's bundled copy, in the form of the UCI archive (no header)."""
    bunch = load_iris()
    rows = [
        [*values, f"Iris-{bunch.target_names[kind]}"] for values, kind in zip(bunch.data, bunch.target, strict=True)
    ]
    _write_csv(landing / "iris.csv", rows)
    return f"wrote the 150 irises that come with scikit-learn to {landing / 'iris.csv'}"


def _write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """The file, whole or not there at all."""
    partial = path.with_suffix(".part")
    with partial.open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)
    partial.replace(path)


def write_bikes(landing: Path) -> str:
    """Four synthetic months of hourly bicycle counts."""
    _write_csv(landing / "bike_hour.csv", bike_hours())
    return (
        f"made SYNTHETIC hours of bicycle counts in {landing}: good to see the pipeline work, not to learn of "
        "bicycles. The real ones are UCI's Bike Sharing data set: put hour.csv there as bike_hour.csv"
    )


SAMPLES: dict[str, Callable[[Path], str]] = {
    "green_taxi": write_green_taxi,
    "iris": write_iris,
    "bikes": write_bikes,
}
# Samples that a service gives, and the process of local/stack/Procfile it is.
SERVICES = {"samples_api": "samples-api", "census": "postgres"}


def green_taxi_month(month: str) -> pa.Table:
    """One month of trips whose duration follows from distance, hour and zones, plus noise; always the same."""
    first = np.datetime64(month, "D")
    days = int((np.datetime64(month, "M") + 1).astype("datetime64[D]").astype(int) - first.astype(int))
    random = np.random.default_rng([SEED, int(first.astype(int))])
    size = TRIPS_PER_DAY * days
    seconds = np.sort(random.integers(0, days * 86_400, size))
    origin, destination = random.integers(1, ZONES + 1, (2, size))
    distance = np.round(random.lognormal(0.8, 0.7, size), 2)
    rush = np.isin(seconds // 3600 % 24, (7, 8, 9, 16, 17, 18))
    miles_per_hour = np.where(rush, 11.0, 16.0) + 4.0 * np.sin(origin / 40.0)
    trips = {
        "pickup": first.astype("datetime64[us]") + seconds.astype("timedelta64[s]"),
        "minutes": 2.0 + 60.0 * distance / miles_per_hour + destination % 5 + random.normal(0.0, 2.0, size),
        "distance": distance,
        "fare": np.round(2.5 + 2.5 * distance, 2),
        "passengers": random.integers(1, 6, size).astype(float),
    }
    trips = _dirty(random, trips)
    values = dict.fromkeys(COLUMNS, np.zeros(size)) | {
        "VendorID": random.integers(1, 3, size),
        "lpep_pickup_datetime": trips["pickup"],
        "lpep_dropoff_datetime": trips["pickup"] + np.round(trips["minutes"] * 60).astype("timedelta64[s]"),
        "store_and_fwd_flag": np.where(random.random(size) < 0.01, "Y", "N"),
        "RatecodeID": np.ones(size),
        "PULocationID": origin,
        "DOLocationID": destination,
        "passenger_count": trips["passengers"],
        "trip_distance": trips["distance"],
        "fare_amount": trips["fare"],
        "total_amount": trips["fare"],
        "payment_type": random.integers(1, 3, size).astype(float),
        "trip_type": np.ones(size),
    }
    return _drifted({name: pa.array(column, from_pandas=True) for name, column in values.items()}, month)


def _dirty(random: np.random.Generator, trips: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Durations of zero, below zero and of a day; strays of other years; gaps; distances and fares that cannot be."""
    size = len(trips["minutes"])
    chance = random.random(size)
    pickup, distance = trips["pickup"].copy(), np.where(random.random(size) < 0.02, 0.0, trips["distance"])
    pickup[random.choice(size, 4, replace=False)] = np.datetime64("2009-01-01T00:20:00", "us")
    distance[random.choice(size, 3, replace=False)] = 90_000.0
    return {
        "pickup": pickup,
        "minutes": np.select([chance < 0.01, chance < 0.015, chance < 0.03], [0.1, -5.0, 1_430.0], trips["minutes"]),
        "distance": distance,
        "fare": np.where(random.random(size) < 0.002, -trips["fare"], trips["fare"]),
        "passengers": np.where(random.random(size) < 0.3, np.nan, trips["passengers"]),
    }


def _drifted(arrays: dict[str, pa.Array], month: str) -> pa.Table:
    """The types of TLC's older files in the first month, of the newer ones (and a new column) afterwards."""
    size = len(arrays["VendorID"])
    if month == MONTHS[0]:
        return pa.table(arrays | {"ehail_fee": pa.nulls(size)})
    narrower = {name: arrays[name].cast(pa.int32()) for name in ("VendorID", "PULocationID", "DOLocationID")}
    whole = {name: arrays[name].cast(pa.int64()) for name in ("passenger_count", "payment_type", "RatecodeID")}
    added = {"ehail_fee": pa.nulls(size, pa.float64()), "cbd_congestion_fee": pa.array(np.zeros(size))}
    return pa.table(arrays | narrower | whole | added)


def main() -> None:
    """The sample of every pipeline, into the landing folder and the database of this place."""
    landing = Path(load_places(default_env(), conf_folder(), os.environ).landing)
    console = Console(soft_wrap=True, highlight=False)
    for name in pipeline_names(conf_folder()):
        pipeline = load_pipeline(name, conf_folder())
        provide_sample(pipeline, landing, console)
        provide_rows(pipeline, landing, console, os.environ)


if __name__ == "__main__":
    main()
