"""Places where this process fails on purpose, for tests of what is lost then.

Off, and nothing but one check of a module's constant, unless MERIT_FAILPOINTS names some when the process starts:
`NAME=ACTION` or `NAME=ACTION@N` (at its Nth passing), with commas between several. Never on a request's path.

    kill    SIGKILL, as the kernel's when memory is short
    full    OSError, no space left on the device
    fault   OSError, input/output error
"""

import errno
import logging
import os
import signal
from collections import Counter
from collections.abc import Mapping
from typing import Final, NamedTuple

VARIABLE: Final = "MERIT_FAILPOINTS"
POINTS: Final = (
    "push.received",
    "push.unpacked",
    "push.decoded",
    "push.built",
    "push.swapped",
    "disk.opened",
    "disk.torn",
    "disk.written",
    "disk.synced",
    "disk.replaced",
)
"""In the order in which a push passes them."""
_ERRORS: Final = {"full": errno.ENOSPC, "fault": errno.EIO}
log = logging.getLogger("merit.failpoints")


class Armed(NamedTuple):
    """What happens at a point."""

    action: str
    at: int
    """At which passing; the first is 1."""


def armed(text: str) -> Mapping[str, Armed]:
    """The variable's value, read. Raises ValueError that names what is wrong."""
    made = {}
    for part in filter(None, text.split(",")):
        name, _, rest = part.partition("=")
        action, _, at = rest.partition("@")
        if name not in POINTS:
            raise ValueError(f"{VARIABLE}: {name!r} is no failpoint; there are {', '.join(POINTS)}")
        if action not in ("kill", *_ERRORS):
            raise ValueError(f"{VARIABLE}: {name}={action!r} must be kill, {' or '.join(_ERRORS)}")
        if at and not (at.isascii() and at.isdigit() and int(at)):
            raise ValueError(f"{VARIABLE}: {name}={rest!r} must end with @ and a number from 1")
        made[name] = Armed(action, int(at or 1))
    return made


_ARMED: Final = armed(os.environ.get(VARIABLE, ""))
_passed: Counter[str] = Counter()
if _ARMED:
    log.warning("%s is set: this process will fail on purpose at %s", VARIABLE, ", ".join(_ARMED))


def passes(name: str) -> None:
    """This process comes to a point. Raises OSError, or never returns, where it is to fail here."""
    if _ARMED and (here := _ARMED.get(name)) is not None:
        _passed[name] += 1
        if _passed[name] == here.at:
            _fail(name, here.action)


def _fail(name: str, action: str) -> None:
    log.warning("failing at %s: %s", name, action)
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(_ERRORS[action], os.strerror(_ERRORS[action]), name)
