"""What dispatched requests cost, with what a trace knows of shared prompt prefixes."""

import numpy as np

from merit_crds.snapshot import ModelPrice
from merit_dataplane.replay.dispatch import UNSERVED
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.pricing import priced
from merit_dataplane.replay.shapes import Shapes
from merit_dataplane.replay.tokens import Tokens

WARM_SECONDS = 300.0
"""For so long after its last use a provider still has a prefix, as Anthropic and OpenAI say of theirs."""


def spend(chosen: Ints, names: list[str], prices: list[ModelPrice], shapes: Shapes) -> Ints:
    """Pico-dollars of each request at the place that it goes to; 0 where nobody serves it. `names`: of each place."""
    tokens = shapes.tokens if shapes.prefix.names in ([], [""]) else _warmed(chosen, names, shapes)
    made = np.zeros(len(shapes), np.int64)
    for place in np.unique(chosen):
        if place != UNSERVED:
            rows = np.flatnonzero(chosen == place)
            made[rows] = billed(prices[place], rows, tokens, shapes)
    return made


def billed(price: ModelPrice, rows: Ints, tokens: Tokens, shapes: Shapes) -> Ints:
    """Pico-dollars of these requests on one model, by the instant that it is billed by."""
    at = shapes.time[rows]
    if price.billed_by_completion:
        at = at + shapes.duration[rows]
    return priced(price, at, tokens[rows])


def _warmed(chosen: Ints, names: list[str], shapes: Shapes) -> Tokens:
    """Tokens of requests with a named prefix: read from the cache of who was sent it lately, else written to it."""
    distinct = sorted(set(names))
    account = np.array([distinct.index(name) for name in names] + [len(distinct)], np.int64)[chosen]
    order = np.lexsort((shapes.time, shapes.prefix.codes, account))
    same = (np.diff(account[order]) == 0) & (np.diff(shapes.prefix.codes[order]) == 0)
    warm = np.zeros(len(shapes), np.bool_)
    warm[order[1:]] = same & (np.diff(shapes.time[order]) <= WARM_SECONDS)
    named = shapes.prefix.codes != shapes.prefix.code("")
    columns = dict(shapes.tokens.columns)
    nothing = np.zeros(len(shapes), np.int64)
    plain = {name: columns.get(name, nothing) for name in ("uncached_input", "cached_input", "cache_write")}
    everything = plain["uncached_input"] + plain["cached_input"] + plain["cache_write"]
    prefix = np.minimum(shapes.prefix_tokens, everything)
    columns["uncached_input"] = np.where(named, everything - prefix, plain["uncached_input"])
    columns["cached_input"] = np.where(named, np.where(warm, prefix, 0), plain["cached_input"])
    columns["cache_write"] = np.where(named, np.where(warm, 0, prefix), plain["cache_write"])
    return shapes.tokens.of(columns)
