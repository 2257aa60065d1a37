"""The pages' commands and the notebook run, tables are what the results give, links lead on."""

import dataclasses
import functools
import re
import shlex
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, run_command
from nbclient import NotebookClient

import mnist_classification
from mnist_classification.cli import app
from mnist_classification.study.experiments import EXPERIMENTS
from mnist_classification.study.results import load_result
from mnist_classification.study.statistics import evaluate

sys.path.insert(0, str(ROOT / "docs"))
from update import PAGES as GENERATED
from update import SECTION, generate, update

run_once = functools.cache(run_command)  # of what takes seconds and changes nothing
PAGES = [*GENERATED, ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md"]
TOUR = ROOT / "docs" / "tour.ipynb"
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"```(\w*)\n(.*?)```", flags=re.DOTALL)
SMALLER = {"holdout=10_000": "holdout=2_000", "images-per-epoch=6000": "images-per-epoch=3000"}
QUICK = {"info", "evaluate"}
PLACEHOLDER = re.compile(r"\b[A-Z]{4,}\b")


def blocks(page: Path, language: str) -> list[str]:
    found = FENCED.findall(page.read_text(encoding="utf-8"))
    return [block for marked, block in found if marked == language]


def commands(page: Path) -> list[str]:
    """The page's commands in blocks, and those with arguments in its sentences."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("uvx --from . ") for line in lines]
    prose = FENCED.sub("", page.read_text(encoding="utf-8"))
    lines += re.findall(r"`((?:mnist|python3) [^`]+)`", prose)
    lines = [" ".join(line.partition(" #")[0].split()) for line in lines]
    return [line for line in lines if re.match(r"mnist |python3 \S+\.py", line)]


COMMANDS = dict.fromkeys(command for page in PAGES for command in commands(page))
SECTIONS = [
    pytest.param(page, found, id=f"{page.name} {found['name']}{found['short'] or ''}")
    for page in GENERATED
    for found in SECTION.finditer(page.read_text(encoding="utf-8"))
]


def test_readme_starts_with_the_two_commands_and_is_short():
    assert FENCED.findall(README)[0][1].splitlines() == [
        "pip install -r requirements.txt",
        "python3 train.py --num-epochs 10 --learning-rate 0.001 --batch-size 32",
    ]
    assert "\npip install -r requirements-dev.txt && pytest " in README
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs_or_parses(command):
    program, *arguments = shlex.split(command)
    if program == "python3":
        script, *arguments = arguments
        heads = {"train.py": ["train"], "visualize_classes.py": ["visualize", "tsne"]}
        if script not in heads:
            flags = (ROOT / script).read_text() + (ROOT / "benchmarks" / "arguments.py").read_text()
            for flag in arguments:
                assert not flag.startswith("--") or f'"{flag}"' in flags, flag
            return
        arguments = [*heads[script], *arguments]
    if (len(arguments) == 1 and arguments[0] not in QUICK) or PLACEHOLDER.search(command):
        assert arguments[0] in app  # named, not shown
    elif arguments[0] in QUICK and "runs/" not in command:
        result = run_once(*arguments)
        assert result.returncode == 0, result.stderr
    else:
        app.parse_args(arguments, exit_on_error=False, print_error=False)
        if arguments[0] in ("experiment", "report") and "/" not in arguments[1]:
            assert arguments[1] in [*EXPERIMENTS, "run"]


@pytest.mark.parametrize("code", [code for page in PAGES for code in blocks(page, "python")])
def test_python_examples_run(code, mnist, monkeypatch):
    few = dataclasses.replace(mnist, train=mnist.train[:12_000], test=mnist.test[:1000])
    monkeypatch.setattr(mnist_classification, "load_mnist", lambda: few)
    names = {"__name__": "page"}
    exec(code, names)
    assert names.get("accuracy", 1) > 0.4  # of a fifth of the images


@pytest.mark.parametrize(("page", "section"), SECTIONS)
def test_tables_are_what_the_results_give(page, section):
    text = generate(section["kind"], section["name"], bool(section["short"]))
    assert section["text"] == text, f"{page}: run python3 docs/update.py"


def test_update_replaces_what_stands_between_markers_and_nothing_else():
    page = "a\n<!-- table best_epoch -->\n{}<!-- end of table -->\nb\n"
    assert update(page.format("old\n")) == page.format(generate("table", "best_epoch", False))
    with pytest.raises(ValueError, match="a section does not end"):
        update(page.format("old\n").replace("<!-- end of table -->", "", 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_marker_has_its_end(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<!--") == 2 * len(SECTION.findall(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(
        r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")
    ):
        if target.startswith("http"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def anchors(page: Path) -> list[str]:
    """The headings' anchors as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_readme_leads_to_every_page():
    for page in PAGES[1:]:
        assert f"]({page.relative_to(ROOT)}" in README, page


