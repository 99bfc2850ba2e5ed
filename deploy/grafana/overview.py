"""The first dashboard: is it well, what crosses, what waits, and what runs out."""

from deploy.grafana.panels import Dashboard, Panel, Query, Row, figures, lines

OVERVIEW = Dashboard(
    "ferry-overview",
    "Ferry: overview",
    "Is it well, what crosses, what waits, and what runs out. Each side shows its own half.",
    (
        Row(
            "Now",
            (
                figures("Outer takes messages", "ferry_outer_takes_messages", "bool_on_off", red=1),
                figures("Inner is open", "instance:ferry_inner_open:now", "bool_on_off", red=1),
                figures(
                    "Last file came",
                    "max by (sender) (ferry_inner_last_heartbeat_age_seconds)",
                    "s",
                    red=60,
                ),
                figures("Files missing", "ferry_inner_gap_files", red=1),
                figures("Dead letters", "sum(ferry_inner_dead_letters)", red=1),
                figures("Messages wait", "sum(ferry_inner_waiting_messages)", red=1000),
                figures("Sinks down", "count(ferry_inner_sink_up == 0) or vector(0)", red=1),
                figures("Outer open, a day", "instance:ferry_outer_open:avg1d", "percentunit"),
                figures("Inner open, a day", "instance:ferry_inner_open:avg1d", "percentunit"),
                figures("Outer open, 30 days", "instance:ferry_outer_open:avg30d", "percentunit"),
                figures("Inner open, 30 days", "instance:ferry_inner_open:avg30d", "percentunit"),
                figures("Clocks apart", "max(abs(ferry_inner_clock_skew_seconds))", "s", red=5),
                Panel(
                    "Alerts",
                    "table",
                    (Query('ALERTS{alertname=~"Ferry.+", alertstate="firing"}'),),
                    empty_when_well=True,
                ),
            ),
        ),
        Row(
            "Traffic",
            (
                lines(
                    "Admitted",
                    Query(
                        'channel_outcome:ferry_outer_messages:rate5m{outcome="admitted"}',
                        "{{channel}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "Delivered",
                    Query(
                        'channel_outcome:ferry_inner_deliveries:rate5m{outcome="delivered"}',
                        "{{channel}}",
                    ),
                    unit="reqps",
                ),
                lines(
                    "Sender waits for its acknowledgement, p99",
                    Query("channel:ferry_outer_acknowledgement_seconds:p99_5m", "{{channel}}"),
                    unit="s",
                ),
                lines(
                    "From acceptance to the internal system, p99",
                    Query("channel:ferry_inner_delivery_seconds:p99_5m", "{{channel}}"),
                    unit="s",
                ),
                lines(
                    "Messages wait for their sink",
                    Query("ferry_inner_waiting_messages", "{{channel}}"),
                ),
                lines(
                    "Refused and deferred",
                    Query(
                        "sum by (outcome) (channel_outcome:ferry_outer_messages:rate5m"
                        '{outcome=~"refused|deferred"})',
                        "{{outcome}} by the outer",
                    ),
                    Query(
                        "sum by (outcome) (channel_outcome:ferry_inner_messages:rate5m"
                        '{outcome="refused"})',
                        "{{outcome}} by the inner",
                    ),
                    unit="reqps",
                    empty_when_well=True,
                ),
            ),
        ),
        Row(
            "Room",
            (
                lines(
                    "Medium",
                    Query("ferry_outer_medium_bytes", "ferry files"),
                    Query("ferry_outer_medium_free_bytes", "free"),
                    unit="bytes",
                ),
                lines(
                    "Disks, share free",
                    Query(
                        "ferry_outer_disk_free_bytes / ferry_outer_disk_bytes", "outer {{folder}}"
                    ),
                    Query(
                        "ferry_inner_disk_free_bytes / ferry_inner_disk_bytes", "inner {{folder}}"
                    ),
                    unit="percentunit",
                ),
                lines(
                    "Spool and journal",
                    Query("ferry_outer_spool_bytes", "spool"),
                    Query("ferry_inner_journal_bytes", "journal"),
                    unit="bytes",
                ),
                lines(
                    "Memory",
                    Query("ferry_outer_process_resident_memory_bytes", "outer"),
                    Query("ferry_inner_verifier_process_resident_memory_bytes", "verifier"),
                    Query("ferry_inner_replayer_process_resident_memory_bytes", "replayer"),
                    unit="bytes",
                    about="Without the validation workers, which are processes of their own.",
                ),
            ),
        ),
        Row(
            "Speed",
            (
                lines(
                    "Commits, p99",
                    Query(
                        "histogram_quantile(0.99, "
                        "sum by (le) (rate(ferry_outer_commit_seconds_bucket[5m])))",
                        "ferry file on the medium",
                    ),
                    Query(
                        "histogram_quantile(0.99, "
                        "sum by (le) (rate(ferry_inner_commit_seconds_bucket[5m])))",
                        "journal",
                    ),
                    unit="s",
                ),
                lines(
                    "Messages in a ferry file, mean",
                    Query(
                        "rate(ferry_outer_commit_messages_sum[5m])"
                        " / rate(ferry_outer_commit_messages_count[5m])",
                        "messages",
                    ),
                ),
                lines(
                    "Sinks answer within, p99",
                    Query("sink:ferry_inner_sink_seconds:p99_5m", "{{sink}}"),
                    unit="s",
                ),
                lines(
                    "Processors",
                    Query("rate(ferry_outer_process_cpu_seconds_total[5m])", "outer"),
                    Query("rate(ferry_inner_verifier_process_cpu_seconds_total[5m])", "verifier"),
                    Query("rate(ferry_inner_replayer_process_cpu_seconds_total[5m])", "replayer"),
                ),
            ),
        ),
    ),
)
