"""Two ways to boot a host that has no network device: a container, and a virtual machine."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.packages.bare_host import BareHost
from tests.packages.guest_kernel import kernel

DISK = "3G"
_FSTAB = """\
medium /srv/ferry-medium 9p trans=virtio,version=9p2000.L,msize=131072,{mode} 0 0
results /results 9p trans=virtio,version=9p2000.L,msize=131072 0 0
"""


@dataclass(frozen=True)
class Shared:
    """What a booted host shares with others: the medium, and a folder for what it saw."""

    medium: Path
    results: Path
    medium_writable: bool


def container(host: BareHost, shared: Shared, console: Path) -> subprocess.Popen[bytes]:
    """Boot the host's systemd in a container with a loopback and no other network."""
    medium = "--bind" if shared.medium_writable else "--bind-ro"
    return subprocess.Popen(
        [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
            "--private-network", "--resolv-conf=off", f"--directory={host.root}",
            f"{medium}={shared.medium}:/srv/ferry-medium", f"--bind={shared.results}:/results",
            "--console=read-only",
        ],
        stdin=subprocess.DEVNULL, stdout=console.open("wb"), stderr=subprocess.STDOUT,
    )  # fmt: skip


def why_no_container() -> str:
    """Why containers cannot be booted here; empty if they can."""
    return "" if shutil.which("systemd-nspawn") else "systemd-nspawn is not installed"


def virtual_machine(host: BareHost, shared: Shared, console: Path) -> subprocess.Popen[bytes]:
    """Boot the host with Debian's kernel on a disk of its own, the medium by virtio-9p, no NIC."""
    own = kernel(host.release)
    subprocess.run(["cp", "-a", own.modules, host.root / "usr" / "lib" / "modules"], check=True)
    mode = "rw" if shared.medium_writable else "ro,nodev,nosuid,noexec"
    host.put("/etc/fstab", _FSTAB.format(mode=mode))
    # For every unit whose name begins so: an emulated processor is ten times slower than its clock.
    host.put(
        "/etc/systemd/system/ferry-.service.d/slow.conf",
        "[Service]\nTimeoutStartSec=1800\nTimeoutStopSec=300\nWatchdogSec=600\n",
    )
    disk = console.with_suffix(".disk")
    subprocess.run(["mkfs.ext4", "-q", "-d", host.root, disk, DISK], check=True)
    readonly = "" if shared.medium_writable else ",readonly=on"
    share = "local,security_model=passthrough"
    return subprocess.Popen(
        [
            "qemu-system-x86_64", "-accel", _accelerator(), "-smp", "2", "-m", "1024",
            "-nic", "none", "-display", "none", "-no-reboot", "-serial", f"file:{console}",
            "-kernel", own.image, "-initrd", own.initrd,
            "-append", "root=/dev/vda rw console=ttyS0",
            "-drive", f"file={disk},format=raw,if=virtio,cache=unsafe",
            "-virtfs", f"{share},mount_tag=medium,path={shared.medium}{readonly}",
            "-virtfs", f"{share},mount_tag=results,path={shared.results}",
        ],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _accelerator() -> str:
    """Hardware's where the processor has it: inside a machine /dev/kvm alone is no promise."""
    flags = re.search(r"(?m)^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="ascii"))
    has_it = flags is not None and {"vmx", "svm"} & set(flags[1].split())
    return "kvm" if has_it and os.access("/dev/kvm", os.W_OK) else "tcg"


def why_no_virtual_machine() -> str:
    """Why virtual machines cannot be booted here; empty if they can."""
    if platform.machine() != "x86_64":
        return "virtual machines are tried on x86_64 alone"
    if shutil.which("qemu-system-x86_64") is None or shutil.which("mkfs.ext4") is None:
        return "qemu-system-x86_64 or mkfs.ext4 is not installed"
    return ""
