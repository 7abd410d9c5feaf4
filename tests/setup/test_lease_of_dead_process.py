"""A lease whose process has died on this machine."""

import os
import subprocess
import sys

from batchml.lake.lease import Holder, Lease, Times, held

SHORT = Times(renew=0.1, abandoned=1.5, wait=0.5, look=0.05)


def test_lease_of_dead_process_is_free(tmp_path):
    code = (
        "import os, sys\n"
        "from batchml.lake.lease import Holder, Lease\n"
        "Lease(sys.argv[1], Holder.this_process('ingest')).take()\n"
        "os._exit(9)\n"
    )
    environ = {**os.environ, "PYTHONPATH": "jobs"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environ, check=False)
    with held(Lease(str(tmp_path), Holder.this_process("ingest"), SHORT)) as own:
        own.require_held()
