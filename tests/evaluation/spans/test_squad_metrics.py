"""Exact match, F1 and thresholds against a second statement of the rules."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from bvkeras.errors import ArgumentError
from bvkeras.evaluation.spans.squad_metrics import (
    answer_scores,
    best_threshold,
    normalize_answer,
    official_scores,
    with_threshold,
)
from tests.data.squad_fixtures import make_question

_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_ARTICLES = ("a", "an", "the")
WORDS = (
    *("the", "The", "a", "an", "A.", "cat", "Cat,", "mat", "5", "—", "…"),
    *("Zoë", "the-cat", "U.S.", "İ", "ß", "!", "$5.0", "a_b", "É", "\u200b"),
    *("theta", "l'an", "中", "!the?", "a\xa0cat", "\t"),
)
TEXTS = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


def plain_words(text):
    """The words of an answer that count, letter by letter."""
    kept = "".join(c for c in text.lower() if c not in _PUNCTUATION)
    # An article is a word of its own: nothing of a word stands beside it.
    pieces, piece = [], ""
    for character in [*kept, " "]:
        if character.isalnum() or character == "_":
            piece += character
        else:
            pieces += ["" if piece in _ARTICLES else piece, character]
            if piece in _ARTICLES:
                pieces[-2] = " "
            piece = ""
    return "".join(pieces).split()


def plain_scores(golds, text):
    """Exact match and F1 of one text, as the rules are put in words."""
    golds = [plain_words(gold) for gold in golds]
    golds = [gold for gold in golds if gold] or [[]]
    given = plain_words(text)
    best_exact = best_f1 = 0.0
    for gold in golds:
        best_exact = max(best_exact, float(given == gold))
        if not given or not gold:
            best_f1 = max(best_f1, float(given == gold))
            continue
        left, common = list(gold), 0
        for word in given:
            if word in left:
                left.remove(word)
                common += 1
        best_f1 = max(best_f1, 2 * common / (len(given) + len(gold)))
    return best_exact, best_f1


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(rows=st.lists(st.tuples(st.lists(TEXTS), TEXTS), min_size=1))
def test_scores_are_those_of_the_rules(rows):
    questions = [
        make_question("", *((gold, 0) for gold in golds)) for golds, _ in rows
    ]
    exact, f1 = answer_scores(questions, [text for _, text in rows])
    expected = np.array([plain_scores(*row) for row in rows])
    np.testing.assert_array_equal(exact, expected[:, 0])
    np.testing.assert_allclose(f1, expected[:, 1], rtol=1e-12)


@hypothesis.settings(deadline=None)
@hypothesis.given(text=st.text())
def test_normalised_text_stays_as_it_is(text):
    once = normalize_answer(text)
    assert normalize_answer(once) == once or "İ" in text
    assert once.split() == plain_words(text) or not text.isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Cat!", "cat"),
        ("  a  cat\nsat ", "cat sat"),
        ("theta, an 'An'", "theta"),
        ("the-cat", "thecat"),
        ("U.S.", "us"),
        ("the", ""),
        ("«Zoë»", "«zoë»"),
    ],
)
def test_normalisation(text, expected):
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("golds", "text", "exact", "f1"),
    [
        ([], "", 1, 1),
        ([], "cat", 0, 0),
        # Golds of nothing but articles and punctuation are dropped.
        (["the", "."], "", 1, 1),
        (["the", "cat"], "", 0, 0),
        (["the", "cat"], "a cat", 1, 1),
        (["black cat", "cat"], "cat sat", 0, 2 / 3),
        # Repeated words count as often as they are in both.
        (["cat cat mat"], "cat cat cat", 0, 2 / 3),
        (["cat"], "the", 0, 0),
    ],
)
def test_known_scores(golds, text, exact, f1):
    question = make_question("", *((gold, 0) for gold in golds))
    found = answer_scores([question], [text])
    assert found[0].tolist() == [exact]
    assert found[1].tolist() == [pytest.approx(f1)]


def test_one_text_a_question():
    with pytest.raises(ArgumentError, match="texts: received 0 for 1 quest"):
        answer_scores([make_question("")], [])


def test_strictly_above_the_threshold_is_no_answer():
    na_probs = np.array([0.5, 0.5, 0.6, 0.6])
    has_answer = np.array([True, False, True, False])
    scores = np.array([1.0, 0.0, 0.75, 0.0])
    found = with_threshold(scores, na_probs, has_answer, 0.5)
    assert found.tolist() == [1, 0, 0, 1]


@hypothesis.settings(deadline=None, max_examples=200)
@hypothesis.given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.25, 0.5, 1.0]),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=9,
    ),
    data=st.data(),
)
def test_best_threshold_is_the_best_of_all(rows, data):
    # With one na_prob a question, every threshold can be had.
    order = data.draw(st.permutations(range(len(rows))))
    na_probs = (np.array(order) + 1) / 10
    has_answer = np.array([answered for _, answered, _ in rows])
    has_text = np.array([given for _, _, given in rows])
    scores = np.array(
        [
            (score * given if answered else float(not given))
            for score, answered, given in rows
        ]
    )
    best = best_threshold(scores, na_probs, has_answer, has_text)
    reached = {
        threshold: with_threshold(
            scores, na_probs, has_answer, threshold
        ).mean()
        for threshold in (0.0, *sorted(na_probs))
    }
    assert best.score == pytest.approx(max(reached.values()))
    assert reached[best.threshold] == pytest.approx(best.score)
    # The lowest of equally good ones.
    assert all(
        score < best.score - 1e-12
        for threshold, score in reached.items()
        if threshold < best.threshold
    )


def official_best(texts, scores, na_probs, has_answer):
    """The official script's loop over questions by name, step by step."""
    current = sum(1 for name in has_answer if not has_answer[name])
    best, threshold = current, 0.0
    for name in sorted(na_probs, key=na_probs.get):
        if has_answer[name]:
            difference = scores[name]
        else:
            difference = -1 if texts[name] else 0
        current += difference
        if current > best:
            best, threshold = current, na_probs[name]
    return best / len(scores), threshold


def test_best_threshold_rounds_as_the_official_script():
    # Sums of F1 that are equal but for their rounding.
    f1 = [2 * n / m for m in range(2, 12) for n in range(m // 2 + 1)]
    random = np.random.default_rng(0)
    for _ in range(4_000):
        rows = random.integers(1, 12)
        scores = random.choice(f1, rows)
        na_probs = random.choice([0.0, 0.1, 0.3, 0.5, 0.9], rows)
        has_answer = random.random(rows) < 0.5
        has_text = random.random(rows) < 0.7
        found = best_threshold(scores, na_probs, has_answer, has_text)
        columns = (has_text, scores, na_probs, has_answer)
        by_name = [dict(enumerate(column.tolist())) for column in columns]
        assert found == official_best(*by_name)


def test_official_names_and_counts():
    exact, f1 = np.array([1.0, 0.0, 1.0]), np.array([1.0, 0.5, 1.0])
    assert official_scores(exact, f1, np.array([True, True, False])) == {
        "exact": pytest.approx(200 / 3),
        "f1": pytest.approx(250 / 3),
        "total": 3,
        "HasAns_exact": 50.0,
        "HasAns_f1": 75.0,
        "HasAns_total": 2,
        "NoAns_exact": 100.0,
        "NoAns_f1": 100.0,
        "NoAns_total": 1,
    }
    assert "NoAns_total" not in official_scores(exact, f1, np.ones(3, bool))
