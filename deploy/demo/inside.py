"""The hospital's internal systems, a process of its own: a HIS (HL7) and a booking system (HTTP).

`python -m deploy.demo.inside HIS_PORT BOOKING_PORT RECORD`. Told to end, it writes when each
message arrived (monotonic seconds, which all processes of a machine share), by the id that it is
known by.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from tests.simulator.hl7_receiver import Hl7Receiver
from tests.simulator.http_receiver import HttpReceiver


async def receive(his: Hl7Receiver, booking: HttpReceiver) -> None:
    """Receive until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with his, booking:
        await ended.wait()


def arrivals(his: Hl7Receiver, booking: HttpReceiver) -> dict[str, list[float]]:
    """When each message arrived."""
    times: dict[str, list[float]] = {}
    for arrival in his.recording.received:
        times.setdefault(arrival.message_id, []).append(arrival.at_s)
    for arrival in booking.recording.received:
        known_as = json.loads(arrival.data)["appointment_id"]
        times.setdefault(known_as, []).append(arrival.at_s)
    return times


def main() -> None:
    """Receive, then write the record."""
    his = Hl7Receiver(port=int(sys.argv[1]))
    booking = HttpReceiver(port=int(sys.argv[2]))
    asyncio.run(receive(his, booking))
    Path(sys.argv[3]).write_text(json.dumps(arrivals(his, booking)))


if __name__ == "__main__":
    main()
