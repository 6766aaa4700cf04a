#!/usr/bin/env python3
"""Writes golden_tokenizer.json and the vocabularies in golden_tokenizer/: texts with
their ids as transformers' CLIPTokenizer and open_clip's SimpleTokenizer give them.

    python3 tests/tokenizer/make_tokenizer_golden.py

Needs Python with transformers 5.23, open_clip 3.3 and ftfy 6.3. The vocabulary is
the first merges of OpenAI's, which is a whole tokenizer in itself, in the three
forms in which CLIP's is stored.
"""
import gzip
import json
import os
import random
import shutil
import sys
import warnings

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
FOLDER = HERE + "/golden_tokenizer"
MERGES = 1500

from open_clip.tokenizer import SimpleTokenizer, default_bpe  # noqa: E402
from transformers import CLIPTokenizer  # noqa: E402

import check_tokenizer  # noqa: E402

CONTRACTIONS = ["don't", "DON'T", "I'm you're he'd she'll we've it's", "''s", "'sample", "rock'n'roll",
                "isn’t", "can’t ‘quoted’ “text”", "'ſ", "o'clock's", "'", "''", "'t't"]
SPECIAL = ["<|startoftext|>", "<|endoftext|>", "a<|endoftext|>b", "!!<|startoftext|>!!",
           "<|STARTOFTEXT|>!!", "<start_of_text>", "x<end_of_text>y", "<END_OF_TEXT>",
           "<ſtart_of_text>", "<|startoftext|", "&lt;|endoftext|&gt;", "&lt;end_of_text&gt;"]
ENTITIES = ["&amp;", "&amp;amp;", "&amp;amp;amp;lt;", "&lt;b&gt;", "a &lt; b", "a < b &amp; c", "&eacute;",
            "&EACUTE;", "&Eacute", "&notit;", "&not;it", "&notin;", "&copy2024", "&copy;2024", "&#39;",
            "&#x27;s", "&#X41;", "&#65", "&#65;6", "&#0;", "&#128;", "&#150;", "&#xD800;", "&#x110000;",
            "&#99999999999999999999;", "&#13;", "&#1;", "&#xFFFF;", "&#12abc;", "&#;", "&#x;", "&;", "&",
            "&nbsp;x", "&hellip;", "&fjlig;", "&NotEqualTilde;", "&SZLIG;", "&FFILIG;", "&Jscr;ohn",
            "&CounterClockwiseContourIntegral;", "AT&T", "this&that", "<a>&amp;</a>\n&eacute;",
            "&eacute;\n<a>&eacute;", "&EACUTE;\n<a>\n&EACUTE;", "&sup2", "&sup;", "&ngE;", "&thetasym;", "&amp;#x26;lt;"]
SPACES = ["", " ", "\n", "  a  b  ", "a\tb\r\nc", "a\u00a0b", "a\u2003b\u3000c", "a\u200bb", "a\x1cb\x1fc",
          "a\x85b", "\ufeffBOM", "a\x00b", "\x00", "\x07bell\x1b[31mred\x1b[0m", "\x1b[١m", "a\u2028b",
          "tab\x0bfeed\x0c"]
CASE = ["İstanbul", "ISPARTA", "ΣΊΣΥΦΟΣ", "ΟΔΥΣΣΕΥΣ Σ", "aΣ'", "aΣ.b", "Σ", "aΣ\u0301", "ẞ STRASSE", "Ǆ ǅ",
        "K Å Ω", "ÀÉÎÕÜ", "ЖЗИ", "ꭰ Ꭰ", "𐐀", "Ⅷ Ⓐ", "Ა", "ꟊ Ʂ"]
