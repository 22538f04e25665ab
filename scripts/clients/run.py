"""Starts `narrows demo`, runs every client against it, reads the records, prints a table.

Arguments: the narrows binary, a folder for what is thrown away, `--tier sdks` or nothing, names of the clients to run
(default: all). Environment: NARROWS_PYTHON and NARROWS_ADK_PYTHON (Pythons with the SDKs), NARROWS_NODE_MODULES and
NARROWS_AGENTS_BIN (what npm installed), each empty if there is none; CI.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Seconds until the demo must be ready, until a client's records must be stored, for all checks of one client, and
# until the demo must have stopped.
READY_SECONDS, RECORD_SECONDS, CLIENT_SECONDS, STOP_SECONDS = 30, 30, 400, 60
# What a client's deliberate mistakes leave behind, beside completed exchanges.
REFUSALS = {"key_unknown", "key_disabled", "model_unknown", "body_malformed"}


@dataclass
class Client:
    """A client program: its own words, and the catalogue's word for it, which says what records call it."""

    name: str
    program: list
    catalogue: str
    # The variable that says where what it needs is installed.
    needs: str = "NARROWS_PYTHON"
    # Further endings that belong to its checks.
    also: set = field(default_factory=set)

    @property
    def is_sdk(self):
        return self.needs != AGENTS


NODE, ADK, AGENTS = "NARROWS_NODE_MODULES", "NARROWS_ADK_PYTHON", "NARROWS_AGENTS_BIN"

CLIENTS = [
    Client("openai (Python)", ["openai_python.py"], "openai-sdk"),
    Client("anthropic (Python)", ["anthropic_python.py"], "anthropic-sdk"),
    Client("google-genai (Python)", ["google_genai_python.py"], "google-genai-sdk"),
    Client("LangChain, LangGraph", ["langchain_python.py"], "langchain"),
    Client("Google ADK", ["google_adk_python.py"], "google-adk", ADK),
    Client("openai (Node)", ["openai_node.mjs"], "openai-sdk", NODE, also={"client_gone"}),
    Client("anthropic (Node)", ["anthropic_node.mjs"], "anthropic-sdk", NODE),
    Client("google-genai (Node)", ["google_genai_node.mjs"], "google-genai-sdk", NODE),
    Client("Claude Code", ["agents.py", "claude-code"], "claude-code", AGENTS),
    Client("Claude Code, own login", ["agents.py", "claude-code-subscription"], "claude-code-subscription", AGENTS),
    Client("Codex CLI", ["agents.py", "codex"], "codex", AGENTS),
    Client("Gemini CLI", ["agents.py", "gemini-cli"], "gemini-cli", AGENTS),
    Client("OpenCode", ["agents.py", "opencode"], "opencode", AGENTS),
    Client("Copilot CLI", ["agents.py", "copilot-cli"], "copilot-cli", AGENTS),
    Client("Cline CLI", ["agents.py", "cline"], "cline", AGENTS),
]


