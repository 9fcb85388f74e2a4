"""Without credentials, with an expired login or an unknown profile, a command ends in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.situations import FAR, HOSTS, NEAR

BEACON = str(Path(sys.executable).parent / "beacon")
FILE = "".join(
    f'[{region}.deploy.parameters]\nregion = "{region}"\nstack_name = "s"\n'
    f'parameter_overrides = ["DsqlEndpoint={HOSTS[region]}"]\n'
    for region in (NEAR, FAR)
)
EXPIRED = """
[profile night]
sso_session = night
sso_account_id = 123456789012
sso_role_name = operator
region = us-east-1
[sso-session night]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
"""


@pytest.mark.parametrize(
    ("words", "sentence", "command"),
    [
        ([], "there are no AWS credentials", "aws configure sso"),
        (
            ["--profile", "night"],
            "AWS was not asked: the AWS login has expired",
            "aws sso login --profile night",
        ),
        (["--profile", "nigth"], "there is no AWS profile 'nigth'", "aws configure list-profiles"),
    ],
)
@pytest.mark.parametrize("name", ["status", "explain"])
def test_a_command_without_a_login_says_how_to_get_one(
    name: str, words: list[str], sentence: str, command: str, tmp_path: Path
) -> None:
    """In place of a screen full of question marks."""
    (tmp_path / "samconfig.toml").write_text(FILE, encoding="utf-8")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(EXPIRED, encoding="utf-8")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BEACON_"))
    }
    done = subprocess.run(
        [BEACON, name, *words],
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.splitlines() == [f"beacon: {sentence}", f"  try: {command}"]
