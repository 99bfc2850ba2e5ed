"""One channel: what becomes of its messages, how fast, and what is stuck."""

from deploy.grafana.panels import Dashboard, Query, Row, lines

_OF = '{channel=~"$channel"}'

CHANNEL = Dashboard(
    "ferry-channel",
    "Ferry: channel",
    "One channel, or several: what becomes of its messages, how fast, and what is stuck.",
    (
        Row(
            "What becomes of its messages",
            (
                lines(
                    "At the outer",
                    Query(
                        f"channel_outcome:ferry_outer_messages:rate5m{_OF}",
                        "{{channel}} {{outcome}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "At the inner",
                    Query(
                        f"channel_outcome:ferry_inner_messages:rate5m{_OF}",
                        "{{channel}} {{outcome}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "At the sink",
                    Query(
                        f"channel_outcome:ferry_inner_deliveries:rate5m{_OF}",
                        "{{channel}} {{outcome}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "Bytes",
                    Query(f"rate(ferry_outer_message_bytes_total{_OF}[5m])", "{{channel}} outer"),
                    Query(f"rate(ferry_inner_message_bytes_total{_OF}[5m])", "{{channel}} inner"),
                    unit="Bps",
                ),
                lines(
                    "Not taken by the outer, by reason, in an hour",
                    Query(
                        "sum by (channel, reason) (increase(ferry_outer_messages_total"
                        '{channel=~"$channel", reason!=""}[1h]))',
                        "{{channel}} {{reason}}",
                    ),
                    empty_when_well=True,
                ),
                lines(
                    "Not taken by the inner or its sink, by reason, in an hour",
                    Query(
                        "sum by (channel, reason) (increase(ferry_inner_messages_total"
                        '{channel=~"$channel", reason!=""}[1h]))',
                        "{{channel}} {{reason}}",
                    ),
                    Query(
                        "sum by (channel, reason) (increase(ferry_inner_deliveries_total"
                        '{channel=~"$channel", reason!=""}[1h]))',
                        "{{channel}} {{reason}}",
                    ),
                    empty_when_well=True,
                ),
            ),
        ),
        Row(
            "How fast",
            (
                lines(
                    "Sender waits for its acknowledgement",
                    Query(
                        f"channel:ferry_outer_acknowledgement_seconds:p50_5m{_OF}",
                        "{{channel}} p50",
                    ),
                    Query(
                        f"channel:ferry_outer_acknowledgement_seconds:p99_5m{_OF}",
                        "{{channel}} p99",
                    ),
                    unit="s",
                ),
                lines(
                    "From acceptance to the journal",
                    Query(f"channel:ferry_inner_crossing_seconds:p50_5m{_OF}", "{{channel}} p50"),
                    Query(f"channel:ferry_inner_crossing_seconds:p99_5m{_OF}", "{{channel}} p99"),
                    unit="s",
                    about="By two hosts' clocks.",
                ),
                lines(
                    "From acceptance to the internal system's answer",
                    Query(f"channel:ferry_inner_delivery_seconds:p50_5m{_OF}", "{{channel}} p50"),
                    Query(f"channel:ferry_inner_delivery_seconds:p99_5m{_OF}", "{{channel}} p99"),
                    unit="s",
                    about="By two hosts' clocks.",
                ),
            ),
        ),
        Row(
            "What is stuck",
            (
                lines(
                    "Waits for its sink", Query(f"ferry_inner_waiting_messages{_OF}", "{{channel}}")
                ),
                lines("Dead letters", Query(f"ferry_inner_dead_letters{_OF}", "{{channel}}")),
                lines(
                    "Held for missing messages",
                    Query(f"ferry_inner_held_messages{_OF}", "{{channel}}"),
                    empty_when_well=True,
                ),
                lines(
                    "Missing messages, in a day",
                    Query(f"increase(ferry_inner_missing_messages_total{_OF}[1d])", "{{channel}}"),
                    empty_when_well=True,
                ),
                lines(
                    "Patients, or channels, held up by one message",
                    Query(f"ferry_inner_keys_held_up{_OF}", "{{channel}}"),
                    empty_when_well=True,
                ),
            ),
        ),
    ),
    ("channel",),
    '{__name__=~"ferry_outer_messages_total|ferry_inner_messages_total"}',
)
