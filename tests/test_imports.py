"""Imports point one way, and `import bvkeras` brings what it needs alone."""

import ast
import functools
import graphlib
import importlib
import pathlib
import subprocess
import sys
from collections.abc import Iterable

import pytest

from bvkeras import errors

_ROOT = pathlib.Path(__file__).parents[1]

# A module may import those of its own line and of the lines above.
_ORDER = (
    # The public names open what lies below when they are used.
    ("bvkeras", "bvkeras.errors", "bvkeras._native"),
    ("bvkeras.printable",),
    ("bvkeras.schema", "bvkeras.parent_process"),
    (
        *("bvkeras.fileio", "bvkeras.progress", "bvkeras.stored_weights"),
        "bvkeras.terminal_table",
    ),
    ("bvkeras.ops",),
    # What the layers know of encoders.
    ("bvkeras.encoders.families", "bvkeras.encoders.checkpoint_files"),
    ("bvkeras.layers",),
    ("bvkeras.encoders", "bvkeras.tasks"),
    ("bvkeras.models", "bvkeras.data"),
    ("bvkeras.cache",),
    ("bvkeras.training",),
    ("bvkeras.evaluation",),
    ("bvkeras.tuning", "bvkeras.serving", "bvkeras.reports"),
    ("bvkeras.pipeline",),
    ("bvkeras.classifiers",),
    ("bvkeras.testing",),
    ("bvkeras.distributed.beam",),
    ("bvkeras.cli", "bvkeras.__main__", "recipes"),
    ("bvkeras.distributed",),
)
_RANKS = {name: rank for rank, line in enumerate(_ORDER) for name in line}

_KERAS_HUB_USERS = ("bvkeras.encoders.families",)

# Registered with Keras the moment it is imported, by bvkeras/__init__.py.
_REGISTERED = ("ops", "layers", "encoders", "models", "training")


def test_every_module_has_a_place_in_the_order():
    for module in _modules():
        _rank(module)


@pytest.mark.parametrize("line", range(len(_ORDER)))
def test_imports_point_towards_the_start(line):
    wrong = [
        f"{module} imports {imported}"
        for module, path in _modules().items()
        for imported in _own_imports(path)
        if _rank(module) == line and _rank(imported) > line
    ]
    assert not wrong


def test_no_module_imports_itself_round_a_circle():
    graph = {module: _own_imports(path) for module, path in _modules().items()}
    graphlib.TopologicalSorter(graph).prepare()


def test_recipes_import_the_command_line_only():
    recipes = [name for name in _modules() if name.startswith("recipes")]
    assert len(recipes) >= 10
    for recipe in recipes:
        assert _own_imports(_modules()[recipe]) == {"bvkeras.cli.main"}


def test_command_line_is_parsed_without_what_is_slow():
    """Verbs import what they work with when they run."""
    seen, others, waiting = set(), set(), ["bvkeras.cli.main"]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        tree = ast.parse(_modules()[module].read_text(encoding="utf-8"))
        names = _names_imported(tree.body)
        waiting += _own(names) - seen
        others |= {name.split(".")[0] for name in names}
    assert "bvkeras.cli.tune" in seen
    assert others - sys.stdlib_module_names == {"bvkeras", "filelock"}


def test_cache_reader_needs_neither_model_nor_data():
    seen, waiting = set(), ["bvkeras.cache.reader"]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting += _own_imports(_modules()[module]) - seen
    outside = {m for m in seen if not m.startswith("bvkeras.cache.")}
    assert outside == {
        "bvkeras.errors",
        "bvkeras.fileio",
        "bvkeras.printable",
        "bvkeras.progress",
        "bvkeras.schema",
        # What makes batches natively, where it is built.
        "bvkeras._native",
        "bvkeras.ops.implementation",
        "bvkeras.ops.library",
    }
    assert "bvkeras.cache.writer" not in seen


def test_keras_hub_has_few_doors():
    users = {
        module
        for module, path in _modules().items()
        if "keras_hub" in {name.split(".")[0] for name in _imports(path)}
    }
    assert "bvkeras.encoders.families.bert" in users
    strangers = [
        user for user in users if not _lies_in_one_of(user, _KERAS_HUB_USERS)
    ]
    assert not strangers


