"""README's commands run or parse, its tables are what the results give, its tree is complete."""

import importlib
import json
import re
import shlex

import pytest
from conftest import ROOT, run_command

from mnist_classification.cli import app
from mnist_classification.study.results import load_results
from mnist_classification.study.tables import report

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, block in BLOCKS
    for line in block.splitlines()
    if language == "bash" and line.startswith(("mnist ", "python3 "))
]
QUICK = {"info", "evaluate"}


def test_readme_starts_with_the_two_commands():
    assert BLOCKS[0][1].splitlines() == [
        "pip install -r requirements.txt",
        "python3 train.py --num-epochs 10 --learning-rate 0.001 --batch-size 32",
    ]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_runs_or_parses(command, tmp_path):
    program, *arguments = command
    if program == "python3":
        script, *arguments = arguments
        assert (ROOT / script).exists()
        if script != "train.py":
            return
        arguments = ["train", *arguments]
    if arguments[0] in QUICK and "runs/" not in " ".join(arguments):
        result = run_command(*arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    else:
        app.parse_args(arguments, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("code", [block for language, block in BLOCKS if language == "python"])
def test_python_examples_run(code, capsys):
    exec("from mnist_classification.recipes import *\n" + code, {"__name__": "readme"})
    if "print(" in code:
        assert float(capsys.readouterr().out) > 0.8


@pytest.mark.parametrize("experiment", re.findall(r"<!-- mnist report (\S+) -->", README))
def test_tables_are_what_the_results_give(experiment, mnist):
    section = README.split(f"<!-- mnist report {experiment} -->\n")[1]
    rows = load_results(ROOT / "results" / experiment, mnist.test, mnist.fingerprint)
    assert section.split("<!-- end of report -->")[0] == report(experiment, rows, mnist.test.labels)


@pytest.mark.parametrize("benchmark", re.findall(r"<!-- table (\S+) -->", README))
def test_benchmark_tables_are_what_the_results_give(benchmark, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = importlib.import_module(benchmark).table
    section = README.split(f"<!-- table {benchmark} -->\n")[1].split("<!-- end of table -->")[0]
    result = json.loads((ROOT / "results" / "benchmarks" / f"{benchmark}.json").read_text())
    assert section == table(result) + "\n"


def test_tree_names_every_module():
    tree = next(
        block
        for language, block in re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
        if not language and "mnist_classification/" in block
    )
    for path in (ROOT / "mnist_classification").glob("*.py"):
        assert path.name.startswith("__") or f"  {path.name} " in tree, path.name


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_headline_is_the_ladders(mnist):
    rows = load_results(ROOT / "results" / "ladder", mnist.test, mnist.fingerprint)
    first, last = (
        sum(result.accuracy for result in rows[name]) / len(rows[name])
        for name in ("vanilla", "decay")
    )
    headline = " ".join(README.split("```")[0].split())
    assert f"from LeNet at {first:.1%} to a deeper CNN at {last:.1%}" in headline
