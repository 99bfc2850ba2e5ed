"""Who sent it: from certificate, API key, AE title or listener to a name of the policy. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

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
        self._by_title = {title: sender.name for sender in senders for title in sender.ae_titles}
        self._titled = frozenset(sender.name for sender in senders if sender.ae_titles)
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

    def identify_caller(
        self, listener: str, calling_title: str, tls_names: Iterable[str] = ()
    ) -> str:
        """The sender's name, of one who shows a calling AE title, which nothing proves.

        Its certificate, or else the listener, may say who it is; a title that the policy gives to a
        sender must be that sender's. Raises Refused(SENDER_UNKNOWN).
        """
        by_title = self._by_title.get(calling_title)
        sender = self._certified(tls_names) or by_title or self._by_listener.get(listener)
        if sender is None or by_title not in {None, sender}:
            raise Refused(reasons.SENDER_UNKNOWN)
        if by_title is None and sender in self._titled:
            raise Refused(reasons.SENDER_UNKNOWN)
        return sender

    def calling_titles(self, listener: str) -> list[str]:
        """The calling AE titles that may be shown to a listener; any, if none is named.

        Any, too, where a certificate or the listener alone can say who calls.
        """
        if listener in self._by_listener or self._by_tls_name:
            return []
        return list(self._by_title)

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
