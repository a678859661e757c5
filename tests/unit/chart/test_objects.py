"""What the chart makes: valid, complete, of one piece."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.charts import (
    CASES,
    CHART,
    FEW,
    OURS,
    TRIAL,
    containers,
    made,
    needs_helm,
    of_kind,
    render,
    templates,
    variables,
    with_more,
)
from tests.stack import ROOT

pytestmark = needs_helm


def test_helm_has_nothing_to_say_against_it(case: str) -> None:
    assert render(CASES[case], lint=True) == [], "where helm objects this is Refused"


@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_kubernetes_takes_all_of_it(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate (requirements/dev.txt)")
    foreign = set()
    for case in ("all", "trial"):
        for one in made(case):
            try:
                validate.validate(one, version, strict=True)
            except validate.SchemaNotFoundError:
                foreign.add(one["kind"])
    assert foreign == {"HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"}


def test_names_and_labels_fit_together(case: str) -> None:
    for release in ("trial", "a-release-whose-name-is-as-long-as-helm-lets-one-be-x"):
        objects = render(CASES[case], release=release) if release != "trial" else made(case)
        named = [(one["kind"], one["metadata"]["name"]) for one in objects]
        assert len(set(named)) == len(named)
        for _, name in named:
            assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) and len(name) <= 59, name
        assert {one["metadata"]["namespace"] for one in objects} == {"speech"}
        pods = [one["metadata"]["labels"] for one in templates(objects).values()]
        for one in objects:
            spec = one.get("spec", {})
            if one["kind"] in {"Deployment", "StatefulSet"}:
                assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
            selector = {"Service": spec.get("selector"), "PodDisruptionBudget": spec.get("selector")}.get(one["kind"])
            if selector:
                wanted = selector.get("matchLabels", selector)
                assert sum(wanted.items() <= labels.items() for labels in pods) == 1, one["metadata"]["name"]
            for label in one["metadata"]["labels"].values():
                assert len(label) <= 63


def test_what_is_referred_to_is_there(case: str) -> None:
    objects = made(case)
    known = {(one["kind"], one["metadata"]["name"]) for one in objects}
    known |= {("Secret", "longhand")} if case == "trial" else set()
    for template in templates(objects).values():
        spec = template["spec"]
        assert ("ServiceAccount", spec["serviceAccountName"]) in known | {("ServiceAccount", "default")}
        mounted = (
            {mount["name"] for one in containers(spec) for mount in one["volumeMounts"]} if "volumes" in spec else ()
        )
        claimed = {"files"} if {"redis", "postgres"} & {one["name"] for one in spec["containers"]} else set()
        assert {volume["name"] for volume in spec.get("volumes", ())} | claimed == {*mounted}, "each is mounted"
        for volume in spec.get("volumes", ()):
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in known
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in known
        for container in containers(spec):
            for source in container.get("envFrom", ()):
                assert ("ConfigMap", source["configMapRef"]["name"]) in known
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for one in of_kind(objects, kind).values():
            assert (one["spec"]["scaleTargetRef"]["kind"], one["spec"]["scaleTargetRef"]["name"]) in known
    for one in of_kind(objects, "Ingress").values():
        for path in one["spec"]["rules"][0]["http"]["paths"]:
            assert ("Service", path["backend"]["service"]["name"]) in known


def test_a_gpu_is_for_the_worker_alone() -> None:
    found = templates(made("all"))
    for name, gpus in (("gpu", 1), ("gpu-large", 2), ("diarise", 1)):
        spec = found[name]["spec"]
        [first], [worker] = spec["initContainers"], spec["containers"]
        assert worker["resources"]["limits"]["nvidia.com/gpu"] == gpus
        assert "nvidia.com/gpu" not in first["resources"]["limits"]
        assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
        assert variables(worker)["WHISPER_DEVICE"] == "cuda"
        image = worker["image"].rpartition(":")[0]
        assert image == f"registry.example.org/longhand-{'diarise' if name == 'diarise' else 'gpu'}"
    assert found["web"]["spec"]["containers"][0]["image"] == f"registry.example.org/longhand-web@sha256:{'0' * 64}"
    [rest] = templates(made("few"))["gpu"]["spec"]["containers"]
    assert rest["image"] == "longhand-worker:0.1.0" and variables(rest)["WHISPER_DEVICE"] == "cpu"


def test_recordings_on_a_volume_are_on_every_pod_that_needs_them() -> None:
    found = templates(made("trial"))
    for name in {"web", "cpu", "net", "gpu"}:
        spec = found[name]["spec"]
        [container] = spec["containers"]
        assert variables(container)["STORAGE_URL"] == "file:///storage/jobs"
        assert {"name": "storage", "mountPath": "/storage"} in container["volumeMounts"]
        [near] = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert near["labelSelector"]["matchLabels"].items() <= found[name]["metadata"]["labels"].items()
        assert near["topologyKey"] == "kubernetes.io/hostname"
    assert "affinity" not in found["flower"]["spec"]
    kept = of_kind(made("trial"), "PersistentVolumeClaim")["storage"]
    assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    off = render(with_more(TRIAL, {"flower": {"enabled": False}}))
    assert of_kind(off, "PersistentVolumeClaim").keys() == {"storage"}


def test_there_is_one_beat_and_one_that_tells_figures() -> None:
    found = of_kind(made("all"), "Deployment")
    for name in ("beat", "flower", "metrics"):
        assert found[name]["spec"]["replicas"] == 1 and found[name]["spec"]["strategy"] == {"type": "Recreate"}
    assert all(
        variables(one).get("DATA_DIR") == "/tmp" for one in found["beat"]["spec"]["template"]["spec"]["containers"]
    )
    scaled = {"web", "cpu", "gpu", "gpu-large"}
    assert {name for name, one in found.items() if "replicas" not in one["spec"]} == scaled, "or each upgrade resets it"


def test_tables_come_first() -> None:
    objects = made("all")
    for name, template in templates(objects).items():
        first = [one["command"] for one in template["spec"].get("initContainers", ())]
        assert first == (
            [["python", "-m", "store.upgrade"]] if name in OURS - {"beat", "flower", "migrate", "test"} else []
        )
    [job] = of_kind(objects, "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert "Job" not in {one["kind"] for one in render(with_more(FEW, {"migrate": {"beforeUpgrade": False}}))}


@pytest.mark.parametrize("name", CASES)
def test_what_runs_before_an_upgrade_leans_on_nothing_of_the_release(name: str) -> None:
    """Helm makes and changes the rest only afterwards: what waited for it would wait until the time is up."""
    objects = made(name)
    hooks = [one for one in objects if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    ours = {(one["kind"], one["metadata"]["name"]): one for one in hooks}
    spec = of_kind(objects, "Job")["migrate"]["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "default" and "affinity" not in spec
    [container] = spec["containers"]
    assert "envFrom" not in container
    for volume in spec["volumes"]:
        assert volume.keys() <= {"name", "emptyDir", "secret"}, volume["name"]
        if "secret" in volume:
            assert volume["secret"]["optional"] is True, "the program says what is missing; Kubernetes only waits"
            source = volume["secret"]["secretName"]
            if CASES[name]["secrets"].get("existingSecret"):
                assert source == CASES[name]["secrets"]["existingSecret"] and len(ours) == 2
            else:
                secret = ours["Secret", source]
                notes = secret["metadata"]["annotations"]
                assert notes["helm.sh/hook"] == "pre-upgrade" and int(notes["helm.sh/hook-weight"]) < 0
                assert secret["data"].keys() == {item["key"] for item in volume["secret"]["items"]}
    own = render(with_more(FEW, {"serviceAccount": {"create": False, "name": "mine"}}))
    assert of_kind(own, "Job")["migrate"]["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_a_new_secret_or_setting_starts_pods_anew() -> None:
    sums = [
        {name: template["metadata"]["annotations"] for name, template in templates(objects).items() if name != "test"}
        for objects in (
            made("few"),
            render(with_more(FEW, {"settings": {"RETENTION_DAYS": 7}})),
            render(with_more(FEW, {"secrets": {"values": {"api_key": "lh-another-one"}}})),
        )
    ]
    for one, other in pairwise([*sums, sums[0]]):
        assert all(one[name] != other[name] for name in one)


def test_versions_are_those_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r"^ARG VERSION=(.+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert version and chart["appVersion"] == version[1]
    assert not re.search(r"change.?me", (CHART / "values.yaml").read_text(), re.I)


def test_what_the_readme_stops_stays_stopped() -> None:
    """A ScaledObject that goes on would start workers again in the middle of it."""
    said = (CHART / "README.md").read_text()
    blocks = [block for block in re.findall(r"^```sh\n(.+?)^```", said, re.M | re.S) if "--replicas=0" in block]
    [stop] = blocks
    assert (
        stop.index("scaledobject") < stop.index("paused-replicas=0") < stop.index("--replicas=0") < stop.index("wait")
    )
    assert "paused-replicas-\n" in said.partition(stop)[2]
    objects = render(CASES["all"], release="longhand")
    chosen = {"app.kubernetes.io/instance": "longhand"}.items()
    for kind in ("Deployment", "ScaledObject", "HorizontalPodAutoscaler"):
        found = [one for one in objects if one["kind"] == kind]
        assert found and all(chosen <= one["metadata"]["labels"].items() for one in found)
    spared = re.search(r"component notin \(([a-z,]+)\)", stop)
    assert spared and set(spared[1].split(",")) & OURS == {"migrate", "test"}


DOCUMENTS = [CHART / "README.md", ROOT / "docs" / "clouds.md", ROOT / "docs" / "deploy.md"]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.stem)
def test_values_in_the_documents_can_be_used(page: Path) -> None:
    blocks = re.findall(r"^```yaml\n# values\b[^\n]*\n(.+?)^```", page.read_text(), re.M | re.S)
    assert blocks or page.stem == "deploy"
    for block in blocks:
        values = with_more(FEW, yaml.safe_load(block))
        if "existingSecret" in values["secrets"]:
            del values["secrets"]["values"]
        if values["storage"].get("persistence", {}).get("enabled"):
            values["storage"]["url"] = ""
        assert render(values)
