"""Read the memory of machines and control groups, from files as the kernel writes them."""

from pathlib import Path

import pytest

from batchml.spark.free_memory import Memory, read_memory

GIB = 1 << 30
MACHINE = Memory(16 * GIB, 8 * GIB)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return a machine with 16 GiB, of which 8 are free, and without a control group."""
    write(tmp_path, "proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    write(tmp_path, "proc/self/cgroup", "")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    """Write a file of the kernel."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_group(root: Path, folder: str, limit: str, used: int, stat: str = "") -> None:
    """Write the files of a group of the second version."""
    write(root, f"sys/fs/cgroup{folder}/memory.max", f"{limit}\n")
    write(root, f"sys/fs/cgroup{folder}/memory.current", f"{used}\n")
    write(root, f"sys/fs/cgroup{folder}/memory.stat", stat)


def test_machine_memory_counts_without_group(machine: Path):
    assert read_memory(machine) == MACHINE


def test_memory_is_unknown_without_kernel_files(tmp_path: Path):
    assert read_memory(tmp_path) is None


def test_missing_group_files_are_ignored(machine: Path):
    write(machine, "proc/self/cgroup", "0::/a\n")
    write(machine, "sys/fs/cgroup/a/memory.max", f"{GIB}\n")
    assert read_memory(machine) == MACHINE
    (machine / "proc/self/cgroup").unlink()
    assert read_memory(machine) == MACHINE


@pytest.mark.parametrize("limit", ["max", str(64 * GIB), str(9223372036854771712)])
def test_limit_above_machine_memory_is_ignored(machine: Path, limit: str):
    write(machine, "proc/self/cgroup", "0::/a\n")
    write_group(machine, "/a", limit, 0)
    assert read_memory(machine) == MACHINE


@pytest.mark.parametrize("group", ["/a", "/a/b/c"])
def test_file_cache_of_group_is_free(machine: Path, group: str):
    write(machine, "proc/self/cgroup", f"0::{group}\n")
    stat = f"anon {GIB // 2}\ninactive_file {GIB}\nactive_file {GIB // 2}\n"
    write_group(machine, "/a", str(4 * GIB), 2 * GIB, stat)
    assert read_memory(machine) == Memory(4 * GIB, 3 * GIB + GIB // 2)


@pytest.mark.parametrize("controllers", ["memory", "memory,hugetlb"])
def test_version_1_group_is_read(machine: Path, controllers: str):
    write(machine, "proc/self/cgroup", f"5:cpu:/x\n4:{controllers}:/x\n0::/\n")
    folder = "sys/fs/cgroup/memory/x"
    write(machine, f"{folder}/memory.limit_in_bytes", f"{4 * GIB}\n")
    write(machine, f"{folder}/memory.usage_in_bytes", f"{2 * GIB}\n")
    stat = f"inactive_file 5\nactive_file 7\ntotal_inactive_file {GIB}\ntotal_active_file 9\n"
    write(machine, f"{folder}/memory.stat", stat)
    assert read_memory(machine) == Memory(4 * GIB, 3 * GIB + 9)


def test_container_group_is_the_root(machine: Path):
    write(machine, "proc/self/cgroup", "0::/system.slice/docker-1.scope\n")
    write_group(machine, "", str(2 * GIB), GIB)
    assert read_memory(machine) == Memory(2 * GIB, GIB)
