"""From results to text: the tables in README and docs/.

    print(report(ladder_tables, rows, data))

Every figure is computed from result files.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np

from ..data import SHA256, Mnist, fingerprint
from ..errors import ResultError
from ..recipes import IDEAS, LADDER, RECIPES, Recipe, settings
from .published import DISPUTED, ORIGINAL
from .results import Result, short_commit
from .statistics import (
    Comparison,
    bootstrap_interval,
    compare_family,
    mcnemar,
    prediction_interval,
    summarize,
)

MNIST_FINGERPRINT = fingerprint(SHA256)

Rows = dict[str, list[Result]]
Tables = Callable[[Rows, Mnist], list[str]]


def report(tables: Tables, rows: Rows, data: Mnist) -> str:
    """Return an experiment's tables as Markdown, with the details and where it was measured.

    Args:
        tables: one of those below, as `Experiment.tables`.
        rows: as `load_results` gives them.
        data: what they were measured on, nothing set aside.
    """
    details = [
        "<details><summary>Minimum, maximum, groups of writers, disputed labels</summary>",
        _detail_table(rows, data),
        "</details>",
    ]
    shown = tables(rows, data)
    compared = any("| verdict |" in table for table in shown)
    return "\n\n".join([*shown, *details, _footnote(rows, compared)]) + "\n"


def short_report(tables: Tables, rows: Rows, data: Mnist) -> str:
    """Return an experiment's tables alone, and where it was measured, as Markdown; for README."""
    return "\n\n".join([*tables(rows, data), _where(rows)]) + "\n"


def short_frontier_tables(rows: Rows, _data: Mnist) -> list[str]:
    """Accuracy and seconds of some recipes, each with the command that trains it."""
    lines = [
        "| recipe | test accuracy: mean ± sd | n | seconds, median | command |",
        "|---|---|---|---|---|",
    ]
    for results in rows.values():
        name, values = results[0].recipe.name, accuracies_of(results)
        threads = {result.environment["threads"] for result in results}
        lines.append(
            f"| `{name}` | {mean_cell(values).rpartition(' ')[0]}% | {len(values)} "
            f"| {_seconds(median(r.total_seconds for r in results))}, {_threads(threads)} "
            f"| `mnist train --recipe {name}` |"
        )
    return ["\n".join(lines)]


def by_recipe(rows: Rows) -> Rows:
    """Return the rows by their recipes' names; a table's rows are all of one precision."""
    return {results[0].recipe.name: results for results in rows.values()}


def claims_about(data: Mnist) -> dict[str, float]:
    """Return the original's figures by row, in percent; they are MNIST's, and no other data's."""
    return ORIGINAL if data.is_mnist else {}


def ladder_tables(rows: Rows, data: Mnist) -> list[str]:
    """Each row beside the original's figure, and each step."""
    rows = by_recipe(rows)
    return [_ladder_table(rows, claims_about(data)), _steps_table(rows)]


def short_ladder_tables(rows: Rows, data: Mnist) -> list[str]:
    """The ladder in one table: what each row changes, and whether it can be told from the last."""
    rows, claims = by_recipe(rows), claims_about(data)
    names = [recipe.name for recipe in LADDER if recipe.name in rows]
    steps = _compare([(rows[a], rows[b]) for a, b in itertools.pairwise(names)])
    verdicts = dict(zip(names[1:], steps, strict=True))
    lines = [
        "| row | change | original | ours: mean ± sd (n) | step |",
        "|---|---|---|---|---|",
    ]
    shown = [recipe for recipe in LADDER if recipe.name in rows]
    for above, recipe in zip([None, *shown], shown, strict=False):
        lines.append(
            f"| `{recipe.name}` | {_change(above, recipe)} | {_claim(recipe.name, claims)} "
            f"| {mean_cell(accuracies_of(rows[recipe.name]))} "
            f"| {_short_verdict(verdicts.get(recipe.name))} |"
        )
    return ["\n".join(lines)]