@pytest.mark.parametrize("package", _REGISTERED)
def test_registered_packages_import_keras_first(package):
    """Else Keras, come by a module of theirs, would find that half done."""
    tree = ast.parse(_modules()[f"bvkeras.{package}"].read_text("utf-8"))
    first = next(node for node in tree.body if not _is_docstring(node))
    assert isinstance(first, ast.Import)
    assert [alias.name for alias in first.names] == ["keras"]


def test_registered_packages_are_all_that_is_loaded():
    """What Keras brings with it, and so nothing of the lines below."""
    seen, waiting = set(), [f"bvkeras.{name}" for name in _REGISTERED[:2]]
    waiting += ["bvkeras.models", "bvkeras.training.optimizers"]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting += _own_imports(_modules()[module]) - seen
    ground = {"bvkeras", "bvkeras._native"} | {
        f"bvkeras.{name}"
        for name in (
            *("errors", "fileio", "printable", "schema", "stored_weights"),
        )
    }
    assert {
        module
        for module in seen - ground
        if module.split(".")[1] not in _REGISTERED
    } == set()


@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("import bvkeras, keras", marks=pytest.mark.full),
        pytest.param("import keras, bvkeras", marks=pytest.mark.full),
        pytest.param(
            "import bvkeras; import tensorflow, keras", marks=pytest.mark.full
        ),
        "import bvkeras.training.rated_adamw, keras",
        pytest.param(
            "import bvkeras.cache.reader, keras", marks=pytest.mark.full
        ),
        "from bvkeras.models import pooling_model; import keras",
    ],
)
def test_layers_are_registered_whatever_is_imported_first(imports):
    # Keras imports matplotlib and scikit-learn itself where it finds them.
    script = f"""
import sys
for name in ("matplotlib", "sklearn", "tensorflow_datasets"):
    sys.modules[name] = None
{imports}
for name in ("HiddenStates", "PoolingSpanModel", "RatedAdamW"):
    assert keras.saving.get_registered_object(f"bvkeras>{{name}}"), name
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_public_names_open_at_first_use():
    import bvkeras

    assert set(bvkeras.__all__) == set(dir(bvkeras))
    for name in bvkeras.__all__:
        assert getattr(bvkeras, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = bvkeras.nothing_such


def test_another_backend_is_refused(monkeypatch):
    from bvkeras import ops

    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(errors.BackendError, match="KERAS_BACKEND=tensorflow"):
        importlib.reload(ops)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@functools.cache
def _modules() -> dict[str, pathlib.Path]:
    """Paths of the package's modules and the recipes by their names."""
    modules = {}
    for folder in ("bvkeras", "recipes"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            parts = path.relative_to(_ROOT).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            modules[".".join(parts)] = path
    return modules


@functools.cache
def _imports(path: pathlib.Path) -> set[str]:
    """What a file imports anywhere in it; `from a import b` gives `a.b`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return _names_imported(ast.walk(tree))


def _names_imported(nodes: Iterable[ast.AST]) -> set[str]:
    nodes = list(nodes)
    for_types = [
        inner
        for node in nodes
        if isinstance(node, ast.If)
        and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    ]
    names = set()
    for node in nodes:
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def _own_imports(path: pathlib.Path) -> set[str]:
    """The modules of ours that a file imports."""
    return _own(_imports(path))


def _own(names: set[str]) -> set[str]:
    modules = _modules()
    own = set()
    for name in names:
        if name.split(".")[0] in ("bvkeras", "recipes"):
            own.add(name if name in modules else name.rpartition(".")[0])
    return own


def _rank(module: str) -> int:
    """The line of the order that names the module, or a package of it."""
    name = module
    while name not in _RANKS:
        name = name.rpartition(".")[0]
        assert name not in ("", "bvkeras"), f"{module}: not in the order"
    return _RANKS[name]


def _lies_in_one_of(module: str, places: tuple[str, ...]) -> bool:
    return any(
        module == place or module.startswith(f"{place}.") for place in places
    )
