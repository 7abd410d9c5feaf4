"""spark-submit entry point of the job score_batch."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("score_batch", sys.argv[1:]))
