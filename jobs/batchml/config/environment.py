"""Environment variables in the configuration: for what differs by place, and for what must stand in no file."""

import re
from collections.abc import Mapping

from batchml.errors import BadConfig

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand(text: str, environ: Mapping[str, str], where: str) -> str:
    """``text`` with ``${NAME}`` and ``${NAME:-default}`` replaced; the default also for a variable that is empty.

    Raises BadConfig that names every variable which is not set and has no default.
    """
    unset = [
        name for name, default in VARIABLE.findall(text) if not environ.get(name) and not default
    ]
    if unset:
        raise BadConfig(
            f"{where}: {', '.join(unset)} is not set",
            remedy="set the environment variable for the job",
        )
    return VARIABLE.sub(lambda found: environ.get(found[1]) or found[2], text)
