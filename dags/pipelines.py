"""One Airflow DAG for every pipeline that has a schedule."""
# Airflow parses only files that contain both "airflow" and "dag". The line above has both words.

from airflow.sdk import get_parsing_context

from batchml.config import conf_folder, pipeline_names
from orchestration.pipeline_dag import dag_of

names = pipeline_names(conf_folder())
# The process of a task needs one DAG. The DAG of an invalid file may have another id.
dag_id = get_parsing_context().dag_id
if dag_id in names:
    names = [dag_id]

# Airflow collects DAGs from the globals of this module. No other global has a space in its name.
for name in names:
    globals()[f"pipeline {name}"] = dag_of(name, conf_folder())
