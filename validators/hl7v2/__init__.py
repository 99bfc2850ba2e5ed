"""HL7 v2 in its vertical-bar encoding: any v2.x, parsed strictly in one linear pass.

In order: separators, charset, decode, split, check, whitelist, rebuild. The library parsers accept
garbage or are quadratic, so the gate has its own.
"""
