"""Backups by the clock, and the Pod that puts one back."""

import re
from typing import Any

import pytest

from tests.charts import CHART, FEW, TRIAL, Refused, made, needs_helm, of_kind, render, variables, with_more

pytestmark = needs_helm
ON = {"backup": {"enabled": True, "existingClaim": "backups", "keep": 3}}


@pytest.mark.parametrize("values", [FEW, TRIAL], ids=["S3", "a volume"])
def test_a_backup_has_the_record_the_recordings_and_a_place_of_its_own(values: dict[str, Any]) -> None:
    objects = render(with_more(values, ON))
    render(with_more(values, ON), lint=True)
    spec = of_kind(objects, "CronJob")["backup"]["spec"]
    template = spec["jobTemplate"]["spec"]["template"]
    [container] = template["spec"]["containers"]
    assert container["command"] == ["python", "-m", "cli.backup", "/backup", "--keep", "3"]
    assert spec["concurrencyPolicy"] == "Forbid" and template["spec"]["restartPolicy"] == "Never"
    claims = {
        v["persistentVolumeClaim"]["claimName"] for v in template["spec"]["volumes"] if "persistentVolumeClaim" in v
    }
    with_volume = values is TRIAL
    assert claims == {"backups"} | ({"trial-longhand-storage"} if with_volume else set())
    assert ("longhand-one-node" in template["metadata"]["labels"]) is with_volume, "where the volume is"
    web = of_kind(objects, "Deployment")["web"]["spec"]["template"]["spec"]["containers"][0]
    assert variables(container)["STORAGE_URL"] == variables(web)["STORAGE_URL"]
    assert variables(container)["DATABASE_URL_FILE"] == variables(web)["DATABASE_URL_FILE"]
    assert container["securityContext"] == web["securityContext"]
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate (requirements/dev.txt)")
    validate.validate(of_kind(objects, "CronJob")["backup"], "1.27", strict=True)


def test_none_is_made_unless_asked_for_and_never_without_a_place() -> None:
    assert not of_kind(made("few"), "CronJob")
    with pytest.raises(Refused, match=r"backup\.existingClaim is wanted"):
        render(with_more(FEW, {"backup": {"enabled": True}}))


def test_the_command_for_restoring_names_what_the_chart_makes() -> None:
    said = (CHART / "README.md").read_text()
    assert set(re.findall(r"cronjob[ /]([a-z-]+)", said)) == {"longhand-backup"}
    [cron] = of_kind(render(with_more(FEW, ON), release="longhand"), "CronJob").values()
    assert cron["metadata"]["name"] == "longhand-backup"
