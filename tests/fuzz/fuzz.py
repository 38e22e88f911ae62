"""Coverage-guided fuzzing of what reads a provider's or a client's bytes, for a bounded time: `make fuzz`.

.venv/bin/python tests/fuzz/fuzz.py TARGET [-max_total_time=60] [libFuzzer's options]

Needs atheris (`pip install atheris`: Linux, Python 3.11 to 3.13). What it finds is written as `crash-…`; a test in
`tests/unit/dataplane/wire/test_any_bytes.py` should hold it then. The corpus are the recorded answers in
`tests/cassettes`.
"""

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["merit_dataplane"]):
    import msgspec

    from merit_crds.pricing import CostDetails, Usage
    from merit_dataplane.upstream.content_coding import CodingError, decoder_of
    from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
    from merit_dataplane.wire.body import understood
    from merit_dataplane.wire.clients import CLIENTS, dialect_for
    from merit_dataplane.wire.dialects import DIALECTS
    from merit_dataplane.wire.errors import RequestError
    from merit_dataplane.wire.openai_progress import Progress
    from merit_dataplane.wire.openai_request import Operation, parse
    from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
    from merit_dataplane.wire.server_sent_events import MalformedStreamError
from tests.fidelity.exchanges import exchanges

PROTOCOLS = sorted(DIALECTS)
CODINGS = (b"gzip", b"deflate", b"br", b"zstd", b"gzip, br")
CHAT = parse(Operation.CHAT, b'{"model":"m","stream":true,"messages":[{"role":"user","content":"?"}]}')
MESSAGE = CLIENTS[Operation.MESSAGES].parse(
    b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"?"}]}', ()
)


def free(_: Usage) -> CostDetails:
    """No price."""
    return CostDetails(input=0, output=0, request=0)


def streams(data: bytes) -> None:
    """The first byte is the protocol, the second the size of pieces."""
    if len(data) < 2:
        return
    stream = DIALECTS[PROTOCOLS[data[0] % len(PROTOCOLS)]].stream(CHAT, "model", free, 1)
    renderers, progress = (MessageRenderer(MESSAGE, "r"), ResponseRenderer(None, "r")), Progress()
    size, body = data[1] + 1, data[2:]
    with contextlib.suppress(MalformedStreamError):
        for at in range(0, len(body), size):
            out = progress.feed(stream.feed(body[at : at + size]))
            for renderer in renderers:
                renderer.feed(out)
        out = progress.feed(stream.finish())
        for renderer in renderers:
            renderer.feed(out)
            renderer.finish()


def answers(data: bytes) -> None:
    """The first byte is the protocol; whole answers and errors."""
    if not data:
        return
    dialect, body = DIALECTS[PROTOCOLS[data[0] % len(PROTOCOLS)]], data[1:]
    with contextlib.suppress(ValueError):
        made, _ = dialect.answer(body, CHAT, "model", 1)
        MessageRenderer(MESSAGE, "r").whole(made, 200)
        ResponseRenderer(None, "r").whole(made, 200)
    MessageRenderer(MESSAGE, "r").whole(dialect.error(400, body, lambda _: None).body, 400)


def requests(data: bytes) -> None:
    """The first byte is the endpoint."""
    if not data:
        return
    operation = sorted(CLIENTS)[data[0] % len(CLIENTS)]
    with contextlib.suppress(RequestError):
        call = CLIENTS[operation].parse(data[1:], ((b"content-type", b"multipart/form-data; boundary=b"),))
        for dialect in DIALECTS.values():
            if call.operation in dialect.paths:
                with contextlib.suppress(RequestError):
                    understood(dialect_for(dialect, call, -1).request, call, msgspec.Raw(b'"model"'), 100)


def codings(data: bytes) -> None:
    """The first byte is the content-encoding."""
    if not data:
        return
    with contextlib.suppress(CodingError):
        decoder = decoder_of(CODINGS[data[0] % len(CODINGS)])
        if decoder is not None:
            for _, piece in zip(range(64), decoder.pieces(data[1:]), strict=False):
                del piece
            decoder.finish()


TARGETS = {"streams": streams, "answers": answers, "requests": requests, "codings": codings}


def seeds(target: str, folder: Path) -> None:
    """Recorded bytes, as the target takes them."""
    for place, exchange in enumerate(exchanges(extracts=True)):
        if exchange.kind is None or exchange.kind.protocol not in PROTOCOLS:
            continue
        first = bytes([PROTOCOLS.index(exchange.kind.protocol)])
        data = exchange.body[:8000]
        if target == "streams" and exchange.streamed:
            (folder / str(place)).write_bytes(first + b"\x3f" + data)
        elif target == "answers" and not exchange.streamed:
            (folder / str(place)).write_bytes(first + data)
        elif target == "requests" and exchange.request is not None:
            (folder / str(place)).write_bytes(b"\x00" + msgspec.json.encode(exchange.request))


def main() -> None:
    """The program."""
    target = sys.argv[1] if len(sys.argv) > 1 else ""
    if target not in TARGETS:
        sys.exit(f"which one? {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory() as corpus:
        seeds(target, Path(corpus))
        options = ["-max_total_time=60", "-timeout=10", "-rss_limit_mb=2048", "-max_len=9000", *sys.argv[2:], corpus]
        atheris.Setup([sys.argv[0], *options], TARGETS[target])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
