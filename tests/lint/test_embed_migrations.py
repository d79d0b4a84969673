# SPDX-License-Identifier: Apache-2.0
"""What a migration says about the programs that it serves is read as it is meant, or not at all."""
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/embed-migrations"


def embed(tmp_path, text, name="0042_made_up.sql"):
    file = tmp_path / name
    file.write_text(text)
    return subprocess.run([SCRIPT, file], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("text, serves", [
    ("-- Adds a column.\n-- Serves programs of 0017 and later.\nselect 1;\n", 17),
    ("-- Adds a column,\n-- in two lines.\n-- Serves programs of 0042 and later.\nselect 1;\n", 42),
    ("-- Changes what a column means.\nselect 1;\n", 42),
    ("select 1;\n", 42),
])
def test_a_migration_says_whom_it_serves_or_itself_alone(tmp_path, text, serves):
    made = embed(tmp_path, text)
    assert made.returncode == 0, made.stderr
    assert f'{{42, {serves}, "made_up",' in made.stdout


@pytest.mark.parametrize("text", [
    "-- Serves programs of 17 and later.\nselect 1;\n",
    "-- Serves programs of 0017 and later\nselect 1;\n",
    "-- serves programs of 0017 and later.\nselect 1;\n",
    "-- Serves all programs.\nselect 1;\n",
    "-- Serves programs of 0043 and later.\nselect 1;\n",
    "-- Serves programs of 0000 and later.\nselect 1;\n",
    "-- One.\nselect 1;\n-- Serves programs of 0017 and later.\n",
    "-- Serves programs of 0017 and later.\n-- Serves programs of 0018 and later.\nselect 1;\n",
])
def test_a_line_that_is_not_quite_right_is_refused_by_name(tmp_path, text):
    made = embed(tmp_path, text)
    assert made.returncode == 1
    assert "0042_made_up.sql" in made.stderr and "Serves" in made.stderr.title()
