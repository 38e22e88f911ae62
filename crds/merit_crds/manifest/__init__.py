"""YAML documents to resources and Secrets, with the line of every field. Reads text, never a file.

What kubectl sends to an API server is what is read here: times and 12:30 stay strings, and an explicit null is as good
as an absent field.
"""

from merit_crds.manifest.model import DEFAULT_NAMESPACE, Fault, Manifest
from merit_crds.manifest.reading import read

__all__ = ["DEFAULT_NAMESPACE", "Fault", "Manifest", "read"]
