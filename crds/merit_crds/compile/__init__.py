"""Compile: resources to snapshot and statuses. Same input, same bytes; no I/O, no clock.

Stages, each in its own file:

1. `translate`: one resource alone, checked and turned into its snapshot entry (or into problems).
2. `settle`: which form of each resource is in force. Of two that claim the same, the older wins; one that doesn't
   compile or has lost leaves its entry of `previous` in force.
3. `link`: references between entries; what can't be resolved is left out and said so, and takes nothing else with it.
4. `status`: what to tell the owner of each resource.
"""

from merit_crds.compile.compiler import Compiled, compile_resources
from merit_crds.compile.settle import Force
from merit_crds.compile.status import ResourceStatus
from merit_crds.compile.translations import Translations

__all__ = ["Compiled", "Force", "ResourceStatus", "Translations", "compile_resources"]
