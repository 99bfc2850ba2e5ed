"""De-identification after validation and virus scan, in worker processes of its own.

A worker that holds a key never sees what a sender wrote, but what other workers, which hold none,
have parsed and written anew: a message that takes over its parser has no key to carry out.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import replace

from ferry_format import reasons
from ferry_format.keys import KeyKind
from ferry_format.reasons import Refused
from ferry_runtime import secrets
from ferry_runtime.policy import read_schemas
from outer_agent.config import DeidentificationSection, OuterConfig
from outer_agent.object_crossing import Validation
from outer_agent.policy import OuterPolicy
from validators.deidentify.deidentifier import Examination
from validators.deidentify.families import Deidentification, deidentifier
from validators.deidentify.keyed import SECRET_BYTES
from validators.registry import ContentSpec, build
from validators.verdict import Accepted, Verdict


class DeidentifiedValidation:
    """The validators' verdicts; of what they accept on these channels, what may leave."""

    def __init__(
        self, validation: Validation, deidentification: Validation, channels: Collection[str]
    ) -> None:
        self._validation = validation
        self._deidentification = deidentification
        self._channels = frozenset(channels)

    async def validate(self, channel: str, payload: bytes) -> Verdict:
        """The verdict on a message. Raises Unavailable."""
        verdict = await self._validation.validate(channel, payload)
        if channel not in self._channels or not isinstance(verdict, Accepted):
            return verdict
        changed = await self._deidentification.validate(channel, verdict.payload)
        if not isinstance(changed, Accepted):
            return changed
        # This side's records name the message as its sender does.
        return replace(changed, control_id=verdict.control_id)


def specs(
    section: DeidentificationSection | None, rules: OuterPolicy, content: Mapping[str, ContentSpec]
) -> dict[str, ContentSpec]:
    """What de-identifies the channels that ask for it, with their keys.

    Raises Refused for a key file that cannot be used, or that no file has.
    """
    asking = {
        channel.name: channel.deidentification
        for channel in rules.channels
        if channel.deidentification is not None
    }
    if not asking:
        return {}
    keys = read_keys(section)
    for policy in asking.values():
        if policy.key not in keys:
            raise Refused(reasons.BAD_KEY_FILE, f"no de-identification key {policy.key}")
    return {
        name: replace(content[name], deidentification=Deidentification(policy, keys[policy.key]))
        for name, policy in asking.items()
    }


def read_keys(section: DeidentificationSection | None) -> dict[str, bytes]:
    """The secrets by the names of their keys. Raises Refused."""
    found = {}
    for path in () if section is None else section.keys:
        key = secrets.read_key(path, KeyKind.DEIDENTIFICATION)
        assert key.private is not None
        found[key.name] = key.private
    return found


def examine(config: OuterConfig, rules: OuterPolicy, name: str, sample: bytes) -> Examination:
    """What a channel would do to a message, shown under a key that is thrown away.

    Raises Refused(CHANNEL_UNKNOWN) for a channel that is not there or does not de-identify.
    """
    channel = next((one for one in rules.channels if one.name == name), None)
    if channel is None or channel.deidentification is None:
        raise Refused(reasons.CHANNEL_UNKNOWN, f"{name}: no channel that de-identifies")
    schemas = read_schemas(config.policy.file.parent, channel.content.schema_files())
    described = Deidentification(channel.deidentification, os.urandom(SECRET_BYTES))
    validator = build(channel.content, schemas)
    return deidentifier(described, channel.content, validator).examine(sample)
