"""Who sent it: from certificate, API key or listener to a name of the policy. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

from ferry_format import reasons
from ferry_format.reasons import Refused
from outer_agent.policy import SenderSection


class SenderDirectory:
    """The policy's senders, found by what they show."""

    def __init__(self, senders: Sequence[SenderSection]) -> None:
        self._api_keys = [
            (digest, sender.name) for sender in senders for digest in sender.api_keys_sha256
        ]
        self._by_tls_name = {
            name.lower(): sender.name for sender in senders for name in sender.tls_names
        }
        self._by_listener = {
            listener: sender.name for sender in senders for listener in sender.listeners
        }

    def identify(
        self, listener: str, *, api_key: str | None = None, tls_names: Iterable[str] = ()
    ) -> str:
        """The sender's name: by certificate, else by API key, else by listener.

        An API key that is shown must be right, even where another way would do.
        Raises Refused(SENDER_UNKNOWN).
        """
        by_certificate = self._certified(tls_names)
        if api_key is not None:
            sender = self._keyed(api_key)
            if sender is None or by_certificate not in {None, sender}:
                raise Refused(reasons.SENDER_UNKNOWN)
            return sender
        sender = by_certificate or self._by_listener.get(listener)
        if sender is None:
            raise Refused(reasons.SENDER_UNKNOWN)
        return sender

    def _certified(self, tls_names: Iterable[str]) -> str | None:
        found = {self._by_tls_name.get(name.lower()) for name in tls_names} - {None}
        if len(found) > 1:
            raise Refused(reasons.SENDER_UNKNOWN)
        return next(iter(found), None)

    def _keyed(self, api_key: str) -> str | None:
        """Compares with every key, so that the time taken tells nothing."""
        digest = hashlib.sha256(api_key.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for known, sender in self._api_keys:
            if hmac.compare_digest(known, digest):
                found = sender
        return found


def certificate_names(certificate: Mapping[str, object] | None) -> list[str]:
    """The DNS names of a verified client certificate, as `ssl.SSLSocket.getpeercert` gives it."""
    if not certificate:
        return []
    names = certificate.get("subjectAltName", ())
    assert isinstance(names, tuple)
    return [value for kind, value in names if kind == "DNS"]
