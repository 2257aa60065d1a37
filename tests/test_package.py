"""How the package is laid out: which module may import which, and what all of it offers."""

import ast
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, run_python

import mnist_classification

PACKAGE = ROOT / "mnist_classification"
ROOMS = ("study", "pictures", "reader", "reader_training", "server")

# What each module of the core may import of the package. Imports point one way: down this table.
STANDS_ON: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "data": {"errors"},
    "ranges": {"errors"},
    "options": set(),
    "shipped": set(),
    "cores": set(),
    "progress": set(),
    "recipes": {"errors", "ranges"},
    "alexnet": {"errors"},
    "convolution": set(),
    "layers": {"convolution"},
    "whitening": {"errors"},
    "sampling": {"errors"},
    "model": {"errors", "alexnet", "layers", "whitening"},
    "device": {"cores", "errors"},
    "distributed": {"cores", "errors"},
    "augment": {"distributed", "recipes"},
    "optimizers": {"recipes"},
    "trained": {"device", "errors", "files", "model", "recipes"},
    "export": {"device", "errors", "files", "model", "trained"},
    "run": {"data", "distributed", "errors", "files", "recipes", "trained"},
    "training": {
        *("augment", "data", "device", "distributed", "errors", "model", "optimizers", "progress"),
        *("recipes", "run", "sampling", "trained", "whitening"),
    },
}
COMMANDS = {"options", "progress"}  # which only the command line needs, and training for progress
CORE = set(STANDS_ON) - {"options"}
ABOVE = {"cli", "__init__", "__main__"}


def module_of(path: Path) -> str:
    """Return "study.tables" for its path."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Return the package's modules that a module imports anywhere, in functions too."""
    found = set()
    package = ("mnist_classification", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            head, _, rest = name.partition(".")
            if head == "mnist_classification" and rest != "__version__":
                parts = rest.split(".")
                module = next(
                    (m for n in (2, 1) if (m := ".".join(parts[:n])) in MODULES), "__init__"
                )
                found.add(module)
    return found


IMPORTS = {module: imports(path) for module, path in MODULES.items()}


def room_of(module: str) -> str:
    room, _, rest = module.partition(".")
    return room if rest else ""


def test_imports_are_found():
    """The other tests of this file would pass if none were."""
    assert IMPORTS["training"] >= {"model", "recipes", "trained"}
    assert "study.statistics" in IMPORTS["pictures.plots"]
    assert "reader.ink" in IMPORTS["reader.lines"]  # from . import ink
    assert "training" in IMPORTS["cli"]  # within a function
    assert "alexnet" in IMPORTS["model"]


@pytest.mark.parametrize("module", [m for m in MODULES if not room_of(m) and m not in ABOVE])
def test_the_core_imports_one_way_and_never_a_room(module):
    assert module in STANDS_ON, "a new module: say here what it stands on"
    assert IMPORTS[module] <= STANDS_ON[module]


def test_the_table_points_one_way_itself():
    names = list(STANDS_ON)
    for module, below in STANDS_ON.items():
        assert all(names.index(other) < names.index(module) for other in below), module


def allowed(module: str) -> set[str]:
    """Return the rooms that a room's module may import from, its own among them."""
    also = {"pictures": {"study"}, "reader_training": {"reader"}, "server": {"reader"}}
    return {room_of(module)} | also.get(room_of(module), set())


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m)])
def test_rooms_keep_to_themselves(module):
    for other in IMPORTS[module]:
        if room := room_of(other):
            assert room in allowed(module)
            assert not other.endswith(".commands"), "commands are for the command line"
        elif room_of(module) != "reader":
            assert other in CORE | {"options"}
    if not module.endswith(".commands"):
        assert "options" not in IMPORTS[module]


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m) == "reader"])
def test_the_reader_stands_on_next_to_nothing(module):
    core = {other for other in IMPORTS[module] if not room_of(other)}
    if module == "reader.commands":  # `load_model` for who reads with a model just trained
        assert core <= {"errors", "shipped", "options", "progress", "files", "trained"}
        assert "from ..trained" not in module_level(module)
    else:
        assert core <= {"errors", "shipped"}


def module_level(module: str) -> str:
    """Return the source of a module's own import statements, without those in functions."""
    tree = ast.parse(MODULES[module].read_text())
    body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, body))


def test_no_module_imports_the_command_line():
    for module, others in IMPORTS.items():
        if module != "__main__":
            assert not others & {"cli", "__main__"}, module


def test_training_needs_only_what_trains():
    result = run_python(
        "import sys, mnist_classification.training\n"
        "heavy = {'scipy', 'PIL', 'onnxruntime', 'matplotlib', 'rich', 'sklearn', 'openTSNE'}\n"
        "print(sorted(heavy & set(sys.modules)), 'torch' in sys.modules)"
    )
    assert result.stdout == "[] True\n", result.stderr


def test_importing_the_package_imports_nothing_large():
    result = run_python(
        "import sys, mnist_classification\n"
        "print(sorted({'numpy', 'torch', 'onnxruntime', 'PIL', 'scipy'} & set(sys.modules)))"
    )
    assert result.stdout == "[]\n", result.stderr


def test_licences_and_types_are_where_the_wheel_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "MIT AND CC-BY-SA-3.0"
    texts = [(ROOT / name).read_text() for name in project["license-files"]]
    assert ["CC BY-SA 3.0" in text for text in texts] == [False, True]
    assert (PACKAGE / "py.typed").exists()


def test_the_three_core_files_are_short():
    lines = sum(
        len((PACKAGE / name).read_text().splitlines())
        for name in ("model.py", "recipes.py", "training.py")
    )
    assert lines <= 700


def test_exported_names_exist():
    assert sorted(mnist_classification.__all__) == sorted(
        name for names in mnist_classification.MODULES.values() for name in names
    )
    for module, names in mnist_classification.MODULES.items():
        for name in names:
            value = getattr(mnist_classification, name)
            if hasattr(value, "__module__") and name.isidentifier() and not name.isupper():
                assert value.__module__ == f"mnist_classification.{module}", name
    with pytest.raises(AttributeError, match="no attribute 'Raeder'"):
        _ = mnist_classification.Raeder


def test_type_checkers_see_the_names_that_are_imported_lazily():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        node.module: tuple(alias.name for alias in node.names)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
    }
    assert seen == mnist_classification.MODULES
