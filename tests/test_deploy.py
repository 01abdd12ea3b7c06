"""What starts the fake providers in staging: hardened, of one mind, and its very command line works."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from langchain_prodtest.audit import audit
from langchain_prodtest.audit.dockerfile import read_stages
from langchain_prodtest.evidence import Subject
from langchain_prodtest.wire.providers import PROVIDERS
from langchain_prodtest.wire.scripts import read_rules

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy/fakes"
BASE = FOLDER / "kustomize"
NAMES = {"app.kubernetes.io/name": "fakes"}
TOKEN = "0123456789abcdef"


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


KUSTOMIZATION = loaded(BASE / "kustomization.yaml")
OBJECTS = {loaded(BASE / name)["kind"]: loaded(BASE / name) for name in KUSTOMIZATION["resources"]}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
(SERVICE,) = loaded(FOLDER / "compose.yaml")["services"].values()
IMAGE = {i.name: i.rest for i in read_stages(FOLDER / "Dockerfile")[-1].instructions}


def test_the_image_runs_as_no_root_by_our_own_audit() -> None:
    evidence = audit([FOLDER / "Dockerfile"], Subject())
    assert [(finding.check, finding.outcome) for finding in evidence.findings] == [
        ("dockerfile.runs_as_root", "pass")
    ]
    assert IMAGE["USER"] == "10001:10001"


def test_the_base_is_pinned_and_what_is_copied_is_there() -> None:
    stages = read_stages(FOLDER / "Dockerfile")
    assert {stage.base() for stage in stages} == {"python:3.13.7-slim-trixie"}
    copied = [i.rest.split()[:-1] for stage in stages for i in stage.instructions if i.name == "COPY"]
    sources = [source for one in copied for source in one if not source.startswith("--")]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_containers_have_no_rights_and_a_root_that_cannot_be_written() -> None:
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    security = POD["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 10001)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False
    assert (
        set(CONTAINER["resources"]["limits"]) == set(CONTAINER["resources"]["requests"]) == {"cpu", "memory"}
    )
    assert (SERVICE["read_only"], SERVICE["cap_drop"], SERVICE["user"]) == (True, ["ALL"], "10001:10001")
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert SERVICE["ports"] == ["127.0.0.1:8080:8080"]


def test_the_token_comes_from_outside() -> None:
    (variable,) = CONTAINER["env"]
    assert (variable["name"], set(variable)) == ("PRODTEST_TOKEN", {"name", "valueFrom"})
    assert variable["valueFrom"]["secretKeyRef"]["name"] == "fakes-token"
    assert SERVICE["environment"]["PRODTEST_TOKEN"].startswith("${PRODTEST_TOKEN:?")


def test_the_objects_select_the_pods_of_the_deployment_and_nothing_else() -> None:
    deployment, policy = OBJECTS["Deployment"]["spec"], OBJECTS["NetworkPolicy"]["spec"]
    assert deployment["template"]["metadata"]["labels"] == deployment["selector"]["matchLabels"] == NAMES
    assert OBJECTS["Service"]["spec"]["selector"] == policy["podSelector"]["matchLabels"] == NAMES
    assert (policy["policyTypes"], "egress" in policy) == (["Ingress", "Egress"], False)
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    named = [*(port["targetPort"] for port in OBJECTS["Service"]["spec"]["ports"])]
    named += [port["port"] for rule in policy["ingress"] for port in rule["ports"]]
    named += [CONTAINER[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "readiness", "liveness")]
    assert set(named) == set(ports) == {"http"}
    assert str(ports["http"]) == IMAGE["EXPOSE"] == json.loads(IMAGE["ENTRYPOINT"])[-1]


def test_the_script_is_mounted_where_the_command_looks_for_it_and_valid() -> None:
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert set(mounts) == set(volumes)
    assert volumes["script"]["configMap"]["name"] == generated["name"]
    (name,) = generated["files"]
    assert CONTAINER["args"] == SERVICE["command"] == ["--script", f"{mounts['script']}/{name}"]
    assert SERVICE["volumes"] == [f"./kustomize/{name}:{mounts['script']}/{name}:ro"]
    assert len(read_rules(BASE / name, PROVIDERS)) == 4


ASK = """
ip link set lo up
PRODTEST_TOKEN={token} {command} > said.txt & server=$!
until curl -sf http://127.0.0.1:8080{probe} > health.txt; do
  kill -0 $server; sleep 0.1
done
echo health $(cat health.txt)
code() {{ curl -s -o answer.txt -w '%{{http_code}}\\n' "$@"; }}
code http://127.0.0.1:8080/_prodtest/calls
code http://127.0.0.1:8080/_prodtest/calls -H 'Authorization: Bearer {token}'
code http://127.0.0.1:8080/openai/v1/chat/completions --json \\
  '{{"model": "m", "messages": [{{"role": "user", "content": "hi"}}]}}'
python -c '{healthcheck}' && echo healthy
kill $server; wait $server; echo ended $?
"""


def test_the_very_command_line_of_the_container_serves_probes_and_ends_on_sigterm(tmp_path: Path) -> None:
    shutil.copy(BASE / "script.toml", tmp_path)
    argv = [*json.loads(IMAGE["ENTRYPOINT"]), *CONTAINER["args"]]
    command = " ".join(argv).replace("/etc/prodtest/", f"{tmp_path}/")
    probes = {CONTAINER[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    (probe,) = probes
    healthcheck = json.loads(IMAGE["HEALTHCHECK"].removeprefix("CMD "))[-1].replace("'", '"')
    script = ASK.format(token=TOKEN, command=command, probe=probe, healthcheck=healthcheck)
    done = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env={"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["health {}", "401", "200", "200", "healthy", "ended 0"]
