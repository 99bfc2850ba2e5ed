"""The contract between the two hosts: ferry files, keys, streams and the medium's rules.

SPEC.md beside this file is the written specification; container.py is the place to start reading.
Nothing is imported here, so that ``ferry_format.reasons`` stays cheap for sandboxed workers.
"""
