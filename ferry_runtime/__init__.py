"""What both agents need at run time and that knows neither of them.

Configuration and signed policy, secrets, logs, the audit trail, sd_notify and the metrics server.
Nothing is imported here: each agent's process loads only the modules that it uses.
"""
