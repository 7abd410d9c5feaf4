"""Unknown files become pipelines by one command, and these run without a change."""

import csv
import datetime as dt
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_diabetes, load_wine

from batchml.job_line import IngestDetails, Metrics
from batchml.new.__main__ import main
from tests.support.workbench import Workbench

FEW_TREES = ("estimator.params.n_estimators=20",)


@pytest.fixture
def bench(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Return a workbench that the command writes into."""
    monkeypatch.setenv("BATCHML_CONF", str(workbench.conf))
    monkeypatch.setenv("BATCHML_LANDING", workbench.places.landing)
    return workbench


def run(bench: Workbench, name: str) -> tuple[IngestDetails, dict[str, Metrics]]:
    """Return the details of ingest, and the metrics by model, for the bootstrap range."""
    first = bench.pipeline(name).bootstrap
    assert first is not None
    ingested = bench.run("ingest", name, str(first.start), str(first.end))
    bench.run("build_features", name, str(first.start), str(first.end))
    bench.run("train_model", name, str(first.end), settings=FEW_TREES)
    judged = bench.run("evaluate_model", name, str(first.end))
    assert judged.details.passed, judged.details.reason
    return ingested.details, judged.details.metrics


def test_wine_file_becomes_a_classification(bench, tmp_path):
    wines = load_wine()
    path = tmp_path / "Wine Data.csv"
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(
            ["", *wines.feature_names, "cultivar"]
        )  # od280/od315_of_diluted_wines is no name for Delta
        cultivars = (f"no. {target + 1}" for target in wines.target)
        writer.writerows(
            [n, *row, name] for n, (row, name) in enumerate(zip(wines.data, cultivars, strict=True))
        )

    assert main(["--from", str(path), "--label", "cultivar"]) == 0

    ingested, metrics = run(bench, "wine_data")
    assert ingested.rows == {"bronze": 178, "silver": 178, "quarantine": 0}
    assert ingested.warned == {}
    assert bench.pipeline("wine_data").key == ("column_1",)
    assert metrics["challenger"]["accuracy"] > metrics["baseline"]["accuracy"] + 0.3


def test_parquet_file_becomes_a_regression(bench, tmp_path):
    patients = load_diabetes()
    columns = {name: patients.data[:, n] for n, name in enumerate(patients.feature_names)}
    columns["seen"] = pa.array(
        [dt.datetime(2020, 5, 1)] * len(patients.target), pa.timestamp("ns")
    )  # as pandas does
    columns["progression"] = patients.target
    pq.write_table(pa.table(columns), tmp_path / "diabetes.parquet")

    assert main(["--from", str(tmp_path / "diabetes.parquet"), "--label", "progression"]) == 0

    ingested, metrics = run(bench, "diabetes")
    assert ingested.rows == {"bronze": 442, "silver": 442, "quarantine": 0}
    assert ingested.warned == {}
    assert metrics["challenger"]["rmse"] < 0.9 * metrics["baseline"]["rmse"]


def write_sales(path: Path) -> None:
    """Thirty days of ten sales, as a German office writes them; one line is broken."""
    random = Random(7)
    lines = ["Beleg-Nr;Verkauft am;Filiale;Größe;Preis;Rabatt;Notiz;Umsatz;Umsatz in Cent"]
    for day in (dt.date(2023, 11, 20) + dt.timedelta(days=n) for n in range(30)):
        for number in range(10):
            moment = dt.datetime.combine(day, dt.time(8 + number, random.randrange(60)))
            branch, size = random.choice(["Köln", "Gießen", "Ulm"]), random.randrange(36, 47)
            price = round(random.uniform(20, 90), 2)
            discount = random.choice(["n/a", "5", "10"])
            takings = round(price * (1.2 if branch == "Ulm" else 1) + size + random.gauss(0, 2), 2)
            note = f'"sagt ""ja; {random.random():.6f}"""'
            bill = f"{day:%y%m%d}-{number}"
            cells = [
                bill,
                f"{moment:%d.%m.%Y %H:%M}",
                branch,
                str(size),
                f"{price:.2f}",
                discount,
                note,
            ]
            lines.append(";".join([*cells, f"{takings:.2f}", f"{takings * 100:.0f}"]))
    lines[9] = lines[9].replace(";", "", 1)
    path.write_text("\r\n".join(lines) + "\r\n", encoding="cp1252")


def test_german_sales_file_is_split_by_date(bench, tmp_path):
    write_sales(tmp_path / "verkauf.csv")

    assert (
        main(["--from", str(tmp_path / "verkauf.csv"), "--label", "Umsatz", "--name", "sales"]) == 0
    )

    pipeline = bench.pipeline("sales")
    assert pipeline.source.event_time == "Verkauft_am"
    assert (pipeline.training.window_days, pipeline.training.holdout_days) == (23, 6)
    assert pipeline.inputs.numeric == (
        "Größe",
        "Preis",
        "Rabatt",
        "Verkauft_am_hour",
        "Verkauft_am_weekday",
    )
    assert pipeline.inputs.categorical == ("Filiale",)

    ingested, metrics = run(bench, "sales")
    # The last day is for scoring, and not asked for.
    assert ingested.rows == {"bronze": 290, "silver": 289, "quarantine": 1}
    assert ingested.rejected["line_is_well_formed"] == 1
    assert set(ingested.warned.values()) == {1}  # the broken line
    assert metrics["challenger"]["rmse"] < 0.5 * metrics["baseline"]["rmse"]
    sold = (
        bench.table("sales", "silver")
        .where("`Beleg_Nr` = '231121-3'")
        .select("Filiale", "Notiz", "event_date")
    )
    (row,) = sold.collect()
    assert row["Filiale"] in ("Köln", "Gießen", "Ulm")
    assert row["Notiz"].startswith('sagt "ja; ')
    assert row["event_date"] == dt.date(2023, 11, 21)
