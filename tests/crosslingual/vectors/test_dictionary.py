import gzip
import json

import pytest

from backbone.errors import PolygraftError
from crosslingual.vectors.dictionary import Dictionary, identical
from tests.crosslingual.tiny_vectors import word_vectors


def written(tmp_path, name, data):
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return tmp_path / name


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("cat\tkatze\ndog\thund\n", [("cat", "katze"), ("dog", "hund")]),
        ("cat katze\r\ndog  hund\n", [("cat", "katze"), ("dog", "hund")]),
        ("\ufeff# a remark\nice cream\tspeise eis\n\n", [("ice cream", "speise eis")]),
        # cut at the tab first: more than one makes no two parts, so spaces decide
        ("a\tb c\nx y\n", [("a", "b c"), ("x", "y")]),
    ],
)
def test_columns_are_cut_at_the_tab_or_else_at_blanks(tmp_path, text, pairs):
    assert list(Dictionary.open(written(tmp_path, "d.txt", text)).pairs) == pairs
    assert list(Dictionary.open(written(tmp_path, "d.tsv.gz", gzip.compress(text.encode()))).pairs) == pairs
    assert Dictionary.open(tmp_path / "d.txt", reverse=True).pairs[0] == pairs[0][::-1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cat\nkatze\n", "line 1 has 1 column, but"),
        (b"a b\nan ice cream\n", "line 2 has 3 columns"),
        ("fünf\tfive".encode("latin-1"), "line 1 is not UTF-8"),
        (b"", "no pair"),
        (b"\n \n", "no pair"),
        (b"\x1f\x8bno gzip", "cannot be read"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, data, message):
    with pytest.raises(PolygraftError, match=message):
        Dictionary.open(written(tmp_path, "d.txt", data))


def test_an_absent_file_is_one_sentence(tmp_path):
    with pytest.raises(PolygraftError, match="cannot be read: No such file"):
        Dictionary.open(tmp_path / "absent.txt")


CEDICT = "# CC-CEDICT\n中國 中国 [Zhong1 guo2] /China/(old) Cathay/\n吃飯 吃饭 [chi1 fan4] /to eat; to have a meal/\n"


def test_cedict_as_text_and_as_javascript(tmp_path):
    pairs = [("中国", "China"), ("中国", "Cathay"), ("吃饭", "eat"), ("吃饭", "have a meal")]
    assert list(Dictionary.open(written(tmp_path, "cedict.u8", CEDICT)).pairs) == pairs
    entries = [
        ["中國", "中国", "Zhong1 guo2", ["China", "(old) Cathay"]],
        ["吃飯", "吃饭", "chi1", "to eat; to have a meal"],
    ]
    script = f"module.exports = {json.dumps({'all': entries})};"
    assert list(Dictionary.open(written(tmp_path, "all.js", script)).pairs) == pairs
    assert Dictionary.open(tmp_path / "all.js", reverse=True).pairs[0] == ("China", "中国")
    with pytest.raises(PolygraftError, match="not the all.js"):
        Dictionary.open(written(tmp_path, "all.js", "module.exports = {}"))
    with pytest.raises(PolygraftError, match="line 3 .*CC-CEDICT"):
        Dictionary.open(written(tmp_path, "cedict.u8", CEDICT.replace("吃饭 [", "[")))


TEI = """<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>
<entry><form><orth>cat</orth></form><sense><cit type="trans"><quote>paka</quote></cit>
<cit type="example"><quote>no</quote></cit></sense></entry>
<entry><form><orth>dog</orth><orth>hound</orth></form><sense><cit type="trans"><quote>mbwa</quote></cit></sense></entry>
</body></text></TEI>"""


def test_freedict_as_tei(tmp_path):
    pairs = [("cat", "paka"), ("dog", "mbwa"), ("hound", "mbwa")]
    assert list(Dictionary.open(written(tmp_path, "eng-swh.tei", TEI)).pairs) == pairs
    with pytest.raises(PolygraftError, match="no TEI"):
        Dictionary.open(written(tmp_path, "eng-swh.tei", TEI[:100]))


BODY = """00info
nothing
cat /kat/ <n>
1. paka, paka dume [zool.]
Note: an animal
water /w/
maji
   2. the sea - bahari
"""


def dictd(tmp_path, spans):
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def number(value):
        return (digits[value // 64] if value >= 64 else "") + digits[value % 64]

    written(tmp_path, "eng-swh.dict.dz", gzip.compress(BODY.encode()))
    index = "".join(f"{head}\t{number(start)}\t{number(length)}\n" for head, start, length in spans)
    return written(tmp_path, "eng-swh.index", index)


def test_freedict_as_dictd(tmp_path):
    cat, water = BODY.index("cat"), BODY.index("water")
    dictd(tmp_path, [("00info", 0, cat), ("cat", cat, water - cat), ("water", water, len(BODY) - water)])
    pairs = (("cat", "paka"), ("cat", "paka dume"), ("water", "maji"))
    assert Dictionary.open(tmp_path / "eng-swh.dict.dz").pairs == pairs
    assert Dictionary.open(tmp_path / "eng-swh.index").pairs == pairs
    (tmp_path / "eng-swh.index").write_text("cat\t!\tA\n")
    with pytest.raises(PolygraftError, match="line 1 is damaged"):
        Dictionary.open(tmp_path / "eng-swh.index")
    (tmp_path / "eng-swh.index").unlink()
    with pytest.raises(PolygraftError, match="other half"):
        Dictionary.open(tmp_path / "eng-swh.dict.dz")


def vectors(*words):
    return word_vectors({word: [float(number), 1.0] for number, word in enumerate(words)})


def test_a_lower_case_pair_counts_four_times_and_one_with_all_spellings_nine_times():
    pair = Dictionary(pairs=(("cat", "katze"),), name="d")
    few = pair.matched(vectors("cat"), vectors("other", "katze"))
    assert list(zip(few.source, few.target, strict=True)) == [(0, 1)] * 4
    many = pair.matched(vectors("cat", "Cat"), vectors("katze", "Katze"))
    assert len(many) == 9
    # in the order of the nine combinations
    assert many.source.tolist() == [0] * 6 + [1] * 3 and many.target.tolist() == [0, 0, 1] * 3
    assert len(pair.matched(vectors("cat", "Cat"), vectors("katze", "Katze"), repeats=False)) == 4


def test_no_pair_in_common_is_one_sentence():
    with pytest.raises(PolygraftError, match="none of the 1 pairs"):
        Dictionary(pairs=(("cat", "katze"),), name="d").matched(vectors("dog"), vectors("hund"))


def test_cleaning_drops_phrases_and_repeats():
    given = Dictionary(pairs=(("ice cream", "eis"), ("cat", "katze"), ("Cat", "Katze"), ("cat", "kater")), name="d")
    assert given.cleaned().pairs == (("cat", "katze"), ("cat", "kater"))
    assert given.digest != given.cleaned().digest


def test_words_written_alike_serve_without_a_dictionary():
    ours, theirs = vectors("berlin", "1984", "cat"), vectors("1984", "hund", "berlin")
    assert identical(ours, theirs).pairs == (("berlin", "berlin"), ("1984", "1984"))
    with pytest.raises(PolygraftError, match="no word in common"):
        identical(ours, vectors("x"))
