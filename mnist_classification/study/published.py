"""What others publish: the only figures in this package that are typed by hand."""

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

# What others report: how, where, error in percent, seconds. Sources in docs/frontier.md.
ANCHORS = [
    ("tuomaso, GTX 1660 Ti", 0.959, 0.762),
    ("tinygrad, GPU", 2.0, 5.0),
    ("a model card, 2-core CPU", 1.69, 60.0),
    ("a model card, T4", 0.81, 56.0),
    ("the original, K80", 0.8, 120.0),
    ("Doucet, P100", 0.262, 300.0),
]

# Test images whose label fewer than three of five people chose, who were shown it beside what a
# network read: a model that agrees with people misses about these, so that it scores 99.85%.
# Northcutt, Athalye and Mueller 2021, "Pervasive label errors in test sets destabilize machine
# learning benchmarks"; the votes are in mturk/mnist_mturk.json of github.com/cleanlab/label-errors.
DISPUTED = (
    *(947, 1621, 1901, 2130, 2462, 2597, 2654, 3520),
    *(3558, 5937, 6651, 6783, 8527, 9679, 9729),
)
