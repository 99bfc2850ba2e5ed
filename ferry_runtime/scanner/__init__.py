"""Virus scanning: the protocols of clamd and of ICAP, and what of a message they must see."""
