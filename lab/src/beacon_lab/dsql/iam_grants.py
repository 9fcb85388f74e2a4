"""Which IAM principal may log in as which database role: the cluster's one registry, for all its Regions."""

from beacon_lab.dsql.rules import IamChange

__all__ = ["IamGrants"]


class IamGrants:
    """What ``AWS IAM GRANT`` and ``AWS IAM REVOKE`` have left."""

    def __init__(self) -> None:
        self._held: set[tuple[str, str]] = set()

    def apply(self, change: IamChange) -> None:
        """Grant or revoke; either may be repeated."""
        if change.grant:
            self._held.add((change.role, change.arn))
        else:
            self._held.discard((change.role, change.arn))

    def allows(self, role: str, arn: str) -> bool:
        """Whether the principal ``arn`` may log in as ``role``."""
        return (role, arn) in self._held
