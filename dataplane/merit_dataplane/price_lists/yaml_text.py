"""Documents as YAML with a line per price list entry, so that a changed price is a changed line."""

import re
from collections.abc import Iterable
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z][-A-Za-z0-9._/]*$")
_IN_ONE_LINE = {"prices", "capabilities", "windows", "metadata", "providerRef", "currency", "days"}


class _Flow(dict[str, Any]):
    """A mapping that is written in one line."""


class _FlowList(list[Any]):
    """A list that is written in one line."""


class _Dumper(yaml.SafeDumper):
    """Block style with indented lists; strings that are no plain words in double quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 # PyYAML's own
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 # PyYAML's own
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, None if _PLAIN.match(value) else '"')


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_Flow, lambda d, v: d.represent_mapping("tag:yaml.org,2002:map", v.items(), flow_style=True))
_Dumper.add_representer(_FlowList, lambda d, v: d.represent_sequence("tag:yaml.org,2002:seq", v, flow_style=True))


def yaml_text(documents: Iterable[dict[str, Any]], comment: str) -> str:
    """The documents, each under `---` but the first. The same documents are the same bytes."""
    made = [
        yaml.dump(_shaped(d), Dumper=_Dumper, sort_keys=False, width=100_000, allow_unicode=True) for d in documents
    ]
    return f"# {comment}\n" + "---\n".join(made)


def _shaped(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        shaped = {k: _shaped(v, k) for k, v in value.items()}
        return _Flow(shaped) if key in _IN_ONE_LINE else shaped
    if isinstance(value, list | tuple):
        listed = [_shaped(v, "prices" if key == "windows" else "") for v in value]
        return _FlowList(listed) if key in _IN_ONE_LINE or not value else listed
    return value
