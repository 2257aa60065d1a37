"""From results to text: the tables in README, and model cards.

    rows = load_results(Path("results/ladder"), data.test, data.fingerprint)
    print(report("ladder", rows, data.test.labels))

Every figure is computed from result files; the only ones typed here are those that the original's
README claims.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ResultError
from .evaluation import (
    DISPUTED,
    Comparison,
    Evaluation,
    bootstrap_interval,
    compare_family,
    mcnemar,
    prediction_interval,
    summarize,
)
from .files import write_atomically
from .recipes import IDEAS, LADDER, RECIPES, Recipe, settings
from .results import Result

if TYPE_CHECKING:
    from .checkpoint import Trained

# What the README that this project follows gives, in percent: means of five runs.
ORIGINAL = {
    "baseline": 10.0,
    "vanilla": 97.25,
    "normalization": 97.98,
    "batch-64": 98.36,
    "batch-32": 98.48,
    "lr-0.0005": 98.73,
    "deeper": 99.05,
    "sgd": 99.2,
}

Rows = dict[str, list[Result]]


def report(experiment: str, rows: Rows, labels: np.ndarray) -> str:
    """Return an experiment's tables as Markdown.

    Args:
        experiment: its name; `ladder` and `failed-ideas` have tables of their own kind.
        rows: as `load_results` gives them.
        labels: (10000,) uint8, of the test set.
    """
    known = list(RECIPES)
    rows = dict(sorted(rows.items(), key=lambda row: known.index(row[0].split("+")[0])))
    if experiment == "ladder":
        parts = [_ladder_table(rows), _steps_table(rows)]
    elif experiment == "failed-ideas":
        parts = [_ideas_table(rows, base) for base in ("sgd", "decay")] + [_alexnet_text(rows)]
    else:
        parts = [_difference_table(list(rows), rows, "difference to the first row")]
    return "\n\n".join([*parts, _detail_table(rows, labels), _footnote(rows)]) + "\n"


def compare_rows(before: list[Result], after: list[Result]) -> tuple[dict[str, Any], str]:
    """Compare two recipes over their seeds; as JSON values and as text."""
    (comparison,) = _compare([(before, after)])
    facts = {
        "before": _accuracies(before),
        "after": _accuracies(after),
        "difference": comparison.difference,
        "interval": comparison.interval,
        "p_value": comparison.p_value,
        "verdict": comparison.verdict,
    }
    difference, interval, verdict = _verdict_cells(comparison).split(" | ")
    lines = [f"{results[0].row}: {_mean(_accuracies(results))} %" for results in (before, after)]
    lines.append(
        f"difference {difference} points, 95% interval {interval} (Welch), "
        f"{_p(comparison.p_value)}: {verdict}"
    )
    return facts, "\n".join(lines)


def compare_models(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, Any], str]:
    """Compare two models' predictions, (N,) each, on the same images; as JSON values and text."""
    correct = before == labels, after == labels
    only_before, only_after, p = mcnemar(*correct)
    facts = {
        "before": float(correct[0].mean()),
        "after": float(correct[1].mean()),
        "only_before_correct": only_before,
        "only_after_correct": only_after,
        "p_value": p,
    }
    verdict = "they differ" if p < 0.05 else "no difference that these images can show"
    text = (
        f"{facts['before']:.2%} and {facts['after']:.2%}; only the first reads {only_before} "
        f"images, only the second {only_after}: {_p(p)} (McNemar, exact): {verdict}"
    )
    return facts, text


def update_section(path: Path, experiment: str, text: str) -> None:
    """Replace what stands between the experiment's two markers in a Markdown file.

    Raises:
        ResultError: the file or its markers are missing.
    """
    begin, end = f"<!-- mnist report {experiment} -->\n", "<!-- end of report -->"
    try:
        before, _, rest = path.read_text().partition(begin)
    except OSError as error:
        raise ResultError(f"{path}: can't be read: {error.strerror}") from None
    _, found, after = rest.partition(end)
    if not found:
        raise ResultError(f"{path}: expected a line {begin.strip()!r} and, below it, {end!r}")
    write_atomically(path, before + begin + text + end + after)


def _ladder_table(rows: Rows) -> str:
    lines = [
        "| row | change | original | ours: mean ± sd (n) | 95% interval | original inside our "
        "95% prediction interval? |",
        "|---|---|---|---|---|---|",
    ]
    above: Recipe | None = None
    for recipe in LADDER:
        if recipe.name in rows:
            values = _accuracies(rows[recipe.name])
            lines.append(
                f"| {recipe.name} | {_change(above, recipe)} | {_original(recipe.name)} "
                f"| {_mean(values)} | {_range(summarize(values).interval)} "
                f"| {_inside(recipe.name, values)} |"
            )
        above = recipe
    return "\n".join(lines)


