"""Create the view ``batchml_experiments`` in MLflow's database, at every start.

``containers/init_databases.py`` drops it before MLflow starts, because MLflow could not change its
tables in an upgrade otherwise.
"""

import os
from pathlib import Path

import psycopg2

VIEW = Path(__file__).with_suffix(".sql")


def main() -> None:
    """Create the view in the database of PGHOST, PGUSER, PGPASSWORD and PGDATABASE."""
    with psycopg2.connect("") as connection, connection.cursor() as cursor:
        cursor.execute(VIEW.read_text(encoding="utf-8"))
    print(f"created the view batchml_experiments in {os.environ['PGDATABASE']}")


if __name__ == "__main__":
    main()
