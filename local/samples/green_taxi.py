"""Synthetic source files for the pipeline `taxi`, with the schema and the errors of the real ones.

The parquet footer marks a file as synthetic, and `make fetch` replaces it with the official file.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from local.samples.csv_file import write_csv

SYNTHETIC = b"batchml.synthetic"
SEED = 20210101
TRIPS_PER_DAY = 400
MONTHS = ("2021-01", "2021-02")
ZONES = 265
SECONDS_PER_DAY = 86_400
RUSH_HOURS = (7, 8, 9, 16, 17, 18)
COLUMNS = [
    "VendorID",
    "lpep_pickup_datetime",
    "lpep_dropoff_datetime",
    "store_and_fwd_flag",
    "RatecodeID",
    "PULocationID",
    "DOLocationID",
    "passenger_count",
    "trip_distance",
    "fare_amount",
    "extra",
    "mta_tax",
    "tip_amount",
    "tolls_amount",
    "ehail_fee",
    "improvement_surcharge",
    "total_amount",
    "payment_type",
    "trip_type",
    "congestion_surcharge",
]


def write_green_taxi(landing: Path) -> str:
    """Write two synthetic months of TLC's green-taxi schema, with the errors of the real ones."""
    for month in MONTHS:
        mark = {SYNTHETIC: f"seed {SEED}".encode()}
        table = green_taxi_month(month).replace_schema_metadata(mark)
        path = landing / f"green_tripdata_{month}.parquet"
        partial = path.with_suffix(".part")
        pq.write_table(table, partial)
        partial.replace(path)
    _write_zones(landing / "taxi_zone_lookup.csv")
    return (
        f"created SYNTHETIC taxi months {' and '.join(MONTHS)} in {landing}: use them to test the "
        'pipeline, not to analyse taxis. The real ones: make fetch MONTHS="2021-01 2021-02"'
    )


def _write_zones(path: Path) -> None:
    """Write a lookup table with the real one's schema: zones in five boroughs of the same size."""
    if path.exists():
        return
    boroughs = ("Bronx", "Brooklyn", "Manhattan", "Queens", "Staten Island")
    rows: list[list[object]] = [["LocationID", "Borough", "Zone", "service_zone"]]
    service_zone = SYNTHETIC.decode()
    for zone in range(1, ZONES + 1):
        borough = boroughs[zone % len(boroughs)]
        rows.append([zone, borough, f"Zone {zone}", service_zone])
    write_csv(path, rows)


def green_taxi_month(month: str) -> pa.Table:
    """Return one month of trips. Every call returns the same trips.

    The duration depends on distance, hour and zones, plus noise.
    """
    first = np.datetime64(month, "D")
    following = (np.datetime64(month, "M") + 1).astype("datetime64[D]")
    days = (following - first).astype(int)
    random = np.random.default_rng([SEED, int(first.astype(int))])
    size = int(TRIPS_PER_DAY * days)

    seconds = np.sort(random.integers(0, days * SECONDS_PER_DAY, size))
    origin, destination = random.integers(1, ZONES + 1, (2, size))
    distance = np.round(random.lognormal(0.8, 0.7, size), 2)
    is_rush_hour = np.isin(seconds // 3600 % 24, RUSH_HOURS)
    miles_per_hour = np.where(is_rush_hour, 11.0, 16.0) + 4.0 * np.sin(origin / 40.0)
    driving = 60.0 * distance / miles_per_hour
    noise = random.normal(0.0, 2.0, size)
    trips = {
        "pickup": first.astype("datetime64[us]") + seconds.astype("timedelta64[s]"),
        "minutes": 2.0 + driving + destination % 5 + noise,
        "distance": distance,
        "fare": np.round(2.5 + 2.5 * distance, 2),
        "passengers": random.integers(1, 6, size).astype(float),
    }
    trips = _add_errors(random, trips)

    duration = np.round(trips["minutes"] * 60).astype("timedelta64[s]")
    values: dict[str, np.ndarray] = dict.fromkeys(COLUMNS, np.zeros(size))
    values |= {
        "VendorID": random.integers(1, 3, size),
        "lpep_pickup_datetime": trips["pickup"],
        "lpep_dropoff_datetime": trips["pickup"] + duration,
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
    arrays = {name: pa.array(column, from_pandas=True) for name, column in values.items()}
    return _change_types(arrays, month)


def _add_errors(random: np.random.Generator, trips: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add the errors of the real files.

    Durations near zero, below zero and of a day; pickups in another year; missing passengers;
    impossible distances and fares.
    """
    size = len(trips["minutes"])
    chance = random.random(size)
    has_no_distance = random.random(size) < 0.02
    in_another_year = random.choice(size, 4, replace=False)
    is_far_away = random.choice(size, 3, replace=False)
    has_negative_fare = random.random(size) < 0.002
    has_no_passengers = random.random(size) < 0.3

    pickup = trips["pickup"].copy()
    pickup[in_another_year] = np.datetime64("2009-01-01T00:20:00", "us")
    distance = np.where(has_no_distance, 0.0, trips["distance"])
    distance[is_far_away] = 90_000.0
    wrong = [chance < 0.01, chance < 0.015, chance < 0.03]
    minutes = np.select(wrong, [0.1, -5.0, 1_430.0], trips["minutes"])
    return {
        "pickup": pickup,
        "minutes": minutes,
        "distance": distance,
        "fare": np.where(has_negative_fare, -trips["fare"], trips["fare"]),
        "passengers": np.where(has_no_passengers, np.nan, trips["passengers"]),
    }


def _change_types(arrays: dict[str, pa.Array], month: str) -> pa.Table:
    """Return a table with the types of TLC's older files for the first month.

    Other months have the types of the newer files, and a new column.
    """
    size = len(arrays["VendorID"])
    if month == MONTHS[0]:
        return pa.table(arrays | {"ehail_fee": pa.nulls(size)})

    newer = dict(arrays)
    for name in ("VendorID", "PULocationID", "DOLocationID"):
        newer[name] = arrays[name].cast(pa.int32())
    for name in ("passenger_count", "payment_type", "RatecodeID"):
        newer[name] = arrays[name].cast(pa.int64())
    newer["ehail_fee"] = pa.nulls(size, pa.float64())
    newer["cbd_congestion_fee"] = pa.array(np.zeros(size))
    return pa.table(newer)
