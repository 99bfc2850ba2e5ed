"""Content: bytes and a policy in, a verdict and the rebuilt payload out.

Pure functions, one family of messages a module; `worker` alone has I/O. What each family's rebuilt
message means is written in README.md beside this file.
"""
