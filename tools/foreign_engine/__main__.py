"""Starts the engine, with our handlers for the resource types that it lacks.

It runs with the interpreter of the engine's own environment; tools.foreign_engine.process starts it so. It
changes no installed file: it adds the missing handlers to the engine's table of handlers. If the engine gets
its own handler for a type one day, that one is used.
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
    """No deployed schedule fires here: it would start our functions, which connect to real host names."""


table = provisioners._RESOURCE_HANDLERS  # noqa: SLF001 - the engine has no public one
for kind, handlers in {**HANDLERS, **stub_handlers()}.items():
    table.setdefault(kind, handlers)
table["AWS::CloudWatch::Alarm"] = with_metric_math(table["AWS::CloudWatch::Alarm"])
repair()
scheduler.start_scheduler = _no_ticks
eventbridge.start_scheduler = _no_ticks
app.main()
