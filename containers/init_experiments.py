"""Makes the view ``batchml_experiments`` in MLflow's database, once MLflow has made its tables; run at every start.

``containers/init_databases.py`` takes it away before: a view would keep MLflow from changing its tables in an upgrade.
"""

import os
from pathlib import Path

import psycopg2

VIEW = Path(__file__).with_suffix(".sql")


def main() -> None:
    """Host, user, password and database come from PGHOST, PGUSER, PGPASSWORD and PGDATABASE."""
    with psycopg2.connect("") as connection, connection.cursor() as cursor:
        cursor.execute(VIEW.read_text(encoding="utf-8"))
    print(f"made the view batchml_experiments in {os.environ['PGDATABASE']}")


if __name__ == "__main__":
    main()
