"""spark-submit entry point of the job build_features."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("build_features", sys.argv[1:]))
