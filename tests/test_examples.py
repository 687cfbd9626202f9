"""Every example runs as its first lines say, at a tiny size, and says what it found."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAYS = {
    "digits.py": (["30"], r"-?\d+\.\d nats by a Parzen window over 10,000 samples; digits\.png"),
    "classes.py": (["30"], r"\d+% of 100 samples are the digit they were to be"),
    "missing_numbers.py": (["20"], r"\d\.\d\d standard deviations off: advnets, one draw"),
    "few_labels.py": (["20"], r"\d+ of 297 wrong with 50 labels"),
    "any_samples.py": (["500"], r"-?\d+\.\d ± \d\.\d nats, bandwidth 0\.\d+: the training images"),
    "theorem.py": ([], r"C\(G\) = -1\.386294, −log 4 \+ 2·JSD = -1\.386294: G draws all of it"),
}


@pytest.mark.filterwarnings("default")  # what a short training is told of itself
@pytest.mark.parametrize("name", SAYS)
def test_it_runs(name, monkeypatch, tmp_path, capsys):
    words, wanted = SAYS[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *words])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert re.search(wanted, capsys.readouterr().out)


def test_there_is_no_other_and_each_says_how_to_run_it():
    assert {one.name for one in EXAMPLES.glob("*.py")} == {*SAYS}
    for name in SAYS:
        about = ast.get_docstring(ast.parse((EXAMPLES / name).read_text(encoding="utf-8")))
        assert f"python examples/{name}" in (about or "")
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 45
