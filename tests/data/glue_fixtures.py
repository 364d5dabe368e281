"""Small files in the official layouts of the nine GLUE tasks.

The sentences are our own. They hold single quote marks, accents, an emoji and
a Unicode line separator, which is no line end in these files.
"""

import pathlib

NUM_TRAIN = 24
NUM_DEV = 9

_NAMES = ("Zoë", "Łukasz", "Amélie", "Tomás", "Ingrid", "José", "Søren")
_THINGS = ("boat", "violin", "garden", "old map", "kite", "red lamp")
_PLACES = ("Oslo", "Málaga", "the harbour", "東京", "a café")
_MARKS = ("", ' 5" tall', " 🎈", " naïve", "", "\u2028again")
_GOOD = ("a warm , funny", "a bright and moving", "a wonderful")
_BAD = ("a cold , dull", "a slow and empty", "a terrible")
_SCORES = ("0.000", "1.250", "2.500", "3.600", "4.400", "5.000")

_MNLI_LABELS = ("entailment", "neutral", "contradiction")
_RTE_LABELS = ("entailment", "not_entailment")


def write_glue(directory: str | pathlib.Path) -> pathlib.Path:
    """Writes all nine tasks: `directory/CoLA/train.tsv` and so on.

    Each task has 24 training and 9 dev examples with balanced labels, and an
    unlabelled test file. MRPC gets `train.tsv` and `dev.tsv`.

    Args:
        directory: str or path. Made if it is not there.

    Returns:
        The directory.
    """
    directory = pathlib.Path(directory)
    _write_splits(directory / "CoLA", None, _cola)
    _write_splits(directory / "SST-2", ("sentence", "label"), _sst2)
    _write_splits(
        directory / "MRPC",
        ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
        _mrpc,
    )
    _write_splits(
        directory / "STS-B",
        (
            *("index", "genre", "filename", "year", "old_index"),
            *("source1", "source2", "sentence1", "sentence2", "score"),
        ),
        _stsb,
    )
    _write_splits(
        directory / "QQP",
        ("id", "qid1", "qid2", "question1", "question2", "is_duplicate"),
        _qqp,
    )
    _write_mnli(directory / "MNLI")
    _write_splits(
        directory / "QNLI",
        ("index", "question", "sentence", "label"),
        lambda i: (str(i), f"Who sold it?{_mark(i)}", *_pair(i)[1:], _rte(i)),
    )
    _write_splits(
        directory / "RTE",
        ("index", "sentence1", "sentence2", "label"),
        lambda i: (str(i), *_pair(i), _rte(i)),
    )
    _write_splits(
        directory / "WNLI",
        ("index", "sentence1", "sentence2", "label"),
        lambda i: (str(i), *_pair(i), str(1 - i % 2)),
    )
    return directory


def write_paraphrase_corpus(folder: str | pathlib.Path) -> pathlib.Path:
    """Writes MRPC as the Microsoft Research Paraphrase Corpus has it.

    `msr_paraphrase_train.txt` (33 examples), `msr_paraphrase_test.txt` (9),
    both with a byte order mark and CRLF line ends, and GLUE's `dev_ids.tsv`
    with 9 pairs of the train file.

    Args:
        folder: str or path. The task's own folder, made if needed.

    Returns:
        The folder.
    """
    folder = pathlib.Path(folder)
    header = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
    rows = [_mrpc(i) for i in range(NUM_TRAIN + 2 * NUM_DEV)]
    train, test = rows[:-NUM_DEV], rows[-NUM_DEV:]
    dev = train[3::3][:NUM_DEV]
    for name, part in (("train", train), ("test", test)):
        write_tsv(
            folder / f"msr_paraphrase_{name}.txt",
            [header, *part],
            end="\r\n",
            encoding="utf-8-sig",
        )
    write_tsv(folder / "dev_ids.tsv", [row[1:3] for row in dev])
    return folder


