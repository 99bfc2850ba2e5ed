"""Two ways to boot a host that has no network device: a container, and a virtual machine.

Which of them a platform can go is tried, not guessed: a device node or a flag is no promise.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from deploy.debian import base
from deploy.debian.package import Release
from tests.packages.bare_host import BareHost
from tests.packages.guest_kernel import kernel

DISK: Final = "3G"
_QEMU: Final = ("qemu-system-x86_64", "-accel", "kvm", "-display", "none", "-no-reboot")
BARE_BOOT_S_MAX: Final = 300
FIRMWARE_S_MAX: Final = 3
"""About 1 s even on an emulated processor; 8 to 20 s under a /dev/kvm whose guests stay mute."""
_FSTAB: Final = """\
medium /srv/ferry-medium 9p trans=virtio,version=9p2000.L,msize=131072,{mode} 0 0
results /results 9p trans=virtio,version=9p2000.L,msize=131072 0 0
"""


@dataclass(frozen=True)
class Shared:
    """What a booted host shares with others: the medium, and a folder for what it saw."""

    medium: Path
    results: Path
    medium_writable: bool


@dataclass(frozen=True)
class Way:
    """`boot` starts a host, its console in a file; `why_not` is empty where that can work."""

    name: str
    boot: Callable[[BareHost, Shared, Path], subprocess.Popen[bytes]]
    why_not: Callable[[Release], str]


def _container(host: BareHost, shared: Shared, console: Path) -> subprocess.Popen[bytes]:
    """The host's systemd as the first process, with a loopback and no other network."""
    medium = "--bind" if shared.medium_writable else "--bind-ro"
    command = [
        *_nspawn(host.root),
        f"{medium}={shared.medium}:/srv/ferry-medium", f"--bind={shared.results}:/results",
    ]  # fmt: skip
    with console.open("wb") as told:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT
        )


def _nspawn(root: Path) -> list[str]:
    return [
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
        "--private-network", "--resolv-conf=off", "--console=read-only", f"--directory={root}",
    ]  # fmt: skip


@cache
def _why_no_container(release: Release) -> str:
    """Tried with the bare release, which is booted and powers off at once."""
    command = [*_nspawn(base.tree(release)), "--ephemeral", "systemd.unit=poweroff.target"]
    return _why_not(command, BARE_BOOT_S_MAX, f"a bare {release.name} in a container")


def _virtual_machine(host: BareHost, shared: Shared, console: Path) -> subprocess.Popen[bytes]:
    """Debian's kernel, the host on a disk of its own, the medium by virtio-9p, no NIC."""
    own = kernel(host.release)
    subprocess.run(["cp", "-a", own.modules, host.root / "usr" / "lib" / "modules"], check=True)
    mode = "rw" if shared.medium_writable else "ro,nodev,nosuid,noexec"
    host.put("/etc/fstab", _FSTAB.format(mode=mode))
    disk = console.with_suffix(".disk")
    subprocess.run(["mkfs.ext4", "-q", "-d", host.root, disk, DISK], check=True)
    readonly = "" if shared.medium_writable else ",readonly=on"
    share = "local,security_model=passthrough"
    return subprocess.Popen(
        [
            *_QEMU, "-smp", "2", "-m", "1024", "-serial", f"file:{console}", "-nic", "none",
            "-kernel", own.image, "-initrd", own.initrd,
            "-append", "root=/dev/vda rw console=ttyS0",
            "-drive", f"file={disk},format=raw,if=virtio,cache=unsafe",
            "-virtfs", f"{share},mount_tag=medium,path={shared.medium}{readonly}",
            "-virtfs", f"{share},mount_tag=results,path={shared.results}",
        ],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


@cache
def _why_no_virtual_machine(_: Release) -> str:
    """Tried with a machine without a disk: its firmware finds nothing to start, and ends it.

    Without the processor's help nothing is tried: an emulated processor is slower than the agents'
    own limits allow for.
    """
    if platform.machine() != "x86_64":
        return "virtual machines are tried on x86_64 alone"
    if shutil.which("qemu-system-x86_64") is None or shutil.which("mkfs.ext4") is None:
        return "qemu-system-x86_64 or mkfs.ext4 is not installed"
    command = [*_QEMU, "-nodefaults", "-boot", "reboot-timeout=1"]
    return _why_not(command, FIRMWARE_S_MAX, "the firmware of a virtual machine under KVM")


def _why_not(command: list[str], seconds_max: int, what: str) -> str:
    """Empty if the command ends well in time."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            errors="replace", timeout=seconds_max,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{what} is not through within {seconds_max} s here"
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    return f"{what} fails here: {' / '.join(lines[-2:])}" if done.returncode else ""


WAYS: Final = (
    Way("container", _container, _why_no_container),
    Way("virtual-machine", _virtual_machine, _why_no_virtual_machine),
)
