// What every Node client program shares: one JSON line per check on standard output.
import assert from "node:assert/strict";

export const GATEWAY = process.env.NARROWS_GATEWAY;
export const KEY = process.env.NARROWS_KEY;
export const WRONG_KEY = "sk-not-a-key-of-this-gateway";
// Text of a prompt on which the demo's provider calls the request's first tool.
export const TOOL_PROMPT = "Please call a tool now.";

/** Runs a check and reports whether it threw. */
export async function check(name, run) {
  let line = { check: name, ok: true, detail: "" };
  try {
    await run();
  } catch (error) {
    line = { check: name, ok: false, detail: `${error?.constructor?.name}: ${error?.message}` };
  }
  console.log(JSON.stringify(line));
}

/** Fails unless `run` rejects with exactly this kind of error and HTTP status. */
export async function rejects(kind, run, status) {
  await assert.rejects(run, (error) => {
    assert.ok(error instanceof kind, `${error?.constructor?.name} instead of ${kind.name}: ${error?.message}`);
    assert.equal(error.status, status);
    return true;
  });
}

/** Fails unless the text is the demo's sample, with its characters of four bytes intact. */
export function whole(text) {
  assert.ok(text?.startsWith("The gateway passed"), `unexpected text: ${String(text).slice(0, 80)}`);
  assert.ok(text.includes("🙂") && !text.includes("\ufffd"), "characters were damaged");
}
