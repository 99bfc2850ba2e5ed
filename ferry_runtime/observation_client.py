"""Asks a running agent's observation port, from a command on the same host."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ferry_runtime.addresses import ListenAddress, parse_listen

_ANSWER_S: Final = 3.0
_ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent's observation port answered."""

    status: int
    body: str


def ask(listen: str, path: str) -> Answer | None:
    """What the agent that listens there answers; None if nobody does.

    Never through a proxy, whatever the environment of who asks names.
    """
    address = parse_listen(listen)
    where = ListenAddress(_ANY_HOST.get(address.host, address.host), address.port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{where}{path}", timeout=_ANSWER_S) as answer:
            return Answer(answer.status, answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode("utf-8", "replace"))
    except (OSError, ValueError, http.client.HTTPException):
        return None


def samples(text: str) -> list[Sample]:
    """Every sample of a metrics page."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