def _steps_table(rows: Rows) -> str:
    names = [recipe.name for recipe in LADDER if recipe.name in rows]
    steps = list(itertools.pairwise(names))
    comparisons = _compare([(rows[a], rows[b]) for a, b in steps])
    lines = ["| step | difference | Holm interval | verdict |", "|---|---|---|---|"]
    for (before, after), comparison in zip(steps, comparisons, strict=True):
        lines.append(f"| {before} → {after} | {_verdict_cells(comparison)} |")
    return "\n".join(lines)


def _ideas_table(rows: Rows, base: str) -> str:
    """Every idea on one base, the base first."""
    base_row = next((r for r in rows if r.split("+precision")[0] == base), None)
    if base_row is None:
        raise ResultError(f"no results of {base!r}, which the ideas are held against")
    names = [
        row for idea in IDEAS for row in rows if row.split("+precision")[0] == f"{base}-{idea}"
    ]
    return f"**On `{base}`**\n\n" + _difference_table(
        [base_row, *names], rows, f"difference to {base}"
    )


def _difference_table(names: Sequence[str], rows: Rows, title: str) -> str:
    """Rows with their difference to the first of them."""
    base, *others = names
    comparisons = _compare([(rows[base], rows[name]) for name in others])
    lines = [
        f"| row | change | mean ± sd (n) | {title} | Holm interval | verdict |",
        "|---|---|---|---|---|---|",
        f"| {_short(base)} | | {_mean(_accuracies(rows[base]))} | | | |",
    ]
    base_recipe = rows[base][0].recipe
    for name, comparison in zip(others, comparisons, strict=True):
        change = _change(base_recipe, rows[name][0].recipe) or _precision(
            rows[base][0], rows[name][0]
        )
        mean = _mean(_accuracies(rows[name]))
        lines.append(f"| {_short(name)} | {change} | {mean} | {_verdict_cells(comparison)} |")
    return "\n".join(lines)


def _alexnet_text(rows: Rows) -> str:
    """AlexNet: what can't be measured here, and what can."""
    short = {row.split("+precision")[0]: row for row in rows}
    names = [
        short[name]
        for name in (
            "sgd+num-epochs=1",
            "sgd-alexnet+num-epochs=1",
            "sgd-alexnet+num-epochs=1+pretrained",
        )
        if name in short
    ]
    pretrained = any("+pretrained" in name for name in names)
    text = "**AlexNet**" + ("" if pretrained else ", pretrained: not measured, weights unavailable")
    if len(names) < 2:
        return text + "."
    table = _difference_table(names, rows, "difference to sgd")
    return f"{text}; from scratch, one epoch beside one epoch of `sgd`:\n\n{table}"


def _detail_table(rows: Rows, labels: np.ndarray) -> str:
    """What else a row's predictions show, one line each."""
    lines = [
        "<details><summary>Minimum, maximum, halves of the test set, disputed labels</summary>\n",
        "| row | min–max | images 0–4,999 | images 5,000–9,999 | without the 15 disputed labels "
        "| mean, 95% bootstrap over images |",
        "|---|---|---|---|---|---|",
    ]
    undisputed = np.ones(len(labels), dtype=bool)
    undisputed[[index for index in DISPUTED if index < len(labels)]] = False
    half = len(labels) // 2
    for name, results in rows.items():
        correct = np.array([result.digits == labels for result in results])
        summary = summarize(_accuracies(results))
        first, second, clean = (
            correct[:, part].mean() for part in (slice(half), slice(half, None), undisputed)
        )
        lines.append(
            f"| {_short(name)} | {summary.minimum:.2%}–{summary.maximum:.2%} | {first:.3%} "
            f"| {second:.3%} | {clean:.3%} | {_range(bootstrap_interval(correct))} |"
        )
    return "\n".join([*lines, "\n</details>"])


def _footnote(rows: Rows) -> str:
    """Where and how it was measured."""
    results = [result for row in rows.values() for result in row]
    machines = {
        f"{e['processor']}, {e['threads']} thread{'s' if e['threads'] != 1 else ''} per run, "
        f"PyTorch {e['torch']}"
        for e in (result.environment for result in results)
    }
    commits = sorted({(result.commit or "unknown")[:10] for result in results})
    precisions = sorted({result.precision for result in results})
    minutes = sum(result.total_seconds for result in results) / 60
    return (
        f"{len(results)} runs, {minutes:.0f} minutes of process time, {' and '.join(precisions)}; "
        f"{'; '.join(sorted(machines))}; commit {', '.join(commits)}. Intervals of differences are "
        f"Welch's over seeds, Holm-corrected within each table; where nothing shows, the verdict "
        f"says what difference would have."
    )


