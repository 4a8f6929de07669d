"""The network delays, holds back and doubles, and never lets records of one key overtake each other."""

from dataclasses import replace

from flobc.simulation.distributions import Constant, Uniform
from flobc.simulation.network import Network, Node, Span
from flobc.simulation.scenario import LinkScenario, NetworkScenario, ServerLinkScenario

TRAINER, VALIDATOR = Node("trainer", 0), Node("validator", 0)
LINK = LinkScenario(latency=Constant(20), jitter=0, up=Constant(1_000_000), down=Constant(2_000_000))
QUIET = NetworkScenario(trainers=LINK, validators=ServerLinkScenario(latency=Constant(5), jitter=0))


def build_network(scenario: NetworkScenario = QUIET, cuts: dict[Node, tuple[Span, ...]] | None = None) -> Network:
    return Network(scenario, 1, cuts or {})


def test_a_message_takes_its_size_over_the_bandwidth_and_the_latency() -> None:
    network = build_network()
    assert network.send(TRAINER, 100, 500_000, "key", "a") == 100 + 500 + 20
    assert network.receive(TRAINER, 100, 500_000, "key", "b") == 100 + 250 + 20
    assert network.bytes == {"trainer up": 500_000, "trainer down": 500_000}


def test_a_link_carries_one_message_after_the_other() -> None:
    network = build_network()
    assert [network.send(TRAINER, 0, 100_000, number, number) for number in range(3)] == [120, 220, 320]


def test_a_partition_holds_back_what_is_sent_and_what_is_under_way() -> None:
    network = build_network(cuts={TRAINER: ((50, 200), (210, 300))})
    assert network.send(TRAINER, 10, 0, "key", "before") == 30
    assert network.send(TRAINER, 40, 0, "key", "arrives within") == 200
    assert network.send(TRAINER, 60, 0, "key", "sent within") == 300
    assert network.send(VALIDATOR, 60, 0, "key", "another node") == 65


def test_what_is_lost_is_sent_again() -> None:
    network = build_network(replace(QUIET, loss=500_000, retry=1_000))
    delays = [network.receive(VALIDATOR, 0, 0, number, number) - 5 for number in range(400)]
    assert {delay % 1_000 for delay in delays} == {0}
    assert 150 < delays.count(0) < 250
    assert max(delays) > 2_000


def test_records_of_one_key_keep_their_order_whatever_happens() -> None:
    rough = replace(
        QUIET,
        validators=ServerLinkScenario(latency=Uniform(1, 50), jitter=900_000),
        loss=300_000,
        reordering=500_000,
    )
    network = build_network(rough)
    one = [network.receive(VALIDATOR, 10 * number, 100, "same", number) for number in range(200)]
    assert one == sorted(one)
    others = [network.receive(VALIDATOR, 2_000 + 10 * number, 100, number, number) for number in range(200)]
    assert others != sorted(others)


def test_a_message_arrives_when_its_labels_say() -> None:
    jittery = replace(QUIET, trainers=replace(LINK, latency=Constant(1_000), jitter=500_000))
    found = build_network(jittery).send(TRAINER, 0, 0, "key", "label")
    assert found == build_network(jittery).send(TRAINER, 0, 0, "key", "label")
    assert found != build_network(jittery).send(TRAINER, 0, 0, "key", "another")
    assert 500 <= found <= 1_500


def test_messages_are_doubled_as_often_as_asked() -> None:
    network = build_network(replace(QUIET, duplication=250_000))
    assert 50 < sum(network.is_doubled("update", number) for number in range(400)) < 150
