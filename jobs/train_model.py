"""spark-submit entry point of the job train_model."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("train_model", sys.argv[1:]))
