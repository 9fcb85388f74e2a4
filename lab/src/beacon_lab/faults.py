"""The faults that an operator of the lab can put into a Region, by the names the command line uses."""

from enum import StrEnum, unique

__all__ = ["FaultKind"]


@unique
class FaultKind(StrEnum):
    """One way in which a Region breaks; the value is what `beacon-lab fault REGION KIND` takes."""

    DSQL_REFUSE = "dsql-refuse"
    DSQL_FREEZE = "dsql-freeze"
    DSQL_SLOW = "dsql-slow"
    DSQL_RESET = "dsql-reset"
    DSQL_DENY = "dsql-deny"
    DSQL_HALFOPEN = "dsql-halfopen"
    DSQL_SILENT = "dsql-silent"
    GATEWAY_DOWN = "gateway-down"
    LAMBDA_ERROR = "lambda-error"
    SSM_DOWN = "ssm-down"
    REGION_DOWN = "region-down"

    @property
    def is_dsql(self) -> bool:
        """Whether a DSQL front alone can carry the fault out."""
        return self.value.startswith("dsql-")

    @property
    def description(self) -> str:
        """What the fault does, as the command line's help says it."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    FaultKind.DSQL_REFUSE: "The database endpoint refuses connections; open ones are reset",
    FaultKind.DSQL_FREEZE: "The database endpoint accepts connections and is silent, on open ones too",
    FaultKind.DSQL_SLOW: "Each message from the database is late",
    FaultKind.DSQL_RESET: "Connections, open and new, are answered with RST",
    FaultKind.DSQL_DENY: "Logins are denied; open connections are terminated",
    FaultKind.DSQL_HALFOPEN: "Open connections swallow every byte for ever; new ones work",
    FaultKind.DSQL_SILENT: "Logins succeed, and no statement is answered, on open connections too",
    FaultKind.GATEWAY_DOWN: "The Region's API Gateway refuses connections",
    FaultKind.LAMBDA_ERROR: "Every invocation in the Region ends in a function error",
    FaultKind.SSM_DOWN: "Parameter Store of the Region answers with server errors",
    FaultKind.REGION_DOWN: "All of it at once",
}
