"""One Airflow DAG for every pipeline that has a schedule."""
# Airflow opens only files that name both "airflow" and "dag": the line above is what it finds.

from batchml.config import conf_folder, pipeline_names
from orchestration.pipeline_dag import dag_of

# Airflow looks for DAGs among the names of this module. With a space in it, none is one of Python's.
for name in pipeline_names(conf_folder()):
    globals()[f"pipeline {name}"] = dag_of(name, conf_folder())
