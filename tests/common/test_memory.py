"""How much memory is free, within the limits of control groups, and keeping what was taken."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from yolox_gssam.common.memory import free_bytes, free_ram

MIB = 2**20


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A Linux with 8,000 MiB available, without control groups."""
    write(tmp_path / "proc", meminfo=f"MemTotal: {16000 * 1024} kB\nMemAvailable:   {8000 * 1024} kB")
    return tmp_path


def free(system: Path) -> float | None:
    left = free_ram(system / "proc", system / "cgroup")
    return None if left is None else left / MIB


def test_what_the_system_says_is_available(system: Path) -> None:
    assert free(system) == 8000


def test_a_group_of_version_2_and_those_around_it(system: Path) -> None:
    write(system / "proc" / "self", cgroup="0::/job/step")
    files = {"memory__current": 700 * MIB, "memory__stat": f"anon 5\ninactive_file {100 * MIB}"}
    write(system / "cgroup" / "job" / "step", memory__max="max", **files)
    assert free(system) == 8000
    write(system / "cgroup" / "job", memory__max=2000 * MIB, **files)
    assert free(system) == 1400
    write(system / "cgroup" / "job" / "step", memory__max=1000 * MIB, **files)
    assert free(system) == 400


def test_a_group_of_version_1_seen_from_inside_a_container(system: Path) -> None:
    """Its path is that of the host; here it is the root."""
    write(system / "proc" / "self", cgroup="9:name=systemd:/\n4:cpu,memory:/docker/1234\n0::/")
    write(
        system / "cgroup" / "memory",
        memory__limit_in_bytes=3000 * MIB,
        memory__usage_in_bytes=2900 * MIB,
        memory__stat=f"total_inactive_file {50 * MIB}",
    )
    assert free(system) == 150


def test_a_group_beyond_its_limit_leaves_nothing(system: Path) -> None:
    write(system / "proc" / "self", cgroup="0::/")
    write(system / "cgroup", memory__max=100 * MIB, memory__current=200 * MIB, memory__stat="inactive_file 0")
    assert free(system) == 0


def test_half_of_the_memory_where_nothing_more_is_told(tmp_path: Path) -> None:
    left = free(tmp_path)
    assert left is None or left > 100


def test_the_cpu_has_main_memory() -> None:
    left = free_bytes(torch.device("cpu"))
    assert left is None or left > 100 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_memory_is_taken_again_without_clearing_its_pages_until_it_is_given_back() -> None:
    """In a process of its own, since the setting lasts."""
    script = """
import resource, torch
from yolox_gssam.common.memory import give_back_freed_memory, keep_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(2**24).fill_(1)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
keep_freed_memory()
faults()
after = faults()
# Small blocks between large ones stay, as in a training; the large ones are given back all the same.
large, small = [], []
for _ in range(10):
    large.append(torch.ones(2**22))
    small.append(torch.ones(2**10))
most = resident()
large.clear()
kept = resident()
give_back_freed_memory()
print(before, after, most - kept, most - resident())
"""
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    before, after, kept, given_back = map(int, output.split())
    assert before > 1000
    assert after < before / 100
    assert kept < 20 * MIB
    assert given_back > 150 * MIB
