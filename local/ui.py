"""`make ui`: the stack on what earlier runs left, with Spark's history server, until Ctrl-C. Schedules are live."""

import os
import signal
import sys

from rich.console import Console

from batchml.config import conf_folder, load_places
from local import report
from local.run import DRIVERS, POOL
from local.stack import ROOT, StackError, running


def main() -> int:
    """Waits for Ctrl-C."""
    console = Console(soft_wrap=True, highlight=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    places = load_places("local", conf_folder(), {**os.environ, "MLFLOW_TRACKING_URI": ""})
    try:
        with running(ROOT / "data" / "local", places, console, history=True, schedules=True) as stack:
            stack.airflow.ensure_pool(POOL, DRIVERS, "bounds how many Spark drivers run at once")
            report.print_addresses(console, stack.addresses())
            console.print("Ctrl-C stops all of it")
            signal.pause()
    except StackError as error:
        console.print(str(error), style="red")
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
