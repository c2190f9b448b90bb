"""What a run of ci/kill9 must hold, judged from the whole history. No broker, no clock."""

import copy
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

from harness.load import parse_payload, payload

CHECKS = 9  # how many verdicts a complete run ends with


@dataclass
class History:
    log: dict            # partition -> the value at each offset, at the end
    producers: list      # name, is_idempotent, sent, acknowledged {number: place}, errors, fatal
    reader: object       # seen {place: value}, errors
    raw: object          # producer_ids, duplicates, failures {"ids": [], "duplicates": []}
    epochs: list         # the leader epoch of the one raw record of each life, in offset order
    open_at_kill: int = 0
    places: dict = field(init=False)   # (name, number) -> [(partition, offset)]
    foreign: list = field(init=False)  # complaints about values that nobody sent

    def __post_init__(self):
        self.places, self.foreign = {}, []
        self.by_name = {producer.name: producer for producer in self.producers}
        for partition, values in self.log.items():
            for offset, value in enumerate(values):
                try:
                    name, number = parse_payload(value)
                except AssertionError as error:
                    self.foreign.append(f"partition {partition} offset {offset}: {error}")
                    continue
                self.places.setdefault((name, number), []).append((partition, offset))
                if name not in self.by_name or number >= self.by_name[name].sent:
                    self.foreign.append(f"{name}:{number} was never sent")

    def is_idempotent(self, name):
        return name in self.by_name and self.by_name[name].is_idempotent


def lost(history):
    return [f"{producer.name}:{number} was acknowledged at {place} and is at "
            f"{history.places.get((producer.name, number))}"
            for producer in history.producers for number, place in producer.acknowledged.items()
            if place not in history.places.get((producer.name, number), [])]


def twice(history):
    return [f"{name}:{number} is at {found}" for (name, number), found in history.places.items()
            if history.is_idempotent(name) and len(found) > 1]


def disorder(history):
    complaints, last = [], {}
    for (name, number), ((partition, offset), *_) in sorted(history.places.items()):
        if history.is_idempotent(name):
            if offset < last.get((name, partition), -1):
                complaints.append(f"{name}:{number} stands before its predecessor")
            last[name, partition] = offset
    return complaints


def changed(history):
    log = history.log
    return history.reader.errors + [
        f"a reader saw another value at {place}" for place, value in history.reader.seen.items()
        if place[1] >= len(log[place[0]]) or log[place[0]][place[1]] != value]


def errors(history):
    return [f"{producer.name}: {error}" for producer in history.producers
            for error in [*producer.errors, *filter(None, [producer.fatal])]]


def epochs_fall(history):
    rising = sorted(set(history.epochs))
    return [] if history.epochs == rising else [f"leader epochs of the lives: {history.epochs}"]


def judge(history):
    """[(check, complaint or None, note)]"""
    repeats = Counter(len(found) for (name, _), found in history.places.items()
                      if not history.is_idempotent(name))
    acknowledged = sum(len(producer.acknowledged) for producer in history.producers)
    raw = history.raw

    def verdict(name, complaints, note):
        return name, (f"{len(complaints)} times; {complaints[:3]}" if complaints else None), note

    return [
        verdict("no acknowledged record is lost or moved", lost(history),
                f"{acknowledged} acknowledged, {history.open_at_kill} were open at a kill"),
        verdict("no record of an idempotent producer is there twice", twice(history),
                f"copies of plain ones: {dict(sorted(repeats.items()))}"),
        verdict("records of an idempotent producer keep their order", disorder(history),
                f"{len(history.places)} records"),
        verdict("nothing is there that nobody sent", history.foreign,
                f"{sum(len(values) for values in history.log.values())} offsets"),
        verdict("what a reader saw stays", changed(history), f"{len(history.reader.seen)} seen"),
        verdict("no producer got an error", errors(history), f"{len(history.producers)} producers"),
        verdict("no producer id is given out twice", raw.failures["ids"],
                f"{len(raw.producer_ids)} ids"),
        verdict("a retry across the kill is answered with its first offset",
                raw.failures["duplicates"], f"{raw.duplicates} retries"),
        verdict("every life of the broker has a higher leader epoch", epochs_fall(history),
                f"{len(history.epochs)} epochs"),
    ]


def small_history(log, **changes):
    """Two producers' records in one partition, acknowledged where `log` has them first."""
    producers = []
    for name in ("idempotent-0", "plain-0"):
        acknowledged = {number: (0, log.index(payload(name, number)))
                        for number in range(3) if payload(name, number) in log}
        producers.append(SimpleNamespace(name=name, is_idempotent=name.startswith("idem"), sent=3,
                                         acknowledged=acknowledged, errors=[], fatal=None))
    raw = SimpleNamespace(producer_ids=[1, 2], duplicates=1, failures={"ids": [], "duplicates": []})
    reader = SimpleNamespace(seen={(0, 0): log[0]}, errors=[])
    return History(**{"log": {0: log}, "producers": producers, "reader": reader, "raw": raw,
                      "epochs": [0, 1], **changes})


def prove():
    """Plants each anomaly and expects exactly its verdict: a check that sees nothing is none."""
    good = [payload(name, number) for number in range(3) for name in ("idempotent-0", "plain-0")]

    def failing(history):
        return [index for index, (_, complaint, _) in enumerate(judge(history)) if complaint]

    base = small_history(good)
    assert failing(base) == []
    assert len(judge(base)) == CHECKS

    def planted(log=None, **changes):
        history = copy.copy(base)
        return failing(History(**{"log": {0: log or good}, "producers": history.producers,
                                  "reader": history.reader, "raw": history.raw,
                                  "epochs": history.epochs, **changes}))

    assert planted(good[:-1]) == [0], "a lost record"
    assert planted(good[:4] + [good[5], good[4]]) == [0], "two records that changed places"
    assert planted(good + [good[0]]) == [1], "an idempotent record twice"
    assert planted(good + [good[1]]) == [], "a plain record twice is allowed"
    assert 2 in planted([good[2], good[1], good[0], *good[3:]]), "records out of order"
    assert planted(good + [b"nobody:1:"]) == [3], "a record from nowhere"
    assert planted([*good[:5], good[5] + b"!"]) == [0, 3], "a record that was changed"
    seen = SimpleNamespace(seen={(0, 1): good[0]}, errors=[])
    assert planted(reader=seen) == [4], "a reader that saw what is not there"
    seen = SimpleNamespace(seen={(0, len(good)): good[0]}, errors=[])
    assert planted(reader=seen) == [4], "a reader that saw what went away"
    failed = [copy.copy(producer) for producer in base.producers]
    failed[0].fatal = "sequence"
    assert planted(producers=failed) == [5], "a producer's error"
    for index, what in ((6, "ids"), (7, "duplicates")):
        raw = copy.deepcopy(base.raw)
        raw.failures[what].append("planted")
        assert planted(raw=raw) == [index], what
    assert planted(epochs=[0, 0]) == [8], "an epoch that is used again"
