"""What the two planes share, and nothing else.

Law of this package: pure. No I/O but reading its own package data, no clock, no randomness, no network, neither plane,
neither Kubernetes nor a web framework. `compile` maps the same resources to the same bytes, always.

- `v1alpha1`: the custom resources as users write them (frozen pydantic models).
- `manifest`, `resources`: YAML documents to a set of resources, with file and line of every field.
- `compile`: resources to snapshot and statuses.
- `snapshot`: the compiled document (frozen msgspec structs), its bytes and its version.
- `pricing`: what a request costs, in pico-dollars.
- `push`: the wire contract by which the operator hands a snapshot to a pod.
- `schema`, `definition`, `generate`: the CRD YAML made from the models.
"""

from importlib.metadata import version

__version__ = version("merit-gateway")
GROUP = "merit.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
