"""Run the ferry for a minute: both agents, a small hospital around them, the bundled samples.

`python -m deploy.demo.demo` (or `make demo`). Everything it writes lies in `demo-run/`, which stays
afterwards to be looked at.
"""

from __future__ import annotations

import hashlib
import shutil
import statistics
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.demo.hospital import Inside, Sent, read_samples, send_all, variations
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.namespaces import Namespace, why_impossible

ROOT = Path(__file__).parents[2]
RUN = ROOT / "demo-run"
HERE = Path(__file__).parent
API_KEY = "demo-key-made-for-this-run-only"
VARIATIONS = 300
HL7_TYPES = {
    "adt": '["ADT^A01", "ADT^A04", "ADT^A08"]',
    "orders": '["ORM^O01", "OMI^O23"]',
    "results": '["ORU^R01"]',
    "prescriptions": '["OMP^O09"]',
}
HL7_SEGMENTS = {
    "adt": '["MSH", "EVN", "PID", "PV1", "NTE"]',
    "orders": '["MSH", "PID", "ORC", "OBR", "IPC"]',
    "results": '["MSH", "PID", "OBR", "OBX"]',
    "prescriptions": '["MSH", "PID", "ORC", "RXO", "RXR"]',
}


def main() -> int:
    """Run the demo; 0 if nothing was lost, doubled or wrongly admitted."""
    started_s = time.monotonic()
    console = Console()
    if RUN.exists():
        shutil.rmtree(RUN)
    impossible = why_impossible()
    outside, inside = (
        (None, None) if impossible else (Namespace("ferry-outside"), Namespace("ferry-inside"))
    )
    for namespace in (outside, inside):
        if namespace is not None:
            namespace.delete()
            namespace.create()
    if impossible:
        console.print(f"Two plain processes on this host ({impossible}).")
    else:
        console.print(
            "Two network namespaces, each with its own loopback and no link between them;"
            " the inner sees the medium read-only."
        )
    try:
        return _run(console, outside, inside, started_s)
    finally:
        for namespace in (outside, inside):
            if namespace is not None:
                namespace.delete()


def _run(
    console: Console, outside: Namespace | None, inside: Namespace | None, started_s: float
) -> int:
    mllp_ports = {channel: free_port() for channel in HL7_TYPES}
    http_port = free_port()
    RUN.mkdir()
    hospital = Inside(RUN / "arrived.json", inside)
    pair = _pair(mllp_ports, http_port, hospital, outside, inside)
    pair.write()
    hospital.start()
    try:
        pair.start()
        console.print("Both agents are ready. Sending the bundled samples and their variations …")
        samples = read_samples(HERE / "samples")
        to_send = samples + variations(samples, VARIATIONS)
        sent = pair.inside("outer", lambda: send_all(to_send, mllp_ports, http_port, API_KEY))
        _wait_for_delivery(pair, sent)
        where_to_look = _where_to_look(pair)
        result = _report(console, hospital.stop(), sent)
        console.print(where_to_look, soft_wrap=True)
        console.print(f"The demo took {time.monotonic() - started_s:.0f} s.")
        return result
    finally:
        pair.stop()
        hospital.stop()


def _pair(
    mllp_ports: dict[str, int],
    http_port: int,
    hospital: Inside,
    outside: Namespace | None,
    inside: Namespace | None,
) -> FerryPair:
    schema = (HERE / "appointment.schema.json").read_bytes()
    (RUN / "appointment.schema.json").write_bytes(schema)
    channels = [
        Channel(
            name,
            f"[channels.content.hl7v2]\nmessages = {types}\nsegments = {HL7_SEGMENTS[name]}",
            "his",
        )
        for name, types in HL7_TYPES.items()
    ]
    channels.append(
        Channel(
            "appointments",
            '[channels.content.json]\nschema_file = "appointment.schema.json"\n'
            f'schema_sha256 = "{hashlib.sha256(schema).hexdigest()}"\n'
            'message_type = "appointment"\ncontrol_id = "/appointment_id"',
            "booking",
        )
    )
    sources = "".join(
        f'[[sources]]\nkind = "mllp"\nname = "{name}-mllp"\n'
        f'listen = "127.0.0.1:{port}"\nchannel = "{name}"\n'
        for name, port in mllp_ports.items()
    )
    sources += f'[[sources]]\nkind = "http"\nname = "front-http"\nlisten = "127.0.0.1:{http_port}"'
    sinks = (
        f'[[sinks]]\nkind = "mllp"\nname = "his"\nhost = "127.0.0.1"\nport = {hospital.his_port}\n'
        f'[[sinks]]\nkind = "http"\nname = "booking"\nurl = "http://127.0.0.1:{hospital.booking_port}/messages"'
    )
    listeners = ", ".join(f'"{name}-mllp"' for name in mllp_ports)
    senders = (
        f'[[senders]]\nname = "hospital-front"\nlisteners = [{listeners}]\n'
        f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]'
    )
    return FerryPair(
        RUN, channels, sources, sinks, senders, outer_namespace=outside, inner_namespace=inside
    )


