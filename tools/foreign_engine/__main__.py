"""Starts the engine, with our handlers for the resource types that it lacks.

Run with the interpreter of the engine's own environment; tools.foreign_engine.process does. No installed file
is changed: what is missing is added to the table that the engine looks its handlers up in. A type that the
engine learns one day stays the engine's.
"""

from __future__ import annotations

from ministack import app
from ministack.services import eventbridge, scheduler
from ministack.services.cloudformation import provisioners
from tools.foreign_engine.repairs import repair
from tools.foreign_engine.resource_handlers import HANDLERS
from tools.foreign_engine.stubs import stub_handlers, with_metric_math

__all__: list[str] = []


def _no_ticks() -> None:
    """A deployed schedule never fires here: it would start our functions, which dial real host names."""


table = provisioners._RESOURCE_HANDLERS  # noqa: SLF001 - the engine has no public one
for kind, handlers in {**HANDLERS, **stub_handlers()}.items():
    table.setdefault(kind, handlers)
table["AWS::CloudWatch::Alarm"] = with_metric_math(table["AWS::CloudWatch::Alarm"])
repair()
scheduler.start_scheduler = _no_ticks
eventbridge.start_scheduler = _no_ticks
app.main()
