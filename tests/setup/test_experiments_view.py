"""The view over MLflow's database, in a real PostgreSQL that MLflow has made its tables in."""

import datetime as dt
from pathlib import Path

import psycopg2
from mlflow import MlflowClient

from containers import init_experiments


def test_model_version_is_a_row_of_the_view(postgres: dict[str, str], tmp_path: Path, monkeypatch):
    host, port = postgres["BATCHML_SOURCES_DB"].partition("/")[0].split(":")
    user, password = postgres["BATCHML_SOURCES_USER"], postgres["BATCHML_SOURCES_PASSWORD"]
    maker = psycopg2.connect(host=host, port=port, user=user, password=password, dbname="postgres")
    maker.autocommit = True
    maker.cursor().execute("CREATE DATABASE mlflow")
    maker.close()
    client = MlflowClient(f"postgresql+psycopg2://{user}:{password}@{host}:{port}/mlflow")
    experiment = client.create_experiment("taxi", artifact_location=tmp_path.as_uri())
    client.create_registered_model("taxi")
    for day, rmse in (("2021-01-31", 7.5), ("2021-02-28", 5.7)):
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "holdout_rmse", 99.0)
        client.log_metric(run.info.run_id, "holdout_rmse", rmse)
        client.log_param(run.info.run_id, "estimator", "xgboost")
        tags = {"end": day, "gate.verdict": "passed"}
        client.create_model_version("taxi", tmp_path.as_uri(), run_id=run.info.run_id, tags=tags)
    client.set_registered_model_alias("taxi", "champion", "2")

    connection = {
        "PGHOST": host,
        "PGPORT": port,
        "PGUSER": user,
        "PGPASSWORD": password,
        "PGDATABASE": "mlflow",
    }
    for name, value in connection.items():
        monkeypatch.setenv(name, value)
    init_experiments.main()
    init_experiments.main()  # at every start

    with psycopg2.connect("") as asking, asking.cursor() as cursor:
        cursor.execute(
            "SELECT pipeline, date, version, aliases, verdict, metrics, params "
            "FROM batchml_experiments ORDER BY date"
        )
        first, second = cursor.fetchall()
    params = {"estimator": "xgboost"}
    assert first == ("taxi", dt.date(2021, 1, 31), 1, None, "passed", {"holdout_rmse": 7.5}, params)
    assert second == (
        "taxi",
        dt.date(2021, 2, 28),
        2,
        ["champion"],
        "passed",
        {"holdout_rmse": 5.7},
        params,
    )