def ideas_tables(rows: Rows, _data: Mnist) -> list[str]:
    """The failed ideas on both of the last rows, and AlexNet."""
    return [*(_ideas_table(rows, base) for base in ("sgd", "decay")), _alexnet_text(rows)]


def difference_tables(rows: Rows, _data: Mnist) -> list[str]:
    """Each row against the first."""
    return [_difference_table(list(rows), rows, "difference to the first row")]


def folder_tables(rows: Rows, data: Mnist) -> list[str]:
    """Any rows: on the same images against the first, on several blocks their means."""
    parts = []
    for holdout in sorted({results[0].holdout for results in rows.values()}):
        some = {row: results for row, results in rows.items() if results[0].holdout == holdout}
        blocks = {results[0].fold for results in some.values()}
        parts += (difference_tables if len(blocks) == 1 else fold_tables)(some, data)
    return parts


def frontier_tables(rows: Rows, _data: Mnist) -> list[str]:
    """Accuracy and seconds."""
    return [_frontier_table(rows)]


def fold_tables(rows: Rows, data: Mnist) -> list[str]:
    """Each recipe over all folds, both groups of writers apart."""
    return [_fold_table(rows, data)]


def longer_tables(rows: Rows, data: Mnist) -> list[str]:
    """Accuracy and seconds, and each row against the first."""
    return [*frontier_tables(rows, data), *difference_tables(rows, data)]


def exploration_tables(rows: Rows, data: Mnist) -> list[str]:
    """Changes to `vanilla`, and which of them could give the original's figure for it."""
    claims = claims_about(data)
    lines = [
        f"| row | change to `vanilla` | mean ± sd (n) | {_claim('vanilla', claims)} inside its 95% "
        f"prediction interval? |",
        "|---|---|---|---|",
    ]
    for row, results in rows.items():
        values = accuracies_of(results)
        lines.append(
            f"| {row} | {_change(RECIPES['vanilla'], results[0].recipe)} | {mean_cell(values)} "
            f"| {_inside(claims.get('vanilla'), values, 1)} |"
        )
    return ["\n".join(lines)]


def compare_rows(
    before: list[Result], after: list[Result], data: Mnist
) -> tuple[dict[str, Any], str]:
    """Compare two recipes over their seeds; as JSON values and as Markdown.

    Args:
        data: what they were measured on, nothing set aside.

    Raises:
        ResultError: one was judged on other images than the other.
    """
    judged = {(result.holdout, result.fold) for result in [*before, *after]}
    if len(judged) > 1:
        raise ResultError(
            f"got results of {before[0].row} and {after[0].row}, judged on different images; "
            f"expected the same hold-out and fold for both"
        )
    (comparison,) = _compare([(before, after)])
    facts: dict[str, Any] = {
        "before": accuracies_of(before),
        "after": accuracies_of(after),
        "difference": comparison.difference,
        "interval": [_json_number(bound) for bound in comparison.interval],
        "p_value": _json_number(comparison.p_value),
        "verdict": comparison.verdict,
    }
    names = [f"{before[0].row} (before)", f"{after[0].row} (after)"]
    rows = dict(zip(names, (before, after), strict=True))
    parts = [_difference_table(names, rows, "difference"), _detail_table(rows, data)]
    shares = [_share_right(results, data) for results in (before, after)]
    facts["image_interval"] = bootstrap_interval(shares[1] - shares[0])
    parts.append(
        f"Difference, 95% bootstrap over images: {interval_cell(facts['image_interval'])}; Welch's "
        f"test over seeds: {_p(comparison.p_value)}."
    )
    return facts, "\n\n".join([*parts, _footnote(rows, compared=True)])


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


