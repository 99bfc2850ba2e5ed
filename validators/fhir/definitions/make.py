"""Make r4.json or r5.json from a package of HL7's FHIR definitions (CC0).

    npm pack hl7.fhir.r4.examples@4.0.1   (the package with all definitions of R4 that npm has)
    npm pack hl7.fhir.r5.core@5.0.0
    python -m validators.fhir.definitions.make hl7.fhir.r5.core-5.0.0.tgz r5

Kept of each type: its elements, their types, how often they stand, whether they change
the meaning of others (modifier), and the codes of a required
binding where the package holds all of them. Slices, profiles, texts and FHIRPath are left out.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from validators.fhir.definitions import __name__ as package

Definition = dict[str, Any]

_HERE: Final = Path(__file__).parent
_CODES_MAX: Final = 1000
_SYSTEM_TYPE: Final = "http://hl7.org/fhirpath/System."
_OWN_TYPES: Final = ("structuredefinition-fhir-type",)
_UNBOUNDED: Final = "*"


class Terminology:
    """The value sets and code systems of one package."""

    def __init__(self, definitions: list[Definition]) -> None:
        self._sets = {d["url"]: d for d in definitions if d["resourceType"] == "ValueSet"}
        self._systems = {d["url"]: d for d in definitions if d["resourceType"] == "CodeSystem"}

    def codes(self, canonical: str) -> frozenset[str] | None:
        """All codes of a value set; None where the package does not say them all."""
        found = self._sets.get(canonical.partition("|")[0])
        if found is None or "compose" not in found:
            return None
        taken: set[str] = set()
        for part in found["compose"]["include"]:
            codes = self._included(part)
            if codes is None:
                return None
            taken |= codes
        for part in found["compose"].get("exclude", ()):
            codes = self._included(part)
            if codes is None:
                return None
            taken -= codes
        return frozenset(taken) if 0 < len(taken) <= _CODES_MAX else None

    def _included(self, part: Definition) -> set[str] | None:
        if "filter" in part:
            return None
        common: set[str] | None = None
        if "concept" in part:
            common = {concept["code"] for concept in part["concept"]}
        elif "system" in part:
            system = self._systems.get(part["system"])
            if system is None or system.get("content") != "complete":
                return None
            common = set(_all_codes(system.get("concept", ())))
        for canonical in part.get("valueSet", ()):
            named = self.codes(canonical)
            if named is None:
                return None
            common = set(named) if common is None else common & named
        return common


def _all_codes(concepts: list[Definition]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _all_codes(concept.get("concept", []))


def _type_of(entry: Definition, path: str) -> str:
    code: str = entry["code"]
    if code in {"BackboneElement", "Element"} and path.count("."):
        return path
    if not code.startswith(_SYSTEM_TYPE):
        return code
    for extension in entry.get("extension", ()):
        if extension["url"].endswith(_OWN_TYPES):
            return str(extension.get("valueUrl") or extension["valueUri"])
    return "string"


def types_of(structure: Definition, terminology: Terminology) -> dict[str, dict[str, Any]]:
    """The type that a structure defines, and one for each of its groups, named by its path."""
    kind = "resource" if structure["kind"] == "resource" else "datatype"
    made: dict[str, dict[str, Any]] = {structure["type"]: {"kind": kind, "elements": {}}}
    for element in structure["snapshot"]["element"]:
        path: str = element["path"]
        parent, _, name = path.rpartition(".")
        if not parent or element["max"] == "0":
            continue
        if "contentReference" in element:
            types = [element["contentReference"].rpartition("#")[2]]
        else:
            types = [_type_of(each, path) for each in element["type"]]
        if path == f"{structure['type']}.id" and kind == "resource":
            types = ["id"]
        said: dict[str, Any] = {"types": types}
        if element["min"]:
            said["min"] = element["min"]
        if element["max"] == _UNBOUNDED:
            said["many"] = True
        if element.get("isModifier"):
            said["modifier"] = True
        binding = element.get("binding", {})
        if types == ["code"] and binding.get("strength") == "required" and "valueSet" in binding:
            codes = terminology.codes(binding["valueSet"])
            if codes is not None:
                said["codes"] = sorted(codes)
        group = made.setdefault(parent, {"kind": "group", "elements": {}})
        group["elements"][name] = said
    return made


def make(archive: Path) -> dict[str, dict[str, Any]]:
    """Every type of the package, primitives and abstract ones left out."""
    definitions = []
    with tarfile.open(archive) as tar:
        for member in tar:
            folder, _, name = member.name.rpartition("/")
            if folder == "package" and name.startswith(("StructureDef", "ValueSet-", "CodeSys")):
                file = tar.extractfile(member)
                if file is not None:
                    definitions.append(json.load(file))
    terminology = Terminology(definitions)
    types: dict[str, dict[str, Any]] = {}
    for each in definitions:
        if (
            each["resourceType"] == "StructureDefinition"
            and each["kind"] in {"resource", "complex-type"}
            and each.get("derivation") == "specialization"
            and not each["abstract"]
            and each["url"] == f"http://hl7.org/fhir/StructureDefinition/{each['type']}"
        ):
            types.update(types_of(each, terminology))
    return types


def write(types: dict[str, dict[str, Any]], file: Path) -> None:
    """One type a line, so that a later version's changes can be read."""
    lines = [
        f"{json.dumps(name)}:{json.dumps(types[name], separators=(',', ':'), sort_keys=True)}"
        for name in sorted(types)
    ]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog=f"python -m {package}.make", description=__doc__)
    parser.add_argument("archive", type=Path, help="the package, as npm packs it")
    parser.add_argument("version", choices=("r4", "r5"))
    given = parser.parse_args()
    write(make(given.archive), _HERE / f"{given.version}.json")
