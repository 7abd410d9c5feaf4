"""spark-submit entry point of the job evaluate_model."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("evaluate_model", sys.argv[1:]))
