"""What a channel's policy says of SOP classes, transfer syntaxes and elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import (
    ELEMENT_NOT_ALLOWED,
    MESSAGE_TYPE_NOT_ALLOWED,
    TRANSFER_SYNTAX_NOT_ALLOWED,
    Refused,
)
from validators.dicom import dictionary
from validators.dicom.syntaxes import NAMES, Syntax

if TYPE_CHECKING:
    from validators.dicom.state import Level
    from validators.policy import DicomPolicy

_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_ALWAYS: Final = frozenset(
    {dictionary.CHARACTER_SET, dictionary.SOP_CLASS, dictionary.SOP_INSTANCE}
)


class Whitelist:
    """A policy's names, looked up once."""

    def __init__(self, policy: DicomPolicy) -> None:
        self._policy = policy
        self._classes = (
            None
            if policy.sop_classes == "any"
            else frozenset(dictionary.sop_class_uids(policy.sop_classes))
        )
        self._syntaxes = {NAMES[name].uid: NAMES[name] for name in policy.transfer_syntaxes}
        self._elements = (
            None
            if policy.elements == "any"
            else frozenset(map(dictionary.tag_of, policy.elements)) | _ALWAYS
        )
        self._creators = (
            None if policy.private_creators == "any" else frozenset(policy.private_creators)
        )

    def syntax(self, uid: str) -> Syntax:
        """A transfer syntax that may cross. Raises Refused."""
        syntax = self._syntaxes.get(uid)
        if syntax is None:
            raise Refused(TRANSFER_SYNTAX_NOT_ALLOWED, "TransferSyntaxUID")
        return syntax

    def check_class(self, uid: str) -> None:
        """Pass a SOP class that may cross. Raises Refused.

        A DICOMDIR points into its own bytes and into files beside it: it is no instance by itself.
        """
        is_named = self._classes is None or uid in self._classes
        if uid == _DIRECTORY or not is_named:
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "SOPClassUID")

    def takes_creator(self, creator: str) -> bool:
        """Whether the private elements of a creator may cross."""
        return self._creators is None or creator in self._creators

    def crosses(self, tag: int, level: Level) -> bool:
        """Whether an element may cross, private creators apart; False: it is left out.

        Raises Refused(ELEMENT_NOT_ALLOWED).
        """
        policy = self._policy
        if dictionary.is_private(tag):
            is_named = tag >> 16 << 8 | tag >> 8 & 0xFF in level.creators
            return is_named or _left_out(policy.private_elements, tag)
        if dictionary.is_group_length(tag):
            return _left_out(policy.group_lengths, tag)
        if tag == dictionary.TRAILING_PADDING:
            return False
        if not dictionary.representations(tag):
            return policy.unknown_elements == "allow" or _left_out(policy.unknown_elements, tag)
        is_named = self._elements is None or tag in self._elements
        return is_named or _left_out(policy.unknown_elements, tag)

    def creator_crosses(self, tag: int, creator: str) -> bool:
        """Whether the element that reserves a private block may cross. Raises Refused."""
        return self.takes_creator(creator) or _left_out(self._policy.private_elements, tag)


def _left_out(fate: str, tag: int) -> bool:
    """False: an element that may not cross is left out. Raises Refused where the policy says so."""
    if fate == "refuse":
        raise Refused(ELEMENT_NOT_ALLOWED, dictionary.name_of(tag))
    return False
