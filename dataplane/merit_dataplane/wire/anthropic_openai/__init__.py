"""Anthropic's Messages in, OpenAI's Chat Completions out, for a client that speaks the former. Pure: bytes to bytes.

Formats: https://docs.anthropic.com/en/api/messages and https://platform.openai.com/docs/api-reference/chat. Fields for
what OpenAI's format has no words for are those of `openai_anthropic`. `wire.plain` takes them out for vendors that know
OpenAI's own words alone. What can't be said in them at all is listed (`only_there`), and keeps the request with
providers of the protocol Anthropic, which get the client's own bytes (`anthropic_anthropic`).
"""
