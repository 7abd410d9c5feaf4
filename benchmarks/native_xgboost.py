"""Fit XGBoost without Spark: what ``train_model`` is measured against.

    python benchmarks/native_xgboost.py DESCRIPTION

It reads the same rows of the table ``features``, fits with the same parameters on all cores, and
computes the metrics on the rows to fit on and on the holdout. ``DESCRIPTION`` is JSON with
``table``, ``fit`` and ``holdout`` (first and last date), ``numeric``, ``categorical``, ``label``
and ``params``.
"""

import datetime as dt
import json
import sys
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow.dataset as ds
from deltalake import DeltaTable
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from xgboost import XGBRegressor

METRICS = {"rmse": root_mean_squared_error, "mae": mean_absolute_error, "r2": r2_score}


def main(given: Mapping[str, Any]) -> None:
    """Print the metrics as one line of JSON."""
    fit, holdout = read(given, "fit"), read(given, "holdout")
    inputs = [*given["numeric"], *given["categorical"]]
    for name in given["categorical"]:
        known = pd.CategoricalDtype(fit[name].value_counts().index)
        for rows in (fit, holdout):
            rows[name] = rows[name].astype(known).cat.codes
    model = XGBRegressor(**given["params"]).fit(fit[inputs], fit[given["label"]])
    found = {
        f"{part}_{name}": float(measure(rows[given["label"]], model.predict(rows[inputs])))
        for part, rows in (("train", fit), ("holdout", holdout))
        for name, measure in METRICS.items()
    }
    print(json.dumps({"rows": len(fit), **found}))


def read(given: Mapping[str, Any], part: str) -> pd.DataFrame:
    """Return the rows of a part's dates that have a label."""
    first, last = (dt.date.fromisoformat(date) for date in given[part])
    date = ds.field("event_date")
    columns = [*given["numeric"], *given["categorical"], given["label"]]
    rows = (
        DeltaTable(given["table"])
        .to_pyarrow_dataset()
        .to_table(columns, filter=(date >= first) & (date <= last))
    )
    return rows.to_pandas().dropna(subset=[given["label"]])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
