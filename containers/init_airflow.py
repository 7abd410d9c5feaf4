"""Prepare Airflow's database at every start.

Changes made in the UI stay, except for the size of the pool, which .env sets. One process runs all
commands, because each call of `airflow` would import Airflow again, which takes seconds.
"""

import os

from airflow.cli.cli_parser import get_parser


def airflow(*words: str) -> None:
    """Run one command of Airflow. Raise SystemExit if it fails."""
    arguments = get_parser().parse_args(words)
    arguments.func(arguments)


def main() -> None:
    """Create the tables, the pool, the connection to Spark, and the first user."""
    airflow("db", "migrate")

    pool = os.environ["SPARK_DRIVERS_POOL"]
    drivers = os.environ["SPARK_DRIVERS"]
    airflow("pools", "set", pool, drivers, "limits how many Spark drivers run at once")

    try:
        airflow("connections", "get", "spark_default")
    except SystemExit:
        airflow("connections", "add", "spark_default", "--conn-uri", "spark://spark-master:7077")

    user = os.environ["AIRFLOW_ADMIN_USER"]
    password = os.environ["AIRFLOW_ADMIN_PASSWORD"]
    airflow(
        "users",
        "create",
        "--role=Admin",
        "--firstname=Airflow",
        "--lastname=Admin",
        f"--email={user}@localhost",
        f"--username={user}",
        # One word, because a random password may begin with a dash, like an option.
        f"--password={password}",
    )


if __name__ == "__main__":
    main()
