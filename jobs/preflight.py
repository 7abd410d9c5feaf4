"""spark-submit entry point of the job preflight."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("preflight", sys.argv[1:]))
