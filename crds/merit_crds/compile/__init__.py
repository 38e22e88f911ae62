"""Compile: resources to snapshot and statuses. Same input, same bytes; no I/O, no clock.

Stages, each in its own file:

1. `translate`: one resource alone, checked and turned into its snapshot entry (or into problems).
2. `conflicts`: of two that claim the same, the older wins.
3. `link`: references between entries; what can't be resolved is left out and said so, and takes nothing else with it.

A resource that doesn't compile leaves its entry of `previous` in force.
"""

from merit_crds.compile.compiler import Compiled, Force, ResourceStatus, Translations, compile_resources

__all__ = ["Compiled", "Force", "ResourceStatus", "Translations", "compile_resources"]
