"""Absolute paths of elements and attributes: /order/patient/@id.

A step is a local name in the root element's own namespace, or {namespace}name in another. They are
no XPath: no predicates, no axes, no wildcards but a last step `**` where elements are whitelisted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from lxml.etree import _Element

_STEP: Final = re.compile(r"/(@?(?:\{[^{}]*\})?[^/{}]+)")
SUBTREE: Final = "**"


def steps_of(path: str) -> tuple[str, ...]:
    """The steps of a path that the policy has checked."""
    return tuple(_STEP.findall(path))


def namespace_of(tag: str) -> str:
    """The namespace in a tag as lxml writes it; empty if there is none."""
    return tag[1:].partition("}")[0] if tag.startswith("{") else ""


def local_name_of(tag: str) -> str:
    """The tag without its namespace."""
    return tag.rpartition("}")[2]


def step_of(tag: str, root_namespace: str) -> str:
    """How a path names an element of this tag below a root of this namespace."""
    namespace = namespace_of(tag)
    local = local_name_of(tag)
    return local if namespace == root_namespace else f"{{{namespace}}}{local}"


@dataclass(frozen=True, slots=True)
class ValuePath:
    """Where one value stands: an attribute, or the text of an element without children."""

    elements: tuple[str, ...]
    attribute: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The path that `text` writes; a last step that begins with @ is an attribute."""
        steps = steps_of(text)
        if steps[-1].startswith("@"):
            return cls(steps[:-1], steps[-1][1:])
        return cls(steps, None)

    def value(self, root: _Element) -> str | None:
        """What stands at the first element of that path; None where nothing does."""
        namespace = namespace_of(root.tag)
        if not self.elements or step_of(root.tag, namespace) != self.elements[0]:
            return None
        element = root
        for step in self.elements[1:]:
            children = (each for each in element if step_of(each.tag, namespace) == step)
            following = next(children, None)
            if following is None:
                return None
            element = following
        if self.attribute is not None:
            return element.get(self.attribute) or None
        return None if len(element) else (element.text or None)
