"""A real worker whose validator has fallen to its message: it runs what the message says.

Start, pipes, sandbox and loop are the worker's own. A payload that begins with # is a program; what
it leaves in `answer` is the verdict's payload.
"""

from __future__ import annotations

import sys
from typing import Final

_PROGRAM: Final = """
import ctypes, errno, os, socket, sys
import validators.worker.__main__ as worker
from validators.verdict import Accepted

class Fallen:
    content_type = "text/plain"

    def validate(self, payload):
        scope = {"ctypes": ctypes, "errno": errno, "os": os, "socket": socket, "sys": sys}
        if payload.startswith(b"#"):
            exec(payload, scope)
        return Accepted(repr(scope.get("answer")).encode(), "fallen", None)

worker.build_spec = lambda *_: Fallen()
worker.main()
"""
COMMAND: Final = (sys.executable, "-I", "-c", _PROGRAM)
