"""The sending side: takes messages in, admits what the whitelist names, publishes ferry files.

A message's way: `sources` → `intake` → `admission` and a validation worker → `publisher` →
`commit` → `spool` and medium → the sender's acknowledgement.
"""
