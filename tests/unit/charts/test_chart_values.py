"""What values do, which are refused, and that each of them is used, described and shown."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chart import (
    CHART,
    EXAMPLES,
    ROOT,
    Item,
    find,
    get_environment,
    get_pod,
    list_names,
    load_values,
    refuse,
    render,
    render_example,
    render_files,
    yaml,
)

HERE = Path(__file__).resolve().parent
WRONG: list[Item] = yaml.safe_load((HERE / "wrong-values.yaml").read_text())
OPEN = {"affinity", "nodeSelector", "podLabels", "podAnnotations", "annotations", "labels", "tolerations", "peers"}
"""What is handed on to Kubernetes, which knows by itself what may be in it."""


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong["names"])
def test_invalid_values_are_refused_by_name(wrong: Item) -> None:
    assert wrong["names"] in refuse(wrong["values"])


def test_there_are_many_wrong_values_and_what_cannot_work_says_what_to_do() -> None:
    assert len(WRONG) >= 40
    for wrong in WRONG:
        if not wrong["names"].startswith("/") and "." in wrong["names"]:
            assert ";" in refuse(wrong["values"]), wrong["names"]


def count(items: list[Item], role: str, kind: str = "StatefulSet") -> int:
    replicas: int = find(items, kind, f"r1-flobc-{role}")["spec"]["replicas"]
    return replicas


def test_counts_reach_genesis_shards_and_addresses_alike() -> None:
    for values in ({"trainers": {"replicas": 7}, "validators": {"replicas": 3}}, {"nodes": 10, "ratio": "7:3"}):
        items = render(values)
        assert (count(items, "trainer"), count(items, "validator")) == (7, 3)
        arguments = get_pod(items, "r1-flobc-genesis")["containers"][0]["args"]
        assert arguments[arguments.index("--validators") + 1] == "3"
        assert arguments[arguments.index("--trainers") + 1] == "1", "the founder; the others are invited"
        assert get_environment(get_pod(items, "r1-flobc-validator"))["FLOBC_SHARDS"] == "3"
        trainer = get_environment(get_pod(items, "r1-flobc-trainer"))
        assert (trainer["FLOBC_SHARDS"], trainer["FLOBC_REUSE_SHARDS"]) == ("10", "true")
        addresses = get_environment(get_pod(items, "r1-flobc-ledger"))["FLOBC_VALIDATORS"].split(",")
        assert addresses == [f"r1-flobc-validator-{index}.r1-flobc-validator.prod.svc:7000" for index in range(3)]


def test_a_different_number_of_trainers_changes_nothing_but_the_number() -> None:
    """So no trainer restarts, and no other chain is asked for."""
    few, many = (render({"trainers": {"replicas": number}}) for number in (2, 9))
    assert [first for first, second in zip(few, many, strict=True) if first != second] == [
        find(few, "StatefulSet", "r1-flobc-trainer")
    ]
    find(few, "StatefulSet", "r1-flobc-trainer")["spec"]["replicas"] = 9
    assert few == many


@pytest.mark.parametrize("role", ["trainer", "ledger", "explorer", "kafka", "redis"])
def test_every_role_may_be_left_out(role: str) -> None:
    values: Item = {
        "trainer": {"trainers": {"replicas": 0}},
        "ledger": {"ledgers": {"replicas": 0, "external": ["north:7000"]}},
        "explorer": {"explorer": {"enabled": False}},
        "kafka": {"kafka": {"mode": "external", "external": {"address": "kafka:9092"}}},
        "redis": {"redis": {"mode": "external", "external": {"address": "redis:6379"}}},
    }[role]
    items = render(values)
    assert f"r1-flobc-{role}" not in {
        name for kind in ("StatefulSet", "Deployment") for name in list_names(items, kind)
    }
    assert f"r1-flobc-{role}" not in list_names(items, "Service")


def test_a_large_seed_is_written_out() -> None:
    items = render({"chain": {"seed": 12_345_678}})
    assert get_environment(get_pod(items, "r1-flobc-trainer"))["FLOBC_SEED"] == "12345678"
    assert "12345678" in get_pod(items, "r1-flobc-genesis")["containers"][0]["args"]


def test_the_genesis_job_s_options_are_those_of_the_command() -> None:
    from flobc.cli.commands import build_parser  # noqa: PLC0415 - only where the chart is rendered
    from flobc.cli.options import read_options  # noqa: PLC0415
    from flobc.cli.parser import parse  # noqa: PLC0415

    items = render({"chain": {"options": ["--sync", "ssp"]}})
    arguments = get_pod(items, "r1-flobc-genesis")["containers"][0]["args"]
    given = read_options(vars(parse(build_parser(), ["genesis", "new", "--dir", "chain", *arguments])))
    assert {option.name for option, _ in given.values} == {"task", "seed", "trainers", "validators", "sync"}


def test_under_external_scaling_no_object_holds_a_count_that_is_not_the_chart_s() -> None:
    items = render_example("scaling-external")
    assert "replicas" not in find(items, "StatefulSet", "r1-flobc-trainer")["spec"]
    assert "replicas" not in find(items, "Deployment", "r1-flobc-ledger")["spec"]
    assert count(items, "validator") == 4
    (container,) = get_pod(items, "r1-flobc-scale")["containers"]
    assert container["args"] == ["statefulsets/r1-flobc-trainer=3"], "the ledgers are the HPA's"
    both = get_pod(render({"scaling": "external", "nodes": 10, "ratio": "6:4"}), "r1-flobc-scale")["containers"][0]
    assert both["args"] == ["statefulsets/r1-flobc-trainer=6", "deployments/r1-flobc-ledger=1"]


def test_a_job_may_scale_what_it_scales_and_nothing_else() -> None:
    items = render({"scaling": "external"})
    rules = find(items, "Role", "r1-flobc-scale")["rules"]
    assert {(rule["resources"][0], *rule["resourceNames"], *rule["verbs"]) for rule in rules} == {
        ("statefulsets/scale", "r1-flobc-trainer", "patch"),
        ("deployments/scale", "r1-flobc-ledger", "patch"),
    }


def test_an_organisation_has_its_own_part_of_the_shards_and_asks_the_others() -> None:
    items = render_example("organisation")
    validators = find(items, "StatefulSet", "r1-flobc-validator")["spec"]
    assert (validators["ordinals"]["start"], validators["replicas"]) == (2, 2)
    environment = get_environment(get_pod(items, "r1-flobc-validator"))
    assert environment["FLOBC_SHARDS"] == "6"
    own = [f"r1-flobc-validator-{index}.r1-flobc-validator.prod.svc:7000" for index in (2, 3)]
    assert environment["FLOBC_VALIDATORS"].split(",") == own + load_values("organisation")["validators"]["peers"]
    assert get_environment(get_pod(items, "r1-flobc-trainer"))["FLOBC_LEDGERS"] == "north-flobc-ledger.north.svc:7000"
    assert not any("genesis" in name for kind in ("Job", "Role", "Secret") for name in list_names(items, kind))


def test_a_party_may_run_an_explorer_and_nothing_else() -> None:
    """Of another party's chain: it asks that one's ledgers, and needs no server and no key."""
    items = render_example("explorer")
    assert list_names(items, "Deployment") == {"r1-flobc-explorer"}
    assert not list_names(items, "StatefulSet") | list_names(items, "Job") | list_names(items, "Secret")
    assert list_names(items, "Pod") == {"r1-flobc-test-chain"}
    environment = get_environment(get_pod(items, "r1-flobc-explorer"))
    assert environment["FLOBC_LEDGERS"].split(",") == load_values("explorer")["ledgers"]["external"]
    (chain,) = [volume for volume in get_pod(items, "r1-flobc-explorer")["volumes"] if volume["name"] == "chain"]
    assert chain["configMap"] == {"name": "shared-chain", "items": [{"key": "genesis", "path": "genesis"}]}


def test_an_explorer_asks_this_release_s_ledgers_and_the_others() -> None:
    items = render({"ledgers": {"external": ["north:7000"]}})
    environment = get_environment(get_pod(items, "r1-flobc-explorer"))
    assert environment["FLOBC_LEDGERS"] == "r1-flobc-ledger.prod.svc:7000,north:7000"


def test_pages_are_asked_for_at_port_80_of_the_service_and_of_the_ingress_s_host() -> None:
    items = render_example("explorer")
    assert find(items, "Service", "r1-flobc-explorer")["spec"]["ports"] == [
        {"name": "http", "port": 80, "targetPort": "http"}
    ]
    spec = find(items, "Ingress", "r1-flobc-explorer")["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"secretName": "chain-example-org", "hosts": ["chain.example.org"]}]
    (rule,) = spec["rules"]
    assert rule["host"] == "chain.example.org"
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "r1-flobc-explorer", "port": {"name": "http"}}
    notes = render_files(load_values("explorer"))["NOTES.txt"]
    assert "port-forward service/r1-flobc-explorer 8080:80" in notes
    assert "https://chain.example.org/" in notes


def test_an_ingress_without_a_host_answers_for_any() -> None:
    plain: Item = {"explorer": {"ingress": {"enabled": True}}, "networkPolicy": {"enabled": False}}
    spec = find(render(plain), "Ingress", "r1-flobc-explorer")["spec"]
    assert spec.keys() == {"rules"}
    assert "host" not in spec["rules"][0]
    assert not list_names(render({}), "Ingress"), "and there is none unless it is asked for"


def test_an_explorer_keeps_its_index_in_room_of_the_size_that_was_set() -> None:
    volumes = get_pod(render_example("explorer"), "r1-flobc-explorer")["volumes"]
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "4Gi"}} in volumes


def test_two_releases_share_no_name() -> None:
    first, second = ({(item["kind"], item["metadata"]["name"]) for item in render({}, name)} for name in ("a", "b"))
    assert first.isdisjoint(second)
    named = {item["metadata"]["name"] for item in render({"fullnameOverride": "lab"})}
    assert all(name.startswith("lab-") for name in named)


def test_rules_and_boards_come_from_files(tmp_path: Path) -> None:
    """What other parts of the project put into ``files/`` becomes objects, with no change of the chart."""
    import shutil  # noqa: PLC0415

    from tests.support.chart import helm  # noqa: PLC0415

    shutil.copytree(CHART, tmp_path / "flobc")
    (tmp_path / "flobc" / "files" / "rules").mkdir(exist_ok=True)
    (tmp_path / "flobc" / "files" / "rules" / "stalled.yaml").write_text("groups: [{name: stalled, rules: []}]\n")
    (tmp_path / "flobc" / "files" / "dashboards").mkdir(exist_ok=True)
    (tmp_path / "flobc" / "files" / "dashboards" / "round.json").write_text('{"title": "{{round}}"}\n')
    enabled = {"enabled": True}
    values = {"monitoring": {"rules": enabled, "dashboards": enabled, "bundled": enabled}}
    with helm.Chart.load(str(tmp_path / "flobc")) as chart:
        files = chart.render(values, name="r1", namespace="prod")
    texts = [files[f"flobc/templates/{name}.yaml"] for name in ("monitoring", "prometheus", "grafana")]
    items = [item for text in texts for item in yaml.safe_load_all(text) if item]
    assert find(items, "PrometheusRule", "r1-flobc-stalled")["spec"]["groups"][0]["name"] == "stalled"
    board = find(items, "ConfigMap", "r1-flobc-dashboard-round")
    assert json.loads(board["data"]["round.json"]) == {"title": "{{round}}"}
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    boards = find(items, "ConfigMap", "r1-flobc-grafana-boards")["data"]
    assert boards["round.json"] == board["data"]["round.json"]
    assert boards.keys() == {"round.json", *(path.name for path in (CHART / "files" / "dashboards").iterdir())}
    rules = find(items, "ConfigMap", "r1-flobc-prometheus")["data"]["stalled.rules.yaml"]
    assert yaml.safe_load(rules)["groups"][0]["name"] == "stalled"


def test_every_series_has_the_labels_that_boards_and_alerts_go_by() -> None:
    """namespace, release and job; the operator sets the namespace itself."""
    items = render_example("everything")
    config = yaml.safe_load(find(items, "ConfigMap", "r1-flobc-prometheus")["data"]["prometheus.yml"])
    for job in config["scrape_configs"]:
        labels = {rule["target_label"]: rule["replacement"] for rule in job["relabel_configs"]}
        assert labels == {"namespace": "prod", "release": "r1"}
    monitor = find(items, "PodMonitor", "r1-flobc")["spec"]
    assert monitor["jobLabel"] == "app.kubernetes.io/component"
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "release", "replacement": "r1"}]


def test_the_bundled_prometheus_asks_names_that_are_each_pod_s() -> None:
    """A Service with an address of its own would answer for one pod after the other."""
    items = render_example("everything")
    config = yaml.safe_load(find(items, "ConfigMap", "r1-flobc-prometheus")["data"]["prometheus.yml"])
    found = {}
    for job in config["scrape_configs"]:
        ((name,),) = [source["names"] for source in job["dns_sd_configs"]]
        service = find(items, "Service", name.removesuffix(".prod.svc"))
        assert service["spec"]["clusterIP"] == "None"
        found[job["job_name"]] = service["spec"]["selector"]["app.kubernetes.io/component"]
    assert found == {role: role for role in ("trainer", "validator", "ledger", "explorer")}
    source = find(items, "ConfigMap", "r1-flobc-grafana")["data"]["source.yaml"]
    assert yaml.safe_load(source)["datasources"][0]["url"] == "http://r1-flobc-prometheus.prod.svc:9090"


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_notes_name_what_is_there_and_what_stays(example: str) -> None:
    notes = render_files(load_values(example))["NOTES.txt"]
    items = render_example(example)
    for line in notes.splitlines():
        for word in line.split():
            kind, slash, name = word.partition("/")
            if slash and kind in ("statefulset", "deployment", "service"):
                assert name in list_names(items, {"statefulset": "StatefulSet"}.get(kind, kind.capitalize())), line
    assert "helm test r1 -n prod" in notes
    assert "resource-policy: keep" in notes
    assert "{{" not in notes


def list_schemas(schema: Item, path: str = "") -> Iterator[tuple[str, Item]]:
    for key, below in schema.get("properties", {}).items():
        yield f"{path}/{key}", below
        yield from list_schemas(below, f"{path}/{key}")


def list_defaults(values: Any, path: str = "") -> Iterator[str]:
    if isinstance(values, dict):
        for key, below in values.items():
            yield f"{path}/{key}"
            yield from list_defaults(below, f"{path}/{key}")


def test_the_schema_is_closed_and_describes_every_key() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["additionalProperties"] is False
    described = dict(list_schemas(schema))
    for path, about in described.items():
        assert about["description"].endswith("."), path
        assert about.get("type") != "object" or "properties" in about or path.split("/")[-1] in OPEN, path
        assert "properties" not in about or about["additionalProperties"] is False, path
    defaults = set(list_defaults(yaml.safe_load((CHART / "values.yaml").read_text())))
    assert described.keys() - {"/global"} <= defaults


def test_every_key_is_used() -> None:
    """A key's last two names occur in some template, or what holds it is handed on as a whole."""
    templates = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    schema = json.loads((CHART / "values.schema.json").read_text())
    for path, about in list_schemas(schema):
        key = path.rpartition("/")[2]
        if "properties" not in about and key != "global":
            assert f".{key}" in templates or f'"{key}"' in templates, path


