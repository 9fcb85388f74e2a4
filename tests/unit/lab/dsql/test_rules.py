"""Every row of the rules' table, and SQL that only looks like one of them."""

import pytest

from beacon_lab.dsql.rules import IamChange, StatementKind, Transaction, check_setting, read_sql

ARN = "arn:aws:iam::123456789012:role/shop-test-health-us-east-1"


def refusal(sql: str) -> str | None:
    """The first refusal's text, with its SQLSTATE if that is not the usual one."""
    for statement in read_sql(sql):
        if statement.refusal:
            code = statement.refusal.sqlstate
            return statement.refusal.message if code == "0A000" else f"{code} {statement.refusal.message}"
    return None


@pytest.mark.parametrize(
    ("sql", "kinds"),
    [
        ("", []),
        (" ; ;; -- nothing", []),
        ("BEGIN", [StatementKind.BEGIN]),
        ("start transaction isolation level repeatable read", [StatementKind.BEGIN]),
        ("COMMIT; END", [StatementKind.COMMIT, StatementKind.COMMIT]),
        ("rollback;abort", [StatementKind.ROLLBACK, StatementKind.ROLLBACK]),
        ("/* a /* nested */ comment */ INSERT INTO t VALUES ('; COMMIT;')", [StatementKind.DML]),
        (
            "INSERT INTO t VALUES (E'it\\'s; COMMIT'); UPDATE t SET a = $$; DROP TABLE t;$$",
            [StatementKind.DML] * 2,
        ),
        ("INSERT INTO t VALUES ($tag$ $$ ; COMMIT $tag$)", [StatementKind.DML]),
        ('DELETE FROM "a;b""c"', [StatementKind.DML]),
        ("WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone", [StatementKind.DML]),
        ("WITH seen AS (SELECT 'DELETE') SELECT * FROM seen", [StatementKind.OTHER]),
        ("SELECT 1; SHOW timezone; EXPLAIN SELECT 1", [StatementKind.OTHER] * 3),
        ("CREATE TABLE t (a int); DROP TABLE t; GRANT SELECT ON t TO r", [StatementKind.DDL] * 3),
        (
            "CREATE SCHEMA IF NOT EXISTS s; ALTER ROLE r WITH LOGIN; COMMENT ON TABLE t IS 'x'",
            [StatementKind.DDL] * 3,
        ),
        ("SELECT 'an unfinished text; COMMIT", [StatementKind.OTHER, StatementKind.COMMIT]),
        ("/* an unfinished comment; COMMIT", []),
    ],
)
def test_statements_are_distinguished(sql: str, kinds: list[StatementKind]) -> None:
    """Semicolons and words in quotes and comments are text, and the rest is what it says."""
    assert [statement.kind for statement in read_sql(sql)] == kinds
    if "unfinished" not in sql:
        assert refusal(sql) is None


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED", "Unsupported isolation level: READ COMMITTED"),
        ("BEGIN ISOLATION LEVEL READ UNCOMMITTED", "Unsupported isolation level: READ UNCOMMITTED"),
        ("SET TRANSACTION READ ONLY", 'setting configuration parameter "TRANSACTION" not supported'),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            'setting configuration parameter "TRANSACTION" not supported',
        ),
        (
            "SET x.y = 1; SET Statement_Timeout=0",
            'setting configuration parameter "statement_timeout" not supported',
        ),
        ("RELEASE a", "unsupported transaction statement: RELEASE"),
        ("ROLLBACK TO SAVEPOINT a", "unsupported transaction statement: ROLLBACK TO"),
        ("VACUUM", "unsupported statement: Vacuum"),
        ("LISTEN a", "unsupported statement: Listen"),
        ("create temporary table t (a int)", "TEMPORARY or TEMP table not supported for CREATE TABLE"),
        ("CREATE UNLOGGED TABLE t (a int)", "UNLOGGED table not supported for CREATE TABLE"),
        ("CREATE OR REPLACE TRIGGER t", "CREATE TRIGGER not supported"),
        ("CREATE TYPE t AS ENUM ('a')", "CREATE TYPE not supported"),
        ("CREATE EXTENSION pgcrypto", "unsupported statement: CreateExtension"),
        ("CREATE DATABASE d", "unsupported statement: Createdb"),
        ("CREATE UNIQUE INDEX i ON t (a)", "unsupported mode. please use CREATE INDEX ASYNC."),
        ("AWS IAM GRANT r TO 'me'", "22023 IAM role must look like an IAM ARN"),
        ("AWS IAM LIST", '42601 syntax error at or near "AWS"'),
    ],
)
def test_each_rule_answers_with_its_sentence(sql: str, sentence: str) -> None:
    """DSQL's code and text for each statement that it does not have."""
    assert refusal(sql) == sentence


@pytest.mark.parametrize(
    ("sql", "change"),
    [
        (f"AWS IAM GRANT shop TO '{ARN}'", IamChange(True, "shop", ARN)),
        (f"aws iam revoke Shop from '{ARN}';", IamChange(False, "shop", ARN)),
        (f'AWS IAM GRANT "Shop ""A""" TO \'{ARN}\'', IamChange(True, 'Shop "A"', ARN)),
    ],
)
def test_iam_statements_name_the_role_as_the_catalogue_does(sql: str, change: IamChange) -> None:
    """Identifiers are folded and unquoted as PostgreSQL does it."""
    assert [statement.iam for statement in read_sql(sql)] == [change]


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("statement_timeout", True),
        ("idle_session_timeout", True),
        ("transaction_isolation", True),
        ("default_transaction_read_only", True),
        ("TimeZone", False),
        ("search_path", False),
        ("application_name", False),
        ("client_encoding", False),
    ],
)
def test_timeouts_and_transaction_properties_cannot_be_set(name: str, refused: bool) -> None:
    """The rest of PostgreSQL's parameters may be."""
    assert (check_setting(name) is not None) == refused


@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        ("BEGIN; CREATE TABLE a (i int); COMMIT; BEGIN; CREATE TABLE b (i int); COMMIT", None),
        ("BEGIN; INSERT INTO a VALUES (1); UPDATE a SET i = 2; SELECT 1; COMMIT", None),
        (
            "CREATE TABLE a (i int); CREATE TABLE b (i int)",
            "multiple ddl statements not supported in a transaction",
        ),
        (
            "BEGIN; CREATE TABLE a (i int); INSERT INTO a VALUES (1)",
            "ddl and dml are not supported in the same transaction",
        ),
        (
            "BEGIN; INSERT INTO a VALUES (1); CREATE TABLE b (i int)",
            "ddl and dml are not supported in the same transaction",
        ),
        ("BEGIN; INSERT INTO a VALUES (1); ROLLBACK; CREATE TABLE b (i int)", None),
    ],
)
def test_a_transaction_holds_one_ddl_statement_or_any_dml(sql: str, outcome: str | None) -> None:
    """Counting ends with the transaction."""
    transaction = Transaction()
    refusals = [found for statement in read_sql(sql) if (found := transaction.admit(statement))]
    assert [found.message for found in refusals] == ([outcome] if outcome else [])


def test_a_transaction_knows_whether_it_wrote() -> None:
    """Only a write can conflict at COMMIT."""
    transaction = Transaction()
    seen = []
    for statement in read_sql("BEGIN; SELECT 1; UPDATE a SET i = 1; COMMIT"):
        transaction.admit(statement)
        seen.append((transaction.open, transaction.wrote))
    assert seen == [(True, False), (True, False), (True, True), (False, False)]