UNICODE = ["naïve café", "cafe\u0301", "e\u0323\u0301", "e\u0301\u0323", "Å", "\u212b", "ﬁne ﬂow ﬃ ﬅ", "ŉ",
           "ＬＯＵＤ　１２３", "ｱｲｳﾞ", "￣￡", "日本語のテキスト", "中文字符", "한국어", "\u1112\u1161\u11ab",
           "가\u11a7\u11a8", "العربية", "عربي ١٢٣", "עברית", "हिन्दी", "ไทย", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "❤️", "🏴󠁧󠁢󠁷󠁬󠁳󠁿",
           "½ ² Ⅷ ٣ ௧", "a\u0345b", "α\u0345", "\u0345", "a\u00adb", "\u202eabc\u202c", "x\u206ay", "\ufffc",
           "\U0001d504\U0001d4d0", "\U000e0041", "\U0010ffff", "\uffff", "\ufdd0", "\U00031350", "\U0001fae8",
           "ʼn ʼ", "… — – ‐ ‑", "™ © ® ° ¶", "$ € £ ¥ ₿", "a_b __c__", "#tag @user", "100% 3.14 1,000 1st 2nd",
           "C++ C# .NET", "!!! ??? ...", ":-) ^_^ ¯\\_(ツ)_/¯", "http://example.com/a?b=c&d=e"]
BYTES = [b"\xff", b"a\x80b", b"\xc3", b"\xc3\x28", b"\xe2\x82", b"\xe2\x82x", b"\xed\xa0\x80", b"\xf0\x90\x80",
         b"\xf5\x80\x80\x80", b"\xc0\x80", b"caf\xe9", b"\xf4\x90\x80\x80", b"\xe0\x80\x80", b"\xf0\x9f\x98",
         b"\x93quoted\x94"]
LONG = ["a photo of " * 30, "x" * 300, "aé" * 100, "word" * 40 + "'s", "no " * 100, "ab" * 24, "ab" * 25, "!" * 200,
        "a cat " * 20 + "isn't here", "日本" * 60]


def texts():
    for group in (CONTRACTIONS, SPECIAL, ENTITIES, SPACES, CASE, UNICODE, check_tokenizer.BROKEN):
        for text in group:
            yield text.encode("utf-8"), 0
    for data in BYTES:
        yield data, 0
    for text in LONG:
        yield text.encode("utf-8"), 0
        yield text.encode("utf-8"), 77
    for text in ["a cat", "", "<|endoftext|> x", "don't &amp; do"]:
        for context in (2, 3, 4):
            yield text.encode("utf-8"), context
    rng = random.Random(0)
    for text in check_tokenizer.random_strings(rng, 150):
        yield text[:60].encode("utf-8"), rng.choice([0, 0, 12])


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    lines = gzip.open(default_bpe()).read().decode("utf-8").split("\n")[:1 + MERGES]
    with gzip.GzipFile(FOLDER + "/bpe.txt.gz", "wb", 9, mtime=0) as f:
        f.write("\n".join(lines).encode("utf-8"))
    simple = SimpleTokenizer(FOLDER + "/bpe.txt.gz")
    check_tokenizer.write_hugging_face(simple, FOLDER)
    hugging = CLIPTokenizer.from_pretrained(FOLDER)
    hugging.save_pretrained(FOLDER + "/saved")
    with open(FOLDER + "/saved/tokenizer.json") as f:
        saved = json.load(f)
    with open(FOLDER + "/tokenizer.json", "w") as f:  # without its white space
        json.dump(saved, f, separators=(",", ":"))
    shutil.rmtree(FOLDER + "/saved")
    assert CLIPTokenizer.from_pretrained(FOLDER)("a cat")["input_ids"] == hugging("a cat")["input_ids"]

    entries, seen = [], set()
    for data, context in texts():
        if (data, context) in seen:
            continue
        seen.add((data, context))
        text = data.decode("utf-8", "replace")
        extra = {"truncation": True, "max_length": context} if context else {}
        entry = {"transformers": hugging(text, **extra)["input_ids"]}
        ids = [simple.sot_token_id] + simple.encode(text) + [simple.eot_token_id]
        if context:
            given = simple(text, context_length=context)[0].tolist()
            ids = given[:min(len(ids), context)]
            entry["context"] = context
        entry["open_clip"] = ids
        if data.decode("utf-8", "ignore").encode("utf-8") == data and b"\0" not in data:
            entry = {"text": text, **entry}
        else:
            entry = {"hex": data.hex(), **entry}
        entries.append(entry)
    with open(HERE + "/golden_tokenizer.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in entries) + "\n]\n")
    print(len(entries), "texts")


if __name__ == "__main__":
    main()
