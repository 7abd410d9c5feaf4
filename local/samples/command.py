"""Provide the sample of every pipeline, in the landing folder and the database."""

import argparse
import os
from pathlib import Path

from rich.console import Console

from batchml.config import (
    conf_folder,
    default_env,
    load_pipeline,
    load_places,
    pipeline_names,
)
from local.samples.registry import provide_rows, provide_sample


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments: the command has none."""


def main(_: argparse.Namespace, console: Console) -> int:
    """Provide all samples and return 0."""
    landing = Path(load_places(default_env(), conf_folder(), os.environ).landing)
    for name in pipeline_names(conf_folder()):
        pipeline = load_pipeline(name, conf_folder())
        provide_sample(pipeline, landing, console)
        provide_rows(pipeline, landing, console, os.environ)
    return 0
