"""Tables of every format, and what is wrong with them, in one line."""

import gzip
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bvkeras.data.tables.reading import open_batches
from bvkeras.errors import ArgumentError, BvkerasError, DataError
from tests.data.tables.written import HARD_TEXTS, write_rows, write_text


def read(paths, columns=("text",), **options):
    """Row numbers, and the cells of each column, of all batches together."""
    paths = paths if isinstance(paths, list) else [paths]
    batches = list(open_batches(paths, columns, **options))
    rows = [row for batch in batches for row in batch.rows]
    cells = tuple(
        [cell for batch in batches for cell in batch.cells[name]]
        for name in columns
    )
    return rows, cells


def refusal(error, *arguments, **options):
    with pytest.raises(error) as caught:
        read(*arguments, **options)
    message = str(caught.value)
    assert isinstance(caught.value, BvkerasError)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "parquet"])
def test_every_format_gives_the_same_texts(tmp_path, ending, packed, line_end):
    rows = [{"id": n, "text": text} for n, text in enumerate(HARD_TEXTS)]
    path = write_rows(tmp_path / f"a.{ending}{packed}", rows, line_end=line_end)
    numbers, (texts,) = read(path)
    assert tuple(texts) == HARD_TEXTS
    first = 1 if ending in ("jsonl", "parquet") else 2
    assert numbers == list(range(first, first + len(rows)))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separator_is_found_or_given(tmp_path, separator):
    rows = [{"text": text, "label": "a, b; c"} for text in HARD_TEXTS]
    path = write_rows(tmp_path / "a.csv", rows, separator=separator)
    assert read(path, ("label", "text"))[1][1] == list(HARD_TEXTS)
    assert read(path, separator=separator)[1] == (list(HARD_TEXTS),)


def test_tab_has_names_for_the_shell(tmp_path):
    path = write_text(tmp_path / "a.csv", "text\tn\na\t1\n")
    for name in ("tab", r"\t"):
        assert read(path, separator=name)[1] == (["a"],)


