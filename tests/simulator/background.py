"""An event loop in a thread of its own, so that receivers live beside a test that blocks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

_T = TypeVar("_T")


class Background:
    """`with Background() as background: background.do(receiver.start)`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="background")

    def __enter__(self) -> Self:
        return self

    def open(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run `work` in this thread, before the loop has its own: sockets are made where we are."""
        return self.loop.run_until_complete(work())

    def start(self) -> None:
        """From now on the loop runs beside."""
        self._thread.start()

    def do(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run `work` in the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work(), self.loop).result(60)

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
        self.loop.close()
