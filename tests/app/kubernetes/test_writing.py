"""Manifests that a cluster takes: by its schemas, by what they refer to, by what pods may do.

There is no API server here: what only one would find (quotas, admission, a class that is not
there) is not looked at.
"""

import base64
import copy
import re
from functools import cache

import kubernetes_validate.utils
import pytest
from k8s_schemas import VERSIONS, WrongManifestError, check, templates

from steelyard.app.config import load_plan
from steelyard.app.kubernetes.plain import BUS_PORT, address_of, run_secrets
from steelyard.app.kubernetes.writing import write_manifests
from steelyard.app.profile import run_profile
from steelyard.cli.profile import run_profile_command
from steelyard.kernel.errors import UsageError
from steelyard.runtime.join import Join

EVERYTHING = {
    "workers": 3, "k8s_image": "images.example/steelyard:1", "k8s_namespace": "bench",
    "k8s_node_selector": "pool=load", "k8s_label": "team=speech", "k8s_storage_class": "fast",
    "k8s_image_pull_secret": "pull", "header": "X-Token:${TOKEN}", "k8s_cpu": "500m",
}  # fmt: skip
ENVIRON = {"TOKEN": "sekret", "STEELYARD_API_KEY": "sekret"}


def pods(objects):
    """Return the pod specs and their labels, whatever makes them."""
    found = []
    for each in objects:
        if each["kind"] == "Pod":
            found.append(each)
        elif each["kind"] == "Job":
            found.append(each["spec"]["template"])
        elif each["kind"] == "RayJob":
            found += templates(each)
    return found


@pytest.fixture
def everything(written):
    return written(ENVIRON, **EVERYTHING)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("flags", [{}, EVERYTHING, {"k8s_storage": ""}])
def test_every_object_is_as_the_schemas_say(written, version, flags):
    _, files, _ = written(ENVIRON, **flags)
    for objects in files.values():
        for each in objects:
            check(each, version)


def paths_to_leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_to_leaves(item, (*path, key))
    elif isinstance(value, list):
        for key, item in enumerate(value):
            yield from paths_to_leaves(item, (*path, key))
    else:
        yield path


def changed(manifest, path, value):
    tampered = copy.deepcopy(manifest)
    here = tampered
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    return tampered


def test_a_wrong_type_anywhere_is_caught(everything, monkeypatch):
    """So that passing means something: an object in place of each kind of value."""
    schemas = kubernetes_validate.utils
    monkeypatch.setattr(schemas, "schema_contents", cache(schemas.schema_contents))
    _, files, _ = everything
    seen = set()
    for objects in files.values():
        for each in objects:
            for path in paths_to_leaves(each):
                place = (each["kind"], *(key for key in path[-3:] if isinstance(key, str)))
                if path in {("apiVersion",), ("kind",)} or place in seen:
                    continue
                seen.add(place)
                with pytest.raises((WrongManifestError, TypeError)):
                    check(changed(each, path, {"a": ["wrong"]}), VERSIONS[-1])
    assert len(seen) > 90


def test_a_field_that_nobody_knows_is_caught(everything):
    _, files, _ = everything
    for objects in files.values():
        for each in objects:
            for place in ((), ("metadata",), *((("spec",),) if "spec" in each else ())):
                with pytest.raises(WrongManifestError):
                    check(changed(each, (*place, "securtyContext"), {}), VERSIONS[-1])


def test_what_kuberay_refuses_is_caught(everything):
    _, files, _ = everything
    (job,) = (each for each in files["kuberay.yaml"] if each["kind"] == "RayJob")
    cluster = ("spec", "rayClusterSpec")
    container = ("template", "spec", "containers", 0)
    head, group = (*cluster, "headGroupSpec"), (*cluster, "workerGroupSpecs", 0)
    for path, value in (
        (("metadata", "name"), "x" * 48),
        (("metadata", "name"), "1st"),
        ((*cluster, "rayVersion"), "2.51.0"),
        ((*group, "rayStartParams", "labels"), "a=b"),
        ((*group, "minReplicas"), 9),
        ((*head, "rayStartParams", "num-cpus"), 0),
        (("spec", "submissionMode"), "ByHand"),
        (("spec", "shutdownAfterJobFinishes"), False),
        (("spec", "activeDeadlineSeconds"), 0),
        ((*cluster, "authOptions", "enableK8sTokenAuth"), True),
        ((*group, "template", "spec", "containers"), []),
        ((*head, *container, "env", 0, "name"), "RAY_REDIS_ADDRESS"),
    ):
        with pytest.raises(WrongManifestError):
            check(changed(job, path, value), VERSIONS[-1])


