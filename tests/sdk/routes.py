"""Resources for suites: every model name that they use is a route of its own."""

import re
from pathlib import Path

from merit_dataplane.wire.features import BY_NAME
from tests.sdk.suite import Suite
from tests.support.resources import CONSUMER, prices, provider, route

_ALL = list(BY_NAME)
_OF_ACCOUNTS = {"Files", "Batches"}
"""Of the first model alone: a file that names no model goes to the only provider that has files."""
_HALF = 'serviceTiers: [{name: batch, percentOff: "50"}]'
_MODEL = re.compile(r'\bmodel(?:_id)?="([^"]+)"')
_IN_A_DOCUMENT = re.compile(r"[A-Za-z0-9._:/-]+")


def models(tested: Suite, files: tuple[str, ...], *more: str) -> list[str]:
    """Those that the files name, and more."""
    named = (_MODEL.findall((tested.source / file).read_text()) for file in files)
    return sorted(name for name in {*more}.union(*named) if _IN_A_DOCUMENT.fullmatch(name))


def write(folder: Path, names: list[str], *vendors: tuple[str, str]) -> Path:
    """A folder with the Consumer, and each model at each vendor (protocol, base URL), the first being the cheapest."""
    documents = [CONSUMER]
    for place, model in enumerate(names):
        able = ", ".join(name for name in _ALL if not place or name not in _OF_ACCOUNTS)
        at = [f"v{number}-{place}" for number in range(len(vendors))]
        for number, (name, (protocol, url)) in enumerate(zip(at, vendors, strict=True), 1):
            documents += [
                provider(name, url, protocol=protocol),
                prices(name, str(number), str(number), model=model, capabilities=able, extra=_HALF),
            ]
        text = route(*at, name=f"m{place}", model=model)
        for name in at:
            text = text.replace(f"{name}-model", model)
        documents.append(text)
    folder.mkdir()
    (folder / "all.yaml").write_text("\n---\n".join(documents))
    return folder
