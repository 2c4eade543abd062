"""What the documents promise is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def named_tests() -> list[str]:
    return [
        each
        for page in ("ARCHITECTURE.md", "docs/coverage.md", "docs/assurance.md")
        for each in re.findall(r"`(tests/[\w/]+\.py::\w+)`", (ROOT / page).read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("named", named_tests())
def test_what_is_said_to_be_shown_is_shown_by_a_test_that_exists(named):
    path, test = named.split("::")

    assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/sandbox.md"])
def test_every_link_into_the_repository_leads_somewhere(name):
    page = ROOT / name

    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_the_quick_start_runs_and_tests_with_one_command_each():
    quick_start = (
        (ROOT / "README.md").read_text(encoding="utf-8").split("## Quick start")[1].split("\n## ")[0]
    )

    assert re.findall(r"```sh\n(.*?)\n```", quick_start, re.DOTALL) == [
        "python3 quickstart.py",
        "python3 quickstart.py test",
    ]
    assert "python3 quickstart.py test" in (ROOT / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["run", "dev"])
def test_the_locks_hold_every_requirement_with_hashes_and_no_address(name):
    lock = (ROOT / f"requirements/{name}.lock").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + (
        project["dependency-groups"]["dev"] if name == "dev" else []
    )

    for requirement in wanted:
        package = re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")
        assert re.search(rf"^{re.escape(package)}==\S+.* \\\n    --hash=sha256:", lock, re.MULTILINE), package
    assert "://" not in lock
    assert "--index" not in lock
