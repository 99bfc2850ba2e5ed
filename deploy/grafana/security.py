"""What was refused and why, what is strange, and which certificates and keys run out."""

from deploy.grafana.panels import Dashboard, Panel, Query, Row, figures, lines

SECURITY = Dashboard(
    "ferry-security",
    "Ferry: security",
    "What was refused and why, what does not belong on the medium, and what runs out.",
    (
        Row(
            "Now",
            (
                figures("Quarantine, ever", "ferry_inner_quarantine_entries"),
                figures(
                    "Quarantine, in a day", "max(delta(ferry_inner_quarantine_entries[1d]))", red=1
                ),
                figures("Streams refused", "ferry_inner_streams_refused", red=1),
                figures(
                    "Foreign files replaced, in a day",
                    "sum(increase(ferry_outer_foreign_files_replaced_total[1d]))",
                    red=1,
                ),
                figures(
                    "Strange names on the medium",
                    "sum(ferry_inner_medium_entries_ignored)",
                    red=1,
                ),
                figures(
                    "Workers ended, in a day",
                    "sum(increase(ferry_outer_workers_ended_total[1d])"
                    " or increase(ferry_inner_verifier_workers_ended_total[1d]))",
                    red=1,
                ),
            ),
        ),
        Row(
            "Refusals",
            (
                lines(
                    "Messages refused by the outer, by reason, in an hour",
                    Query(
                        "sum by (reason) (increase(ferry_outer_messages_total"
                        '{outcome="refused"}[1h]))',
                        "{{reason}}",
                    ),
                    empty_when_well=True,
                ),
                lines(
                    "Messages refused by the outer, by channel, in an hour",
                    Query(
                        "sum by (channel) (increase(ferry_outer_messages_total"
                        '{outcome="refused"}[1h]))',
                        "{{channel}}",
                    ),
                    about="Channel unknown: a sender named one that does not exist.",
                    empty_when_well=True,
                ),
                lines(
                    "Messages refused by the inner, by reason, in an hour",
                    Query(
                        "sum by (channel, reason) (increase(ferry_inner_messages_total"
                        '{outcome="refused"}[1h]))',
                        "{{channel}} {{reason}}",
                    ),
                    about="The outer let them through: the policies differ, or the outer fell.",
                    empty_when_well=True,
                ),
                lines(
                    "Ferry files refused by the inner, by reason, in an hour",
                    Query(
                        "sum by (reason) (increase(ferry_inner_files_total"
                        '{outcome="refused"}[1h]))',
                        "{{reason}}",
                    ),
                    empty_when_well=True,
                ),
                lines(
                    "Messages that killed their worker, in an hour",
                    Query(
                        "sum by (channel) (increase(ferry_outer_messages_total"
                        '{reason="worker_died"}[1h]))',
                        "{{channel}} outer",
                    ),
                    Query(
                        "sum by (channel) (increase(ferry_inner_messages_total"
                        '{reason="worker_died"}[1h]))',
                        "{{channel}} inner",
                    ),
                    empty_when_well=True,
                ),
                lines("Connections", Query("ferry_outer_source_connections", "{{source}}")),
                lines(
                    "Ferry files by outcome",
                    Query("sum by (outcome) (rate(ferry_inner_files_total[5m]))", "{{outcome}}"),
                    unit="reqps",
                ),
                lines(
                    "The verifier can take nothing",
                    Query("ferry_inner_verifier_unavailable", "{{reason}}"),
                    empty_when_well=True,
                ),
            ),
        ),
        Row(
            "What runs out",
            (
                Panel(
                    "Certificates, days left",
                    "table",
                    (
                        Query(
                            "sort((ferry_outer_certificate_expiry_timestamp_seconds or "
                            "ferry_inner_certificate_expiry_timestamp_seconds) - time()) / 86400"
                        ),
                    ),
                    description="Empty where no source and no sink speaks TLS.",
                    empty_when_well=True,
                ),
                Panel(
                    "Senders' keys, days left",
                    "table",
                    (
                        Query(
                            "sort(ferry_inner_sender_key_expiry_timestamp_seconds - time()) / 86400"
                        ),
                    ),
                    description="Empty where the policy sets no not_after.",
                    empty_when_well=True,
                ),
                lines(
                    "Clocks apart",
                    Query("ferry_inner_clock_skew_seconds", "{{sender}}"),
                    unit="s",
                ),
            ),
        ),
    ),
)
