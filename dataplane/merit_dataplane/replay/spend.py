"""What dispatched requests cost, with what a trace knows of shared prompt prefixes."""

import numpy as np

from merit_crds.snapshot import ModelPrice
from merit_dataplane.replay.dispatch import UNSERVED
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.prefixes import blocks_of, warm_tokens, with_cache
from merit_dataplane.replay.pricing import priced
from merit_dataplane.replay.shapes import Shapes
from merit_dataplane.replay.tokens import Tokens


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
    blocks = blocks_of(shapes.prefix, shapes.prefix_tokens, shapes.input)
    distinct = sorted(set(names))
    account = np.array([distinct.index(name) for name in names] + [len(distinct)], np.int64)[chosen]
    return with_cache(shapes.tokens, blocks, warm_tokens(blocks, account, shapes.time))
