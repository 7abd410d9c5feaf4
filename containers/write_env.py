"""`make env`: write .env from containers/env.template with generated secrets, unless it exists."""

import argparse
import base64
import os
import re
import secrets
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("env.template")


def main() -> int:
    """Write the file unless it exists, and return 0."""
    parser = argparse.ArgumentParser(prog="make env", description=__doc__)
    parser.add_argument("file", type=Path)
    path: Path = parser.parse_args().file
    try:
        # Readable by its owner only. O_EXCL never overwrites an existing file.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} exists and stays unchanged")
        return 0
    with os.fdopen(handle, "w") as file:
        file.write(fill(TEMPLATE.read_text(encoding="utf-8")))
    print(
        f"wrote {path} with Airflow's user and password "
        "(AIRFLOW_ADMIN_USER, AIRFLOW_ADMIN_PASSWORD)"
    )
    return 0


def fill(template: str) -> str:
    """Return ``template`` with a new secret for every ``<random>``."""
    return re.sub(r"(?<==)<random>$", _generate_secret, template, flags=re.MULTILINE)


def _generate_secret(_: re.Match[str]) -> str:
    """Return 32 random bytes in the URL-safe alphabet.

    Fernet keys require this format. It is also valid in the address of a database.
    """
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


if __name__ == "__main__":
    sys.exit(main())
