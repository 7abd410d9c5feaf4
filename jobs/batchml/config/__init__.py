"""One YAML file describes one pipeline: typed, frozen and closed (an unknown key is an error)."""

from batchml.config.columns import Check, Column, Inputs
from batchml.config.environment import expand
from batchml.config.features import Feature
from batchml.config.learning import Estimator, Gate, Slice, Task, Training
from batchml.config.load import (
    Places,
    allowed_repositories,
    conf_folder,
    default_env,
    load_pipeline,
    load_places,
    parse_date,
    pipeline_names,
    project_folder,
)
from batchml.config.monitoring import Level, Levels, Monitoring, OnAlarm
from batchml.config.notifications import Event, Notifications
from batchml.config.pipeline import Pipeline
from batchml.config.sources import CsvSource, HttpSource, JdbcSource, ParquetSource, Source

__all__ = [
    "Check",
    "Column",
    "CsvSource",
    "Estimator",
    "Event",
    "Feature",
    "Gate",
    "HttpSource",
    "Inputs",
    "JdbcSource",
    "Level",
    "Levels",
    "Monitoring",
    "Notifications",
    "OnAlarm",
    "ParquetSource",
    "Pipeline",
    "Places",
    "Slice",
    "Source",
    "Task",
    "Training",
    "allowed_repositories",
    "conf_folder",
    "default_env",
    "expand",
    "load_pipeline",
    "load_places",
    "parse_date",
    "pipeline_names",
    "project_folder",
]
