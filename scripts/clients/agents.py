"""Coding agents, started as their users start them without a terminal. Argument: the agent's name.

Each gets a home directory of its own, and its settings from `narrows connect`.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from checks import GATEWAY, KEY, TOOL_PROMPT, check, whole

# Seconds that an agent may take for one prompt. They need a few; one that retries for ever needs an end.
PATIENCE = 90

BIN = Path(os.environ["NARROWS_AGENTS_BIN"])
NARROWS = os.environ["NARROWS_PROGRAM"]
# A key of the right form that the gateway does not know any more.
DELETED_KEY = os.environ["NARROWS_DELETED_KEY"]


@dataclass
class Agent:
    """How an agent is started, besides what `narrows connect` sets."""

    # The catalogue's word for it.
    name: str
    # Its command; the prompt comes last.
    command: list
    # What keeps it from calling anything but the gateway.
    quiet: dict = field(default_factory=dict)
    # Settings that its user has already: `connect` must keep them.
    settings: dict = field(default_factory=dict)
    # What a user types once, where there is no settings file to write.
    once: list = field(default_factory=list)
    # The settings come as exports.
    by_shell: bool = False
    # The model to ask for, where it does not choose well against the demo.
    model: str = ""


AGENTS = {
    agent.name: agent
    for agent in [
        Agent(
            "claude-code",
            ["claude", "-p"],
            quiet={
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
                "DISABLE_ERROR_REPORTING": "1",
                "DISABLE_TELEMETRY": "1",
            },
            # Without comments: it does not read a file that has any.
            settings={".claude/settings.json": '{\n  "includeCoAuthoredBy": false\n}\n'},
        ),
        Agent(
            "claude-code-subscription",
            ["claude", "-p"],
            quiet={
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
                # What a login leaves behind; not a real one.
                "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-not-a-real-login",
            },
        ),
        Agent(
            "codex",
            ["codex", "exec", "--skip-git-repo-check"],
            settings={".codex/config.toml": "# mine\n[analytics]\nenabled = false\n"},
            model="gpt-5",
        ),
        Agent(
            "gemini-cli",
            ["gemini", "-p"],
            quiet={"GEMINI_TELEMETRY_ENABLED": "false", "GEMINI_CLI_TRUST_WORKSPACE": "true"},
            settings={
                ".gemini/settings.json": json.dumps(
                    {
                        "privacy": {"usageStatisticsEnabled": False},
                        "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
                    }
                )
            },
            model="gemini-2.5-flash",
        ),
        Agent(
            "opencode",
            ["opencode", "run"],
            quiet={
                "OPENCODE_DISABLE_AUTOUPDATE": "1",
                "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
                "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
                "OPENCODE_DISABLE_MODELS_FETCH": "1",
            },
            settings={
                ".config/opencode/opencode.jsonc": (
                    '{\n  // mine\n  "autoupdate": false,\n  "share": "disabled",\n'
                    '  "enabled_providers": ["narrows"],\n}\n'
                )
            },
            model="gpt-4o",
        ),
        Agent("copilot-cli", ["copilot", "--allow-all-tools", "-p"], by_shell=True),
        Agent(
            "cline",
            ["cline"],
            once=["cline", "auth", "--provider", "openai-compatible", "--baseurl", "{url}/v1", "--apikey", "{key}"]
            + ["--modelid", "gpt-5"],
        ),
    ]
}


def run(command, home, environment):
    """Runs a command in an empty folder with nothing of this user's environment; returns how it ended."""
    work = home / "work"
    work.mkdir(exist_ok=True)
    # A session of its own, so that what the agent itself starts ends with it.
    process = subprocess.Popen(
        command,
        cwd=work,
        env={
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "NO_PROXY": "127.0.0.1,localhost",
            **environment,
        },
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


def connect(agent, home, *options, key=KEY):
    """`narrows connect` in the agent's home; the key comes from the environment."""
    command = [NARROWS, "connect", agent.name, "--url", GATEWAY, *options]
    done = run(command, home, {"NARROWS_KEY": key})
    assert done.returncode == 0, done.stderr
    return done.stdout


def set_up(agent, home, key=KEY, model=True):
    """Points the agent at the gateway; returns what its environment needs."""
    for name, text in agent.settings.items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    options = ["--model", agent.model] if agent.model and model else []
    if agent.by_shell:
        lines = shlex.split(connect(agent, home, "--shell", *options, key=key), comments=True)
        return dict(line.split("=", 1) for line in lines if line != "export")
    if agent.once:
        done = run([word.format(url=GATEWAY, key=key) for word in agent.once], home, {})
        assert done.returncode == 0, done.stdout + done.stderr
        return {}
    connect(agent, home, "--write", *options, key=key)
    return {}


def tear_down(agent, home):
    """Takes the gateway's settings away: what the user had is there byte for byte, and no file of theirs has the key."""
    connect(agent, home, "--remove")
    for name, text in agent.settings.items():
        now = (home / name).read_text()
        # An agent may have added something of its own since.
        assert KEY not in now and all(line in now for line in text.splitlines()), f"{name}: {now}"
    assert not list(home.glob("**/*.narrows-backup")), "a backup was left"


def prompted(agent, home, prompt, environment):
    return run([*agent.command, prompt], home, {**agent.quiet, **environment})


def answered(agent, home, prompt, model=True):
    """Fails unless the agent ended well and printed the demo's answer. After a tool call it goes on to one, too."""
    begun = time.monotonic()
    environment = set_up(agent, home, model=model)
    connected = time.monotonic()
    done = prompted(agent, home, prompt, environment)
    said = (done.stdout.strip() or done.stderr.strip())[-300:]
    assert done.returncode == 0, f"exit code {done.returncode}: {said or 'it said nothing'}"
    whole(done.stdout[done.stdout.index("The gateway passed") :] if "The gateway passed" in done.stdout else said)
    ended = time.monotonic()
    if not agent.once and not agent.by_shell:
        tear_down(agent, home)
    return f"{connected - begun:.2f} s to connect, {ended - begun:.1f} s to the first answer"


def refused(agent, home):
    """Fails unless the agent says that its key was refused, instead of hanging or ending well."""
    environment = set_up(agent, home, key=DELETED_KEY)
    done = prompted(agent, home, "say hi", environment)
    said = done.stdout + done.stderr
    assert "key is disabled" in said or "401" in said or "authentic" in said.lower(), said[-300:]


def main():
    agent = AGENTS[sys.argv[1]]
    checks = [("connect and prompt", 1, "say hi", True), ("tool call", 2, TOOL_PROMPT, True)]
    if agent.name == "gemini-cli":
        checks.append(("prompt, model chosen by the program", 1, "say hi", False))
    for name, exchanges, prompt, model in checks:
        with tempfile.TemporaryDirectory(dir=os.environ["NARROWS_TEMP"], ignore_cleanup_errors=True) as home:
            check(name, exchanges)(lambda: answered(agent, Path(home), prompt, model))
    with tempfile.TemporaryDirectory(dir=os.environ["NARROWS_TEMP"], ignore_cleanup_errors=True) as home:
        check("deleted key")(lambda: refused(agent, Path(home)))


main()
