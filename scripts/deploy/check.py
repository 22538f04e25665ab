#!/usr/bin/env python3
"""Holds what deploy/ ships against Kubernetes' schemas, against rules of ours, and against the program.

    check.py NARROWS KUBECTL

Renders the base and every overlay with `kubectl kustomize`, validates each object strictly against several versions'
schemas (package kubernetes-validate), checks our own rules, and lets `narrows check` read the configuration in it.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
# The oldest version that has everything that is used (ReadWriteOncePod and admission policies), and the newest known.
VERSIONS = ("1.30.0", "1.33.0", "1.37.0")
# Kinds of other projects, whose schemas come in no package; their few fields are checked by `of_others`.
OTHERS = {"monitoring.coreos.com/v1"}
# Seconds that the store has to write what is queued, after the grace (FLUSH_TIME_MAX in proxy/src/server.rs).
FLUSH = 10
# What secrets say in the environment of a pod.
SECRETS = {
    "POSTGRES_ADDRESS": "postgres://db.narrows.svc:5432/narrows",
    "POSTGRES_USERNAME": "narrows",
    "REDIS_ADDRESS": "rediss://counters.narrows.svc:6379",
    "REDIS_USERNAME": "narrows",
}
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

faults = []


def expect(holds, where, what):
    if not holds:
        faults.append(f"{where}: {what}")


def render(kubectl, folder):
    result = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"error: {folder.relative_to(ROOT)} does not render: {result.stderr}")
    return [one for one in yaml.safe_load_all(result.stdout) if one]


def schemas(where, objects):
    for one in objects:
        if one["apiVersion"] in OTHERS:
            of_others(where, one)
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                faults.append(f"{where}: {name(one)} against {version}: {error.message} at {list(error.path)}")


def of_others(where, one):
    expect(one["kind"] == "PodMonitor", where, f"{name(one)}: nobody checks this kind")
    endpoints = one["spec"]["podMetricsEndpoints"]
    expect(endpoints == [{"port": "metrics", "path": "/metrics", "interval": "15s"}], where, f"endpoints {endpoints}")


def name(one):
    return f"{one['kind']} {one['metadata']['name']}"


def of_kind(objects, kind):
    return [one for one in objects if one["kind"] == kind]


def the(where, objects, kind):
    found = of_kind(objects, kind)
    expect(len(found) == 1, where, f"{len(found)} objects of kind {kind}")
    return found[0]


def policies(where, objects):
    """What every rendering must hold to, whatever it is for."""
    expect(not of_kind(objects, "Secret"), where, "a secret's value has no place in a manifest")
    for account in of_kind(objects, "ServiceAccount"):
        expect(account.get("automountServiceAccountToken") is False, where, "the service account mounts its token")
    deployment = the(where, objects, "Deployment")
    spec = deployment["spec"]
    pod = spec["template"]["spec"]
    if shares(objects):
        several(where, objects, spec, pod)
    else:
        expect(spec.get("replicas") == 1, where, "not one replica, and the store is one pod's")
        expect(spec.get("strategy") == {"type": "Recreate"}, where, "two pods may overlap: the strategy must be Recreate")
        claim = the(where, objects, "PersistentVolumeClaim")
        expect(claim["spec"]["accessModes"] == ["ReadWriteOncePod"], where, "a second pod could mount the store")
    expect(pod.get("automountServiceAccountToken") is False, where, "the pod mounts a token")
    security = pod.get("securityContext", {})
    expect(security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0, where, "may run as root")
    expect(security.get("seccompProfile") == {"type": "RuntimeDefault"}, where, "no seccomp profile")
    expect(not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")), where, "shares the host's spaces")
    expect(not any("hostPath" in volume for volume in pod["volumes"]), where, "mounts a folder of the host")
    for container in pod["containers"] + pod.get("initContainers", []):
        contained(where, container)
    selectors(where, objects, spec["template"]["metadata"]["labels"])


def shares(objects):
    """Whether pods share what they keep: a database and counters, both."""
    texts = [one["data"]["narrows.yaml"] for one in of_kind(objects, "ConfigMap")]
    given = [yaml.safe_load(text) for text in texts]
    return any("postgres" in (one.get("store") or {}) and "counters" in one for one in given)


def several(where, objects, spec, pod):
    """What holds where there are several pods."""
    expect(spec.get("replicas", 1) > 1, where, "shares everything, for one replica")
    expect(not of_kind(objects, "PersistentVolumeClaim"), where, "pods that share a database have a volume too")
    expect(not any("persistentVolumeClaim" in volume for volume in pod["volumes"]), where, "the pod mounts a volume")
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    expect(spec.get("strategy") == strategy, where, "an update takes pods away before others serve")
    spread = {one["topologyKey"]: one["labelSelector"]["matchLabels"] for one in pod.get("topologySpreadConstraints", [])}
    expect(set(spread) == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, where, f"spread over {set(spread)}")
    labels = spec["template"]["metadata"]["labels"]
    expect(all(one.items() <= labels.items() for one in spread.values()), where, "spreads other pods")
    ports = {port["port"] for rule in the(where, objects, "NetworkPolicy")["spec"]["egress"] for port in rule["ports"]}
    expect({5432, 6379} <= ports, where, f"the network policy lets nothing out to PostgreSQL or Redis: {ports}")


def contained(where, container):
    where = f"{where}: container {container['name']}"
    security = container.get("securityContext", {})
    expect(security.get("allowPrivilegeEscalation") is False, where, "may gain rights")
    expect(security.get("readOnlyRootFilesystem") is True, where, "its root can be written")
    expect(security.get("capabilities") == {"drop": ["ALL"]}, where, "keeps capabilities")
    image = container["image"]
    tag = re.search(r"(?::(?P<tag>[\w.-]+)|@sha256:[0-9a-f]{64})$", image)
    expect(tag and tag["tag"] != "latest", where, f"the image {image} has no tag or digest of its own")
    resources = container.get("resources", {})
    expect({"cpu", "memory"} <= resources.get("requests", {}).keys(), where, "requests neither cpu nor memory")
    expect("memory" in resources.get("limits", {}), where, "no limit of memory")
    for probe, path in (("startupProbe", "/readyz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        asked = container.get(probe, {}).get("httpGet", {})
        expect(asked == {"path": path, "port": "metrics"}, where, f"{probe} asks {asked}")
    for variable in container.get("env", []):
        secret = re.search("KEY|TOKEN|SECRET|PASSWORD", variable["name"])
        expect(not (secret and "value" in variable), where, f"{variable['name']} holds its value in the manifest")


def selectors(where, objects, labels):
    """Whatever selects pods selects ours."""
    selected = {
        "Deployment": lambda spec: spec["selector"]["matchLabels"],
        "Service": lambda spec: spec["selector"],
        "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
        "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
        "PodMonitor": lambda spec: spec["selector"]["matchLabels"],
    }
    for kind, selector in selected.items():
        for one in of_kind(objects, kind):
            expect(selector(one["spec"]).items() <= labels.items(), where, f"{name(one)} does not select the pod")
    policy = the(where, objects, "NetworkPolicy")["spec"]
    expect(sorted(policy["policyTypes"]) == ["Egress", "Ingress"], where, "the network policy leaves a direction open")
    ports = {port["port"] for rule in policy.get("ingress", []) for port in rule["ports"]}
    expect(ports == {"gateway", "metrics"}, where, f"the network policy lets in {ports}")
    expect(all("from" in rule for rule in policy.get("ingress", [])), where, "a port is open to the whole world")


def size(text):
    number, unit = re.fullmatch(r"(\d+)([KMG]i)B?", text).groups()
    return int(number) * UNITS[unit]


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def narrows(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, env=os.environ | SECRETS)


def certificate(file):
    """An authority's certificate, as secrets hold it."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=check", "-keyout", "/dev/null", "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)


