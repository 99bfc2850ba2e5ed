"""The receiving side: the verifier takes what crossed, the replayer hands it to its sinks.

Two processes that share journal.db and a hint FIFO; verifier.py and replayer.py are where to start.
"""
