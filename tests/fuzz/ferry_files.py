"""Ferry files as they lie on the medium, and as a trusted key that fell to an attacker signs them.

The first byte chooses: the rest is a whole file; or a frame, to which a signature that holds is
put; or a plaintext, around which a lawful file is made.
"""

from __future__ import annotations

from ferry_format.container import Opener
from ferry_format.envelope import decode, encode
from ferry_format.inspect import as_json, as_text, inspect
from ferry_format.keys import TrustedSender, TrustStore
from ferry_format.reasons import Refused
from ferry_format.suites import ed25519_hybrid
from tests.fuzz.harness import Harness
from tests.simulator.frames import LANE, NOW_MS
from tests.simulator.lawful_contents import BATCH, CHANNELS, HEARTBEAT
from tests.simulator.vectors import all_vectors, site

_SITE = site()
_SENDER, _RECEIVER = _SITE.public("sender"), _SITE.keys["receiver"]
_TRUST = TrustStore([TrustedSender("s", _SENDER, frozenset({1}), frozenset(CHANNELS))])
_LAWFUL = frozenset(vector.data for vector in all_vectors())
_SIGNATURE_BYTES = ed25519_hybrid.SIGNATURE_BYTES


def check(data: bytes) -> None:
    choice, rest = data[:1], data[1:]
    if choice == b"\1":
        _check_file(_signed(rest), is_signed=True)
    elif choice == b"\2":
        _check_file(_SITE.sealed(rest), is_signed=True, plaintext=rest)
    else:
        _check_file(rest, is_signed=rest in _LAWFUL)


def _signed(frame: bytes) -> bytes:
    signature = ed25519_hybrid.sign(
        _SITE.keys["sender"].signing_key(), ed25519_hybrid.digest(frame)
    )
    return frame + signature


def _check_file(data: bytes, *, is_signed: bool, plaintext: bytes | None = None) -> None:
    report = inspect(data, _SENDER, _RECEIVER, LANE, NOW_MS)
    assert as_text(report)
    assert as_json(report)
    opener = Opener(_TRUST, [_RECEIVER], LANE)
    try:
        verified = opener.verify(data, NOW_MS)
        assert is_signed, "a signature that nobody made holds"
        content = opener.unseal(verified)
    except Refused:
        return
    assert {entry.channel for entry in content.entries} <= set(CHANNELS)
    if plaintext is not None:
        # The counts of channels that are not the sender's were left out.
        assert decode(plaintext).entries == content.entries


def seeds() -> list[bytes]:
    files = [vector.data for vector in all_vectors() if len(vector.data) < 8192]
    return [
        *(b"\0" + data for data in files),
        *(b"\1" + data[:-_SIGNATURE_BYTES] for data in files[:4]),
        *(b"\2" + encode(content) for content in (BATCH, HEARTBEAT)),
    ]


HARNESS = Harness(
    check,
    seeds,
    (),
    (b"\x89FERRY\r\n", b"\x9c\xc4\x08", b"\xc5\x04\x90", b"\xc4\x40", b"\xcf" + b"\xff" * 8),
)
