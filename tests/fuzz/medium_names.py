"""Names on the medium: a name that stands for something is the one name of it."""

from __future__ import annotations

from ferry_format.medium import layout
from tests.fuzz.harness import Harness


def check(data: bytes) -> None:
    name = data.decode("utf-8", "surrogateescape")
    stream = layout.parse_stream(name)
    assert stream is None or (len(stream) == 16 and layout.stream_name(stream) == name)
    shard = layout.parse_shard(name)
    assert shard is None or layout.shard_name(shard * layout.FILES_PER_SHARD) == name
    for of_shard in (0, 1, shard or 0):
        sequence = layout.parse_file(of_shard, name)
        assert sequence is None or layout.file_name(sequence) == name
    if layout.is_staging_name(name):
        sequence_digits, nonce, _ = name.split(".")
        assert layout.staging_name(int(sequence_digits), bytes.fromhex(nonce)) == name


def seeds() -> list[bytes]:
    stream = bytes(range(16))
    return [
        layout.stream_name(stream).encode(),
        layout.shard_name(4096).encode(),
        layout.file_name(1).encode(),
        layout.file_name(2**63 - 1).encode(),
        layout.staging_name(7, bytes(8)).encode(),
        "٠١٢٣٤٥٦٧٨٩".encode(),
    ]


HARNESS = Harness(check, seeds, (), (b".ferry", b".part", b"0" * 16, b"\n", b"../", b"\0"))
