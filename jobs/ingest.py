"""spark-submit entry point of the job ingest."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("ingest", sys.argv[1:]))
