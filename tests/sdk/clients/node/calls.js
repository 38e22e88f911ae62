// openai-node's methods, one after the other, as its own tests use them: the answer as the server gave it, what the SDK
// made of it, and both. Run as `node calls.js BASE_URL KEY <CALLS.json`. Prints outcomes by name, and what methods there are.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

const PICTURE = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

async function filled(value) {
  if (Array.isArray(value)) return Promise.all(value.map(filled));
  if (value === null || typeof value !== "object") return value;
  if (value.$file) return toFile(PICTURE, value.$file);
  return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([k, v]) => [k, await filled(v)])));
}

function found(client, path) {
  const names = path.split(".");
  const name = names.pop();
  const resource = names.reduce((at, step) => at[step], client);
  assert(typeof resource[name] === "function", `${path} is no method`);
  return (...given) => resource[name](...given);
}

function methods(resource, prefix, seen = new Set()) {
  if (seen.has(resource)) return [];
  seen.add(resource);
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(resource)).filter((name) => name !== "constructor" && !name.startsWith("_"));
  const below = Object.entries(resource).filter(([name, value]) => !name.startsWith("_") && value?._client);
  return [...own.map((name) => prefix + name), ...below.flatMap(([name, value]) => methods(value, `${prefix}${name}.`, seen))];
}

async function outcome(client, { method, positional, params }) {
  const given = await filled(params);
  const promise = Object.keys(given).length ? found(client, method)(...positional, given) : found(client, method)(...positional);
  const raw = await promise.asResponse();
  assert(raw instanceof Response && raw.ok);
  const data = await promise;
  const both = await promise.withResponse();
  assert.strictEqual(both.response, raw);
  assert.strictEqual(both.data, data);
  if (given.stream) for await (const event of data) assert(typeof event === "object");
  return "passed";
}

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const outcomes = {};
for (const call of JSON.parse(readFileSync(0)))
  outcomes[call.name] = await outcome(client, call).catch((error) => `${error.status ?? error.name}: ${error.message}`.slice(0, 400));
const resources = Object.entries(client).filter(([, value]) => value?._client);
console.log(JSON.stringify({ outcomes, methods: resources.flatMap(([name, value]) => methods(value, `${name}.`)) }));
