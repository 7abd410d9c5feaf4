"""Fit XGBoost without Spark, for comparison with ``train_model``.

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


def main(arguments: Mapping[str, Any]) -> None:
    """Print the metrics as one line of JSON."""
    fit = read(arguments, "fit")
    holdout = read(arguments, "holdout")
    label = arguments["label"]
    inputs = arguments["numeric"] + arguments["categorical"]
    for name in arguments["categorical"]:
        known = pd.CategoricalDtype(fit[name].value_counts().index)
        for rows in (fit, holdout):
            rows[name] = rows[name].astype(known).cat.codes
    model = XGBRegressor(**arguments["params"])
    model.fit(fit[inputs], fit[label])

    metrics: dict[str, float] = {"rows": len(fit)}
    for part, rows in (("train", fit), ("holdout", holdout)):
        predictions = model.predict(rows[inputs])
        for name, measure in METRICS.items():
            metrics[f"{part}_{name}"] = float(measure(rows[label], predictions))
    print(json.dumps(metrics))


def read(arguments: Mapping[str, Any], part: str) -> pd.DataFrame:
    """Return the rows of a part's dates that have a label."""
    first, last = [dt.date.fromisoformat(date) for date in arguments[part]]
    date = ds.field("event_date")
    is_inside = (date >= first) & (date <= last)
    label = arguments["label"]
    columns = arguments["numeric"] + arguments["categorical"] + [label]
    table = DeltaTable(arguments["table"]).to_pyarrow_dataset()
    rows = table.to_table(columns, filter=is_inside)
    return rows.to_pandas().dropna(subset=[label])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
