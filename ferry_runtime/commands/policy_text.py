"""Change a policy's text and nothing else in it: comments and order stay. Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from typing import Any, Final

from ferry_format.identifiers import is_name
from ferry_format.keys import KeyKind, PublicKey
from ferry_runtime.problem_words import Mistake
from ferry_runtime.toml_lines import TomlLines

_REVOKED: Final = re.compile(r"(\s*revoked\s*=\s*)false\b")


def with_sender(text: str, name: str, key: PublicKey, channels: Sequence[str]) -> str:
    """The inner policy with a [[senders]] table more. Raises Mistake if it may not be added."""
    table = _table(text)
    if key.kind is not KeyKind.SIGN:
        raise Mistake(
            f"the inner's policy trusts senders' keys, and this is a {key.kind} key",
            "Name the sender's public key file",
        )
    if not is_name(name):
        raise Mistake("the name is not valid", "Use lower-case letters, digits and . _ -")
    if not channels:
        raise Mistake("no channel is named", "Add --channel NAME, once for each channel")
    for sender in _tables(table, "senders"):
        if sender.get("key") == key.token:
            raise Mistake("this key is in the policy already", "Change its table there")
        if sender.get("name") == name:
            raise Mistake(
                "a sender of this name is in the policy already",
                "Give the new key a name of its own, as front-1-2027",
            )
    known = {channel.get("name") for channel in _tables(table, "channels")}
    unknown = sorted(set(channels) - {name for name in known if isinstance(name, str)})
    if known and unknown:
        raise Mistake(f"the policy has no channel {', '.join(unknown)}", "Add the channel first")
    return _appended(
        text,
        [
            "[[senders]]",
            f"name = {json.dumps(name)}",
            f"# fingerprint: {key.fingerprint}",
            f"key = {json.dumps(key.token)}",
            f"channels = {json.dumps(list(dict.fromkeys(channels)))}",
        ],
    )


def with_receiver(text: str, key: PublicKey) -> str:
    """The outer policy with its [receiver]. Raises Mistake if it has one already."""
    table = _table(text)
    if key.kind is not KeyKind.RECEIVE:
        raise Mistake(
            f"the outer's policy trusts the receiver's key, and this is a {key.kind} key",
            "Name the receiver's public key file",
        )
    if "receiver" in table:
        raise Mistake(
            "the policy names a receiver already",
            f'To change it, replace the value of key in [receiver] by "{key.token}"',
        )
    return _appended(
        text,
        [
            "[receiver]",
            f"# fingerprint: {key.fingerprint}",
            f"key = {json.dumps(key.token)}",
        ],
    )


def with_revoked(text: str, name: str) -> str:
    """The inner policy with `revoked = true` at a sender. Raises Mistake if that cannot be done."""
    senders = _tables(_table(text), "senders")
    index = next((at for at, one in enumerate(senders) if one.get("name") == name), None)
    if index is None:
        raise Mistake("the policy has no sender of this name", "See its [[senders]] tables")
    if senders[index].get("revoked") is True:
        raise Mistake("this sender's key is revoked already", "There is nothing to change")
    lines, places = text.split("\n"), TomlLines(text)
    present = places.exact(("senders", index, "revoked"))
    after = places.exact(("senders", index, "name"))
    if present is not None:
        lines[present - 1] = _REVOKED.sub(r"\1true", lines[present - 1])
    elif after is not None:
        lines.insert(after, "revoked = true" + ("\r" if lines[after - 1].endswith("\r") else ""))
    changed = "\n".join(lines)
    again = _tables(_table(changed), "senders")
    expected = [one | {"revoked": True} if at == index else one for at, one in enumerate(senders)]
    if again != expected:
        raise Mistake(
            "the table is written in a way that this command cannot change",
            "Write revoked = true into it by hand",
        )
    return changed


def with_channel(text: str, name: str, table: str, senders: Sequence[str]) -> str:
    """The policy with a channel's `table` more. Raises Mistake if it may not be added.

    `senders` are those that the table names; none in an inner policy's.
    """
    policy = _table(text)
    if not is_name(name):
        raise Mistake("the channel's name is not valid", "Use lower-case letters, digits and . _ -")
    if any(channel.get("name") == name for channel in _tables(policy, "channels")):
        raise Mistake("a channel of this name is in the policy already", "Choose another name")
    known = {sender.get("name") for sender in _tables(policy, "senders")}
    unknown = sorted(set(senders) - {name for name in known if isinstance(name, str)})
    if known and unknown:
        raise Mistake(f"the policy has no sender {', '.join(unknown)}", "Add the sender first")
    return _appended(text, table.splitlines())


def channel_content(text: str, name: str) -> dict[str, Any]:
    """The content table of a channel. Raises Mistake if there is none of that name."""
    channels = _tables(_table(text), "channels")
    found = next((one for one in channels if one.get("name") == name), None)
    if found is None:
        names = ", ".join(str(one.get("name")) for one in channels) or "none"
        raise Mistake("the policy has no channel of this name", f"It has {names}")
    content = found.get("content")
    if not isinstance(content, dict):
        raise Mistake(f"channel {name} has no content", "Write [channels.content.…]")
    return content


def side(text: str) -> str:
    """Whose policy it is: "outer" or "inner". Raises Mistake."""
    found = _table(text).get("side")
    if found not in ("outer", "inner"):
        raise Mistake("the policy does not say its side", 'Write side = "outer" or side = "inner"')
    return str(found)


def _table(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line \d+", str(error))
        place = f" ({line.group()})" if line else ""
        raise Mistake(f"the policy is not TOML{place}", "Correct it first") from None


def _tables(table: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise Mistake(f"{name} is not a list of tables", f"Write each as [[{name}]]")
    return found


def _appended(text: str, lines: list[str]) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text else end if text.endswith("\n") else end * 2
    changed = text + gap + end.join(lines) + end
    try:
        tomllib.loads(changed)
    except tomllib.TOMLDecodeError:
        # For instance `senders = [{…}]` above: a table cannot be appended to it.
        raise Mistake(
            "the policy is written in a way to which no table can be appended",
            "Write its tables as [[senders]] and [receiver], not inline",
        ) from None
    return changed
