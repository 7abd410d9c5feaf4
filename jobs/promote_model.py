"""spark-submit entry point of the job promote_model."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("promote_model", sys.argv[1:]))
