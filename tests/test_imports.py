"""Imports point one way, and `import bvkeras` brings what it needs alone."""

import ast
import functools
import graphlib
import pathlib
import subprocess
import sys
from collections.abc import Iterable

import pytest

_ROOT = pathlib.Path(__file__).parents[1]

# A module may import those of its own line and of the lines above.
_ORDER = (
    ("bvkeras.errors", "bvkeras._native"),
    ("bvkeras.fileio", "bvkeras.progress", "bvkeras.sentence_pooling"),
    ("bvkeras.ops",),
    ("bvkeras.layers",),
    ("bvkeras.models",),
    (
        "bvkeras.encoder",
        "bvkeras.fast_encoder",
        "bvkeras.huggingface",
        "bvkeras.backbones",
    ),
    ("bvkeras.tasks",),
    # The public names; only what lies above is imported at once.
    ("bvkeras",),
    ("bvkeras.commands.options",),
    ("bvkeras.data",),
    ("bvkeras.cache",),
    ("bvkeras.training",),
    (
        "bvkeras.tuning",
        "bvkeras.evaluation",
        "bvkeras.reports",
        "bvkeras.serving",
    ),
    ("bvkeras.run_settings", "bvkeras.run_pairs"),
    ("bvkeras.pipeline", "bvkeras.paper_runs", "bvkeras.doctor"),
    ("bvkeras.commands",),
    ("bvkeras.cli", "bvkeras.__main__", "recipes"),
)
_RANKS = {name: rank for rank, line in enumerate(_ORDER) for name in line}

# Imported against the order, each for its reason. They import nothing but
# what is named behind them, and that is held by a test.
_LEAVES = {
    # The tokenizer knows texts and word pieces, and no data set.
    "bvkeras.data.word_piece": ("bvkeras.errors", "bvkeras.fileio"),
    # Registered with Keras: a compiled model that is loaded may hold them.
    "bvkeras.training.optimizers": (
        "bvkeras.training.rated_adamw",
        "bvkeras.training.schedules",
    ),
    "bvkeras.training.rated_adamw": (),
    "bvkeras.training.schedules": (),
}
_LEAF_USERS = {
    "bvkeras.data.word_piece": (
        "bvkeras.encoder",
        "bvkeras.huggingface",
        "bvkeras.backbones",
    ),
    "bvkeras.training.optimizers": ("bvkeras",),
}

_KERAS_HUB_USERS = (
    "bvkeras.backbones",
    "bvkeras.encoder",
    "bvkeras.huggingface",
    "bvkeras.layers.hidden_states",
    "bvkeras.data",
    "bvkeras.serving",
)


def test_every_module_has_a_place_in_the_order():
    for module in _modules():
        _rank(module)


@pytest.mark.parametrize("line", range(len(_ORDER)))
def test_imports_point_towards_the_start(line):
    wrong = [
        f"{module} imports {imported}"
        for module, path in _modules().items()
        for imported in _own_imports(path)
        if _rank(module) == line
        and _rank(imported) > line
        and module not in _LEAF_USERS.get(imported, ())
    ]
    assert not wrong


@pytest.mark.parametrize("leaf", _LEAVES)
def test_leaf_imports_nothing_more(leaf):
    assert _own_imports(_modules()[leaf]) == set(_LEAVES[leaf])


def test_no_module_imports_itself_round_a_circle():
    graph = {module: _own_imports(path) for module, path in _modules().items()}
    graphlib.TopologicalSorter(graph).prepare()


def test_recipes_import_the_command_line_only():
    recipes = [name for name in _modules() if name.startswith("recipes")]
    assert len(recipes) >= 10
    for recipe in recipes:
        assert _own_imports(_modules()[recipe]) == {"bvkeras.cli"}


def test_command_line_is_parsed_without_what_is_slow():
    """Verbs import what they work with when they run."""
    seen, others, waiting = set(), set(), ["bvkeras.cli"]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        tree = ast.parse(_modules()[module].read_text(encoding="utf-8"))
        names = _names_imported(tree.body)
        waiting += _own(names) - seen
        others |= {name.split(".")[0] for name in names}
    assert "bvkeras.tuning.command" in seen
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
        "bvkeras.progress",
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
    assert "bvkeras.backbones" in users
    strangers = [
        user for user in users if not _lies_in_one_of(user, _KERAS_HUB_USERS)
    ]
    assert not strangers


def test_import_works_without_what_only_later_steps_need():
    # Keras imports matplotlib and scikit-learn itself where it finds them.
    script = """
import sys
for name in ("matplotlib", "sklearn", "tensorflow_datasets"):
    sys.modules[name] = None
import bvkeras
print(*sorted(name for name in sys.modules if name.startswith("bvkeras.")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = done.stdout.split()
    assert "bvkeras.layers.hidden_states" in loaded
    late = {name for name in loaded if _rank(name) > _RANKS["bvkeras"]}
    assert late == {
        "bvkeras.training",
        "bvkeras.training.optimizers",
        "bvkeras.training.rated_adamw",
        "bvkeras.training.schedules",
    }


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
    names = set()
    for node in nodes:
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
