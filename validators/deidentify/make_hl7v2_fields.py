"""Make hl7v2_fields.json, the data type of each field of HL7 v2.2 to v2.8.2, from hl7apy's tables.

    pip install hl7apy==1.3.5   (MIT)
    python -m validators.deidentify.make_hl7v2_fields

Where versions differ, the type that may say most of a person stands. A field that hl7apy does not
know of, or that a version has withdrawn in all of them, is null.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Final

# fmt: off
_VERSIONS: Final = (
    "v2_2", "v2_3", "v2_3_1", "v2_4", "v2_5", "v2_5_1", "v2_6", "v2_7", "v2_8", "v2_8_1",
    "v2_8_2",
)
# fmt: on
# fmt: off
_SAYS_MOST_FIRST: Final = (
    "XPN", "PN", "XCN", "CN", "PPN", "NDL", "XAD", "AD", "SAD", "XTN", "TN", "CX", "CK", "DLN",
    "PLN", "EIP", "EI", "XON", "TS", "DTM", "DT", "DR", "TQ", "ED", "RP", "FT", "TX", "ST",
)
# fmt: on
_ANONYMOUS: Final = {
    "CK_ACCOUNT_NO": "CX",
    "CM_FILLER": "EI",
    "CM_LICENSE_NO": "DLN",
    "CM_PAT_ID": "CX",
    "CM_PAT_ID_0192": "CX",
    "CM_PLACER": "EI",
    "CM_PRACTITIONER": "XCN",
}
"""Names that hl7apy gives to composites that v2.2 and v2.3 leave without one."""
_WITHDRAWN: Final = frozenset({"WD", "wd", "None"})


def fields() -> dict[str, list[str | None]]:
    """Segment by segment, the type of each field from the first on."""
    types: dict[str, dict[int, set[str]]] = {}
    for version in _VERSIONS:
        segments: dict[str, Any] = importlib.import_module(f"hl7apy.{version}.segments").SEGMENTS
        for name, definition in segments.items():
            for field in definition[1] if len(definition) > 1 else ():
                segment, _, number = field[0].rpartition("_")
                if segment == name:
                    types.setdefault(name, {}).setdefault(int(number), set()).add(str(field[1][2]))
    return {
        name: [_one(numbers.get(n, set())) for n in range(1, max(numbers) + 1)]
        for name, numbers in sorted(types.items())
    }


def _one(found: set[str]) -> str | None:
    names = {_ANONYMOUS.get(each, each.removeprefix("CM_")) for each in found - _WITHDRAWN}
    ranked = [each for each in _SAYS_MOST_FIRST if each in names]
    return ranked[0] if ranked else min(names, default=None)


if __name__ == "__main__":
    lines = [f'"{name}": {json.dumps(types)}' for name, types in fields().items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    Path(__file__).with_name("hl7v2_fields.json").write_text(text, encoding="utf-8")
