"""Listen addresses: HOST:PORT, where the host is an IP address or `localhost`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

PORT_MAX: Final = 65_535


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens. Port 0 lets the system choose one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can connect."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> ListenAddress:
    """Read `127.0.0.1:8443`, `[::1]:8443` or `localhost:8443`. Raises ValueError with a hint."""
    host, separator, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("put an IPv6 address in brackets, as [::1]:8443")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ValueError("write an address and a port from 0 to 65535, as 127.0.0.1:8443")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(
                "write an IP address of this host (0.0.0.0 for all), as 127.0.0.1:8443"
            ) from None
    return ListenAddress(host, int(port))