def _accuracies(results: Sequence[Result]) -> list[float]:
    return [result.test_accuracy for result in results if result.test_accuracy is not None]


def _compare(pairs: Sequence[tuple[list[Result], list[Result]]]) -> list[Comparison]:
    return compare_family([(_accuracies(a), _accuracies(b)) for a, b in pairs])


def _change(above: Recipe | None, recipe: Recipe) -> str:
    """Return "batch size 128 → 64" for the settings that differ."""
    if above is None:
        return "untrained network" if recipe.num_epochs == 0 else ""
    before, after = settings(above), settings(recipe)
    return ", ".join(
        f"{field.replace('_', ' ')} {before[field]} → {after[field]}"
        for field in after
        if before[field] != after[field]
    )


def _precision(before: Result, after: Result) -> str:
    return "" if before.precision == after.precision else f"{before.precision} → {after.precision}"


def _short(row: str) -> str:
    """Return the row's name without the precision, which the footnote gives."""
    return row.replace("+precision=", ", ")


def _mean(values: Sequence[float]) -> str:
    summary = summarize(values)
    spread = "" if math.isnan(summary.std) else f" ± {100 * summary.std:.3f}"
    return f"{100 * summary.mean:.3f}{spread} ({summary.n})"


def _range(interval: tuple[float, float]) -> str:
    low, high = interval
    return "–" if math.isnan(low) else f"{100 * low:.3f} to {100 * high:.3f}"


def _verdict_cells(comparison: Comparison) -> str:
    """Return difference, interval and verdict, in percentage points, as three cells."""
    verdict = comparison.verdict
    if math.isnan(comparison.detectable):
        return f"{100 * comparison.difference:+.3f} | – | too few seeds to say"
    if verdict not in ("helps", "hurts"):
        verdict += f"; ±{100 * comparison.detectable:.2f} would have shown"
    low, high = (100 * bound for bound in comparison.interval)
    return f"{100 * comparison.difference:+.3f} | {low:+.3f} to {high:+.3f} | {verdict}"


def _p(value: float) -> str:
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def _original(row: str) -> str:
    return f"{ORIGINAL[row]:g}" if row in ORIGINAL else "–"


def _inside(row: str, values: Sequence[float]) -> str:
    """Say whether the original's mean of five could be one of ours."""
    if row not in ORIGINAL or len(values) < 2:
        return "–"
    low, high = prediction_interval(values, n=5)
    claim = ORIGINAL[row] / 100
    answer = "yes" if low <= claim <= high else "**no**, below" if claim < low else "**no**, above"
    return f"{answer} ({_range((low, high))})"


def model_card(
    trained: "Trained", evaluation: Evaluation, environment: dict[str, str | int]
) -> str:
    """Return the README.md that lies beside a trained model, as Markdown."""
    low, high = evaluation.interval
    parameters = sum(p.numel() for p in trained.network.parameters())
    seconds = trained.history[-1]["seconds"] if trained.history else 0
    table = "\n".join(f"| {name} | {value} |" for name, value in settings(trained.recipe).items())
    return f"""# {trained.recipe.name}, seed {trained.seed}

A `{trained.recipe.network}` network of {parameters:,} parameters that reads one 28×28 grey image
of a digit, white ink on black as MNIST has it, and gives ten logits.

## Result

Test accuracy {evaluation.accuracy:.2%}: {evaluation.errors} errors in \
{evaluation.confusion.sum():,} images, 95% interval {low:.2%} to {high:.2%}. The test set was
scored once, after training; nothing was chosen on it. One model is one draw: figures with
several seeds are in the project's README.

## Training

{len(trained.history)} epochs in {seconds:.0f} s, {trained.precision}, \
{environment["threads"]} threads, {environment["device"]}; {environment["processor"]};
PyTorch {environment["torch"]}. Data set fingerprint `{trained.data[:16]}`.

| setting | value |
|---|---|
{table}

## Use

```python
from mnist_classification.checkpoint import load_model

trained = load_model("path/to/this/directory")
probabilities = trained.predict(images)  # (N, 28, 28) uint8 → (N, 10)
```

`mnist evaluate path/to/this/directory` tests it again.

## Limits

It knows digits prepared as MNIST's are: size-normalised, centred by mass, light on dark. Anything
else is answered with some digit too. Licence: MIT, as the project.
"""
