"""What is free, by the files of the kernel."""

from pathlib import Path

import pytest

from batchml.spark.free_memory import free_memory_under

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with 8 GiB to give, and no control group."""
    write(tmp_path, "proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    write(tmp_path, "proc/self/cgroup", "")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    """Write a file of the kernel."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_control_group_the_machine_counts(machine: Path):
    assert free_memory_under(machine)() == 8 * GIB


@pytest.mark.parametrize("limit", ["max", str(64 * GIB)])
def test_a_group_with_a_greater_limit_does_not_count(machine: Path, limit: str):
    write(machine, "proc/self/cgroup", "0::/a\n")
    write(machine, "sys/fs/cgroup/a/memory.max", f"{limit}\n")
    write(machine, "sys/fs/cgroup/a/memory.current", "0\n")
    write(machine, "sys/fs/cgroup/a/memory.stat", "anon 0\ninactive_file 0\n")
    assert free_memory_under(machine)() == 8 * GIB


@pytest.mark.parametrize("group", ["/a", "/a/b/c"])
def test_cache_in_a_group_is_free_and_groups_around_it_count(machine: Path, group: str):
    write(machine, "proc/self/cgroup", f"0::{group}\n")
    write(machine, "sys/fs/cgroup/a/memory.max", f"{4 * GIB}\n")
    write(machine, "sys/fs/cgroup/a/memory.current", f"{3 * GIB}\n")
    write(machine, "sys/fs/cgroup/a/memory.stat", f"anon {GIB}\ninactive_file {2 * GIB}\n")
    assert free_memory_under(machine)() == 3 * GIB


def test_the_first_version_of_groups_is_read_too(machine: Path):
    write(machine, "proc/self/cgroup", "5:cpu:/x\n4:memory:/x\n0::/\n")
    write(machine, "sys/fs/cgroup/memory/x/memory.limit_in_bytes", f"{4 * GIB}\n")
    write(machine, "sys/fs/cgroup/memory/x/memory.usage_in_bytes", f"{GIB}\n")
    write(machine, "sys/fs/cgroup/memory/x/memory.stat", "inactive_file 0\ntotal_inactive_file 0\n")
    assert free_memory_under(machine)() == 3 * GIB


def test_inside_a_container_the_groups_own_files_are_at_the_top(machine: Path):
    write(machine, "proc/self/cgroup", "0::/system.slice/docker-1.scope\n")
    write(machine, "sys/fs/cgroup/memory.max", f"{2 * GIB}\n")
    write(machine, "sys/fs/cgroup/memory.current", f"{GIB}\n")
    write(machine, "sys/fs/cgroup/memory.stat", "inactive_file 0\n")
    assert free_memory_under(machine)() == GIB
