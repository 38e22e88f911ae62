"""One client library after the other: a plain answer, a streamed one, a tool call. Prints what it got as JSON.

Run as `python_clients.py NAME BASE_URL KEY`, in an environment that has clients/requirements.txt.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

QUESTION = "What is the weather in New York?"
Got = dict[str, Any]


def langchain(base_url: str, key: str) -> Got:
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}"

    model = ChatOpenAI(model="chat", base_url=base_url, api_key=key, max_retries=0)
    answer = model.invoke(QUESTION)
    chunks = list(model.stream(QUESTION))
    called = model.bind_tools([get_weather]).invoke(QUESTION).tool_calls[0]
    return {
        "text": answer.content,
        "tokens": answer.usage_metadata["total_tokens"],
        "streamed": "".join(chunk.content for chunk in chunks),
        "tool": [called["name"], called["args"]],
    }


def llamaindex(base_url: str, key: str) -> Got:
    from llama_index.core.tools import FunctionTool
    from llama_index.llms.openai_like import OpenAILike

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"sunny in {city}"

    model = OpenAILike(
        model="chat", api_base=base_url, api_key=key, is_chat_model=True, is_function_calling_model=True, max_retries=0
    )
    answer = model.complete(QUESTION)
    streamed = [piece.delta or "" for piece in model.stream_complete(QUESTION)]
    reply = model.chat_with_tools([FunctionTool.from_defaults(get_weather)], user_msg=QUESTION)
    called = model.get_tool_calls_from_response(reply)[0]
    return {
        "text": answer.text,
        "tokens": answer.raw.usage.total_tokens,
        "streamed": "".join(streamed),
        "tool": [called.tool_name, called.tool_kwargs],
    }


def pydantic_ai(base_url: str, key: str) -> Got:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("chat", provider=OpenAIProvider(base_url=base_url, api_key=key))
    calls: list[Any] = []
    plain, with_tool = Agent(model), Agent(model)

    @with_tool.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        calls.append(["get_weather", {"city": city}])
        return f"sunny in {city}"

    answer = plain.run_sync(QUESTION)
    stream = plain.run_stream_sync(QUESTION)
    streamed = "".join(stream.stream_text(delta=True, debounce_by=None))
    with_tool.run_sync(QUESTION)
    return {
        "text": answer.output,
        "tokens": answer.usage.total_tokens,
        "streamed": streamed,
        "tool": calls[0],
    }


def instructor(base_url: str, key: str) -> Got:
    import instructor as library
    import openai
    import pydantic

    class GetWeather(pydantic.BaseModel):
        """The weather of a city."""

        city: str

    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    made = library.from_openai(client)
    found = made.chat.completions.create(model="chat", messages=messages, response_model=GetWeather, max_retries=0)
    answer = client.chat.completions.create(model="chat", messages=messages)
    chunks = client.chat.completions.create(model="chat", messages=messages, stream=True)
    return {
        "text": answer.choices[0].message.content,
        "tokens": answer.usage.total_tokens,
        "streamed": "".join(c.choices[0].delta.content or "" for c in chunks if c.choices),
        "tool": ["get_weather", found.model_dump()],
    }


def responses(base_url: str, key: str) -> Got:
    import openai

    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    parameters: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools: Any = [{"type": "function", "name": "get_weather", "parameters": parameters, "strict": False}]
    answer = client.responses.create(model="chat", input=QUESTION)
    with client.responses.stream(model="chat", input=QUESTION) as stream:
        streamed = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    called = client.responses.create(model="chat", input=QUESTION, tools=tools)
    call = next(item for item in called.output if item.type == "function_call")
    return {
        "text": answer.output_text,
        "tokens": answer.usage.total_tokens if answer.usage else 0,
        "streamed": streamed,
        "tool": [call.name, json.loads(call.arguments)],
    }


def anthropic(base_url: str, key: str) -> Got:
    import anthropic as library

    client = library.Anthropic(base_url=base_url.removesuffix("/v1"), api_key=key, max_retries=0)
    tools: Any = [
        {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    ]
    asked: Any = {"model": "chat", "max_tokens": 200, "messages": [{"role": "user", "content": QUESTION}]}
    answer = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = "".join(stream.text_stream)
    called = client.messages.create(**asked, tools=tools)
    call = next(block for block in called.content if block.type == "tool_use")
    return {
        "text": "".join(block.text for block in answer.content if block.type == "text"),
        "tokens": answer.usage.input_tokens + answer.usage.output_tokens,
        "streamed": streamed,
        "tool": [call.name, call.input],
    }


CLIENTS: dict[str, Callable[[str, str], Got]] = {
    client.__name__: client for client in (langchain, llamaindex, pydantic_ai, instructor, responses, anthropic)
}

if __name__ == "__main__":
    name, url, consumer_key = sys.argv[1:]
    print(json.dumps(CLIENTS[name](url, consumer_key)))
