"""Make dicom_actions.tsv, PS3.15's table E.1-1 of 2026c, from dicom-anonymizer's lists.

    pip install dicom-anonymizer==2.1.0   (BSD)
    python -m validators.deidentify.make_dicom_actions

Each line has a tag and the Basic Profile's action: X (remove), Z (empty or a dummy), D (a dummy), U
(another UID), or several of them, of which the first that the object's definition allows is meant.
Curves and overlays are left out: their groups repeat.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Final

_LISTS: Final = "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"
_ACTIONS: Final = {
    "D_TAGS": "D",
    "U_TAGS": "U",
    "X_TAGS": "X",
    "X_D_TAGS": "X/D",
    "X_Z_TAGS": "X/Z",
    "X_Z_D_TAGS": "X/Z/D",
    "X_Z_U_STAR_TAGS": "X/Z/U*",
    "Z_TAGS": "Z",
    "Z_D_TAGS": "Z/D",
}
_OF_ONE_TAG: Final = 2
_REPEATING: Final = range(0x5000, 0x6100)


def actions() -> str:
    """Lines of tag and action."""
    lists = importlib.import_module(_LISTS)
    rows = [
        (tag[0] << 16 | tag[1], action)
        for name, action in _ACTIONS.items()
        for tag in getattr(lists, name)
        if len(tag) == _OF_ONE_TAG and tag[0] not in _REPEATING
    ]
    return "".join(f"{tag:08X}\t{action}\n" for tag, action in sorted(rows))


if __name__ == "__main__":
    (Path(__file__).parent / "dicom_actions.tsv").write_text(actions(), encoding="ascii")
