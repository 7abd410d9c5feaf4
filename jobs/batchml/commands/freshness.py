"""`python -m batchml.commands.freshness`: print late dates and unusual volumes as one JSON line.

The DAG `freshness` runs this every hour. It starts no Spark, and needs no run of a pipeline.
"""

import argparse
import datetime as dt
import os
import sys
from collections.abc import Sequence

from batchml import config
from batchml.config.freshness import Freshness, FreshnessLine
from batchml.errors import PipelineError
from batchml.workflow.freshness import read_freshness


def main(argv: Sequence[str]) -> int:
    """Print the line. Return 0 if every ledger could be read, else the exit code of an error."""
    parser = argparse.ArgumentParser(prog="python -m batchml.commands.freshness")
    parser.add_argument(
        "--pipeline",
        action="append",
        metavar="NAME",
        help="only this one, repeatable (default: all)",
    )
    default = config.default_env()
    parser.add_argument("--env", default=default, metavar="NAME", help="a file of conf/env")
    options = parser.parse_args(argv)
    try:
        conf = config.conf_folder()
        places = config.load_places(options.env, conf, os.environ)
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code

    now, code = dt.datetime.now(dt.UTC), 0
    states: dict[str, Freshness] = {}
    errors: dict[str, str] = {}
    for name in options.pipeline or config.pipeline_names(conf):
        try:
            states[name] = read_freshness(places, config.load_pipeline(name, conf), now)
        except PipelineError as error:  # it must not hide the other pipelines
            errors[name] = str(error)
            code = error.exit_code
    line = FreshnessLine(pipelines=states, errors=errors)
    sys.stdout.write(line.model_dump_json() + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
