"""spark-submit entry point of the job maintain_tables."""

import sys

from batchml.main import main

if __name__ == "__main__":
    sys.exit(main("maintain_tables", sys.argv[1:]))
