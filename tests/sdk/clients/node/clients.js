// One client library after the other: a plain answer, a streamed one, a tool call. Prints what it got as JSON.
// Run as `node clients.js NAME BASE_URL KEY`.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { generateText, streamText, tool } from "ai";
import OpenAI from "openai";
import { z } from "zod";

const QUESTION = "What is the weather in New York?";

async function vercel(baseURL, apiKey) {
  const model = createOpenAICompatible({ name: "merit", baseURL, apiKey, includeUsage: true })("chat");
  const answer = await generateText({ model, prompt: QUESTION, maxRetries: 0 });
  let streamed = "";
  for await (const piece of streamText({ model, prompt: QUESTION, maxRetries: 0 }).textStream) streamed += piece;
  const weather = tool({ description: "The weather of a city.", inputSchema: z.object({ city: z.string() }) });
  const called = await generateText({ model, prompt: QUESTION, tools: { get_weather: weather }, maxRetries: 0 });
  const { toolName, input } = called.toolCalls[0];
  return { text: answer.text, tokens: answer.usage.totalTokens, streamed, tool: [toolName, input] };
}

async function openai(baseURL, apiKey) {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const messages = [{ role: "user", content: QUESTION }];
  const answer = await client.chat.completions.create({ model: "chat", messages });
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ model: "chat", messages, stream: true }))
    streamed += chunk.choices[0]?.delta.content ?? "";
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
  const called = await client.chat.completions.create({ model: "chat", messages, tools });
  const { name, arguments: given } = called.choices[0].message.tool_calls[0].function;
  return {
    text: answer.choices[0].message.content,
    tokens: answer.usage.total_tokens,
    streamed,
    tool: [name, JSON.parse(given)],
  };
}

async function responses(baseURL, apiKey) {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const answer = await client.responses.create({ model: "chat", input: QUESTION });
  const stream = client.responses.stream({ model: "chat", input: QUESTION });
  let streamed = "";
  for await (const event of stream) if (event.type === "response.output_text.delta") streamed += event.delta;
  if ((await stream.finalResponse()).output_text !== streamed) throw new Error("the last event says something else");
  const parameters = { type: "object", properties: { city: { type: "string" } } };
  const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
  const called = await client.responses.create({ model: "chat", input: QUESTION, tools });
  const call = called.output.find((item) => item.type === "function_call");
  return {
    text: answer.output_text,
    tokens: answer.usage.total_tokens,
    streamed,
    tool: [call.name, JSON.parse(call.arguments)],
  };
}

async function anthropic(baseURL, apiKey) {
  const client = new Anthropic({ baseURL: baseURL.replace(/\/v1$/, ""), apiKey, maxRetries: 0 });
  const asked = { model: "chat", max_tokens: 200, messages: [{ role: "user", content: QUESTION }] };
  const answer = await client.messages.create(asked);
  const stream = client.messages.stream(asked);
  let streamed = "";
  stream.on("text", (text) => (streamed += text));
  await stream.finalMessage();
  const input_schema = { type: "object", properties: { city: { type: "string" } } };
  const called = await client.messages.create({ ...asked, tools: [{ name: "get_weather", input_schema }] });
  const call = called.content.find((block) => block.type === "tool_use");
  const { input_tokens, output_tokens } = answer.usage;
  return { text: answer.content[0].text, tokens: input_tokens + output_tokens, streamed, tool: [call.name, call.input] };
}

const [name, baseURL, apiKey] = process.argv.slice(2);
console.log(JSON.stringify(await { vercel, openai, responses, anthropic }[name](baseURL, apiKey)));
