"""Prepares Airflow's database; safe to run at every start. What people change in the UI stays, but for the pool's size,
which .env sets.

One process for all commands: each `airflow` of a shell would import Airflow anew, for seconds.
"""

import os

from airflow.cli.cli_parser import get_parser


def airflow(*words: str) -> None:
    """One command of Airflow's; raises SystemExit where that would end with an error."""
    arguments = get_parser().parse_args(words)
    arguments.func(arguments)


def main() -> None:
    """The tables, the pool, the connection to Spark, and the first user."""
    airflow("db", "migrate")
    pool, drivers = os.environ["SPARK_DRIVERS_POOL"], os.environ["SPARK_DRIVERS"]
    airflow("pools", "set", pool, drivers, "bounds how many Spark drivers run at once")
    try:
        airflow("connections", "get", "spark_default")
    except SystemExit:
        airflow("connections", "add", "spark_default", "--conn-uri", "spark://spark-master:7077")
    user, password = os.environ["AIRFLOW_ADMIN_USER"], os.environ["AIRFLOW_ADMIN_PASSWORD"]
    named = ("--firstname=Airflow", "--lastname=Admin", f"--email={user}@localhost")
    # One word each: a random password may begin with a dash, and would be taken for an option.
    airflow(
        "users", "create", "--role=Admin", f"--username={user}", f"--password={password}", *named
    )


if __name__ == "__main__":
    main()
