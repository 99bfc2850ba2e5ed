"""Cryptographic suites: one file each, chosen by the suite byte of the frame, never negotiated.

Suite 1 is `ed25519_hybrid`. Suite 2 (国密) is reserved and not yet implemented.
"""
