"""Debian's own kernel for a virtual machine, from the release's archive, kept under `build/`."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.debian import base
from deploy.debian.build import WORK
from deploy.debian.package import Release

_INSTALL = """\
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt-get --quiet=2 update
apt-get --quiet=2 --yes --no-install-recommends install initramfs-tools
printf '9p\\n9pnet_virtio\\nvirtio_blk\\nvirtio_pci\\next4\\n' >>/etc/initramfs-tools/modules
sed -i 's/^MODULES=.*/MODULES=list/' /etc/initramfs-tools/initramfs.conf
apt-get --quiet=2 --yes --no-install-recommends install linux-image-amd64
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel, the first file system that it needs, and its modules."""

    image: Path
    initrd: Path
    modules: Path


def kernel(release: Release) -> Kernel:
    """The release's kernel; installed into a bare tree the first time, which needs the mirror."""
    folder = WORK / "trees" / f"{release.suite}-kernel"
    if not folder.exists():
        aside = folder.with_suffix(".part")
        shutil.rmtree(aside, ignore_errors=True)
        subprocess.run(["cp", "-a", base.tree(release), aside], check=True)
        subprocess.run(["chroot", aside, "sh", "-e", "-c", _INSTALL], check=True)
        aside.rename(folder)
    [image] = (folder / "boot").glob("vmlinuz-*")
    [initrd] = (folder / "boot").glob("initrd.img-*")
    [modules] = (folder / "usr" / "lib" / "modules").iterdir()
    return Kernel(image, initrd, modules)
