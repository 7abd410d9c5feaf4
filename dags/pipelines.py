"""One Airflow DAG for every pipeline that has a schedule."""
# Airflow opens only files that name both "airflow" and "dag": the line above is what it finds.

from batchml.config import conf_folder, load_pipeline, pipeline_names
from orchestration.pipeline_dag import build_dag

for name in pipeline_names(conf_folder()):
    pipeline = load_pipeline(name, conf_folder())
    if pipeline.schedule is not None:
        globals()[name] = build_dag(pipeline)
