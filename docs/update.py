#!/usr/bin/env python3
"""Write every generated section of README.md and docs/ anew, from what lies in results/.

    python3 docs/update.py

A section lies between two markers. `<!-- mnist report NAME -->`, with ` --short` or without, begins
what that command prints; `<!-- table NAME -->` begins what benchmarks/NAME.py makes of its result.
Nothing is measured. tests/test_readme.py checks that every section is what this gives.
"""

import importlib
import json
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTION = re.compile(
    r"(?P<begin><!-- (?P<kind>mnist report|table) (?P<name>\S+)(?P<short> --short)? -->\n)"
    r"(?P<text>(?:(?!<!-- ).)*)(?P<end><!-- end of (?:report|table) -->)",
    re.DOTALL,
)

BEGIN = re.compile("^<!-- (?:mnist report|table) ", re.MULTILINE)

sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from mnist_classification.data import load_mnist  # noqa: E402
from mnist_classification.files import write_atomically  # noqa: E402
from mnist_classification.study.experiments import EXPERIMENTS  # noqa: E402

mnist = cache(load_mnist)


def generate(kind: str, name: str, short: bool) -> str:
    """Return the text of a section.

    Args:
        kind: `mnist report` for an experiment, `table` for a benchmark.
        name: of the experiment or the benchmark.
        short: as README has it.
    """
    if kind == "table":
        result = json.loads(
            (ROOT / "results" / "benchmarks" / f"{name}.json").read_text(encoding="utf-8")
        )
        stems = [path.stem for path in (ROOT / "benchmarks").glob("*.py")]
        # A name may have more behind the benchmark's, such as the machine.
        module = max((stem for stem in stems if name.startswith(stem)), key=len)
        benchmark = importlib.import_module(module)
        return (benchmark.short_table if short else benchmark.table)(result) + "\n"
    return EXPERIMENTS[name].report(ROOT / "results" / "runs", mnist(), short=short)


def update(text: str) -> str:
    """Return a page with every section made anew.

    Raises:
        ValueError: a section does not end.
    """
    if len(SECTION.findall(text)) != len(BEGIN.findall(text)):
        raise ValueError("a section does not end; expected <!-- end of table --> or report")
    return SECTION.sub(
        lambda found: (
            found["begin"]
            + generate(found["kind"], found["name"], bool(found["short"]))
            + found["end"]
        ),
        text,
    )


def main() -> None:
    """Rewrite the pages that have changed, and name them."""
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = update(before)
        if after != before:
            write_atomically(page, after)
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
