#!/bin/sh
# Prepares Airflow's database; safe to run at every start. What people change in the UI stays, but for the pool's size,
# which .env sets.
set -eu
airflow db migrate
airflow pools set spark_drivers "$SPARK_DRIVERS" "bounds how many Spark drivers run at once"
airflow connections get spark_default > /dev/null 2>&1 \
  || airflow connections add spark_default --conn-uri spark://spark-master:7077
airflow users create --role Admin --username "$AIRFLOW_ADMIN_USER" --password "$AIRFLOW_ADMIN_PASSWORD" \
  --firstname Airflow --lastname Admin --email "$AIRFLOW_ADMIN_USER@localhost"
