"""The notebooks hold no output, and their code runs from top to bottom."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

NOTEBOOKS = sorted(
    (pathlib.Path(__file__).parents[2] / "notebooks").glob("*.ipynb")
)
_KEYS = {
    "code": {
        *("cell_type", "id", "metadata", "source"),
        *("execution_count", "outputs"),
    },
    "markdown": {"cell_type", "id", "metadata", "source"},
}

pytestmark = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: path.stem
)


def read_cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_form(path):
    """What nbformat 4.5 asks for, and no output of anybody's machine."""
    text = path.read_text(encoding="utf-8")
    book = json.loads(text)
    assert set(book) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        assert set(cell) == _KEYS[cell["cell_type"]]
        assert cell["metadata"] == {}
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        if cell["cell_type"] == "code":
            assert (cell["execution_count"], cell["outputs"]) == (None, [])
    assert book["cells"][0]["source"][0].startswith("# ")
    # One way to write it, so that a diff shows what was changed.
    assert text == json.dumps(book, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.full
def test_code_runs(path, tiny_bert, tmp_path):
    script = tmp_path / f"{path.stem}.py"
    script.write_text(
        "\n".join(
            "".join(cell["source"]) + "\n"
            for cell in read_cells(path)
            if cell["cell_type"] == "code"
        ),
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | {"BVKERAS_NOTEBOOK_ENCODER": str(tiny_bert)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
