"""Environment variables in the configuration, for environment-specific settings and secrets."""

import re
from collections.abc import Mapping

from batchml.errors import BadConfig

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand(text: str, environ: Mapping[str, str], where: str) -> str:
    """Return ``text`` with ``${NAME}`` and ``${NAME:-default}`` replaced.

    The default also replaces a variable that is empty. Raise BadConfig that names every variable
    without a value and a default.
    """
    variables = VARIABLE.findall(text)
    unset = [name for name, default in variables if not environ.get(name) and not default]
    if unset:
        raise BadConfig(
            f"{where}: {', '.join(unset)} is not set, or empty",
            remedy="set the environment variable for the job",
        )
    return VARIABLE.sub(lambda match: environ.get(match[1]) or match[2], text)
