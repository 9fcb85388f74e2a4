"""What a Python source imports, read from its text."""

import ast

__all__ = ["OUTSIDE", "imports_of"]

#: Modules of the outside: I/O, clocks, processes and randomness. A pure module imports none of them.
OUTSIDE = {"boto3", "botocore", "psycopg", "dns", "socket", "ssl", "select", "time", "os", "threading"}
OUTSIDE |= {
    "subprocess",
    "random",
    "asyncio",
    "sys",
    "pathlib",
    "io",
    "logging",
    "urllib",
    "http",
    "tempfile",
}


def imports_of(text: str) -> set[str]:
    """Every module, and every name of a module, in the imports of ``text``, at any level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found
