"""A text to its YAML documents, each with the line of every field, or with what makes it unreadable."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MOST_NODES = 200_000
"""Values of one document, aliases counted wherever they stand: a bomb of aliases stops here."""
DEEPEST = 64
Path = tuple[str | int, ...]
_INT = re.compile(r"^[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o?[0-7]+)$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc] # the C one where there is one
    """kubectl's reading of plain scalars: no dates, and 12:30 is no number in base 60."""


_replaced = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _replaced]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


@dataclass(frozen=True, slots=True)
class Document:
    """One document."""

    line: int
    value: Any = None
    lines: Mapping[Path, int] = field(default_factory=dict)
    fault: str = ""
    """Why it can't be read; then there is no value."""


class _UnreadableError(Exception):
    """The document must not be used: `args` are the line and the reason."""


def documents(text: str) -> Iterator[Document]:
    """The documents that are not empty. After a syntax error there is nothing more to read."""
    loader = _Loader(text)
    try:
        _refuse_depth(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None:
                document = _document(loader, node)
                if document.fault or document.value is not None:
                    yield document
    except _UnreadableError as error:
        yield Document(error.args[0], fault=error.args[1])
    except yaml.YAMLError as error:
        yield Document(_line_of(error), fault=f"is no YAML: {_words(error)}")
    finally:
        loader.dispose()


def _refuse_depth(text: str) -> None:
    """Before nodes are made: the C composer recurses without a limit and takes the process down with it."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    line = event.start_mark.line + 1 if event.start_mark else 1
                    raise _UnreadableError(line, f"is nested deeper than {DEEPEST} levels")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        return  # what stands before the error is read, the error is told there


def _document(loader: Any, node: yaml.Node) -> Document:
    line = node.start_mark.line + 1
    try:
        lines = _Walk(node).lines
        return Document(line, loader.construct_document(node), lines)
    except _UnreadableError as error:
        return Document(error.args[0], fault=error.args[1])
    except yaml.YAMLError as error:
        return Document(_line_of(error), fault=f"is no plain YAML: {_words(error)}")
    except (ValueError, LookupError, AttributeError, TypeError) as error:  # PyYAML, of `!!int x` and its like
        return Document(line, fault=f"is no plain YAML: {error}")


def _line_of(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _words(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or str(error)


class _Walk:
    """Lines of the fields of one document by path. Raises _UnreadableError."""

    def __init__(self, root: yaml.Node) -> None:
        self.lines: dict[Path, int] = {}
        self._left = MOST_NODES
        self._visit(root, ())

    def _visit(self, node: yaml.Node, path: Path) -> None:
        line = node.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            raise _UnreadableError(line, f"has more than {MOST_NODES} values, aliases counted where they are used")
        if len(path) > DEEPEST:
            raise _UnreadableError(line, f"is nested deeper than {DEEPEST} levels")
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._visit(value, (*path, i))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> None:
        seen: set[str] = set()
        for key, value in node.value:
            name, line = str(key.value) if isinstance(key, yaml.ScalarNode) else "", key.start_mark.line + 1
            if name in seen and name:  # loaders silently keep the last, and a price would be lost
                raise _UnreadableError(line, f"key {name!r} occurs twice in one mapping: remove one")
            seen.add(name)
            self.lines[(*path, name)] = line
            self._visit(value, (*path, name))