def test_what_is_referred_to_is_there(everything):
    """Volumes, claims, keys of the ConfigMap, Secrets that the next steps make, selectors."""
    found, files, _ = everything
    announced = set(re.findall(r"secret generic (\S+) ", found.steps))
    announced |= {each["metadata"]["name"] for each in run_secrets(found.name, "bench", 3)}
    for objects in files.values():
        named = {(each["kind"], each["metadata"]["name"]): each for each in files["kuberay.yaml"]}
        named |= {(each["kind"], each["metadata"]["name"]): each for each in objects}
        for pod in pods(objects):
            spec = pod["spec"]
            volumes = {volume["name"]: volume for volume in spec["volumes"]}
            for each in spec["containers"]:
                assert {mount["name"] for mount in each["volumeMounts"]} == set(volumes)
                for variable in each.get("env", ()):
                    secret = variable.get("valueFrom", {}).get("secretKeyRef")
                    if secret is not None:
                        assert secret["name"] in announced
                        assert secret["key"] == "join" or f"={secret['key']}=" in found.steps
            for volume in volumes.values():
                if "persistentVolumeClaim" in volume:
                    name = volume["persistentVolumeClaim"]["claimName"]
                    assert ("PersistentVolumeClaim", name) in named
                if "configMap" in volume:
                    there = named["ConfigMap", volume["configMap"]["name"]]
                    keys = {**there["data"], **there.get("binaryData", {})}
                    assert {item["key"] for item in volume["configMap"]["items"]} == set(keys)


def selects(selector, pod):
    return selector["matchLabels"].items() <= pod["metadata"]["labels"].items()


def test_a_policy_holds_for_every_pod_of_a_run(everything):
    _, files, _ = everything
    for name, objects in files.items():
        policies = [each for each in objects if each["kind"] == "NetworkPolicy"]
        for pod in pods(objects):
            assert name == "artifacts.yaml" or any(
                selects(each["spec"]["podSelector"], pod) for each in policies
            )


def test_the_bus_is_open_to_workers_and_to_nobody_else(everything):
    """By the labels of the pods as they are, and at the port that the controller listens on."""
    _, files, _ = everything
    by_kind = {}
    for each in files["plain.yaml"]:
        by_kind.setdefault(each["kind"], []).append(each)
    controller, worker = (job["spec"]["template"] for job in by_kind["Job"])
    guard = next(each["spec"] for each in by_kind["NetworkPolicy"]
                 if selects(each["spec"]["podSelector"], controller))  # fmt: skip
    (rule,) = guard["ingress"]
    assert [selects(rule["from"][0]["podSelector"], pod) for pod in (controller, worker)] == [
        False, True,
    ]  # fmt: skip
    assert rule["ports"] == [{"protocol": "TCP", "port": BUS_PORT}]
    (service,) = by_kind["Service"]
    chosen = {"matchLabels": service["spec"]["selector"]}
    assert [selects(chosen, pod) for pod in (controller, worker)] == [True, False]
    assert f"0.0.0.0:{BUS_PORT}" in controller["spec"]["containers"][0]["args"]
    place = service["metadata"]
    assert address_of(place["name"], "bench") == f"tcp://{place['name']}.bench.svc:{BUS_PORT}"


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_are_two_secrets_and_workers_get_less(version):
    """The controller's own key is in the controller's only; each time all are new."""
    controller, worker = made = run_secrets("run", "bench", 3)
    for each in made:
        check(each, version)
    joins = [Join.decode(base64.b64decode(each["data"]["join"]).decode()) for each in made]
    assert joins[0].server_secret
    assert joins[1] == joins[0].for_workers()
    assert not joins[1].server_secret
    assert joins[1].addresses == (address_of("run", "bench"),)
    assert len(joins[1].service_ids) == 3
    again = run_secrets("run", "bench", 3)
    assert again[0]["metadata"] == controller["metadata"]
    assert again[1]["data"] != worker["data"]


