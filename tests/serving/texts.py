"""Texts on which tokenizers have been known to differ."""

import hypothesis.strategies as st

AWKWARD = (
    *("", " ", "\n", "\t \r\n", "the cat sat", "The unaffable DOG ran."),
    *("héllo wörld Ünïcödé", "e\u0301a\u0300 n\u0303", "çĞİıŞ İstanbul ß ẞ"),
    *("ΣΑΣ ς σ", "Łódź Åå", "ﬁ ＡＢＣ １２３", "𐐀𐐁"),
    *("中文字符 text中mixed", "日本語カナ", "한국어 국", "\uf900\U0002f800豈"),
    *("👍🏽 emoji 👨‍👩‍👧", "(c) © ™ ½ €5.00", "don't-stop... ~`^$", "≠≮;`"),
    *("a\x00b\u200bc\ufffdd\u2060e", "\ufeffthe", "a\x85b\xa0c\u2028d\u3000e"),
    *("a\x1cb\x1dc\x0bd\x0ce", "\ud7ff\ue000a\U0010ffff", "\u0378\u0600"),
    *("שָׁלוֹם עולם", "مرحبا بالعالم", "the \u202eתac\u202c sat"),
    *("[MASK] in [SEP] x[CLS]y", "[PAD][UNK] [mask] [MASK", "[[MASK]]"),
    *("[MA[MASK]SK]", "[MASK", "[", "]", "[SEP\u200b]", "é[SEP]\u0301é"),
    *("x" * 100, "x" * 101, "é" * 100 + " " + "é" * 101, "the" * 40),
    *("no" + "\u0301" * 150, "ไทยภาษา" * 20, "中" * 120),
    "the cat sat on the mat. " * 30,
)

# Letters of many kinds, and those that tell tokenizers apart.
_LETTERS = st.one_of(
    st.sampled_from("abcdefgh theé中İßΣ한e\u0301\u200b\x00\ufffd[]#'-"),
    st.characters(exclude_categories=("Cs", "Mc")),
)
TEXTS = st.lists(
    st.one_of(
        st.text(_LETTERS, max_size=12),
        st.sampled_from(["[MASK]", "[SEP]", "[CLS]", "[PAD]", "##able", "un"]),
    ),
    max_size=8,
).map("".join)
