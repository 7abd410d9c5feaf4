"""One module per job, each a screen long: read, transform, write. A step is ``run(context) -> Summary``."""
