// What OpenAI's and Anthropic's SDKs read: a request on each line of standard input, what came of it on each of the output.
import { createInterface } from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [apiKey] = process.argv.slice(2);
const options = { apiKey, maxRetries: 0, timeout: 60000 };
const gateways = new Map();

function clients(url) {
  if (!gateways.has(url)) {
    const openai = new OpenAI({ ...options, baseURL: `${url}/v1` });
    gateways.set(url, { openai, anthropic: new Anthropic({ ...options, baseURL: url }) });
  }
  return gateways.get(url);
}

async function collected(events) {
  const raw = [];
  for await (const event of events) raw.push(event);
  return raw;
}

const asks = {
  async chat({ openai }, body, stream) {
    if (!stream) return whole(await openai.chat.completions.create(body));
    const raw = [];
    const runner = openai.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
    runner.on("chunk", (chunk) => raw.push(structuredClone(chunk)));
    try {
      return { raw, final: await runner.finalChatCompletion() };
    } catch (error) {
      if (error instanceof OpenAI.APIError || !raw.length) throw error;
      return { raw, helper: error.message }; // the vendor's chunks lack what the helper wants of them
    }
  },
  async completions({ openai }, body, stream) {
    if (!stream) return whole(await openai.completions.create(body));
    const asked = { ...body, stream: true, stream_options: { include_usage: true } };
    return { raw: await collected(await openai.completions.create(asked)) };
  },
  async responses({ openai }, body, stream) {
    if (!stream) return whole(await openai.responses.create(body));
    const raw = await collected(await openai.responses.create({ ...body, stream: true }));
    return { raw, final: raw.findLast((event) => event.response)?.response };
  },
  async messages({ anthropic }, body, stream) {
    if (!stream) return whole(await anthropic.messages.create(body));
    const raw = [];
    const runner = anthropic.messages.stream(body);
    runner.on("streamEvent", (event) => raw.push(structuredClone(event)));
    return { final: await runner.finalMessage(), raw };
  },
  embeddings: async ({ openai }, body) => whole(await openai.embeddings.create(body)),
  moderations: async ({ openai }, body) => whole(await openai.moderations.create(body)),
  count_tokens: async ({ anthropic }, body) => whole(await anthropic.messages.countTokens(body)),
};

function whole(final) {
  return { raw: [final], final };
}

async function answer({ id, url, endpoint, body, stream }) {
  const { stream: _, stream_options: __, ...asked } = body;
  try {
    return { id, ...(await asks[endpoint](clients(url), asked, stream)) };
  } catch (error) {
    const inner = error.error?.error ?? error.error ?? { message: error.message };
    const headers = error.headers ? Object.fromEntries(error.headers) : {};
    return { id, exception: error.constructor.name, status: error.status ?? 0, error: inner, headers, told: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  answer(JSON.parse(line)).then((made) => process.stdout.write(JSON.stringify(made) + "\n"));
}