def _ladder_table(rows: Rows, claims: dict[str, float]) -> str:
    lines = [
        "| row | change | original | ours: mean ± sd (n) | 95% interval | original inside our "
        "simultaneous 95% prediction interval? |",
        "|---|---|---|---|---|---|",
    ]
    above: Recipe | None = None
    intervals = sum(row in claims for row in rows)
    for recipe in LADDER:
        if recipe.name in rows:
            values = accuracies_of(rows[recipe.name])
            lines.append(
                f"| {recipe.name} | {_change(above, recipe)} | {_claim(recipe.name, claims)} "
                f"| {mean_cell(values)} | {interval_cell(summarize(values).interval)} "
                f"| {_inside(claims.get(recipe.name), values, intervals)} |"
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
    names = {results[0].recipe.name: row for row, results in rows.items()}
    if base not in names:
        raise ResultError(f"no results of {base!r}, which the ideas are held against")
    ideas = [names[f"{base}-{idea}"] for idea in IDEAS if f"{base}-{idea}" in names]
    return f"**On `{base}`**\n\n" + _difference_table(
        [names[base], *ideas], rows, f"difference to {base}"
    )


def _frontier_table(rows: Rows) -> str:
    """What each fast recipe reaches, and in what time."""
    lines = [
        "| row | network | images seen | mean ± sd (n) | 95% interval | seconds, median | range |",
        "|---|---|---|---|---|---|---|",
    ]
    for results in rows.values():
        recipe = results[0].recipe
        seen = results[0].images_seen
        seconds = [result.total_seconds for result in results]
        lines.append(
            f"| {recipe.name} | {recipe.network} | {seen:,} | {_mean_cells(results)} "
            f"| {median(seconds):.2f} | {min(seconds):.2f}–{max(seconds):.2f} |"
        )
    return "\n".join(lines)


def _difference_table(names: Sequence[str], rows: Rows, title: str) -> str:
    """Rows with their difference to the first of them."""
    base, *others = names
    comparisons = _compare([(rows[base], rows[name]) for name in others])
    lines = [
        f"| row | change | mean ± sd (n) | 95% interval | {title} | Holm interval | verdict |",
        "|---|---|---|---|---|---|---|",
        f"| {_short(base)} | | {_mean_cells(rows[base])} | | | |",
    ]
    base_recipe = rows[base][0].recipe
    for name, comparison in zip(others, comparisons, strict=True):
        after = rows[name]
        change = _change(base_recipe, after[0].recipe) or _precision(rows[base][0], after[0])
        cells = f"{change} | {_mean_cells(after)} | {_verdict_cells(comparison)}"
        lines.append(f"| {_short(name)} | {cells} |")
    return "\n".join(lines)


def _alexnet_text(rows: Rows) -> str:
    """AlexNet: what can't be measured here, and what can."""
    recipes = {row: results[0].recipe for row, results in rows.items()}
    base = [row for row, recipe in recipes.items() if recipe.name == "sgd+num-epochs=1"]
    names = [row for row, recipe in recipes.items() if recipe.network == "alexnet"]
    pretrained = [name for name in names if "+pretrained" in name]
    text = "**AlexNet**" + ("" if pretrained else ", pretrained: not measured, weights unavailable")
    if not base or not names:
        return text + "."
    start = "" if pretrained else "from scratch, "
    table = _difference_table([*base, *names], rows, "difference to sgd")
    return f"{text}; {start}one epoch beside one epoch of `sgd`:\n\n{table}"


def _fold_table(rows: Rows, data: Mnist) -> str:
    """Runs of all folds and seeds by recipe; the folds share no image, so that errors add up.

    One block is harder than another, so that means are over the folds that all recipes have.
    """
    kinds: dict[tuple[str, str, bool], dict[int, Sequence[Result]]] = {}
    for results in rows.values():
        run = results[0]
        kind = run.recipe.name, run.precision, run.pretrained_weights is not None
        kinds.setdefault(kind, {})[run.fold or 0] = results
    folds = sorted({fold for by_fold in kinds.values() for fold in by_fold})
    common = [fold for fold in folds if all(fold in by_fold for by_fold in kinds.values())]
    which = "folds" if common == folds else f"folds {', '.join(map(str, common))}"
    which = which if common else "folds that all have: none"
    lines = [
        f"| recipe | runs | accuracy, mean over {which} | {' | '.join(f'fold {f}' for f in folds)} "
        "| students' images | employees' images | log-loss |",
        "|---|---|---|" + "---|" * len(folds) + "---|---|---|",
    ]
    precisions = {precision for _, precision, _ in kinds}
    for (name, precision, pretrained), by_fold in kinds.items():
        accuracies = [
            f"{np.mean(accuracies_of(by_fold[f])):.3%}" if f in by_fold else "–" for f in folds
        ]
        called = name + ", pretrained" * pretrained + f", {precision}" * (len(precisions) > 1)
        runs = sum(len(results) for results in by_fold.values())
        mean, *rest = _over_folds([by_fold[fold] for fold in common], data)
        cells = [called, str(runs), mean, *accuracies, *rest]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _over_folds(folds: Sequence[Sequence[Result]], data: Mnist) -> list[str]:
    """Return accuracy, of both groups of writers, and log-loss, as means over folds; in cells."""
    if not folds:
        return ["–"] * 4
    mean = f"{np.mean([np.mean(accuracies_of(results)) for results in folds]):.3%}"
    groups = ["–"] * 2  # which other data has not
    if folds[0][0].data == MNIST_FINGERPRINT:
        accuracies = np.array([_group_accuracies(results, data) for results in folds])
        groups = [f"{accuracy:.3%}" for accuracy in accuracies.mean(axis=0)]
    losses = [
        np.mean([np.nan if run.log_loss is None else run.log_loss for run in results])
        for results in folds
    ]
    return [mean, *groups, "–" if np.isnan(losses).any() else f"{np.mean(losses):.4f}"]


def _share_right(results: Sequence[Result], data: Mnist) -> np.ndarray:
    """Return for each image the share of runs that read it rightly, (N,) float."""
    labels = results[0].labels(data)
    return np.mean([result.digits == labels for result in results], axis=0)


def _group_accuracies(results: Sequence[Result], data: Mnist) -> tuple[float, float]:
    """Return the accuracy on images by MNIST's students and by its employees.

    The students' are the first half of the test set and, in the training set, the even images.
    """
    share = _share_right(results, data)
    if not results[0].holdout:
        return float(share[: len(share) // 2].mean()), float(share[len(share) // 2 :].mean())
    first = results[0].block.start % 2
    return float(share[first::2].mean()), float(share[1 - first :: 2].mean())


def _detail_table(rows: Rows, data: Mnist) -> str:
    """What else a row's predictions show, one line each; other data has no such groups."""
    lines = [
        "| row | min–max | students' images | employees' images | without the 15 disputed labels "
        "| mean, 95% bootstrap over images |",
        "|---|---|---|---|---|---|",
    ]
    for name, results in rows.items():
        summary = summarize(accuracies_of(results))
        share = _share_right(results, data)
        cells = ["–"] * 3
        if results[0].data == MNIST_FINGERPRINT:
            cells[:2] = [f"{accuracy:.3%}" for accuracy in _group_accuracies(results, data)]
        if results[0].data == MNIST_FINGERPRINT and not results[0].holdout:
            cells[2] = f"{np.delete(share, DISPUTED).mean():.3%}"
        cells.append(interval_cell(bootstrap_interval(share)))
        extremes = f"{summary.minimum:.2%}–{summary.maximum:.2%}"
        lines.append(f"| {_short(name)} | {extremes} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _footnote(rows: Rows, compared: bool) -> str:
    """Where and how it was measured, and compared where it was."""
    if not compared:
        return _where(rows)
    return (
        f"{_where(rows)} Intervals of differences are Welch's over seeds, "
        f"Holm-corrected within each table; where nothing shows, the verdict gives the true "
        f"difference that 80% of repetitions would find."
    )


def _where(rows: Rows) -> str:
    results = [result for row in rows.values() for result in row]
    machines: dict[tuple[str, str], set[int]] = {}
    for e in (result.environment for result in results):
        device = e.get("device", "cpu")
        machine = e["processor"] if device == "cpu" else f"{device}, {e['processor']}"
        machines.setdefault((machine, e["torch"]), set()).add(e["threads"])
    places = [
        f"{machine}, {_threads(threads)} per run, PyTorch {torch}"
        for (machine, torch), threads in sorted(machines.items())
    ]
    commits = sorted({short_commit(result.commit or "unknown") for result in results})
    precisions = sorted({result.precision for result in results})
    other = sum(result.test_precision != result.precision for result in results)
    tested = f", {other} of them tested in float32" if other else ""
    minutes = sum(result.total_seconds for result in results) / 60
    holdouts = [f"{n:,}" for n in sorted({result.holdout for result in results}) if n]
    blocks = f"hold-outs of {' or '.join(holdouts)} training images"
    whole = sum(not result.holdout for result in results)
    some = f", {whole} of them on the test set" if whole else ""
    judged = f"accuracy on {blocks}{some}; " if holdouts else ""
    return (
        f"{len(results)} runs, {judged}{minutes:.0f} minutes of process time, "
        f"{' and '.join(precisions)}{tested}; {'; '.join(places)}; "
        f"commit {', '.join(commits)}."
    )


def _seconds(seconds: float) -> str:
    """Return three digits of a time, or all before the point."""
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _threads(counts: set[int]) -> str:
    """Return "1 thread", "1 or 2 threads"."""
    return f"{' or '.join(map(str, sorted(counts)))} thread{'s' if max(counts) > 1 else ''}"


def accuracies_of(results: Sequence[Result]) -> list[float]:
    """Return each run's accuracy, 0 to 1."""
    return [result.accuracy for result in results]


def _compare(pairs: Sequence[tuple[list[Result], list[Result]]]) -> list[Comparison]:
    return compare_family([(accuracies_of(a), accuracies_of(b)) for a, b in pairs])


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
    """Return the row's name with its precision after a comma."""
    return row.replace("+precision=", ", ")


def mean_cell(values: Sequence[float]) -> str:
    """Return "99.150 ± 0.058 (10)", in percent."""
    summary = summarize(values)
    spread = "" if math.isnan(summary.std) else f" ± {100 * summary.std:.3f}"
    return f"{100 * summary.mean:.3f}{spread} ({summary.n})"


def _mean_cells(results: Sequence[Result]) -> str:
    values = accuracies_of(results)
    return f"{mean_cell(values)} | {interval_cell(summarize(values).interval)}"


def _json_number(value: float) -> float | None:
    """Return None for NaN, which JSON does not have."""
    return None if math.isnan(value) else value


def interval_cell(interval: tuple[float, float]) -> str:
    """Return "99.108 to 99.192", in percent; a dash where one run gives none."""
    low, high = interval
    return "–" if math.isnan(low) else f"{100 * low:.3f} to {100 * high:.3f}"


def _verdict_cells(comparison: Comparison) -> str:
    """Return difference, interval and verdict, in percentage points, as three cells."""
    verdict = comparison.verdict
    if math.isnan(comparison.detectable):
        return f"{100 * comparison.difference:+.3f} | – | {verdict}"
    if verdict not in ("helps", "hurts"):
        verdict += f"; 80% power for ±{100 * comparison.detectable:.2f}"
    low, high = (100 * bound for bound in comparison.interval)
    return f"{100 * comparison.difference:+.3f} | {low:+.3f} to {high:+.3f} | {verdict}"


def _short_verdict(comparison: Comparison | None) -> str:
    """Return "+0.380, helps"; a dash for the first row."""
    if comparison is None:
        return "–"
    return f"{100 * comparison.difference:+.3f}, {comparison.verdict}"


def _p(value: float) -> str:
    if math.isnan(value):  # of one seed each
        return "p –"
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def _claim(row: str, claims: dict[str, float]) -> str:
    return f"{claims[row]:g}" if row in claims else "–"


def _inside(percent: float | None, values: Sequence[float], intervals: int) -> str:
    """Say whether the original's mean of five could be one of ours."""
    if percent is None or len(values) < 2:
        return "–"
    low, high = prediction_interval(values, n=5, intervals=intervals)
    claim = percent / 100
    answer = "yes" if low <= claim <= high else "**no**, below" if claim < low else "**no**, above"
    return f"{answer} ({interval_cell((low, high))})"
