"""The rules by which Route 53 chooses among records of one name and type, as pure functions.

Sources: Route 53 Developer Guide ("How Amazon Route 53 chooses records when health checking is configured",
"Choosing a routing policy"). A record without a health check counts as healthy. Each row below is read by a
test.

1. The records that may answer.

    | healthy records | may answer                                          |
    | --------------- | --------------------------------------------------- |
    | some            | the healthy ones                                    |
    | none            | all of them, as if every one were healthy           |

2. Simple: the one record answers, whatever its health.

3. Failover.

    | PRIMARY   | SECONDARY | answers   |
    | --------- | --------- | --------- |
    | healthy   | healthy   | PRIMARY   |
    | healthy   | unhealthy | PRIMARY   |
    | unhealthy | healthy   | SECONDARY |
    | unhealthy | unhealthy | PRIMARY   |
    | unhealthy | absent    | PRIMARY   |
    | absent    | any       | SECONDARY |

4. Latency: among those that may answer, the one whose Region is nearest to the client's.

    | near      | far       | answers |
    | --------- | --------- | ------- |
    | healthy   | healthy   | near    |
    | unhealthy | healthy   | far     |
    | healthy   | unhealthy | near    |
    | unhealthy | unhealthy | near    |

5. Weighted: among those that may answer, by chance in proportion to the weights.

    | weights above 0 | weights of 0 | answers                                                     |
    | --------------- | ------------ | ----------------------------------------------------------- |
    | some healthy    | any          | the healthy ones with a weight above 0                       |
    | all unhealthy   | some healthy | the healthy ones with weight 0, each as likely as the others |
    | all unhealthy   | none healthy | those with a weight above 0, as if every one were healthy    |
    | none exist      | some healthy | the healthy ones, each as likely as the others               |
    | none exist      | none healthy | all, each as likely as the others                            |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from beacon_lab.route53.distances import round_trip_ms

#: Whether the health check of this id is healthy.
Healthy = Callable[[str], bool]


class Failover(StrEnum):
    """The role of a failover record."""

    PRIMARY = "PRIMARY"
    SECONDARY = "SECONDARY"


@dataclass(frozen=True, slots=True)
class RecordSet:
    """One resource record set: at most one routing policy; raises ValueError on what Route 53 refuses."""

    name: str
    type: str
    ttl_s: int
    values: tuple[str, ...]
    set_identifier: str = ""
    health_check_id: str = ""
    failover: Failover | None = None
    region: str = ""
    weight: int | None = None

    def __post_init__(self) -> None:
        policies = sum((self.failover is not None, bool(self.region), self.weight is not None))
        if policies > 1:
            raise ValueError(f"{self.name} {self.type}: more than one routing policy")
        if policies == 1 and not 1 <= len(self.set_identifier) <= 128:
            raise ValueError(
                f"{self.name} {self.type}: a routing policy needs a SetIdentifier of 1-128 characters"
            )
        if self.weight is not None and not 0 <= self.weight <= 255:
            raise ValueError(f"{self.name} {self.type}: Weight {self.weight} is outside 0-255")
        if not 0 <= self.ttl_s <= 2147483647:
            raise ValueError(f"{self.name} {self.type}: TTL {self.ttl_s} is outside 0-2147483647")


@dataclass(frozen=True, slots=True)
class Zone:
    """A public hosted zone and its record sets; the name is absolute, in lower case."""

    id: str
    name: str
    records: tuple[RecordSet, ...] = ()


def choose(
    records: Sequence[RecordSet], *, healthy: Healthy, client_region: str, chance: Random
) -> RecordSet:
    """The record that answers, of all that share one name and type.

    Every table above. ``records`` holds at least one; ``client_region`` is read by latency records only,
    ``chance`` by weighted ones only.
    """
    well = [record for record in records if not record.health_check_id or healthy(record.health_check_id)]
    first = records[0]
    if first.failover is not None:
        return _choose_failover(records, well)
    if first.region:
        return min(well or records, key=lambda record: _distance_ms(client_region, record))
    if first.weight is not None:
        return _choose_weighted(records, well, chance)
    return first


def _choose_failover(records: Sequence[RecordSet], well: Sequence[RecordSet]) -> RecordSet:
    # min() keeps the first of equals, so PRIMARY comes first whenever it may answer.
    return min(well or records, key=lambda record: record.failover is not Failover.PRIMARY)


def _distance_ms(client_region: str, record: RecordSet) -> tuple[float, str]:
    try:
        return round_trip_ms(client_region, record.region), record.region
    except KeyError:
        return float("inf"), record.region


def _choose_weighted(records: Sequence[RecordSet], well: Sequence[RecordSet], chance: Random) -> RecordSet:
    candidates = [record for record in well if record.weight] or list(well) or list(records)
    weights = [record.weight or 0 for record in candidates]
    return chance.choices(candidates, weights if any(weights) else None)[0]