def test_readmes_tree_has_every_module_and_room():
    tree = next(b for b in blocks(ROOT / "README.md", "") if "mnist_classification/" in b)
    package = ROOT / "mnist_classification"
    named = set(re.findall(r"(?<!\S)[\w]+(?:\.py|/)", tree))
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    rooms = {f"{path.name}/" for path in package.iterdir() if path.name[0] not in "_."}
    rooms = {room for room in rooms if (package / room).is_dir()}
    assert modules | rooms <= named
    for name in named - modules - rooms:
        assert (ROOT / name).exists(), name


def test_contributings_tree_has_every_file_of_every_room():
    tree = next(b for b in blocks(ROOT / "CONTRIBUTING.md", "") if "mnist_classification/" in b)
    rooms = re.findall(r"^  (\w+)/.*\n((?:    .*\n)+)", tree, flags=re.MULTILINE)
    named = {
        f"{room}/{file}"
        for room, files in rooms
        for file in re.findall(r"^    (\S+)", files, flags=re.MULTILINE)
    }
    package = ROOT / "mnist_classification"
    files = {str(path.relative_to(package)) for path in package.glob("*/*.py")}
    assert named == {file for file in files if not file.endswith("__init__.py")}


def test_claims_above_the_tables_are_theirs(mnist):
    pool = ROOT / "results" / "runs"
    rows = EXPERIMENTS["ladder"].load(pool, mnist) | EXPERIMENTS["frontier"].load(pool, mnist)
    means = {
        results[0].recipe.name: sum(result.accuracy for result in results) / len(results)
        for results in rows.values()
    }
    claim = f"from LeNet at {means['vanilla']:.1%} to a deeper CNN at\n{means['decay']:.1%}"
    assert claim in README
    goals = re.search(r"mean test accuracy of ([\d.]+), ([\d.]+) and ([\d.]+)%", README)
    fast = ("half-epoch", "most-of-an-epoch", "three-epochs")
    assert all(100 * means[r] >= float(g) for r, g in zip(fast, goals.groups(), strict=True))


def test_first_run_and_the_model_that_ships_are_as_the_pages_say(mnist):
    result = load_result(ROOT / "results" / "runs" / "decay+precision=bfloat16-seed0.json", mnist)
    run = evaluate(result.digits, mnist.test.labels)
    low, high = run.interval
    text = (
        f"{run.accuracy:.2%} (95% interval {low:.2%} to {high:.2%}, {run.errors} errors in 10,000"
    )
    assert f"\ntest accuracy {text} images); model saved in runs/decay-seed0\n" in README
    shipped = run_once("evaluate").stdout.splitlines()[0]
    accuracy = re.search(r": ([\d.]+%) \(", shipped)[1]
    assert f"# the model that ships, `four-epochs`: {accuracy}\n" in README


def test_page_is_read_as_the_pages_say():
    text = run_command("predict", ROOT / "plots" / "page.jpg").stdout.strip()
    assert f"--explain plots/explain.png  # prints {text}\n" in README
    assert re.search(rf"predict plots/page\.jpg +# {text}\n", (ROOT / "docs/reader.md").read_text())


def test_the_notebook_runs_and_says_what_it_should():
    notebook = nbformat.read(TOUR, as_version=4)
    *_, comparing = (cell for cell in notebook.cells if cell.cell_type == "code")
    for ours, smaller in SMALLER.items():
        assert ours in comparing.source
        comparing.source = comparing.source.replace(ours, smaller)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": TOUR.parent}}).execute()
    reading, training, _, _, comparing = (
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    )
    assert reading.startswith("6042 sure")
    assert float(re.match(r"([\d.]+)%", training)[1]) > 98.5
    means = [float(mean) for mean in re.findall(r"^([\d.]+) ± ", comparing, re.MULTILINE)]
    assert len(means) == 3
    assert min(means) > 90
    assert len(re.findall(r"(helps|hurts|not enough seeds to tell):", comparing)) == 2


def test_the_notebooks_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TOUR.read_text(encoding="utf-8")):
        assert (TOUR.parent / target).exists(), target
