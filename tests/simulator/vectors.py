"""The published vectors and their manifest, as tests read them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ferry_format.keys import KeyFile, TrustedSender, TrustStore, parse_key_file
from tests.simulator.frames import Site

FOLDER = Path(__file__).parents[2] / "ferry_format" / "vectors"


@cache
def manifest() -> dict[str, Any]:
    return json.loads((FOLDER / "vectors.json").read_text())


@dataclass(frozen=True)
class Vector:
    """One row of the manifest, with what it leaves unsaid filled in."""

    row: dict[str, Any]

    @property
    def name(self) -> str:
        return (self.row["file"] or self.row["reason"]).removesuffix(".ferry")

    @property
    def data(self) -> bytes:
        if self.row["file"] is None:
            return bytes(self.row["bytes"])
        return (FOLDER / self.row["file"]).read_bytes()

    @property
    def stage(self) -> str | None:
        return self.row.get("stage")

    @property
    def reason(self) -> str | None:
        return self.row.get("reason")

    @property
    def decision(self) -> str:
        """What the stream's rules say of a file that nothing refuses."""
        return self.row.get("decision", "accept")

    @property
    def trust(self) -> dict[str, Any]:
        return {**manifest()["trust"], **self.row.get("trust", {})}

    @property
    def received(self) -> list[bytes]:
        """The files taken before, in order; what was missing before each was given up."""
        return [(FOLDER / f"{name}.ferry").read_bytes() for name in self.row.get("received", ())]

    def trust_store(self) -> TrustStore:
        public = key(manifest()["sender_key"]).public
        assert public is not None
        said = self.trust
        return TrustStore(
            [
                TrustedSender(
                    "front-1",
                    public,
                    frozenset(said["suites"]),
                    frozenset(said["channels"]),
                    said.get("not_before_ms"),
                    said.get("not_after_ms"),
                    said.get("revoked", False),
                )
            ]
        )


def key(name: str) -> KeyFile:
    return parse_key_file((FOLDER / name).read_text(), name)


def all_vectors() -> list[Vector]:
    return [Vector(row) for row in manifest()["vectors"]]


def site() -> Site:
    """A sender, a stranger and two receivers with the published keys."""
    names = ("sender", "stranger", "receiver", "other-receiver")
    return Site({name: key(f"{name}.key") for name in names})
