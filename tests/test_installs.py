"""What the script that installs the wheel everywhere takes for the lower bounds, and that its record has them."""

import json
import re
from pathlib import Path

import installs
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

RECORD = Path(__file__).parents[1] / "results" / "installs.json"


def test_every_library_that_is_asked_for_has_the_lower_bound_that_pip_reads():
    project = installs.project()
    for extra in (None, *installs.EXTRAS):
        asked = project["optional-dependencies"][extra] if extra else project["dependencies"]
        read = {installs.canonical(one.name): str(one.specifier) for one in map(Requirement, asked)}
        assert {name: f">={bound}" for name, bound in installs.bounds(project, extra).items()} == read


@pytest.mark.parametrize("line", ["numpy", "numpy<3", "numpy==2.0", "numpy>=1.26,<3"])
def test_a_library_without_a_plain_lower_bound_is_refused(line):
    with pytest.raises(ValueError, match=re.escape(f"{line!r} has no lower bound, allowed: NAME>=VERSION")):
        installs.bounds({"dependencies": ["rich >= 13.7", line]})


def test_extras_and_names_are_read_as_pip_reads_them():
    assert installs.bounds({"dependencies": ["Some_Lib.x[one,two]>=1.0"]}) == {"some-lib-x": "1.0"}


def test_every_extra_for_users_is_tried():
    assert {*installs.EXTRAS} == {*installs.project()["optional-dependencies"]} - {"dev", "docs", "fuzz"}


def test_what_was_installed_is_what_the_bounds_allow_and_worked():
    project, rows = installs.project(), json.loads(RECORD.read_text())["rows"]
    for row in rows:
        assert row["outcome"] == "works" and {*row["extras"]} == {*installs.EXTRAS}
        parts = {None: row, **row["extras"]}
        for extra, one in parts.items():
            assert one["outcome"] == "works", extra
            for name, bound in installs.bounds(project, extra).items():
                assert Version(one["versions"][name]) >= Version(bound), (row["python"], name)
    assert {row["dependencies"] for row in rows} == {*installs.KINDS}


def test_the_lower_bounds_themselves_were_tried_on_the_oldest_python():
    project, rows = installs.project(), json.loads(RECORD.read_text())["rows"]
    row = next(row for row in rows if row["dependencies"] == "lowest")
    assert row["python"].startswith(project["requires-python"].removeprefix(">="))
    for name, bound in installs.bounds(project).items():
        assert Version(row["versions"][name]) == Version(bound), name
