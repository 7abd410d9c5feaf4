"""spark-submit entry point of the job monitor_drift."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("monitor_drift", sys.argv[1:]))
