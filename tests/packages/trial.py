"""What a host does by itself at its next boot: a unit of systemd's runs a script of `on_host`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.packages.bare_host import BareHost
from tests.packages.first_channels import API_KEY, HTTP_PORT, SINK

_SCRIPTS = Path(__file__).parent / "on_host"
_UNIT = """\
[Unit]
Description=Trial of the installed ferry
After={unit}
RequiresMountsFor=/results
FailureAction=poweroff
[Service]
ExecStart=/usr/bin/python3 /opt/trial/{side}_trial.py {arguments}
StandardError=journal+console
"""
_UNITS = {"outer": "ferry-outer.service", "inner": "ferry-inner.target"}
_ARGUMENTS = {
    "outer": f"http://127.0.0.1:{HTTP_PORT}/channels/booking/messages {API_KEY}",
    "inner": SINK,
}


def prepare(host: BareHost, side: str, number: int, bundles: Sequence[Path] = ()) -> None:
    """Have the host send so many messages, or wait for the last, when it is booted; and power off.

    Meanwhile it installs each of the bundles, one after the other.
    """
    for script in _SCRIPTS.glob("*.py"):
        host.put(f"/opt/trial/{script.name}", script.read_bytes())
    arguments = [_ARGUMENTS[side], *([str(number)] if side == "outer" else [])]
    for place, bundle in enumerate(bundles):
        arguments.append(f"/srv/bundle-{place}")
        shutil.copytree(bundle, host.root / "srv" / f"bundle-{place}")
    unit = _UNIT.format(unit=_UNITS[side], side=side, arguments=" ".join(arguments))
    host.put("/etc/systemd/system/trial.service", unit)
    host.run("systemctl add-wants multi-user.target trial.service")