class Demo:
    """A running `narrows demo`."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.store = folder / "narrows.db"
        self.process = subprocess.Popen(
            [binary, "demo", "--json", "--port", "0", "--store", str(self.store)],
            stdout=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGALRM, lambda *_: self.process.kill())
        signal.alarm(READY_SECONDS)
        line = self.process.stdout.readline()
        signal.alarm(0)
        if not line:
            sys.exit("the demo did not become ready")
        ready = json.loads(line)
        self.gateway, self.key = ready["gateway"], ready["key"]
        self.known = set()

    def narrows(self, *arguments):
        """Runs a command on the demo's store; gives its JSON lines."""
        command = [self.binary, *arguments, "--json"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def deleted_key(self):
        """A key of the right form that the gateway does not take."""
        (made,) = self.narrows("keys", "create", "--name", "gone", "--store", str(self.store))
        self.narrows("keys", "delete", made["id"], "--store", str(self.store))
        return made["key"]

    def new_records(self):
        """Records since the last call. Records are stored in order, so a request of our own marks the end."""
        request = urllib.request.Request(f"{self.gateway}/v1/models", headers={"authorization": f"Bearer {self.key}"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            mark = answer.headers["x-narrows-request-id"] or answer.headers["x-request-id"]
        deadline = time.monotonic() + RECORD_SECONDS
        while True:
            records = self.narrows("records", "--store", str(self.store), "--limit", "1000")
            if any(record["id"] == mark for record in records):
                break
            if time.monotonic() > deadline:
                sys.exit(f"the record {mark} did not appear within {RECORD_SECONDS} s")
            time.sleep(0.1)
        fresh = [r for r in records if r["id"] not in self.known and r["id"] != mark]
        self.known |= {r["id"] for r in records}
        return list(reversed(fresh))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            print(f"FAIL: the demo did not stop within {STOP_SECONDS} s", file=sys.stderr)
            return False
        return self.process.returncode == 0


def run_client(client, demo, folder):
    """The checks' lines of one client."""
    script, *words = client.program
    tool = os.environ[client.needs]
    if script.endswith(".mjs"):
        # Node looks for packages beside the program.
        command = ["node", str(Path(tool).parent / script), *words]
    else:
        python = tool if client.needs.endswith("PYTHON") else sys.executable
        command = [python, str(HERE / script), *words]
    environment = {
        **os.environ,
        "NARROWS_GATEWAY": demo.gateway,
        "NARROWS_KEY": demo.key,
        "NARROWS_PROGRAM": str(Path(demo.binary).resolve()),
        "NARROWS_DELETED_KEY": demo.deleted,
        "NARROWS_TEMP": str(folder),
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONWARNINGS": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return [{"check": "(program)", "ok": False, "detail": f"not done after {CLIENT_SECONDS} s"}]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        lines.append({"check": "(program)", "ok": False, "detail": f"exit {done.returncode}: {done.stderr[-400:]}"})
    return lines


def check_records(client, recorded_as, records, expected):
    """The checks' lines about what the gateway recorded of the client; `expected` generations at least."""

    def line(name, wrong):
        shown = [
            f"{r['dialect']} {r['model_requested']} {r['status']} {r['reason']} origin={r['origin']} client={r['client']}"
            for r in wrong[:3]
        ]
        return {"check": name, "ok": not wrong, "detail": "; ".join(shown)}

    if not records:
        return [{"check": "recorded", "ok": False, "detail": "no record at all"}]
    allowed = {"completed"} | REFUSALS | client.also
    served = [r for r in records if r["attempts"] and r["reason"] == "completed"]
    # Counting a prompt's tokens generates nothing and has no usage.
    charged = [r for r in served if r["origin"] != "unknown"]
    counted = [r for r in served if r["origin"] == "unknown" and r["response_bytes"] > 400]
    unpaid = [
        r
        for r in charged
        if r["origin"] != "provider"
        or not r["input"]
        or (not r["output"] and r["dialect"] != "openai.embeddings")
    ]
    strangers = [r for r in records if r["client"] not in recorded_as and r["dialect"]]
    enough = {"check": "records: number", "ok": len(charged) >= expected, "detail": f"{len(charged)} of {expected}"}
    return [
        enough,
        line("records: how they ended", [r for r in records if r["reason"] not in allowed]),
        line("records: usage", unpaid + counted + ([] if charged else served)),
        line("records: client recognized", strangers),
    ]


def print_table(rows):
    width = max(len(name) for name, _ in rows)
    longest = max(len(line["check"]) for _, line in rows)
    for name, line in rows:
        word = "pass" if line["ok"] else "FAIL"
        remark = f"  {line['remark']}" if line.get("remark") else ""
        print(f"{name:<{width}}  {line['check']:<{longest}}  {word}{remark}")
        if not line["ok"]:
            print(f"{'':<{width}}    {' '.join(line['detail'].split())[:600]}")


def main():
    binary, folder, wanted = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    sdks = wanted[:2] == ["--tier", "sdks"]
    wanted = wanted[2:] if sdks else wanted
    demo = Demo(binary, folder)
    rows, skipped = [], []
    try:
        demo.deleted = demo.deleted_key()
        catalogue = {line["name"]: line for line in demo.narrows("connect", "list")}
        demo.new_records()
        for client in CLIENTS:
            chosen = not wanted or any(word.lower() in client.name.lower() for word in wanted)
            if not chosen or (sdks and not client.is_sdk):
                continue
            if not os.environ.get(client.needs):
                skipped.append(client.name)
                continue
            begun = time.monotonic()
            lines = run_client(client, demo, folder)
            records = demo.new_records()
            recorded_as = catalogue[client.catalogue]["recorded_as"]
            lines += check_records(client, recorded_as, records, sum(line.get("exchanges", 0) for line in lines))
            rows += [(client.name, line) for line in lines]
            sums = Counter((r["dialect"] or "-", r["reason"]) for r in records)
            told = ", ".join(f"{d} {w} ×{n}" for (d, w), n in sorted(sums.items()))
            print(f"# {client.name} ({time.monotonic() - begun:.0f} s): {told}", flush=True)
    finally:
        stopped = demo.stop()
    if not rows:
        sys.exit("no client ran")
    print_table(rows)
    failed = sum(not line["ok"] for _, line in rows)
    print(f"{len(rows)} checks, {failed} failed" + (f"; SKIPPED: {', '.join(skipped)}" if skipped else ""))
    sys.exit(1 if failed or not stopped or (skipped and os.environ.get("CI") == "true") else 0)


main()
