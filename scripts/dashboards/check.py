#!/usr/bin/env python3
"""Asks a real Prometheus for every expression of the dashboard and the rules, with real traffic behind it.

    check.py NARROWS PROMETHEUS

Starts `narrows demo` and Prometheus on free ports of 127.0.0.1, sends traffic of every kind, good and bad, and goes on
until every expression has had data. Standard library only.
"""

import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Seconds within which the demo must be ready, one request answered, and every expression have data.
READY_MAX = 60
REQUEST_MAX = 20
DATA_MAX = 150
# What Grafana puts in the place of its variables, for a scrape every second.
VARIABLES = {"$__rate_interval": "15s", "$__interval": "5s", "$__range": "60s"}
# Selectors of alerts that need a fault which a healthy gateway cannot be made to have from outside.
WITHOUT_DATA = {
    'narrows_exchanges_total{reason="gateway_bug"}': "there is no known way to make one",
    'narrows_exchanges_total{error_type="gateway"}': "needs a full memory, a failing disk, or a bug",
}

# Metrics that a demo has no series of.
METRICS_WITHOUT_DATA = {
    "narrows_guardrail_questions_total": "the demo asks no guardrail",
    "narrows_guardrail_duration_seconds_bucket": "the demo asks no guardrail",
    "narrows_guardrail_state": "the demo asks no guardrail",
    "narrows_guardrail_connections_opened_total": "the demo asks no guardrail",
    "narrows_guardrail_connections_reused_total": "the demo asks no guardrail",
    "narrows_alerts_total": "the demo has no policies that raise one",
    "narrows_alert_deliveries_total": "the demo tells no webhook",
    "narrows_failovers_total": "the demo's models have one target each",
    "narrows_retries_total": "the demo's models have one target each",
}
# Limits that are made while the demo runs: one with room, one that refuses, one that makes wait.
BUDGETS = {
    "all": {"usd": 1000000, "window": "day"},
    "refused": {"requests": 1, "window": "day", "where": {"model": "gpt-4o-mini"}},
    "slow": {"requests": 1, "window": "day", "where": {"model": "gpt-4.1-mini"}, "at_limit": "throttle", "delay": "10ms"},
}

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
MESSAGES = {"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
GENERATE = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
GEMINI = "/v1beta/models/gemini-2.5-flash:"


def fail(text):
    sys.exit(f"error: {text}")


def kinds():
    """Path, body, how the fake provider behaves, and whether the key is right: one of every kind of exchange."""
    stream = lambda body: {**body, "stream": True}
    yield "/v1/chat/completions", CHAT, "", True
    yield "/v1/chat/completions", stream(CHAT), "chunks=8;gap_ms=15", True
    yield "/v1/messages", MESSAGES, "cached=3;cache_write=2;input=20", True
    yield "/v1/messages", stream(MESSAGES), "chunks=8;gap_ms=15", True
    yield GEMINI + "generateContent", GENERATE, "reasoning=5", True
    yield GEMINI + "streamGenerateContent?alt=sse", GENERATE, "chunks=4", True
    yield "/v1/responses", {"model": "gpt-5", "input": "hello"}, "", True
    yield "/v1/embeddings", {"model": "text-embedding-3-small", "input": "hello"}, "", True
    yield "/v1/chat/completions", CHAT, "status=500", True
    yield "/v1/chat/completions", CHAT, "status=429;retry_after=1", True
    yield "/v1/chat/completions", CHAT, "status=401", True
    yield "/v1/chat/completions", CHAT, "fault=no_usage", True
    yield "/v1/chat/completions", stream(CHAT), "chunks=5;fault=cut_after:2", True
    yield "/v1/messages", stream(MESSAGES), "chunks=5;fault=error_event:2", True
    yield "/v1/chat/completions", {**CHAT, "model": "unheard-of"}, "", True
    yield "/v1/chat/completions", {**CHAT, "model": "gpt-4o-mini"}, "", True
    yield "/v1/chat/completions", {**CHAT, "model": "gpt-4.1-mini"}, "", True
    yield "/v1/chat/completions", CHAT, "", False
    yield "/v1/nothing", CHAT, "", True
    # Above `limits.metered_copy`: passed on without being read, so its tokens are not known.
    yield "/v1/chat/completions", CHAT, f"body_bytes={9 << 20}", True


class Demo:
    """A gateway with a fake provider, and clients of it."""

    def __init__(self, program, folder):
        self.log = open(folder / "demo.log", "wb")
        command = [program, "demo", "--port", "0", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log)
        timer = threading.Timer(READY_MAX, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            fail(f"the demo was not ready within {READY_MAX} s: {(folder / 'demo.log').read_text()[-2000:]}")
        ready = json.loads(line)
        self.gateway = ready["gateway"].removeprefix("http://")
        self.metrics = ready["metrics"].removeprefix("http://")
        self.key = ready["key"]
        self.limit(ready["admin"].removeprefix("http://"), ready["admin_token"])
        self.stopping = threading.Event()
        self.sent = 0
        self.threads = [threading.Thread(target=self.traffic, daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def limit(admin, token):
        """Makes the budgets."""
        for name, budget in BUDGETS.items():
            connection = http.client.HTTPConnection(admin, timeout=REQUEST_MAX)
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            connection.request("PUT", f"/admin/v1/budgets/{name}", json.dumps(budget), headers)
            answer = connection.getresponse()
            if answer.status not in (200, 201):
                fail(f"the budget {name} was not made: {answer.status} {answer.read().decode()}")
            connection.close()

    def traffic(self):
        connection = http.client.HTTPConnection(self.gateway, timeout=REQUEST_MAX)
        while not self.stopping.is_set():
            for path, body, knobs, right in kinds():
                key = self.key if right else self.key[:-5] + "00000"
                headers = {"authorization": f"Bearer {key}", "content-type": "application/json", "x-fake": knobs}
                try:
                    connection.request("POST", path, json.dumps(body), headers)
                    connection.getresponse().read()
                except (OSError, http.client.HTTPException):
                    # Cuts are part of it: the next request has a connection of its own.
                    connection.close()
                self.sent += 1
                if self.stopping.wait(0.02):
                    return
            probe = http.client.HTTPConnection(self.gateway, timeout=REQUEST_MAX)
            probe.request("GET", "/")
            probe.getresponse().read()
            probe.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(REQUEST_MAX)
        self.process.terminate()
        try:
            self.process.wait(READY_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Prometheus:
    """A real one, which scrapes the gateway every second and evaluates the rules every two."""

    def __init__(self, program, metrics, folder):
        rules = []
        for name in ("recording.yaml", "alerts.yaml"):
            text = (ROOT / "dashboards" / name).read_text()
            # A window of minutes would need minutes of traffic.
            text = re.sub(r"\[\d+m\]", "[15s]", re.sub(r"interval: \d+s", "interval: 2s", text))
            (folder / name).write_text(text)
            rules.append(name)
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "2s"},
            "rule_files": rules,
            "scrape_configs": [{"job_name": "narrows", "static_configs": [{"targets": [metrics]}]}],
        }
        (folder / "prometheus.yaml").write_text(json.dumps(config))
        self.log_file = folder / "prometheus.log"
        self.log = open(self.log_file, "wb")
        # Prometheus does not tell which free port it took.
        self.address = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--log.level=warn",
            ],
            stdout=self.log,
            stderr=self.log,
        )
        until = time.monotonic() + READY_MAX
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > until:
                fail(f"Prometheus did not start: {self.log_file.read_text()[-2000:]}")
            time.sleep(0.2)

    def ready(self):
        try:
            return self.get("/-/ready")[0] == 200
        except OSError:
            return False

    def get(self, path, **query):
        connection = http.client.HTTPConnection(self.address, timeout=REQUEST_MAX)
        try:
            connection.request("GET", path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else ""))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def api(self, path, **query):
        """The data of an answer, or an error that names the query."""
        status, body = self.get(path, **query)
        answer = json.loads(body)
        if status != 200 or answer["status"] != "success":
            raise ValueError(f"{answer.get('error', status)}")
        return answer["data"]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(READY_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def dashboard(prometheus):
    """Every expression of the dashboard with its place: panels, annotations; and its variables, resolved."""
    board = json.loads((ROOT / "dashboards" / "overview.json").read_text())
    values = dict(VARIABLES)
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        metric, label = re.fullmatch(r"label_values\((.*), *(\w+)\)", variable["definition"]).groups()
        # As Grafana does for a variable with several values: all of them, one expression.
        series = prometheus.api("/api/v1/series", **{"match[]": substitute(metric, values)})
        found = sorted({one[label] for one in series if label in one})
        if not found:
            raise ValueError(f"the variable {variable['name']} has no value")
        values["$" + variable["name"]] = "(" + "|".join(re.escape(one).replace("\\-", "-") for one in found) + ")"
    expressions = []
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expressions.append((f"panel {panel['title']!r}", substitute(target["expr"], values)))
    return expressions


def substitute(expression, values):
    for name in sorted(values, key=len, reverse=True):
        # In a PromQL string a backslash stands before a backslash.
        expression = expression.replace(name, values[name].replace("\\", "\\\\"))
    if "$" in expression:
        raise ValueError(f"a variable without a value: {expression}")
    return expression


def rules(prometheus):
    """What Prometheus makes of the rules: names of recorded series, and the selectors within alerts."""
    recorded, selectors = [], []
    for group in prometheus.api("/api/v1/rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] == "err":
                raise ValueError(f"{rule['name']}: {rule.get('lastError')}")
            if rule["health"] != "ok":
                raise LookupError(f"{rule['name']} was not evaluated yet")
            if rule["type"] == "recording":
                recorded.append((f"rule {rule['name']}", rule["name"]))
            else:
                for selector in re.findall(r"\b(?:narrows|gen_ai|process)_\w+(?:\{[^}]*\})?", rule["query"]):
                    # Labels that a clause names are no metrics.
                    if not selector.startswith("gen_ai_") or "{" in selector or selector.endswith("_bucket"):
                        selectors.append((f"alert {rule['name']}", selector))
    return recorded, selectors


def has_data(prometheus, expression):
    result = prometheus.api("/api/v1/query", query=expression)["result"]
    return any(one["value"][1] != "NaN" for one in result)


def without_data(expression):
    """What is known to have no data in an expression: its own selector, or the metrics that it names."""
    if expression in WITHOUT_DATA:
        return [expression]
    return [name for name in METRICS_WITHOUT_DATA if re.search(rf"\b{name}\b", expression)]


def wait_for_data(prometheus):
    """Asks for everything until each expression has had data once; returns how many, and what has none."""
    until = time.monotonic() + DATA_MAX
    seen, last = set(), "nothing was scraped yet"
    while time.monotonic() < until:
        try:
            recorded, selectors = rules(prometheus)
            everything = dashboard(prometheus) + recorded + selectors
        except (LookupError, ValueError) as error:
            last = str(error)
            time.sleep(1)
            continue
        open_ = [one for one in everything if one not in seen and not without_data(one[1])]
        faults = []
        for one in open_:
            try:
                if has_data(prometheus, one[1]):
                    seen.add(one)
            except ValueError as error:
                faults.append(f"{one[0]}: {error}: {one[1]}")
        if faults:
            fail("not valid:\n  " + "\n  ".join(faults))
        missing = [one for one in open_ if one not in seen]
        if not missing:
            # What has no data is asked for all the same, so that it is known to be valid.
            skipped = [one for one in everything if without_data(one[1])]
            for place, expression in skipped:
                try:
                    has_data(prometheus, expression)
                except ValueError as error:
                    fail(f"not valid:\n  {place}: {error}: {expression}")
            return len(everything) - len(skipped), sorted({one for _, expression in skipped for one in without_data(expression)})
        last = "no data for:\n  " + "\n  ".join(f"{place}: {expression}" for place, expression in missing)
        time.sleep(1)
    fail(f"after {DATA_MAX} s {last}")


def main():
    narrows, program = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="narrows-dashboards-") as folder:
        folder = pathlib.Path(folder)
        demo = Demo(narrows, folder)
        try:
            prometheus = Prometheus(program, demo.metrics, folder)
            try:
                count, without = wait_for_data(prometheus)
            finally:
                prometheus.stop()
        finally:
            demo.stop()
        if demo.process.returncode != 0:
            fail(f"the demo ended with {demo.process.returncode}: {(folder / 'demo.log').read_text()[-2000:]}")
        known = WITHOUT_DATA | METRICS_WITHOUT_DATA
        for selector in without:
            print(f"without data, as expected: {selector} ({known[selector]})")
        stale = set(known) - set(without)
        if stale:
            fail(f"not asked for any more, take them from what is without data: {', '.join(sorted(stale))}")
        print(f"{count} expressions have data, after {demo.sent} exchanges")


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C"
    main()