def configuration(program, where, objects, scratch):
    """The configuration in the manifest is one that the program takes, and fits the deployment around it."""
    text = the(where, objects, "ConfigMap")["data"]["narrows.yaml"]
    pod = the(where, objects, "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    for mount in container["volumeMounts"]:
        # The same tree as in the pod, below a folder of ours.
        if "subPath" not in mount:
            (scratch / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
            text = text.replace(mount["mountPath"], str(scratch) + mount["mountPath"])
    for secret in re.findall(r"file:(\S+)", text):
        pathlib.Path(secret).write_text("sk-of-a-test")
    for authority in re.findall(r"ca_file: (\S+)", text):
        certificate(authority)
    given = {one["name"] for one in container.get("env", []) if "secretKeyRef" in one.get("valueFrom", {})}
    for variable in re.findall(r"\$\{(\w+)", text):
        expect(variable in given & SECRETS.keys(), where, f"no secret gives {variable}")
    file = scratch / "narrows.yaml"
    file.write_text(text)
    checked = narrows(program, "check", "--config", str(file))
    expect(checked.returncode == 0, where, f"narrows check: {checked.stdout}{checked.stderr}")
    if checked.returncode != 0:
        return
    shown = json.loads(narrows(program, "config", "show", "--json", "--config", str(file)).stdout)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    port = lambda address: int(address.rsplit(":", 1)[1])
    expect(port(shown["listen"]["gateway"][0]["address"]) == ports["gateway"], where, "the gateway's port differs")
    expect(port(shown["listen"]["metrics"]["address"]) == ports["metrics"], where, "the port of metrics differs")
    expect(shown["listen"]["admin"]["address"].startswith("127.0.0.1:"), where, "the administration leaves the pod")
    grace = sum(seconds(shown["timeouts"][key]) for key in ("shutdown_wait", "shutdown_grace") if key in shown["timeouts"])
    given = pod.get("terminationGracePeriodSeconds", 30)
    expect(given > grace + FLUSH, where, f"a stop may take {grace + FLUSH:.0f} s and is given {given} s")
    bodies = size(shown["limits"]["buffered_bodies"].replace(" ", ""))
    memory = size(container["resources"]["limits"]["memory"])
    expect(bodies <= memory / 2, where, "bodies may take more than half of the memory")

    replicas = the(where, objects, "Deployment")["spec"]["replicas"]
    expect(shown.get("replicas", 1) == replicas, where, f"{replicas} pods, and `replicas` of the configuration says otherwise")
    # Several that share no counters are refused, whatever else they share.
    alone = re.sub(r"(?m)^counters:\n(?:  .*\n)+", "", re.sub(r"(?m)^replicas: 1$", "replicas: 2", text))
    file.write_text(alone)
    refused = narrows(program, "check", "--config", str(file))
    several = max(replicas, 2)
    said = f"{several} gateways that each count alone" in refused.stdout
    expect(refused.returncode == 1 and said, where, f"{several} replicas are not refused: {refused.stdout}")


def container_file():
    where = "deploy/Dockerfile"
    text = (ROOT / where).read_text().replace("\\\n", " ")
    steps = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    of = lambda word: [rest for step, rest in steps if step == word]
    for base in (rest for rest in of("ARG") if rest.split("=")[0].endswith("_IMAGE")):
        expect(re.search(r":(?!latest)[\w.-]+$", base), where, f"{base} has no tag")
    expect(re.fullmatch(r"[1-9]\d*:[1-9]\d*", of("USER")[-1]), where, "the user must be a number above 0")
    for wanted in ("HEALTHCHECK", "STOPSIGNAL", "LABEL", "ENTRYPOINT"):
        expect(len(of(wanted)) == 1, where, f"no {wanted}")
    last = max(index for index, step in enumerate(steps) if step[0] == "FROM")
    expect("RUN" not in [step for step, _ in steps[last:]], where, "the last stage runs something: its base has no shell")
    for step in ("ENTRYPOINT", "CMD"):
        expect(of(step)[-1].startswith("["), where, f"{step} needs a shell")
    context = (ROOT / ".dockerignore").read_text().splitlines()
    expect("*" in context, where, "the context is not an allow-list")
    for crate in re.search(r"members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text(), re.S)[1].split(","):
        expect(f"!{crate.strip().strip(chr(34))}" in context, ".dockerignore", f"the crate {crate} is left out")


def main():
    program, kubectl = sys.argv[1:]
    folders = [KUBERNETES / "base", *sorted((KUBERNETES / "overlays").iterdir())]
    count = 0
    for folder in folders:
        where = str(folder.relative_to(ROOT))
        objects = render(kubectl, folder)
        count += len(objects)
        schemas(where, objects)
        policies(where, objects)
        if of_kind(objects, "ConfigMap"):
            with tempfile.TemporaryDirectory(prefix="narrows-deploy-") as scratch:
                configuration(program, where, objects, pathlib.Path(scratch))
    for file in sorted((KUBERNETES / "components").glob("*/[!k]*.yaml")):
        objects = [one for one in yaml.safe_load_all(file.read_text()) if one]
        count += len(objects)
        schemas(str(file.relative_to(ROOT)), objects)
    container_file()
    if faults:
        sys.exit("error: " + "\nerror: ".join(faults))
    print(f"{count} objects in {len(folders)} renderings hold, against Kubernetes {', '.join(VERSIONS)}")


if __name__ == "__main__":
    main()
