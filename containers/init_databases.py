"""A database and a user each for Airflow, MLflow and source data, closed to one another; run at every start.

What is there stays, so that a first start may be killed at any point; passwords become those of .env.
"""

import os

import psycopg2
from psycopg2.sql import SQL, Identifier, Literal

PASSWORDS = {
    "airflow": "AIRFLOW_DB_PASSWORD",
    "mlflow": "MLFLOW_DB_PASSWORD",
    "sources": "SOURCES_DB_PASSWORD",
}


def main() -> None:
    """Host, user and password of the superuser come from PGHOST, PGUSER and PGPASSWORD."""
    connection = psycopg2.connect(dbname="postgres")
    connection.autocommit = True  # CREATE DATABASE allows no transaction
    with connection.cursor() as cursor:
        for name, variable in PASSWORDS.items():
            user = Identifier(name)
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
            if cursor.fetchone() is None:
                cursor.execute(SQL("CREATE ROLE {} LOGIN").format(user))
            cursor.execute(
                SQL("ALTER ROLE {} PASSWORD {}").format(user, Literal(os.environ[variable]))
            )
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            if cursor.fetchone() is None:
                cursor.execute(SQL("CREATE DATABASE {} OWNER {}").format(user, user))
            cursor.execute(SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(user))
    connection.close()
    with psycopg2.connect(dbname="mlflow") as mlflow, mlflow.cursor() as cursor:
        cursor.execute(
            "DROP VIEW IF EXISTS batchml_experiments"
        )  # containers/init_experiments.py makes it again


if __name__ == "__main__":
    main()
