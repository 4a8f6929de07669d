"""Combinations that no single key can show to be impossible."""

from __future__ import annotations

from collections.abc import Iterator

from flobc.composition.embedded import build_attacks
from flobc.composition.settings import RunSettings
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.protocol.bounds import PPM
from flobc.simulation.attacks import parse_validator_attack
from flobc.simulation.document import Source
from flobc.simulation.members import Members
from flobc.simulation.scenario import EventScenario, PartitionScenario, RateScenario, Scenario

_READ_BY = (
    ("majority_ratio", "sync", ("bap", "adaptive")),
    ("max_staleness", "sync", ("ssp", "bap", "adaptive")),
    ("quota", "sync", ("ssp", "bap", "adaptive")),
    ("max_trainers", "admission", ("open", "invite")),
    ("max_joins", "admission", ("open", "invite")),
    ("invited", "admission", ("invite",)),
    ("byzantine_share", "aggregator", ("krum", "multi_krum")),
    ("trim_share", "aggregator", ("trimmed_mean",)),
)
"""Keys of ``run`` that only some values of another key read."""


def check_scenario(scenario: Scenario, settings: RunSettings, source: Source) -> None:
    """Check what one key means for another. **Raises** UsageError naming line and key."""
    _check_run(scenario, settings, source)
    _check_attacks(scenario, settings, source)
    _check_speeds(scenario, source)
    for path, part in _iterate_parts(scenario):
        _check_members(path, part, settings, source)
    _check_partitions(scenario, source)
    _check_events(scenario, settings, source)


def _check_run(scenario: Scenario, settings: RunSettings, source: Source) -> None:
    found = {
        "sync": settings.params.sync.scheme,
        "aggregator": settings.params.aggregation.rule,
        "admission": scenario.run.admission,
    }
    for name, by, values in _READ_BY:
        if getattr(scenario.run, name) is not None and found[by] not in values:
            raise source.build_error(
                f"run.{name}",
                f"means nothing while run.{by} is {found[by]}; leave it out, or take {' or '.join(values)}.",
            )
    training = scenario.training
    if training.epochs is not None and training.steps is not None:
        raise source.build_error("training.steps", "contradicts training.epochs; give one of them.")
    if training.momentum is not None and training.optimizer == "adam":
        raise source.build_error("training.momentum", "means nothing to adam; leave it out, or take sgd.")
    joiners = [event for event in scenario.churn.events if event.what == "join"]
    admission = scenario.run.admission
    if admission != "allowlist" and not joiners:
        raise source.build_error(
            "run.admission", f"is {admission}, but no event of churn.events lets anybody join; add one."
        )
    members = settings.trainers - len(list_joining(scenario, settings))
    if admission != "allowlist" and settings.params.admission.max_trainers < members:
        raise source.build_error(
            "run.max_trainers", f"is less than the {show_count(members, 'trainer')} of the genesis; raise it."
        )


def _check_attacks(scenario: Scenario, settings: RunSettings, source: Source) -> None:
    try:
        build_attacks(settings)
    except UsageError as error:
        raise source.build_error("attacks.trainers", f"cannot be: {error}") from error
    specs = [parse_validator_attack(text) for text in scenario.attacks.validators]
    attackers = sum(spec.count_attackers(settings.validators) for spec in specs)
    if attackers > settings.validators:
        raise source.build_error(
            "attacks.validators", f"ask for {attackers} of the {settings.validators} validators; lower their shares."
        )


def _check_speeds(scenario: Scenario, source: Source) -> None:
    total = sum(group.share for group in scenario.speeds.stragglers)
    if total > PPM:
        raise source.build_error("speeds.stragglers", f"have shares of {total / PPM:.0%} together; lower them to 100%.")


Part = EventScenario | RateScenario | PartitionScenario


def _iterate_parts(scenario: Scenario) -> Iterator[tuple[str, Part]]:
    groups: dict[str, tuple[Part, ...]] = {
        "churn.events": scenario.churn.events,
        "churn.rates": scenario.churn.rates,
        "partitions": scenario.partitions,
    }
    for name, parts in groups.items():
        for index, part in enumerate(parts):
            yield f"{name}.{index}", part


def _check_members(path: str, part: Part, settings: RunSettings, source: Source) -> None:
    if not (part.trainers or part.validators):
        raise source.build_error(path, "names nobody; add the key trainers or validators.")
    for role, members, count in (
        ("trainers", part.trainers, settings.trainers),
        ("validators", part.validators, settings.validators),
    ):
        _check_numbers(f"{path}.{role}", members, role, count, source)


def _check_numbers(path: str, members: Members, role: str, count: int, source: Source) -> None:
    strange = [number for number in members.numbers if number >= count]
    if strange:
        raise source.build_error(path, f"names number {strange[0]}, but there are {count} {role}, 0 to {count - 1}.")


def _check_partitions(scenario: Scenario, source: Source) -> None:
    for index, partition in enumerate(scenario.partitions):
        if partition.to <= partition.from_:
            raise source.build_error(f"partitions.{index}.to", "must be later than the partition's from.")


def _check_events(scenario: Scenario, settings: RunSettings, source: Source) -> None:
    """Check that each node's events, in order of time, make sense: nobody returns who runs, or crashes who does not."""
    runs: dict[tuple[str, int], tuple[bool, int]] = {}
    events = sorted(enumerate(scenario.churn.events), key=lambda item: (item[1].at, item[0]))
    for index, event in events:
        path = f"churn.events.{index}"
        if event.at > scenario.run.time_limit:
            raise source.build_error(f"{path}.at", "is after run.time_limit, when the simulation gives up.")
        if event.what == "join" and event.validators:
            raise source.build_error(
                f"{path}.what", "cannot be join for validators, who are all in the genesis; use crash and return."
            )
        for node in list_nodes(event, index, settings):
            is_late = event.what == "join" and node in runs  # who joins has not been there before
            running, since = runs.get(node, (event.what != "join", -1))
            if is_late or since == event.at or running is (event.what in ("join", "return")):
                is_now = "runs" if running else "does not run"
                raise source.build_error(
                    f"{path}.what", f"cannot be {event.what} for {node[0]} {node[1]}, which {is_now} at that time."
                )
            runs[node] = (event.what in ("join", "return"), event.at)


def list_joining(scenario: Scenario, settings: RunSettings) -> set[int]:
    """Return the trainers that some event lets join."""
    return {
        number
        for index, event in enumerate(scenario.churn.events)
        if event.what == "join"
        for number in event.trainers.choose(settings.trainers, settings.seed, "event", index, "trainers")
    }


def list_nodes(event: EventScenario, index: int, settings: RunSettings) -> list[tuple[str, int]]:
    """Return role and number of each node that the ``index``-th event is about."""
    seed = settings.seed
    trainers = event.trainers.choose(settings.trainers, seed, "event", index, "trainers")
    validators = event.validators.choose(settings.validators, seed, "event", index, "validators")
    return [("trainer", number) for number in trainers] + [("validator", number) for number in validators]