def test_no_more_workers_are_asked_for_than_can_send(written):
    """As any run has it: the keys are made for as many as the run will have."""
    found, files, _ = written(workers=8, concurrency=3)
    jobs = [each for each in files["plain.yaml"] if each["kind"] == "Job"]
    assert jobs[1]["spec"]["completions"] == jobs[1]["spec"]["parallelism"] == 3
    assert "--workers 3 |" in found.steps


def test_no_pod_may_more_than_the_restricted_standard(everything):
    """The profile `restricted` of Kubernetes' Pod Security Standards, and a root to read only."""
    _, files, _ = everything
    specs = [pod["spec"] for objects in files.values() for pod in pods(objects)]
    assert len(specs) >= 4
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
        for each in spec["containers"]:
            context = each["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(each["resources"]["requests"])


def test_no_secret_is_in_a_manifest(everything):
    found, _, texts = everything
    assert not [name for name, text in texts.items() if "sekret" in text]
    assert "sekret" not in found.steps


def test_the_same_plan_makes_the_same_bytes(plan_of, tmp_path):
    """Run ids, times and directories of this machine are in none of them."""
    first = write_manifests(plan_of(ENVIRON, **EVERYTHING, artifact_dir="a"))
    second = write_manifests(plan_of(ENVIRON, **EVERYTHING, artifact_dir="b"))
    other = write_manifests(plan_of(ENVIRON, **EVERYTHING, random_seed=7, artifact_dir="c"))
    assert [path.read_bytes() for path in first.files] == [
        path.read_bytes() for path in second.files
    ]
    assert str(tmp_path) not in "".join(path.read_text() for path in first.files)
    assert first.name == second.name != other.name


def test_the_plan_in_the_cluster_is_the_one_that_was_asked_for(plan_of, written, host, tmp_path):
    flags = {"request_rate": 9, "benchmark_duration": "3s", "random_seed": 5, "workers": 4}
    _, files, _ = written(ENVIRON, **flags)
    config = tmp_path / "from-the-cluster.yaml"
    config.write_text(files["kuberay.yaml"][0]["data"]["plan.yaml"])
    there = load_plan(
        config_path=config, flags={}, environ=ENVIRON, now_wall_ns=1, entropy=b"abc", host=host
    )
    here = plan_of(ENVIRON, **flags)
    for name in ("phases", "endpoint", "dataset", "seed", "workers", "models", "exporters"):
        assert getattr(there, name) == getattr(here, name)


def test_files_that_are_no_text_and_names_that_are_no_keys_are_carried(written, tmp_path):
    name = "prompts of today (1).jsonl"
    (tmp_path / name).write_bytes(b'{"text": "\xff"}\n')
    _, files, _ = written(input_file=name, custom_dataset_type="single_turn")
    (config,) = (each for each in files["kuberay.yaml"] if each["kind"] == "ConfigMap")
    (key,) = config["binaryData"]
    assert key.isascii()
    assert "(" not in key
    check(config, VERSIONS[0])


def test_a_directory_that_cannot_be_written_is_said(plan_of, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't be written"):
        write_manifests(plan_of(k8s_output="file/below"))


def test_such_a_plan_is_not_run_by_mistake(plan_of):
    with pytest.raises(UsageError, match="written down, not run"):
        run_profile(plan_of())


def test_the_command_starts_nothing_and_says_what_to_do(tmp_path, monkeypatch, capsys):
    """Nobody listens at the URL, and nobody is asked to."""
    monkeypatch.chdir(tmp_path)
    flags = {"run_type": "k8s", "url": "http://llm.invalid:1", "model": "m", "k8s_output": "out"}
    assert run_profile_command(flags=flags) == 0
    said = capsys.readouterr().out
    assert "nothing was started" in said
    assert f"kubectl apply --server-side -f {tmp_path}/out/kuberay.yaml" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "artifacts.yaml", "kuberay.yaml", "plain.yaml",
    ]  # fmt: skip
    assert not (tmp_path / "artifacts").exists()
