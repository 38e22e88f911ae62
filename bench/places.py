"""Where things lie."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
BINARY = BENCH / "bin" / "load"
GO_SOURCES = BENCH / "load"
CHAT = BENCH / "bodies" / "chat.json"
MESSAGES = BENCH / "bodies" / "messages.json"
RESPONSES = BENCH / "bodies" / "responses.json"
CHAT_STREAM = BENCH / "bodies" / "chat-stream.json"
CHAT_CACHED = BENCH / "bodies" / "chat-cached.json"
CHAT_STREAM_CACHED = BENCH / "bodies" / "chat-stream-cached.json"
RESULTS = BENCH / "results.json"
