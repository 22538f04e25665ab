"""Coding agents, started as their users start them without a terminal. Argument: the agent's name."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import GATEWAY, KEY, TOOL_PROMPT, WRONG_KEY, check, whole

# Seconds that an agent may take for one prompt. They need a few; one that retries for ever needs an end.
PATIENCE = 60

BIN = Path(os.environ["NARROWS_NODE_BIN"])

# What keeps each agent from calling anything but the gateway.
QUIET = {
    "claude-code": {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
    },
    "codex": {},
    "gemini-cli": {"GEMINI_TELEMETRY_ENABLED": "false", "GEMINI_CLI_TRUST_WORKSPACE": "true"},
    "opencode": {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
    },
}


def run(agent, home, command, settings):
    """Runs the agent in an empty folder with nothing of this user's environment; returns how it ended."""
    work = home / "work"
    work.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1,localhost",
        **QUIET[agent],
        **settings,
    }
    # A session of its own, so that what the agent itself starts ends with it.
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"not done after {PATIENCE} s; it said: {(out + err)[-300:].strip()!r}") from None
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def claude_code(home, key, prompt):
    settings = {"ANTHROPIC_BASE_URL": GATEWAY, "ANTHROPIC_AUTH_TOKEN": key}
    return run("claude-code", home, ["claude", "-p", prompt], settings)


def codex(home, key, prompt):
    folder = home / ".codex"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(
        'model = "gpt-5"\nmodel_provider = "narrows"\n'
        f'[model_providers.narrows]\nname = "Narrows"\nbase_url = "{GATEWAY}/v1"\n'
        'env_key = "NARROWS_KEY"\nwire_api = "responses"\n'
        "[analytics]\nenabled = false\n"
    )
    return run("codex", home, ["codex", "exec", "--skip-git-repo-check", prompt], {"NARROWS_KEY": key})


def gemini_cli(home, key, prompt, *options):
    folder = home / ".gemini"
    folder.mkdir(exist_ok=True)
    # Without a terminal the program refuses the authentication type that it derives from the base URL, so the type
    # has to be named.
    (folder / "settings.json").write_text(
        json.dumps(
            {
                "security": {"auth": {"selectedType": "gemini-api-key"}},
                "privacy": {"usageStatisticsEnabled": False},
                "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
            }
        )
    )
    settings = {"GOOGLE_GEMINI_BASE_URL": GATEWAY, "GEMINI_API_KEY": key}
    return run("gemini-cli", home, ["gemini", *options, "-p", prompt], settings)


def gemini_cli_model(home, key, prompt):
    return gemini_cli(home, key, prompt, "-m", "gemini-2.5-flash")


def opencode(home, key, prompt):
    folder = home / "work"
    folder.mkdir(exist_ok=True)
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Narrows",
        "options": {"baseURL": f"{GATEWAY}/v1", "apiKey": key},
        "models": {"gpt-4o": {"name": "GPT-4o"}},
    }
    configuration = {
        "autoupdate": False,
        "share": "disabled",
        "model": "narrows/gpt-4o",
        "small_model": "narrows/gpt-4o",
        "enabled_providers": ["narrows"],
        "provider": {"narrows": provider},
    }
    (folder / "opencode.json").write_text(json.dumps(configuration))
    return run("opencode", home, ["opencode", "run", prompt], {})


# Agent, then what runs it, by check.
AGENTS = {
    "claude-code": [("prompt", claude_code, "hi"), ("tool call", claude_code, TOOL_PROMPT)],
    "codex": [("prompt", codex, "hi"), ("tool call", codex, TOOL_PROMPT)],
    "gemini-cli": [
        ("prompt", gemini_cli_model, "hi"),
        ("tool call", gemini_cli_model, TOOL_PROMPT),
        ("prompt, model chosen by the program", gemini_cli, "hi"),
    ],
    "opencode": [("prompt", opencode, "hi"), ("tool call", opencode, TOOL_PROMPT)],
}


def answered(home, start, prompt):
    """Fails unless the agent ended well and printed the demo's answer. After a tool call it goes on to one, too."""
    done = start(home, KEY, prompt)
    said = (done.stdout.strip() or done.stderr.strip())[-300:]
    assert done.returncode == 0, f"exit code {done.returncode}: {said or 'it said nothing'}"
    whole(done.stdout[done.stdout.index("The gateway passed") :] if "The gateway passed" in done.stdout else said)


def refused(home, start):
    """Fails unless the agent says that its key was refused, instead of hanging or ending well."""
    done = start(home, WRONG_KEY, "hi")
    said = done.stdout + done.stderr
    assert "not a virtual key" in said or "401" in said or "authentic" in said.lower(), said[-300:]


def main():
    agent = sys.argv[1]
    for name, start, prompt in AGENTS[agent]:
        # A tool's result goes back in a further exchange.
        exchanges = 2 if prompt == TOOL_PROMPT else 1
        with tempfile.TemporaryDirectory(dir=os.environ["NARROWS_TEMP"]) as home:
            check(name, exchanges)(lambda: answered(Path(home), start, prompt))
    with tempfile.TemporaryDirectory(dir=os.environ["NARROWS_TEMP"]) as home:
        check("wrong key")(lambda: refused(Path(home), AGENTS[agent][0][1]))


main()
