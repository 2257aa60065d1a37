"""The commands of the page and the server: arguments and exit codes only, as in cli.py."""

import dataclasses
from pathlib import Path
from typing import Annotated, get_type_hints

from cyclopts import Parameter

from ..errors import ServeError
from ..shipped import SHIPPED_READER
from .limits import Limits

# Every limit is a flag, with the limit's own default.
LimitFlags = dataclasses.make_dataclass(
    "LimitFlags",
    [
        (name, Annotated[hint.__origin__, Parameter(help=hint.__metadata__[0])], default)
        for name, hint in get_type_hints(Limits, include_extras=True).items()
        for default in [getattr(Limits, name)]
        if hasattr(hint, "__metadata__")
    ],
    namespace={"__module__": __name__},
)


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int | None = None,
    model: Annotated[
        Path, Parameter(help="directory with model.onnx, or an ONNX file")
    ] = SHIPPED_READER,
    limits: Annotated[
        LimitFlags | None,  # type: ignore[valid-type]
        Parameter(name="*", group="Limits"),
    ] = None,
) -> None:
    """Read pictures over HTTP, and show a page to draw on.

    Example: mnist serve --port 8000

    Then: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/read

    Parameters
    ----------
    host:
        Address to listen on; there is no password, so mind who can reach another than this one.
    port:
        0 takes any that is free.
    workers:
        Processes that read; else as many as there are processors.
    """
    chosen = Limits(**vars(limits)) if limits else Limits()

    from .run import serve

    serve(model, host, port, workers, chosen)


PAGE_TITLE = b"<title>Write a number</title>"


def page(
    *,
    output: Annotated[Path, Parameter(help="HTML file")] = Path("digits.html"),
    model: Annotated[
        Path, Parameter(help="directory with model.onnx and config.json")
    ] = SHIPPED_READER,
) -> None:
    """Write the page that reads numbers as they are written: one file, for any browser.

    Example: mnist page --output digits.html
    """
    from ..files import make_folder, may_replace, write_atomically
    from .page import page_html

    content = page_html(model)
    if not may_replace(output, PAGE_TITLE):
        raise ServeError(f"{output}: is there, and no page of ours; try another --output")
    make_folder(output.parent)
    write_atomically(output, content)
    print(output)
