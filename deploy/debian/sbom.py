"""The bill of materials of a package (CycloneDX 1.6): parts, licences, hashes of the wheels."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import Distribution
from pathlib import Path
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from deploy.debian.environment import installed
from deploy.debian.licences import licence
from deploy.debian.package import DISTRIBUTION, Package

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, f"pkg:generic/{DISTRIBUTION}")


def bill(
    package: Package, version: str, environment: Path, wheels: Iterable[Path], moment_s: int
) -> str:
    """JSON; the same for the same package, whenever and wherever it is made."""
    files = list(wheels)
    whole = Component(
        name=package.name,
        version=version,
        type=ComponentType.APPLICATION,
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
        bom_ref=package.name,
    )
    bom = Bom(
        components=[
            _part(one, files) for one in installed(environment) if one.name != DISTRIBUTION
        ],
        serial_number=uuid.uuid5(_NAMESPACE, f"{package.name} {version} {moment_s}"),
        metadata=BomMetaData(component=whole, timestamp=datetime.fromtimestamp(moment_s, UTC)),
    )
    bom.register_dependency(whole, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _part(of: Distribution, wheels: list[Path]) -> Component:
    url = PackageURL("pypi", None, of.name.lower().replace("_", "-"), of.version)
    return Component(
        name=of.name,
        version=of.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
        licenses=[LicenseFactory().make_from_string(licence(of))],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(wheel.name),
                hashes=[HashType.from_hashlib_alg("sha256", _sha256(wheel))],
            )
            for wheel in wheels
            if _distribution(wheel) == (_plain(of.name), of.version)
        ],
    )


def _distribution(wheel: Path) -> tuple[str, str]:
    name, version, *_ = wheel.name.split("-")
    return _plain(name), version


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(".", "_")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