def write_tsv(
    path: pathlib.Path,
    rows: list,
    end: str = "\n",
    encoding: str = "utf-8",
) -> pathlib.Path:
    """Writes rows of str to a tab-separated file without quoting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join("\t".join(row) + end for row in rows)
    path.write_bytes(text.encode(encoding))
    return path


def _write_splits(folder, header, make_row):
    head = [header] if header else []
    rows = [make_row(i) for i in range(NUM_TRAIN + NUM_DEV)]
    write_tsv(folder / "train.tsv", head + rows[:NUM_TRAIN])
    write_tsv(folder / "dev.tsv", head + rows[NUM_TRAIN:])
    if header is None:
        test_header, test = ("index", "sentence"), [("0", "Zoë sings.")]
    elif header[0] == "Quality":
        test_header, test = ("index", *header[1:]), [("0", *rows[0][1:])]
    elif header[0] == "sentence":
        test_header, test = ("index", "sentence"), [("0", rows[0][0])]
    else:
        test_header, test = header[:-1], [("0", *rows[0][1:-1])]
    write_tsv(folder / "test.tsv", [test_header, *test])


def _write_mnli(folder):
    start = ("index", "promptID", "pairID", "genre")
    parses = (
        *("sentence1_binary_parse", "sentence2_binary_parse"),
        *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2"),
    )
    dev_labels = tuple(f"label{n}" for n in range(1, 6))
    files = (
        ("train", (*start, *parses, "label1", "gold_label"), 0, NUM_TRAIN),
        ("dev_matched", (*start, *parses, *dev_labels, "gold_label"), 24, 9),
        ("dev_mismatched", (*start, *parses, *dev_labels, "gold_label"), 33, 9),
        ("test_matched", (*start, *parses), 42, 3),
        ("test_mismatched", (*start, *parses), 45, 3),
    )
    for name, header, first, count in files:
        rows = [header]
        for index in range(count):
            text_a, text_b = _pair(first + index, num_labels=3)
            fields = {
                "index": str(index),
                "sentence1": text_a,
                "sentence2": text_b,
                "gold_label": _MNLI_LABELS[(first + index) % 3],
            }
            rows.append([fields.get(column, "n/a") for column in header])
        write_tsv(folder / f"{name}.tsv", rows)


def _mark(i):
    return _MARKS[i % len(_MARKS)]


def _words(i):
    return (
        _NAMES[i % len(_NAMES)],
        _THINGS[i % len(_THINGS)],
        _PLACES[i % len(_PLACES)],
    )


def _pair(i, num_labels=2):
    name, thing, place = _words(i)
    text_a = f"{name} sold the {thing} in {place} on day {i}{_mark(i)}."
    text_b = (
        f"{name} sold the {thing}.",
        "It was raining." if num_labels == 3 else f"{name} never had one.",
        f"{name} kept the {thing}.",
    )[i % num_labels]
    return text_a, text_b


def _cola(i):
    name, thing, place = _words(i)
    if i % 2:
        return (
            "own",
            "1",
            "",
            f"{name} painted the {thing}{_mark(i)} {i} times.",
        )
    return "own", "0", "*", f"{name} paint {i} the in {place} has{_mark(i)}."


def _sst2(i):
    _, thing, place = _words(i)
    kind = (_BAD, _GOOD)[i % 2][i % 3]
    return f"{kind} film about a {thing} in {place}{_mark(i)} , part {i} ", str(
        i % 2
    )


def _mrpc(i):
    quality = str(1 - i % 2)
    return (quality, str(1000 + i), str(2000 + i), *_pair(i))


def _stsb(i):
    name, thing, place = _words(i)
    level = i % len(_SCORES)
    other = " ".join(f"{name} sells the {thing} here".split()[:level])
    return (
        *(str(i), "main-own", "own", "2026", f"{i:04}", "none", "none"),
        f"{name} sells the {thing} in {place}, {i}{_mark(i)}.",
        f"{other} And then, {place}.",
        _SCORES[level],
    )


def _qqp(i):
    name, thing, place = _words(i)
    second = (f"Why is it cold in {place}?", f"How does {name} buy a {thing}?")
    return (
        *(str(9000 + 7 * i), str(2 * i), str(2 * i + 1)),
        f"How can {name} get a {thing}{_mark(i)} before day {i}?",
        second[i % 2],
        str(i % 2),
    )


def _rte(i):
    return _RTE_LABELS[i % 2]
