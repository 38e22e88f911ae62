"""The garbage collector while a snapshot is built."""

import contextlib
import gc
from collections.abc import Iterator

_MANY_OBJECTS = 20_000


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection while so much is made that lives, and none of it afterwards.

    A full collection takes up to a second at 2,000 routes, measured. Neither tables nor what a request leaves behind
    hold cycles (a test says so), so that reference counting frees them. May be nested.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if gc.get_count()[0] > _MANY_OBJECTS:
                gc.freeze()
            gc.enable()
