"""Virus scanning by ClamAV's daemon: its protocol, and what of a message it must see."""