@pytest.mark.parametrize(
    ("start", "encoding", "given"),
    [
        ("\ufeff", "utf-8", None),
        ("\ufeff", "utf-8", "utf8"),
        ("\ufeff", "utf-16-le", None),
        ("", "utf-16", None),
        ("", "latin-1", "latin-1"),
        ("", "cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_encodings(tmp_path, start, encoding, given, ending):
    text = "text,n\ncafé,1\n" if ending == "csv" else '{"text": "café"}\n'
    path = write_text(tmp_path / f"a.{ending}", start + text, encoding)
    assert read(path, encoding=given)[1] == (["café"],)


def test_tabs_without_quoting_keep_their_quotes(tmp_path):
    text = 'text\tlabel\n"so he said\t1\nit is "fine"\t0\n'
    path = write_text(tmp_path / "a.tsv", text)
    assert read(path)[1] == (['"so he said', 'it is "fine"'],)


def test_quotes_of_two_texts_swallow_no_rows_between(tmp_path):
    texts = ['"he began', "it went on", 'and ended"']
    text = "text\tlabel\n" + "".join(f"{text}\t1\n" for text in texts)
    path = write_text(tmp_path / "a.tsv", text)
    assert read(path)[1] == (texts,)


def test_uneven_row_of_quoted_tabs_is_named(tmp_path):
    text = 'text\tlabel\n"two\nlines"\t1\nb\n'
    path = write_text(tmp_path / "a.tsv", text)
    assert "row 3: has 1 cells, expected 2" in refusal(DataError, path)


def test_rows_are_numbered_as_a_person_counts(tmp_path):
    text = 'text,n\n"two\nlines",1\n\nb,2\n'
    path = write_text(tmp_path / "a.csv", text)
    (batch,) = open_batches([path], ["text"])
    assert batch.rows == [2, 4]
    assert batch.blank == 1


def test_several_files_and_patterns_in_order_each_once(tmp_path):
    for name in ("b.csv", "a.jsonl", "c.csv.gz"):
        write_rows(tmp_path / name, [{"text": name}])
    patterns = [str(tmp_path / "a.jsonl"), str(tmp_path / "*.csv*")]
    patterns += [str(tmp_path / "b.csv")]
    assert read(patterns)[1] == (["a.jsonl", "b.csv", "c.csv.gz"],)


def test_name_with_brackets_is_a_path_first(tmp_path):
    path = write_rows(tmp_path / "a[1].csv", [{"text": "here"}])
    assert read(path)[1] == (["here"],)


def test_json_list_and_missing_keys(tmp_path):
    path = write_text(tmp_path / "a.json", '[{"text": "a", "n": 1},\n{"n": 2}]')
    assert read(path, ("text", "n"))[1] == (["a", None], [1, 2])


def test_conll(tmp_path):
    text = "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n\nSo\tO\n"
    path = write_text(tmp_path / "a.conll", text)
    assert read(path, ("words", "tags")) == (
        [3, 7],
        ([["EU", "rejects"], ["So"]], [["B-ORG", "O"], ["O"]]),
    )


def test_batches_are_streamed(tmp_path):
    path = tmp_path / "a.csv"
    with open(path, "w", encoding="utf-8") as file:
        file.write("text\n")
        file.writelines("x" * 1000 + "\n" for _ in range(20_000))
    tracemalloc.start()
    count = sum(
        len(batch) for batch in open_batches([path], ["text"], batch_rows=100)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 3 << 20


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    ending=st.sampled_from(["csv", "csv.gz"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_csv_writes_is_read(
    tmp_path_factory, rows, separator, line_end, ending, encoding
):
    path = tmp_path_factory.mktemp("csv") / f"a.{ending}"
    write_rows(
        path,
        [{"a": a, "text": b} for a, b in rows],
        encoding=encoding,
        separator=separator,
        line_end=line_end,
    )
    assert read(path, ("text", "a"))[1] == (
        [b for _, b in rows],
        [a for a, _ in rows],
    )


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6))
def test_what_excel_writes_as_tsv_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "a.tsv"
    write_rows(path, [{"a": a, "text": b} for a, b in rows])
    texts = read(path, ("text", "a"))[1][0]
    assert texts == [b for _, b in rows]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "a.csv: is empty, expected a table"),
        ("a.csv", "text,n\n", "a.csv: has no rows, expected one example"),
        ("a.csv", "text,n\n\n", "a.csv: has no rows"),
        ("a.jsonl", "\n", "a.jsonl: has no rows"),
        ("a.csv", "txt,n\na,1\n", "row 1: no column 'text', expected one of "
         "'txt', 'n'; is it 'txt'?"),
        ("a.csv", "Text ,n\na,1\n", "is it 'Text '?"),
        ("a.csv", "text,text\na,1\n", "row 1: column 'text' is there 2 times"),
        ("a.csv", 'text,n\n"a\nb",1\nc\n', "row 3: has 1 cells, expected 2"),
        ("a.csv", "text,n\na,b,1\n", "row 2: has 3 cells, expected 2"),
        ("a.csv", 'text,n\na,1\n"b,2\nc,3\n', "row 3: a quoted cell is not"),
        ("a.csv", 'text,n\n"b" b,2\n', "row 2: a quoted cell goes on after"),
        ("a.tsv", "text,n\na,1\n", "is the separator ',' and not '\\t'?"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', "row 2: is no JSON"),
        ("a.jsonl", '{"text": "a"}\n[1]\n', "row 2: is a list, expected an"),
        ("a.jsonl", '{"txt": "a"}\n', "row 1: no column 'text'"),
        ("a.jsonl", "[" * 100_000, "expected"),
        ("a.json", '[{"text": 1}\n{]', "line 1: is no JSON"),
        ("a.json", "[1]", "row 1: is a int, expected an object"),
        ("a.parquet", "text", "a.parquet: cannot be read ("),
        ("a.csv.gz", "text\na\n", "a.csv.gz: cannot be unpacked (Not a gzip"),
        ("a.csv", "PK\x03\x04", "a.csv: is a ZIP archive or an Excel file"),
        ("a.xlsx", "x", "a.xlsx: is a spreadsheet, expected .csv"),
        ("a.doc", "x", "a.doc: ends in '.doc', expected .csv, .tsv, .jsonl"),
        ("a.conll", "a B\nc\n", "row 1: no column 'text', expected one of"),
    ],
)  # fmt: skip
def test_unreadable_files_are_one_line(tmp_path, name, text, message):
    path = write_text(tmp_path / name, text)
    assert message in refusal(DataError, path)


def test_separator_given_wrongly(tmp_path):
    path = write_text(tmp_path / "a.csv", "text,n\na,1\n")
    assert "is the separator ',' and not ';'?" in refusal(
        DataError, path, separator=";"
    )
    assert "separator: got ';;', expected one character" in refusal(
        ArgumentError, path, separator=";;"
    )


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text,n\n"a\nb",1\ncafé,2\n'),
        ("a.tsv", 'text\tn\n"a\nb"\t1\ncafé\t2\n'),
        ("a.jsonl", '{"text": "a"}\n{"text": "b"}\n{"text": "é"}\n'),
    ],
)
def test_wrong_bytes_are_named_by_row(tmp_path, name, text, packed):
    data = text.encode("latin-1")
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data) if packed else data)
    message = refusal(DataError, path)
    assert "row 3: byte 0xe9 is no text, expected UTF-8; give" in message


def test_encoding_given_wrongly(tmp_path):
    path = write_text(tmp_path / "a.csv", "text\ncafé\n")
    message = refusal(DataError, path, encoding="ascii")
    assert "row 2: byte 0xc3 is no text, expected ascii as given" in message
    message = refusal(DataError, path, encoding="utf-16-le")
    assert "a.csv" in message
    message = refusal(ArgumentError, path, encoding="latin-11")
    assert "encoding: there is no encoding 'latin-11'" in message


def test_truncated_gzip(tmp_path):
    path = write_rows(tmp_path / "a.csv.gz", [{"text": "a"}] * 500)
    path.write_bytes(path.read_bytes()[:-12])
    assert "a.csv.gz: cannot be unpacked" in refusal(DataError, path)


def test_places_without_a_file(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "a.csv", [{"text": "a"}])
    assert "expected a file or a pattern such as" in refusal(
        DataError, tmp_path
    )
    assert "nowhere.csv: is not there" in refusal(
        DataError, tmp_path / "nowhere.csv"
    )
    assert "*.tsv: matches no file" in refusal(DataError, tmp_path / "*.tsv")

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert "a.csv: cannot be read (Permission denied)" in refusal(
        DataError, path
    )