@pytest.mark.parametrize("tool", ["chart_docs", "chart_renders"])
def test_what_is_made_from_the_chart_is_what_is_committed(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_files_are_good_yaml() -> None:
    pytest.importorskip("yamllint", reason="needs yamllint")
    from yamllint import linter  # noqa: PLC0415
    from yamllint.config import YamlLintConfig  # noqa: PLC0415

    rules = (
        "extends: default\nrules: {line-length: {max: 140}, document-start: disable, braces: {max-spaces-inside: 0}}"
    )
    files = [CHART / "values.yaml", CHART / "Chart.yaml", HERE / "wrong-values.yaml", *EXAMPLES.values()]
    files += [*(ROOT / "k8s").glob("*.yaml")]
    for path in files:
        found = list(linter.run(path.read_text(), YamlLintConfig(rules)))
        assert not found, f"{path.name}: {found[0]}"


def test_spans_go_to_the_collector_that_is_named_and_nowhere_else() -> None:
    items = render({"tracing": {"endpoint": "http://collector.monitoring:4317", "sampleRatio": 0.25}})
    for role in ("trainer", "validator", "ledger"):
        told = get_environment(get_pod(items, f"r1-flobc-{role}"))
        assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector.monitoring:4317"
        assert (told["OTEL_TRACES_SAMPLER"], told["OTEL_TRACES_SAMPLER_ARG"]) == ("parentbased_traceidratio", "0.25")
        plain = get_environment(get_pod(render({}), f"r1-flobc-{role}"))
        assert not [name for name in plain if name.startswith("OTEL_")]
