// The OpenAI Node SDK, with base URL and key alone.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { GATEWAY, KEY, TOOL_PROMPT, WRONG_KEY, check, rejects, whole } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: KEY });
const messages = [{ role: "user", content: "hello" }];
const model = "gpt-4o";

await check("chat", async () => {
  const answer = await client.chat.completions.create({ model, messages });
  whole(answer.choices[0].message.content);
});

await check("chat, stream", async () => {
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    text += chunk.choices[0].delta.content ?? "";
    assert.ok(!chunk.usage, "usage that was not asked for reached the client");
  }
  whole(text);
});

await check("chat, stream with usage", async () => {
  const options = { model, messages, stream: true, stream_options: { include_usage: true } };
  const told = [];
  for await (const chunk of await client.chat.completions.create(options)) {
    if (chunk.usage) told.push(chunk.usage.completion_tokens);
  }
  assert.ok(told.length === 1 && told[0] > 0);
});

await check("chat, tools, stream", async () => {
  const tools = [{ type: "function", function: { name: "look_up", parameters: { type: "object" } } }];
  const body = { model, messages: [{ role: "user", content: TOOL_PROMPT }], tools };
  const answer = await client.chat.completions.stream(body).finalChatCompletion();
  whole(JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments).text);
});

await check("chat, stream, left early", async () => {
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  for await (const _ of stream) break;
  assert.ok(stream.controller.signal.aborted);
});

await check("responses, stream", async () => {
  let text = "";
  let last;
  for await (const event of await client.responses.create({ model: "gpt-5", input: "hello", stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event.type;
  }
  whole(text);
  assert.equal(last, "response.completed");
});

await check("embeddings", async () => {
  const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: "hello" });
  assert.equal(answer.data[0].embedding.length, 256);
});

await check("wrong key", async () => {
  const other = new OpenAI({ baseURL: `${GATEWAY}/v1`, apiKey: WRONG_KEY });
  await rejects(OpenAI.AuthenticationError, () => other.chat.completions.create({ model, messages }), 401);
});

await check("unknown model", () =>
  rejects(OpenAI.NotFoundError, () => client.chat.completions.create({ model: "nobody-serves-this", messages }), 404));
