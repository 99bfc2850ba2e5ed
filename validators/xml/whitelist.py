"""Which root elements, which elements below them and which attributes may cross."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import ELEMENT_NOT_ALLOWED, MESSAGE_TYPE_NOT_ALLOWED, Refused
from validators.xml.paths import SUBTREE, namespace_of, step_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lxml.etree import _Element

    from validators.policy import XmlPolicy

_ANY: Final = "*"


class Whitelist:
    """A channel's roots, element paths and attribute paths, prepared once."""

    def __init__(self, policy: XmlPolicy) -> None:
        self._roots = policy.roots
        self._strips = policy.unknown_elements == "strip"
        self._anything = policy.elements == "any"
        paths = [] if policy.elements == "any" else [steps_of(each) for each in policy.elements]
        self._subtrees = frozenset(path[:-1] for path in paths if path[-1] == SUBTREE)
        whole = [path[:-1] if path[-1] == SUBTREE else path for path in paths]
        # Who names an element means its ancestors too: it cannot stand without them.
        self._whole = frozenset(whole)
        self._named = frozenset(path[:n] for path in whole for n in range(1, len(path) + 1))

        self._attributes = None if policy.attributes == "any" else _Attributes(policy.attributes)

    def apply(self, root: _Element) -> None:
        """Refuse what the channel does not name, or take it out of the tree where it says strip.

        Raises Refused(MESSAGE_TYPE_NOT_ALLOWED, ELEMENT_NOT_ALLOWED).
        """
        if self._roots != "any" and root.tag not in self._roots:
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "root element")
        if not self._anything:
            namespace = namespace_of(root.tag)
            path = (step_of(root.tag, namespace),)
            if path not in self._named:
                raise Refused(ELEMENT_NOT_ALLOWED, "root element")
            self._below(root, path, namespace)
        if self._attributes is not None:
            namespace = namespace_of(root.tag)
            path = (step_of(root.tag, namespace),)
            self._judge_attributes(root, path, namespace, self._attributes)

    def _judge_attributes(
        self, element: _Element, path: tuple[str, ...], namespace: str, named: _Attributes
    ) -> None:
        if path in named.subtrees:
            return
        for name in element.keys():  # noqa: SIM118 - an element iterates over its children
            if named.allow(path, name):
                continue
            if not self._strips:
                place = f"/{'/'.join(path)}" if named.knows(path) else "an element without any"
                raise Refused(ELEMENT_NOT_ALLOWED, f"an attribute of {place}")
            del element.attrib[name]
        for child in element:
            child_path = (*path, step_of(child.tag, namespace))
            self._judge_attributes(child, child_path, namespace, named)

    def _below(self, element: _Element, path: tuple[str, ...], namespace: str) -> None:
        if path in self._subtrees:
            return
        if path not in self._whole:
            self._without_text(element, path)
        for child in list(element):
            child_path = (*path, step_of(child.tag, namespace))
            if child_path in self._named:
                self._below(child, child_path, namespace)
            elif self._strips:
                _remove(element, child)
            else:
                raise Refused(ELEMENT_NOT_ALLOWED, f"below /{'/'.join(path)}")

    def _without_text(self, element: _Element, path: tuple[str, ...]) -> None:
        """An element that is named for the sake of those below it holds no text of its own."""
        texts = [element.text, *(child.tail for child in element)]
        if not any(text and text.strip() for text in texts):
            return
        if not self._strips:
            raise Refused(ELEMENT_NOT_ALLOWED, f"text in /{'/'.join(path)}")
        element.text = None
        for child in element:
            child.tail = None


class _Attributes:
    """The attributes that a channel names, each by its element's path and its own name."""

    def __init__(self, paths: Sequence[str]) -> None:
        steps = [steps_of(each) for each in paths]
        self.subtrees = frozenset(each[:-1] for each in steps if each[-1] == SUBTREE)
        self._named = frozenset((each[:-1], each[-1][1:]) for each in steps if each[-1] != SUBTREE)
        self._paths = frozenset(each[:-1] for each in steps)

    def allow(self, path: tuple[str, ...], name: str) -> bool:
        return (path, name) in self._named or (path, _ANY) in self._named

    def knows(self, path: tuple[str, ...]) -> bool:
        return path in self._paths


def _remove(parent: _Element, child: _Element) -> None:
    """Take the child out; the text after it is the parent's and stays."""
    if child.tail:
        before = child.getprevious()
        if before is None:
            parent.text = (parent.text or "") + child.tail
        else:
            before.tail = (before.tail or "") + child.tail
    parent.remove(child)
