// The Google GenAI Node SDK, with base URL and key alone.
import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";
import { GATEWAY, KEY, TOOL_PROMPT, WRONG_KEY, check, rejects, whole } from "./checks.mjs";

const connect = (apiKey) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: GATEWAY } });
const client = connect(KEY);
const model = "gemini-2.5-flash";

await check("generate", async () => {
  const answer = await client.models.generateContent({ model, contents: "hello" });
  whole(answer.text);
  assert.ok(answer.usageMetadata.candidatesTokenCount > 0);
});

await check("generate, stream", async () => {
  let text = "";
  let chunks = 0;
  for await (const chunk of await client.models.generateContentStream({ model, contents: "hello" })) {
    text += chunk.text ?? "";
    chunks += 1;
  }
  assert.ok(chunks > 1, "the answer came in one piece");
  whole(text);
});

await check("chat", async () => {
  const chat = client.chats.create({ model });
  whole((await chat.sendMessage({ message: "hello" })).text);
  whole((await chat.sendMessage({ message: "and then?" })).text);
});

await check("tools", async () => {
  const look_up = { name: "look_up", parametersJsonSchema: { type: "object", properties: { text: { type: "string" } } } };
  const config = { tools: [{ functionDeclarations: [look_up] }] };
  const answer = await client.models.generateContent({ model, contents: TOOL_PROMPT, config });
  assert.equal(answer.functionCalls[0].name, "look_up");
  whole(answer.functionCalls[0].args.text);
});

await check("count tokens", async () => {
  assert.ok((await client.models.countTokens({ model, contents: "hello" })).totalTokens > 0);
});

await check("models", async () => {
  const names = [];
  for await (const found of await client.models.list()) names.push(found.name);
  assert.ok(names.length && names.every((name) => name.startsWith("models/")), names.join());
});

await check("wrong key", () => rejects(ApiError, () => connect(WRONG_KEY).models.generateContent({ model, contents: "hello" }), 401));

await check("unknown model", () =>
  rejects(ApiError, () => client.models.generateContent({ model: "nobody-serves-this", contents: "hello" }), 404));
