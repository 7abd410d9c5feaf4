"""Create a database and a user each for Airflow, MLflow and source data, at every start.

Each user can access only its own database. Existing databases and users stay, so a start can be
killed at any point and run again. Passwords are set to those in .env.
"""

import os

import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Identifier, Literal

PASSWORDS = {
    "airflow": "AIRFLOW_DB_PASSWORD",
    "mlflow": "MLFLOW_DB_PASSWORD",
    "sources": "SOURCES_DB_PASSWORD",
}


def main() -> None:
    """Create all databases, as the superuser in PGHOST, PGUSER and PGPASSWORD."""
    connection = psycopg2.connect(dbname="postgres")
    connection.autocommit = True  # CREATE DATABASE cannot run in a transaction
    with connection.cursor() as cursor:
        for name, variable in PASSWORDS.items():
            create_database(cursor, name, os.environ[variable])
    connection.close()

    # MLflow cannot change tables that a view uses. containers/init_experiments.py creates it again.
    with psycopg2.connect(dbname="mlflow") as mlflow, mlflow.cursor() as cursor:
        cursor.execute("DROP VIEW IF EXISTS batchml_experiments")


def create_database(cursor: Cursor, name: str, password: str) -> None:
    """Create the database ``name`` and its owner of the same name. Set the owner's password."""
    user = Identifier(name)
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
    if cursor.fetchone() is None:
        cursor.execute(SQL("CREATE ROLE {} LOGIN").format(user))
    cursor.execute(SQL("ALTER ROLE {} PASSWORD {}").format(user, Literal(password)))

    cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
    if cursor.fetchone() is None:
        cursor.execute(SQL("CREATE DATABASE {} OWNER {}").format(user, user))
    cursor.execute(SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(user))


if __name__ == "__main__":
    main()
