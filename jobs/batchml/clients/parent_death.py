"""End a process together with the process that started it. Standard library only."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent``, the process that started it, ends.

    A driver that outlives its supervisor would write next to its own retry. Does nothing outside
    Linux, where no such request exists.
    """
    if sys.platform != "linux":
        return

    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The kernel says nothing about a parent that ended before the request.
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
