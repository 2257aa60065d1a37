"""From results to text: tables and model cards.

Every figure comes from what a command measured; none is typed by hand.
"""

from typing import TYPE_CHECKING

from .evaluation import Evaluation
from .recipes import settings

if TYPE_CHECKING:
    from .checkpoint import Trained


def model_card(
    trained: "Trained", evaluation: Evaluation, environment: dict[str, str | int]
) -> str:
    """Return the README.md that lies beside a trained model, as Markdown."""
    low, high = evaluation.interval
    parameters = sum(p.numel() for p in trained.network.parameters())
    seconds = trained.history[-1]["seconds"] if trained.history else 0
    return f"""# {trained.recipe.name}, seed {trained.seed}

A `{trained.recipe.network}` network of {parameters:,} parameters that reads one 28×28 grey image
of a digit, white ink on black as MNIST has it, and gives ten logits.

## Result

Test accuracy {evaluation.accuracy:.2%}: {evaluation.errors} errors in \
{evaluation.confusion.sum():,} images, 95% interval {low:.2%} to {high:.2%}. The test set was
scored once, after training; nothing was chosen on it. One model is one draw: figures with
several seeds are in the project's README.

## Training

{len(trained.history)} epochs in {seconds:.0f} s with {environment["threads"]} threads on \
{environment["device"]}, {environment["processor"]}; PyTorch {environment["torch"]},
{trained.precision}. Data set fingerprint `{trained.data}`.

| setting | value |
|---|---|
{"".join(f"| {name} | {value} |{chr(10)}" for name, value in settings(trained.recipe).items())}
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
