"""The types of settings: what a key's value may be, and the words when it is not.

Numbers and truth values are strict: "8" in quotes is no number, 8.0 no count, 1 no truth value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, Strict, ValidationInfo

from ferry_format import keys
from ferry_format.identifiers import is_name
from ferry_format.keys import KeyKind
from ferry_format.reasons import Refused
from ferry_runtime.addresses import PORT_MAX, parse_listen
from ferry_runtime.problem_words import Mistake
from ferry_runtime.scanner import icap

GIB: Final = 1024**3
NO_CREDENTIALS: Final = "names a systemd credential, but systemd passed none"
_CREDENTIAL: Final = "credential:"
_AE_TITLE: Final = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def _name(text: str) -> str:
    if not is_name(text):
        raise Mistake(
            "is not a valid name",
            "Write 1 to 64 lower-case letters, digits and . _ -, beginning with a letter or digit.",
        )
    return text


def _ae_title(text: str) -> str:
    if _AE_TITLE.fullmatch(text) is None:
        raise Mistake(
            "is not an AE title",
            "Write 1 to 16 characters without a backslash, and no blank at either end.",
        )
    return text


def _path(text: object, info: ValidationInfo) -> str:
    if not isinstance(text, str | Path):
        raise Mistake("is not a path", "Write the path as text in quotes.")
    text = str(text)
    if not text or "\0" in text:
        raise Mistake("is not a path", "Write the path of a file or folder.")
    if text.startswith(_CREDENTIAL):
        return _credential(text.removeprefix(_CREDENTIAL))
    folder = (info.context or {}).get("folder")
    return str(Path(text) if folder is None else Path(folder) / text)


def _credential(name: str) -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not name or "/" in name or name in (".", ".."):
        raise Mistake("is not the name of a credential", "Write credential:NAME, as in the unit.")
    if not folder:
        raise Mistake(
            NO_CREDENTIALS,
            "Add LoadCredential= to the unit, or name the file's path. "
            "By hand: use sudo, or set CREDENTIALS_DIRECTORY to the folder of the secrets.",
        )
    return str(Path(folder) / name)


def _listen(text: str) -> str:
    try:
        return str(parse_listen(text))
    except ValueError as error:
        hint = str(error)
        raise Mistake("is not an address to listen on", f"{hint[:1].upper()}{hint[1:]}.") from None


def _icap_service(text: str) -> str:
    try:
        return icap.Service.parse(text).url
    except ValueError as error:
        hint = str(error)
        raise Mistake("is not an ICAP service", f"{hint[:1].upper()}{hint[1:]}.") from None


def _sha256(text: str) -> str:
    if _SHA256.fullmatch(text) is None:
        raise Mistake(
            "is not a SHA-256", "Write 64 lower-case hex digits, as ferry-keys or sha256sum does."
        )
    return text


def _token(kind: KeyKind) -> AfterValidator:
    def check(text: str) -> str:
        try:
            keys.parse_token(text, kind, "key")
        except Refused as error:
            raise Mistake(
                f"is not a public key of the kind {kind} ({error.where})",
                "Copy it from the public key file, whole (ferry-keys show), "
                "or use ferry-keys trust.",
            ) from None
        return text

    return AfterValidator(check)


Name = Annotated[str, AfterValidator(_name)]
"""A channel, lane, sender, agent, source or sink."""

AeTitle = Annotated[str, AfterValidator(_ae_title)]
"""A DICOM application entity's title (PS3.5, 6.2, AE)."""

FilePath = Annotated[Path, BeforeValidator(_path)]
"""A path; a relative one starts in the folder of the file that names it. `credential:NAME` is a
systemd credential of this service."""

Listen = Annotated[str, AfterValidator(_listen)]
"""HOST:PORT to listen on; parsed again by ferry_runtime.addresses where it is used."""

IcapService = Annotated[str, AfterValidator(_icap_service)]
"""A service of an ICAP server, as a URL."""

Sha256Hex = Annotated[str, AfterValidator(_sha256)]
SignToken = Annotated[str, _token(KeyKind.SIGN)]
"""A sender's public signing key, as ferry-keys shows it."""

ReceiveToken = Annotated[str, _token(KeyKind.RECEIVE)]
"""A receiver's public key, as ferry-keys shows it."""

Text = Annotated[str, Field(min_length=1, max_length=1000)]
Switch = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=1, le=1_000_000_000)]
ByteCount = Annotated[int, Strict(), Field(ge=0, le=2**60)]
Port = Annotated[int, Strict(), Field(ge=1, le=PORT_MAX)]
Seconds = Annotated[float, Strict(), Field(gt=0, le=365 * 86_400, allow_inf_nan=False)]
Hours = Annotated[float, Strict(), Field(gt=0, le=100 * 366 * 24, allow_inf_nan=False)]
Moment = Annotated[AwareDatetime, Strict()]
"""A TOML date and time with its zone."""
