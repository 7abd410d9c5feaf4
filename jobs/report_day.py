"""spark-submit entry point of the job report_day."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("report_day", sys.argv[1:]))
