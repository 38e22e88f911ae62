// One client library after the other: a plain answer, a streamed one, a tool call. Prints what it got as JSON.
// Run as `node clients.js NAME BASE_URL KEY`.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
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

const [name, baseURL, apiKey] = process.argv.slice(2);
console.log(JSON.stringify(await { vercel, openai }[name](baseURL, apiKey)));
