// The Anthropic TypeScript SDK, with base URL and key alone.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { GATEWAY, KEY, TOOL_PROMPT, WRONG_KEY, check, rejects, whole } from "./checks.mjs";

const client = new Anthropic({ baseURL: GATEWAY, apiKey: KEY });
const body = { model: "claude-sonnet-4-5", max_tokens: 256, messages: [{ role: "user", content: "hello" }] };

await check("messages", async () => whole((await client.messages.create(body)).content[0].text));

await check("messages, stream", async () => {
  let text = "";
  const stream = client.messages.stream(body).on("text", (delta) => (text += delta));
  const answer = await stream.finalMessage();
  whole(text);
  assert.ok(answer.usage.output_tokens > 1);
});

await check("tools, stream", async () => {
  const tools = [{ name: "look_up", input_schema: { type: "object" } }];
  const messages = [{ role: "user", content: TOOL_PROMPT }];
  const answer = await client.messages.stream({ ...body, messages, tools }).finalMessage();
  whole(answer.content[0].input.text);
});

await check("count tokens", async () => {
  const { max_tokens, ...prompt } = body;
  assert.ok((await client.messages.countTokens(prompt)).input_tokens > 0);
});

await check("models", async () => {
  for await (const model of client.models.list()) assert.equal(model.type, "model", JSON.stringify(model));
});

await check("wrong key", async () => {
  const other = new Anthropic({ baseURL: GATEWAY, apiKey: WRONG_KEY });
  await rejects(Anthropic.AuthenticationError, () => other.messages.create(body), 401);
});

await check("unknown model", () =>
  rejects(Anthropic.NotFoundError, () => client.messages.create({ ...body, model: "nobody-serves-this" }), 404));
