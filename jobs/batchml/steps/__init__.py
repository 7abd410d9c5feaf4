"""One module per job: read, transform, write. A step is ``run(context) -> Summary``."""
