"""The changes that are made to a module, one at a time: a list of mutations of its syntax tree. Pure.

======================  ================================================================================
what stands there       what replaces it
======================  ================================================================================
a comparison            its boundary (``<`` and ``<=``), and its opposite (``==`` and ``!=``)
``and``, ``or``         the other one
``not x``               ``x``; and ``not x`` where a bare ``x`` is a condition
arithmetic              ``+`` and ``-``, ``*`` and ``/`` change places
a number                one more; a fraction becomes half as much again
``True``, ``False``     the other one
a word or a table text  another text (sentences for people and f-strings stay)
``min any append``      ``max all appendleft``, and the reverse
a named argument        is left out
a statement             a call, an assignment to an attribute or ``raise`` does nothing
``return x``            ``return None``
``continue``            ``break``, and the reverse
======================  ================================================================================

Annotations, decorators, docstrings, ``assert``, ``__all__`` and the text of errors stay as they are.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Mutation", "mutations"]

_OTHER_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OTHER_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_PAIRS = (("min", "max"), ("any", "all"), ("append", "appendleft"))
_OTHER_NAMES = {name: other for pair in _PAIRS for name, other in (pair, pair[::-1])}
_NO_CODE = (ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)
_NO_CODE_FIELDS = frozenset({"annotation", "returns", "decorator_list", "exc", "cause", "type_params"})


@dataclass(frozen=True)
class Mutation:
    """One change: in which line, what was there and what comes there.

    ``first`` to ``last`` are the lines of the statement, which a test reaches or does not; ``first`` is 0 for
    what runs when the module is imported.
    """

    line: int
    before: str
    after: str
    first: int
    last: int
    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST

    @property
    def change(self) -> str:
        """What a person reads of it."""
        return f"{_short(self.before)} → {_short(self.after)}"

    def apply(self) -> None:
        """Change the tree that the mutation was found in; it is not changed back."""
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            getattr(self.parent, self.field)[self.index] = self.new


@dataclass(frozen=True)
class _Place:
    """Where the walk is: the lines of the statement, and whether it is inside a function."""

    first: int
    last: int
    in_function: bool


def mutations(tree: ast.Module) -> list[Mutation]:
    """Every mutation of ``tree``, in the order of its lines."""
    found = list(_children(tree, _Place(0, 0, in_function=False)))
    return sorted(found, key=lambda each: each.line)


def _children(parent: ast.AST, place: _Place) -> Iterator[Mutation]:
    for field, value in ast.iter_fields(parent):
        if field in _NO_CODE_FIELDS:
            continue
        # A default value is computed where the function is defined, not where it runs.
        inside = isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and field == "body"
        within = _Place(place.first, place.last, in_function=place.in_function or inside)
        if isinstance(value, ast.AST):
            yield from _at(parent, field, None, value, within)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield from _at(parent, field, index, child, within)


def _at(parent: ast.AST, field: str, index: int | None, node: ast.AST, place: _Place) -> Iterator[Mutation]:
    if isinstance(node, _NO_CODE) or _is_docstring(node) or _is_export(node):
        return
    if isinstance(node, ast.stmt):
        place = _Place(*_reach(node), in_function=place.in_function)
    new: Sequence[ast.AST] = ()
    if isinstance(node, ast.stmt):
        new = _other_statements(node)
    elif isinstance(node, ast.expr):
        new = _other_expressions(node, place)
        if field in {"test", "ifs"}:
            new = [*new, *_negated(node)]
    first, last = (place.first, place.last) if place.in_function else (0, 0)
    for other in new:
        ast.fix_missing_locations(ast.copy_location(other, node))
        line = getattr(node, "lineno", place.first)
        yield Mutation(line, ast.unparse(node), ast.unparse(other), first, last, parent, field, index, other)
    yield from _children(node, place)


def _reach(statement: ast.stmt) -> tuple[int, int]:
    """The lines of a statement without those of its blocks."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if body else statement.end_lineno
    return statement.lineno, max(statement.lineno, last or statement.lineno)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_export(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
    )


def _other_statements(node: ast.stmt) -> list[ast.AST]:
    match node:
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete() | ast.Raise():
            return [ast.Pass()]
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return [ast.Pass()]
        case ast.Return(value=ast.expr() as value) if not _is_nothing(value):
            return [ast.Return(value=ast.Constant(None))]
        case ast.Continue():
            return [ast.Break()]
        case ast.Break():
            return [ast.Continue()]
    return []


def _is_nothing(node: ast.expr) -> bool:
    """``None``, or ``False``, which callers take for the same; its opposite is another mutation."""
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _other_expressions(node: ast.expr, place: _Place) -> list[ast.AST]:
    new: list[ast.AST] = []
    match node:
        case ast.Compare():
            new += _other_compares(node)
        case ast.BoolOp(op=op):
            new.append(_with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And()))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            new.append(operand)
        case ast.BinOp(op=op) if type(op) in _OTHER_OPERATORS:
            new.append(_with(node, op=_OTHER_OPERATORS[type(op)]()))
        case ast.Constant(value=value):
            new += _other_constants(value, in_function=place.in_function)
        case ast.Call():
            new += _other_calls(node)
    return new


def _negated(test: ast.expr) -> list[ast.AST]:
    """The opposite of a condition that has no operator to turn round."""
    if isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
        return []
    return [ast.UnaryOp(op=ast.Not(), operand=test)]


def _other_compares(node: ast.Compare) -> Iterator[ast.AST]:
    for position, op in enumerate(node.ops):
        for other in _OTHER_COMPARISONS[type(op)]:
            ops = [other() if each == position else same for each, same in enumerate(node.ops)]
            yield _with(node, ops=ops)


def _other_constants(value: object, *, in_function: bool) -> list[ast.AST]:
    match value:
        case bool():
            return [ast.Constant(not value)]
        case int():
            return [ast.Constant(value + 1)]
        case float():
            return [ast.Constant(value * 1.5 or 1.0)]
        case str() if value and not (in_function and " " in value):
            return [ast.Constant(f"{value}~")]
        case bytes() if value:
            return [ast.Constant(value + b"~")]
    return []


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    match node.func:
        case ast.Name(id=name) if name in _OTHER_NAMES:
            yield _with(node, func=ast.Name(id=_OTHER_NAMES[name], ctx=ast.Load()))
        case ast.Attribute(attr=name) if name in _OTHER_NAMES:
            yield _with(node, func=_with(node.func, attr=_OTHER_NAMES[name]))
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield _with(node, keywords=[each for each in node.keywords if each is not keyword])


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _short(code: str, most: int = 90) -> str:
    line = " ".join(code.split())
    return line if len(line) <= most else f"{line[:most]}…"
