"""Every mistake in a scenario is one sentence with file, line, key, and what was probably meant."""

import pytest

from flobc.errors import UsageError
from flobc.simulation.loading import read_world

# the text, the line and key that must be named, and what else the sentence must say
MISTAKES = {
    "empty": ("", 1, "the scenario", "is empty"),
    "a list instead of sections": ("- run", 1, "the scenario", "must be a map of keys"),
    "no yaml": ("run: {rounds: 3", 1, "the scenario", "is no YAML"),
    "a tab": ("run:\n\trounds: 3", 2, "the scenario", "is no YAML"),
    "two documents": ("run: {}\n---\nrun: {}", 2, "the scenario", "is no YAML"),
    "unknown section": ("runs:\n  rounds: 3", 1, "runs", "did you mean 'run'?"),
    "unknown key of run": ("run:\n  rouns: 3", 2, "run.rouns", "did you mean 'rounds'?"),
    "unknown key of training": ("training:\n  learning_rat: 0.1", 2, "training.learning_rat", "'learning_rate'?"),
    "unknown key of data": ("data:\n  shards: iid", 2, "data.shards", "did you mean 'sharding'?"),
    "unknown key of network": ("network:\n  los: 1%", 2, "network.los", "did you mean 'loss'?"),
    "unknown key of a link": (
        "network:\n  trainers:\n    latncy: 2ms",
        3,
        "network.trainers.latncy",
        "did you mean 'latency'?",
    ),
    "unknown key of speeds": ("speeds:\n  traininq: 2s", 2, "speeds.traininq", "did you mean 'training'?"),
    "unknown key of churn": ("churn:\n  event: []", 2, "churn.event", "did you mean 'events'?"),
    "unknown key of an event": (
        "churn:\n  events:\n    - {at: 1s, what: crash, trainers: [0]}\n    - {when: 2s}",
        4,
        "churn.events.1.when",
        "is no key",
    ),
    "unknown key of clocks": ("clocks:\n  drifts: 1%", 2, "clocks.drifts", "did you mean 'drift'?"),
    "unknown key of attacks": ("attacks:\n  trainer: []", 2, "attacks.trainer", "did you mean 'trainers'?"),
    "key given twice": ("run:\n  rounds: 3\n  rounds: 4", 3, "run.rounds", "is given twice"),
    "section given twice": ("run: {}\ndata: {}\nrun: {}", 3, "run", "is given twice"),
    "section without anything": ("run:\ndata: {}", 1, "run", "must be a map of keys"),
    "key without anything": ("run:\n  rounds:", 2, "run.rounds", "nothing is given"),
    "list for a number": ("run:\n  rounds: [3]", 2, "run.rounds", "not a list"),
    "map for a number": ("run:\n  rounds: {of: 3}", 2, "run.rounds", "not a map"),
    "word for a number": ("run:\n  trainers: many", 2, "run.trainers", "a whole number from 1"),
    "negative number": ("run:\n  rounds: -1", 2, "run.rounds", "not '-1'"),
    "fraction for a number": ("run:\n  validators: 2.5", 2, "run.validators", "a whole number"),
    "nobody": ("run:\n  trainers: 0", 2, "run.trainers", "from 1"),
    "seed too large": ("run:\n  seed: 9223372036854775808", 2, "run.seed", "a whole number from 0"),
    "time without unit": ("run:\n  period: 60", 2, "run.period", "did you mean 60s?"),
    "time in a strange unit": ("run:\n  period: 60sec", 2, "run.period", "with its unit (ms, s, min or h)"),
    "unit in capitals": ("network:\n  retry: 10MS", 2, "network.retry", "did you mean 10ms?"),
    "time below a millisecond": ("network:\n  poll: 0.1ms", 2, "network.poll", "at least 1ms"),
    "time of nothing": ("run:\n  period: 0s", 2, "run.period", "at least 1ms"),
    "share without percent": ("network:\n  loss: 5", 2, "network.loss", "did you mean 5%?"),
    "share as a fraction": ("network:\n  loss: 0.05", 2, "network.loss", "did you mean 0.05%?"),
    "share above all": ("run:\n  participation: 120%", 2, "run.participation", "to 100%"),
    "share of nobody": ("run:\n  participation: 0%", 2, "run.participation", "from 0.0001%"),
    "everything lost": ("network:\n  loss: 100%", 2, "network.loss", "from 0% to 90%"),
    "time for a share": ("speeds:\n  variation: 2s", 2, "speeds.variation", "a share"),
    "bandwidth without unit": (
        "network:\n  trainers:\n    up: 5",
        3,
        "network.trainers.up",
        "did you mean 5MB/s?",
    ),
    "bandwidth in bits": ("network:\n  trainers:\n    up: 5Mbit", 3, "network.trainers.up", "bytes per second"),
    "bandwidth in small letters": (
        "network:\n  trainers:\n    down: 5mb/s",
        3,
        "network.trainers.down",
        "did you mean 5MB/s?",
    ),
    "unknown distribution": (
        "speeds:\n  training:\n    lognorml: {median: 1s, sigma: 1}",
        3,
        "speeds.training.lognorml",
        "did you mean 'lognormal'?",
    ),
    "two distributions": (
        "speeds:\n  training:\n    exponential: {mean: 1s}\n    uniform: {from: 1s, to: 2s}",
        2,
        "speeds.training",
        "or one of",
    ),
    "distribution that lacks a key": (
        "speeds:\n  training:\n    lognormal: {median: 1s}",
        3,
        "speeds.training.lognormal",
        "lacks the key sigma",
    ),
    "bounds the wrong way round": (
        "speeds:\n  training:\n    uniform: {from: 3s, to: 2s}",
        3,
        "speeds.training.uniform",
        "from the smaller value",
    ),
    "pareto that ends before it begins": (
        "speeds:\n  training:\n    pareto: {least: 3s, alpha: 2, most: 2s}",
        3,
        "speeds.training.pareto",
        "no less than its least",
    ),
    "pareto without a tail": (
        "speeds:\n  training:\n    pareto: {least: 3s, alpha: 0, most: 9s}",
        3,
        "speeds.training.pareto.alpha",
        "above 0",
    ),
    "unknown task": ("run:\n  task: digit", 2, "run.task", "did you mean 'digits'?"),
    "unknown preset": ("run:\n  preset: papers", 2, "run.preset", "did you mean 'paper'?"),
    "unknown scheme": ("run:\n  sync: bps", 2, "run.sync", "did you mean 'bsp'?"),
    "unknown rule": ("run:\n  aggregator: krumm", 2, "run.aggregator", "did you mean 'krum'?"),
    "unknown policy": ("run:\n  trust: flobcplus", 2, "run.trust", "did you mean 'flobc_plus'?"),
    "unknown codec": ("run:\n  codec: int12", 2, "run.codec", "did you mean 'int16'?"),
    "unknown shard scheme": ("data:\n  sharding: dirichlt:1", 2, "data.sharding", "did you mean 'dirichlet'?"),
    "unknown attack": (
        "attacks:\n  trainers:\n    - sign_flp@0.3",
        3,
        "attacks.trainers.0",
        "did you mean 'sign_flip'?",
    ),
    "unknown option of an attack": (
        "attacks:\n  trainers: ['sign_flip:facto=2']",
        2,
        "attacks.trainers.0",
        "did you mean 'factor'?",
    ),
    "unknown attack of validators": (
        "attacks:\n  validators: [silnt]",
        2,
        "attacks.validators.0",
        "did you mean 'silent'?",
    ),
    "option that an attack has not": (
        "attacks:\n  validators: ['silent:loud=1']",
        2,
        "attacks.validators.0",
        "It has none",
    ),
    "share of attackers above one": (
        "attacks:\n  validators: [silent@1.5]",
        2,
        "attacks.validators.0",
        "at most 1",
    ),
    "unknown action": (
        "churn:\n  events:\n    - {at: 1s, what: crsh, trainers: [0]}",
        3,
        "churn.events.0.what",
        "did you mean 'crash'?",
    ),
    "event without a time": (
        "churn:\n  events:\n    - {what: crash, trainers: [0]}",
        3,
        "churn.events.0",
        "lacks the key at",
    ),
    "event for nobody": ("churn:\n  events:\n    - {at: 1s, what: crash}", 3, "churn.events.0", "names nobody"),
    "empty list of nodes": (
        "churn:\n  events:\n    - {at: 1s, what: crash, trainers: []}",
        3,
        "churn.events.0.trainers",
        "names nobody",
    ),
    "nodes in a word": (
        "churn:\n  events:\n    - {at: 1s, what: crash, trainers: al}",
        3,
        "churn.events.0.trainers",
        "did you mean 'all'?",
    ),
    "a node that is not there": (
        "run: {trainers: 3}\nchurn:\n  events:\n    - {at: 1s, what: crash, trainers: [3]}",
        4,
        "churn.events.0.trainers",
        "0 to 2",
    ),
    "return of who runs": (
        "churn:\n  events:\n    - {at: 1s, what: return, trainers: [0]}",
        3,
        "churn.events.0.what",
        "trainer 0, which runs",
    ),
    "crash of who does not run": (
        "churn:\n  events:\n    - {at: 1s, what: crash, trainers: [0]}\n    - {at: 2s, what: leave, trainers: [0]}",
        4,
        "churn.events.1.what",
        "trainer 0, which does not run",
    ),
    "join of a validator": (
        "churn:\n  events:\n    - {at: 1s, what: join, validators: [0]}",
        3,
        "churn.events.0.what",
        "use crash and return",
    ),
    "join of who was there": (
        "churn:\n  events:\n    - {at: 1s, what: crash, trainers: [0]}\n    - {at: 2s, what: join, trainers: [0]}",
        4,
        "churn.events.1.what",
        "cannot be join",
    ),
    "event after the end": (
        "run: {time_limit: 1min}\nchurn:\n  events:\n    - {at: 2min, what: crash, trainers: [0]}",
        4,
        "churn.events.0.at",
        "after run.time_limit",
    ),
    "rate without a mean": ("churn:\n  rates:\n    - {trainers: all}", 3, "churn.rates.0", "lacks the key crash_every"),
    "partition that ends before it begins": (
        "partitions:\n  - {from: 5s, to: 5s, trainers: [0]}",
        2,
        "partitions.0.to",
        "later than the partition's from",
    ),
    "partition of nobody": ("partitions:\n  - {from: 1s, to: 5s}", 2, "partitions.0", "names nobody"),
    "partitions as a map": ("partitions:\n  from: 1s", 1, "partitions", "must be a list of maps"),
    "more stragglers than trainers": (
        "speeds:\n  stragglers:\n    - {share: 60%, factor: 2}\n    - {share: 50%, factor: 3}",
        2,
        "speeds.stragglers",
        "110% together",
    ),
    "more attackers than trainers": (
        "attacks:\n  trainers: [sign_flip@0.7, zero@0.7]",
        2,
        "attacks.trainers",
        "more than the 6 trainers",
    ),
    "more attackers than validators": (
        "attacks:\n  validators: [silent@0.75, random@0.75]",
        2,
        "attacks.validators",
        "ask for 6 of the 4 validators",
    ),
    "key that the scheme does not read": (
        "run:\n  sync: bsp\n  majority_ratio: 60%",
        3,
        "run.majority_ratio",
        "or take bap",
    ),
    "quota without work ahead": ("run:\n  sync: bsp\n  quota: 3", 3, "run.quota", "while run.sync is bsp"),
    "key that the rule does not read": (
        "run:\n  aggregator: median\n  trim_share: 10%",
        3,
        "run.trim_share",
        "or take trimmed_mean",
    ),
    "epochs and steps": ("training:\n  epochs: 2\n  steps: 3", 3, "training.steps", "contradicts training.epochs"),
    "momentum for adam": ("training:\n  optimizer: adam\n  momentum: 0.9", 3, "training.momentum", "or take sgd"),
    "open to nobody": ("run:\n  admission: open", 2, "run.admission", "churn.events"),
    "invitations to nobody": ("run:\n  admission: invite", 2, "run.admission", "churn.events"),
    "invitations where all may join": (
        "run:\n  admission: open\n  invited: 3\nchurn:\n  events: [{at: 1s, what: join, trainers: [0]}]",
        3,
        "run.invited",
        "or take invite",
    ),
    "caps without joins": ("run:\n  max_joins: 3", 2, "run.max_joins", "or take open or invite"),
    "fewer trainers than the genesis has": (
        "run:\n  admission: open\n  trainers: 6\n  max_trainers: 4\n"
        "churn:\n  events: [{at: 1s, what: join, trainers: [0]}]",
        4,
        "run.max_trainers",
        "less than the 5 trainers",
    ),
    "clock that stands still": ("clocks:\n  drift: 100%", 2, "clocks.drift", "from 0% to 50%"),
    "an anchor of itself": ("run: &a\n  rounds: *a", 2, "run.rounds", ""),
    "a text without end": (f"run:\n  task: {'x' * 1000}", 2, "run.task", "xxx..."),
}


@pytest.mark.parametrize(("text", "line", "key", "reason"), MISTAKES.values(), ids=MISTAKES.keys())
def test_invalid_scenario_is_named_with_its_place(text: str, line: int, key: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_world("world.yaml", text)
    sentence = str(caught.value)
    assert sentence.startswith(f"world.yaml:{line}: {key}"), sentence
    assert reason in sentence
    assert len(sentence) < 700


def test_there_are_enough_of_them() -> None:
    assert len(MISTAKES) >= 40