def _wait_for_delivery(pair: FerryPair, sent: list[Sent]) -> None:
    expected = sum(each.admitted for each in sent)
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        if pair.metric("inner", "ferry_inner_deliveries_total", outcome="delivered") >= expected:
            return
        time.sleep(0.05)


def _report(console: Console, arrivals: dict[str, list[float]], sent: list[Sent]) -> int:
    admitted = {each.sample.known_as: each for each in sent if each.admitted}
    lost = admitted.keys() - arrivals.keys()
    doubled = [name for name, times in arrivals.items() if len(times) > 1]
    uninvited = arrivals.keys() - admitted.keys()
    misjudged = [each for each in sent if each.admitted != each.sample.good]

    table = Table(title="What crossed", title_justify="left")
    for column in ("channel", "sent", "admitted", "refused", "delivered"):
        table.add_column(column, justify="left" if column == "channel" else "right")
    for channel in sorted({each.sample.channel for each in sent}):
        of_channel = [each for each in sent if each.sample.channel == channel]
        taken = [each for each in of_channel if each.admitted]
        delivered = [each for each in taken if each.sample.known_as in arrivals]
        table.add_row(
            channel,
            str(len(of_channel)),
            str(len(taken)),
            str(len(of_channel) - len(taken)),
            str(len(delivered)),
        )
    console.print(table)

    refusals = Table(title="What was refused, and why", title_justify="left")
    refusals.add_column("message")
    refusals.add_column("reason")
    for each in sent:
        if not each.admitted:
            refusals.add_row(each.sample.name, each.reason)
    console.print(refusals)

    latencies = sorted(
        arrivals[name][0] - each.at_s for name, each in admitted.items() if name in arrivals
    )
    p50_ms = statistics.median(latencies) * 1000
    p99_ms = latencies[int(len(latencies) * 0.99)] * 1000
    console.print(
        f"lost {len(lost)}   duplicated {len(doubled)}   arrived uninvited {len(uninvited)}"
    )
    console.print(
        f"from the sender's first byte to the internal system:"
        f" p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms"
    )
    for each in misjudged:
        console.print(f"[red]{each.sample.name}: admitted={each.admitted} {each.reason}[/red]")
    return 1 if lost or doubled or uninvited or misjudged else 0


def _where_to_look(pair: FerryPair) -> str:
    """What can be looked at next; keeps both sides' metrics as they stand."""
    assert pair.medium is not None
    for side in ("outer", "inner"):
        (RUN / f"{side}.prom").write_text(pair.observe(side))
    file = min(pair.medium.glob("*/*/*.ferry")).relative_to(ROOT)
    keys, run = pair.keys.relative_to(ROOT), RUN.relative_to(ROOT)
    return (
        "\nWhere to look next:\n"
        "  a ferry file, in words:\n"
        f"    .venv/bin/ferry-inspect {file} --lane front-to-inside"
        f" --sender-key {keys}/front-1.pub --receiver-key {keys}/inner-1.key\n"
        f"  both sides' metrics as they stood at the end: {run}/outer.prom and inner.prom\n"
        "    (while an agent runs: /metrics on its own port, here"
        f" http://127.0.0.1:{pair.outer_metrics_port} and :{pair.inner_metrics_port})\n"
        f"  where one message is:  .venv/bin/ferry-inner messages --control-id 4711"
        f" --config {run}/inner.toml\n"
        f"  logs, journal, audit trails, policies: {run}/"
    )


if __name__ == "__main__":
    sys.exit(main())
