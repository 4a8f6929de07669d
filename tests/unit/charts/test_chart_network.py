"""Who may speak to whom: rebuilt from the rendered policies and compared with who has to."""

import pytest

from tests.support.chart import EXAMPLES, Item, list_pods, render, render_example

NEEDED = {
    ("trainer", "kafka", 9092),
    ("trainer", "ledger", 7000),
    ("validator", "kafka", 9092),
    ("validator", "validator", 7000),
    ("ledger", "kafka", 9092),
    ("ledger", "redis", 6379),
    ("ledger", "validator", 7000),
    ("explorer", "ledger", 7000),
    ("prometheus", "trainer", 9100),
    ("prometheus", "validator", 9100),
    ("prometheus", "ledger", 9100),
    ("prometheus", "explorer", 9100),
    ("grafana", "prometheus", 9090),
    ("succession", "kafka", 9092),
    ("succession", "ledger", 7000),
    ("test", "kafka", 9092),
    ("test", "redis", 6379),
    ("test", "ledger", 7000),
}
PORTS = {"trainer": {9100}, "validator": {7000, 9100}, "ledger": {7000, 9100}, "kafka": {9092}, "redis": {6379}}
PORTS |= {"explorer": {8080, 9100}, "prometheus": {9090}}


def list_policies(items: list[Item]) -> list[Item]:
    return [item["spec"] for item in items if item["kind"] == "NetworkPolicy"]


def get_role(selector: Item) -> str:
    role: str = selector["matchLabels"]["app.kubernetes.io/component"]
    return role


def list_flows(items: list[Item], direction: str) -> set[tuple[str, str, int]]:
    """Return (from, to, port) of pods of the release, as ``ingress`` or ``egress`` rules say."""
    found = set()
    for policy in list_policies(items):
        own = get_role(policy["podSelector"])
        for rule in policy[direction] or []:
            for peer in rule.get("from" if direction == "ingress" else "to", []):
                if "app.kubernetes.io/component" in peer.get("podSelector", {}).get("matchLabels", {}):
                    other = get_role(peer["podSelector"])
                    pair = (other, own) if direction == "ingress" else (own, other)
                    found |= {(*pair, port["port"]) for port in rule["ports"]}
    return found


def list_outside(items: list[Item], role: str) -> set[int]:
    """Return the ports at which a role may ask anybody."""
    (policy,) = [policy for policy in list_policies(items) if get_role(policy["podSelector"]) == role]
    return {port["port"] for rule in policy["egress"] or [] if "to" not in rule for port in rule["ports"]}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_pod_is_under_a_policy_that_denies_by_default(example: str) -> None:
    items = render_example(example)
    covered = [policy["podSelector"]["matchLabels"] for policy in list_policies(items)]
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in list_policies(items))
    for name, labels, _ in list_pods(items):
        assert sum(selector.items() <= labels.items() for selector in covered) == 1, name


@pytest.mark.parametrize("example", EXAMPLES)
def test_both_ends_allow_exactly_what_is_needed(example: str) -> None:
    items = render_example(example)
    there = {labels["app.kubernetes.io/component"] for _, labels, _ in list_pods(items)}
    if "genesis" in there:
        there.add("succession")  # the policies are there before its Jobs, which an upgrade alone has
    wanted = {flow for flow in NEEDED if {flow[0], flow[1]} <= there}
    assert list_flows(items, "ingress") == wanted
    assert list_flows(items, "egress") == wanted


@pytest.mark.parametrize("example", EXAMPLES)
def test_only_ports_that_are_served_are_open(example: str) -> None:
    for policy in list_policies(render_example(example)):
        role = get_role(policy["podSelector"])
        open_ports = {port["port"] for rule in policy["ingress"] or [] for port in rule["ports"]}
        assert open_ports <= PORTS.get(role, set()), role


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_port_of_a_policy_is_one_that_kubernetes_takes(example: str) -> None:
    """The schema of its API takes any number, its server refuses a whole policy for port 0."""
    for policy in list_policies(render_example(example)):
        rules = [*(policy["ingress"] or []), *(policy["egress"] or [])]
        ports = {port["port"] for rule in rules for port in rule["ports"]}
        assert all(0 < port < 65_536 for port in ports), get_role(policy["podSelector"])


def test_what_is_outside_is_reached_at_its_ports_alone() -> None:
    items = render_example("external")
    assert list_outside(items, "trainer") == {53, 9092, 19092}
    assert list_outside(items, "ledger") == {53, 9092, 19092, 6379}
    organisation = render_example("organisation")
    assert list_outside(organisation, "validator") == {53, 9092, 7000}
    assert list_outside(organisation, "trainer") == {53, 9092, 7000}
    assert list_outside(render_example("explorer"), "explorer") == {53, 7000, 7443}


def test_a_collector_of_spans_is_reached_by_who_has_any() -> None:
    items = render({"tracing": {"endpoint": "http://collector.monitoring:4317"}})
    for role in ("trainer", "validator", "ledger"):
        assert list_outside(items, role) == {53, 4317}
    for role in ("explorer", "kafka", "test"):
        assert list_outside(items, role) == {53}


def test_nobody_in_the_default_leaves_the_release_but_for_names_and_kubernetes() -> None:
    items = render_example("default")
    assert list_outside(items, "genesis") == {53, 443, 6443}
    for role in ("trainer", "validator", "ledger", "explorer", "kafka", "test"):
        assert list_outside(items, role) == {53}
    assert list_outside(items, "redis") == set()


def test_other_parties_come_in_where_they_are_named() -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"team": "north"}}}]
    named = {"peers": {"kafka", "validator", "ledger"}, "clients": {"ledger"}, "viewers": {"explorer"}}
    for key, roles in (*named.items(), ("monitoring", {"trainer", "validator", "ledger", "explorer"})):
        items = render({"networkPolicy": {key: peers}})
        policies = list_policies(items)
        found = {
            get_role(policy["podSelector"])
            for policy in policies
            if any(rule.get("from") == peers for rule in policy["ingress"] or [])
        }
        assert found == roles


def test_there_are_no_policies_where_they_are_not_wanted() -> None:
    assert list_policies(render({"networkPolicy": {"enabled": False}})) == []
