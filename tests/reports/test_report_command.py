from bvkeras.cli import main as cli


def test_tables_are_written_and_printed(make_run, tmp_path, capsys):
    runs = [str(make_run(seed=seed)) for seed in (0, 1)]
    output = tmp_path / "tables"
    assert cli.main(["report", *runs, "--output-dir", str(output)]) == 0
    printed = capsys.readouterr().out
    written = (output / "tables.md").read_text("utf-8")
    table = next(part for part in written.split("\n\n") if "± " in part)
    assert table in printed
    assert str(output / "tables.html") in printed


def test_what_cannot_be_used_is_one_line(make_run, tmp_path, capsys):
    arguments = ["report", str(make_run()), "--epochs", "7"]
    arguments += ["--output-dir", str(tmp_path / "tables")]
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "no stop point at epoch 7" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "tables").exists()
