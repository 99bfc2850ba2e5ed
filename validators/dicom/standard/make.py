"""Write elements.tsv and sop_classes.tsv from the installed pydicom's tables.

python -m validators.dicom.standard.make
"""

from __future__ import annotations

from pathlib import Path

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom._uid_dict import UID_dictionary

_HERE = Path(__file__).parent


def elements() -> str:
    """Lines of tag (x for any digit), representations and keyword; curves and the like repeat."""
    rows = [(f"{tag:08X}", entry) for tag, entry in DicomDictionary.items()]
    rows += [(mask.upper().replace("X", "x"), entry) for mask, entry in RepeatersDictionary.items()]
    return "".join(
        f"{tag}\t{entry[0].replace(' or ', ' ')}\t{entry[4]}\n"
        for tag, entry in sorted(rows)
        if entry[0] != "NONE"
    )


def sop_classes() -> str:
    """Lines of UID and keyword."""
    return "".join(
        f"{uid}\t{entry[4]}\n" for uid, entry in sorted(UID_dictionary.items()) if _is_class(entry)
    )


def _is_class(entry: tuple[str, ...]) -> bool:
    return entry[1] == "SOP Class" and bool(entry[4])


if __name__ == "__main__":
    (_HERE / "elements.tsv").write_text(elements(), encoding="ascii")
    (_HERE / "sop_classes.tsv").write_text(sop_classes(), encoding="ascii")
