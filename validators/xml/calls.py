"""Calls that carry a message as text: HIPMessageServer(action, message) of 互联互通 and its like.

The call belongs to the way that the message comes: what crosses is the message, parsed by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferry_format.reasons import MESSAGE_TYPE_NOT_ALLOWED, NOT_WELL_FORMED, Refused
from validators.xml.paths import local_name_of, namespace_of

if TYPE_CHECKING:
    from lxml.etree import _Element

    from validators.policy import XmlCallPolicy


def message_text(call: _Element, policy: XmlCallPolicy) -> str:
    """The text of the message in a call that the channel names.

    The two parameters stand in the call's namespace or in none, once each, and hold text only.
    Raises Refused(MESSAGE_TYPE_NOT_ALLOWED, NOT_WELL_FORMED).
    """
    if call.tag != policy.element:
        raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "call")
    parameters = {local_name_of(each.tag): each for each in call}
    namespaces = {namespace_of(each.tag) for each in call}
    if (
        len(call) != len(parameters)
        or parameters.keys() != {policy.action, policy.message}
        or not namespaces <= {"", namespace_of(call.tag)}
        or any(len(each) for each in call)
        or any(text and text.strip() for text in (call.text, *(each.tail for each in call)))
    ):
        raise Refused(NOT_WELL_FORMED, "call")
    action = (parameters[policy.action].text or "").strip()
    if policy.actions != "any" and action not in policy.actions:
        raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "call: action")
    return parameters[policy.message].text or ""
