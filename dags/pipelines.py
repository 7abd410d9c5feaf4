"""One Airflow DAG for every pipeline that has a schedule."""
# Airflow parses only files that contain both "airflow" and "dag". The line above has both words.

from batchml.config import conf_folder, pipeline_names
from orchestration.pipeline_dag import dag_of

# Airflow collects DAGs from the globals of this module. No other global has a space in its name.
for name in pipeline_names(conf_folder()):
    globals()[f"pipeline {name}"] = dag_of(name, conf_folder())
