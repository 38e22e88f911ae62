"""Which tests of an SDK's own suite are of what Merit serves, which are not and why, and whether that is true.

A test is named by its file under the suite's `tests/api_resources` and by the call that it makes: the ways in which an
SDK gives the same answer (as a model, raw, as a stream) are one call.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.sdk.suite import Suite

_RESOURCES = "tests/api_resources"
_WAYS = re.compile(r"^test_(?:method|raw_response|streaming_response)_")
PROBE = "raw_response and loose and not Async"
"""Of a file that is not served: one test of each call."""


@dataclass(frozen=True)
class Scope:
    """Of one suite. Patterns are those of shells."""

    served: tuple[str, ...]
    """Files of endpoints that Merit has."""
    not_served: Mapping[str, str]
    """Files of endpoints that it hasn't, and why."""
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Calls in the served ones, as `FILE::CALL`, that don't get through, and why."""

    def files(self, tested: Suite) -> tuple[str, ...]:
        """Paths of the served files."""
        return tuple(f"{_RESOURCES}/{file}" for file in self.served if (tested.source / _RESOURCES / file).exists())

    def probes(self, tested: Suite) -> tuple[str, ...]:
        """Paths of the others."""
        return tuple(f"{_RESOURCES}/{file}" for file in _all(tested) if file not in self.served)

    def unknown(self, tested: Suite) -> list[str]:
        """Files that nobody has decided about, and names of files that there are not."""
        there = set(_all(tested))
        new = [file for file in there - set(self.served) if _match(self.not_served, file) is None]
        gone = [name for name in (*self.served, *self.not_served) if not fnmatch.filter(there, name)]
        return sorted(new) + sorted(gone)

    def faults(self, through: Mapping[str, str], straight: Mapping[str, str] | None = None) -> dict[str, str]:
        """What is wrong, by test. `straight`: outcomes without Merit, which has no part in what fails there, too."""
        found = dict(self._faults(through, straight or {}))
        called = {call(test) for test in through}
        found |= {name: "no test has this name" for name in self.excluded if not fnmatch.filter(called, name)}
        return found

    def _faults(self, through: Mapping[str, str], straight: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        for test in through.keys() | straight.keys():
            outcome, alone = through.get(test, "did not run"), straight.get(test, "passed")
            why = _match(self.excluded, call(test))
            if why is not None:
                if outcome == "passed":
                    yield test, f"passes, and is excluded: {why}"
            elif alone == "passed" and outcome != "passed" and not (not straight and outcome == "skipped"):
                yield test, outcome


def call(test: str) -> str:
    """`test_models.py::delete` of `tests.api_resources.test_models.TestModels::test_raw_response_delete[strict]`."""
    where, _, name = test.removeprefix("tests.api_resources.").partition("::")
    file = where.rpartition(".")[0].replace(".", "/")
    return f"{file}.py::{_WAYS.sub('', name.partition('[')[0])}"


def _all(tested: Suite) -> list[str]:
    folder = tested.source / _RESOURCES
    return sorted(_posix(path.relative_to(folder)) for path in folder.rglob("test_*.py"))


def _posix(path: Path) -> str:
    return path.as_posix()


def _match(patterns: Mapping[str, str], name: str) -> str | None:
    return next((why for pattern, why in patterns.items() if fnmatch.fnmatchcase(name, pattern)), None)
