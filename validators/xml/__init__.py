"""XML, with CDA R2 documents and SOAP envelopes, parsed by libxml2 and written as canonical XML.

In order: decode, prolog, limits, parse, checks, SOAP, whitelist, CDA, rebuild. The parser is given
the root element only: no DOCTYPE and no encoding name ever reach it.
"""
