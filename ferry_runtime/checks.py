"""What can only be checked with the whole configuration and this host before us.

A `Findings` belongs to one document; each check adds the problems that it finds, at the key that
names the thing. Nothing is changed on the host.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ferry_format.keys import KeyFile, KeyKind
from ferry_format.reasons import Refused
from ferry_runtime import secrets
from ferry_runtime.addresses import parse_listen
from ferry_runtime.configuration import ConfigurationProblem, Document
from ferry_runtime.policy import read_schema
from ferry_runtime.regular_file import read_regular
from ferry_runtime.toml_lines import KeyPath
from validators.policy import ContentPolicy

PEM_BYTES_MAX: Final = 1024 * 1024


class Findings:
    """The problems of one document, collected."""

    def __init__(self, document: Document) -> None:
        self._origin = document.origin
        self.problems: list[ConfigurationProblem] = []

    def add(self, path: KeyPath, problem: str, action: str) -> None:
        """Note one problem with the key at `path`."""
        self.problems.append(self._origin.problem(path, problem, action))

    def refused(self, path: KeyPath, refusal: Refused) -> None:
        """Note a refusal as a problem with the key at `path`."""
        self.add(path, f"{refusal.reason.meaning} ({refusal.where})", refusal.reason.action)

    def unique(self, table: str, names: Sequence[str]) -> None:
        """Each name of a list of tables stands once."""
        for index, name in enumerate(names):
            if name in names[:index]:
                self.add(
                    (table, index, "name"), "stands twice", f"Give each of the {table} its own."
                )

    def known(self, path: KeyPath, names: Iterable[str], known: Iterable[str], what: str) -> None:
        """Each name is one of `known`. `path` is the key that holds them."""
        allowed = sorted(set(known))
        for name in names:
            if name not in allowed:
                self.add(
                    path,
                    f"names the {what} {name}, which does not exist",
                    f"Add the {what}, or write one of: {', '.join(allowed) or 'none there yet'}.",
                )

    def folder(self, path: KeyPath, folder: Path, *, writable: bool, private: bool = False) -> None:
        """The folder is there with the rights that the agent needs and, if private, no others."""
        try:
            status = folder.stat()
        except OSError as error:
            self.add(path, f"cannot be used: {error.strerror}", f"Make the folder {folder}.")
            return
        needed = os.R_OK | os.X_OK | (os.W_OK if writable else 0)
        if not stat.S_ISDIR(status.st_mode):
            self.add(path, "is no folder", "Name a folder.")
        elif not os.access(folder, needed):
            what = "read and write" if writable else "read"
            self.add(path, f"is not open to this user to {what}", f"Give it that right: {folder}.")
        elif private and status.st_mode & stat.S_IRWXO:
            self.add(path, "is open to every user of this host", f"chmod o-rwx {folder}.")

    def folder_or_parent(self, path: KeyPath, folder: Path) -> None:
        """The folder is there and writable, or can be made."""
        self.folder(path, folder if folder.exists() else folder.parent, writable=True)

    def apart(self, folders: Sequence[tuple[KeyPath, Path]]) -> None:
        """No folder is, or lies in, another: each would take the other's files for its own."""
        resolved = [(path, _real(folder)) for path, folder in folders]
        for index, (path, folder) in enumerate(resolved):
            for other_path, other in resolved[:index]:
                if folder.is_relative_to(other) or other.is_relative_to(folder):
                    name = ".".join(map(str, other_path))
                    self.add(
                        path,
                        f"is the same folder as {name}, or one lies in the other",
                        "Give each a folder of its own.",
                    )

    def private_key(self, path: KeyPath, file: Path, kind: KeyKind) -> KeyFile | None:
        """The file holds a private key of `kind` and is closed to others."""
        try:
            return secrets.read_key(file, kind)
        except Refused as refusal:
            self.refused(path, refusal)
            return None

    def public_key(self, path: KeyPath, file: Path, kind: KeyKind) -> None:
        """The file holds a public key of `kind`."""
        try:
            secrets.read_public_key(file, kind)
        except Refused as refusal:
            self.refused(path, refusal)

    def secret(self, path: KeyPath, file: Path) -> None:
        """The file can be read by us and by nobody else."""
        try:
            secrets.read_secret(file)
        except Refused as refusal:
            self.refused(path, refusal)

    def listener(self, path: KeyPath, listen: str, *, plain: bool, allowed: bool) -> None:
        """A listener without TLS is on loopback, or meant."""
        if plain and not allowed and not parse_listen(listen).is_loopback:
            self.add(
                path,
                "lets other hosts connect without TLS",
                "Listen on 127.0.0.1, add tls_certificate and tls_key where the listener has "
                "them, or write allow_plaintext = true if it is meant.",
            )

    def listeners_apart(self, listeners: Sequence[tuple[KeyPath, str]]) -> None:
        """No address is listened on twice."""
        seen: set[str] = set()
        for path, listen in listeners:
            if listen in seen and parse_listen(listen).port != 0:
                self.add(path, "is an address that stands twice", "Give each listener its own.")
            seen.add(listen)

    def tls_pair(self, table: KeyPath, certificate: Path | None, key: Path | None) -> None:
        """Certificate and key are usable and belong together."""
        if certificate is None or key is None:
            return
        before = len(self.problems)
        self.secret((*table, "tls_key"), key)
        self._pem((*table, "tls_certificate"), certificate)
        if len(self.problems) > before:
            return
        try:
            # An encrypted key must not ask on the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: "")
        except (OSError, ValueError):
            self.add(
                (*table, "tls_certificate"),
                "cannot be used with tls_key",
                "Name PEM files of one certificate and its own key, without a pass phrase.",
            )

    def tls_ca(self, path: KeyPath, file: Path | None) -> None:
        """The file holds at least one certificate."""
        if file is None:
            return
        before = len(self.problems)
        self._pem(path, file)
        if len(self.problems) > before:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except (OSError, ValueError):
            self.add(path, "holds no certificate", "Name a PEM file of the CA's certificate.")

    def _pem(self, path: KeyPath, file: Path) -> None:
        try:
            # TLS files are often links (certbot makes them); only secrets must not be.
            read_regular(_real(file), PEM_BYTES_MAX)
        except OSError as error:
            self.add(path, f"cannot be read: {error.strerror}", f"Look at {file}.")

    def content(
        self, path: KeyPath, content: ContentPolicy, channel_bytes_max: int, folder: Path
    ) -> None:
        """A channel's content part fits its channel, and its schema is the one that was signed."""
        for key, family in (
            ("hl7v2", content.hl7v2),
            ("json", content.json_),
            ("fhir", content.fhir),
            ("xml", content.xml),
            ("csv", content.csv),
            ("form", content.form),
        ):
            if family is None or "message_bytes_max" not in family.model_fields_set:
                continue
            if family.message_bytes_max > channel_bytes_max:
                self.add(
                    (*path, key, "message_bytes_max"),
                    "is more than the channel's own message_bytes_max",
                    "Lower it, raise the channel's, or leave it out.",
                )
        for schema in content.schema_files():
            self._schema((*path, schema.family, schema.key), folder, schema.file, schema.sha256)

    def _schema(self, path: KeyPath, folder: Path, name: str, sha256: str) -> None:
        try:
            read_schema(folder, name, sha256)
        except Refused as refusal:
            self.add(
                path,
                f"cannot be used ({refusal.where})",
                "Put the signed file in the policy's folder, or have the security administrator "
                "write its new SHA-256 (sha256sum) and sign the policy again.",
            )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve() raises on a loop of links
