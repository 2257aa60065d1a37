"""The notebook runs from top to bottom, and says what its words lead one to expect."""

import re

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

TOUR = ROOT / "docs" / "tour.ipynb"


@pytest.fixture(scope="module")
def printed():
    """What each cell of code prints."""
    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": TOUR.parent}}).execute()
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_notebook_runs_and_says_what_it_should(printed):
    reading, training, _, _, comparing = printed
    assert reading.startswith("6042 sure")
    assert float(re.match(r"([\d.]+)%", training)[1]) > 98.5
    means = [float(mean) for mean in re.findall(r"^([\d.]+) ± ", comparing, re.MULTILINE)]
    assert len(means) == 3
    assert min(means) > 95
    assert len(re.findall(r"(helps|hurts|not enough seeds to tell):", comparing)) == 2


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", TOUR.read_text(encoding="utf-8")):
        assert (TOUR.parent / target).exists(), target
