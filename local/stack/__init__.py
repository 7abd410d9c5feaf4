"""The local stack: Spark, MLflow, Airflow and PostgreSQL as plain processes on loopback."""
