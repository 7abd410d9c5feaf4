"""`make env`: writes .env from containers/env.template with secrets of its own. A file that is there stays as it is."""

import argparse
import base64
import os
import re
import secrets
import sys
from pathlib import Path

TEMPLATE = Path(__file__).with_name("env.template")


def main() -> int:
    """Says what was done; 0 in either case."""
    parser = argparse.ArgumentParser(prog="make env", description=__doc__)
    parser.add_argument("file", type=Path)
    path: Path = parser.parse_args().file
    try:
        # For its owner's eyes from the first moment on; O_EXCL: never over a file that is there.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} is there and stays as it is")
        return 0
    with os.fdopen(handle, "w") as file:
        file.write(filled(TEMPLATE.read_text(encoding="utf-8")))
    print(
        f"wrote {path}: Airflow's user and password are in it (AIRFLOW_ADMIN_USER, AIRFLOW_ADMIN_PASSWORD)"
    )
    return 0


def filled(template: str) -> str:
    """``template`` with a secret of its own for every ``<random>``.

    32 random bytes in the URL-safe alphabet: what Fernet keys have to be, and safe inside a database's address.
    """
    return re.sub(
        r"(?<==)<random>$",
        lambda _: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        template,
        flags=re.MULTILINE,
    )


if __name__ == "__main__":
    sys.exit(main())
