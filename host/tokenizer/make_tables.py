#!/usr/bin/env python3
"""Writes the tokenizer's tables: unicode_table.c, entity_table.c
and charset_table.c, beside this script.

    python3 host/tokenizer/make_tables.py

Needs Python 3.11 with the packages tokenizers, regex and ftfy: the tables say
what those know, so that the ids come out as theirs do.
"""
import html
import html.entities
import os
import unicodedata

import ftfy.badness
import ftfy.chardata
import ftfy.bad_codecs
import regex
from tokenizers import Regex, normalizers, pre_tokenizers

ftfy.bad_codecs.ok()
HERE = os.path.dirname(os.path.abspath(__file__))
POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
NOTICE = "/* Made by make_tables.py: change that and run it again. */\n"


def ranges(flags):
    """{code point: value} to [(first, last, value)], neighbours of equal value joined."""
    out = []
    for c in sorted(flags):
        if out and out[-1][1] == c - 1 and out[-1][2] == flags[c]:
            out[-1][1] = c
        else:
            out.append([c, c, flags[c]])
    return [tuple(r) for r in out]


def rows(cells, width=98):
    """Cells to lines of at most `width` columns."""
    lines, line = [], "   "
    for cell in cells:
        if len(line) + 2 + len(cell) > width:
            lines.append(line)
            line = "   "
        line += " " + cell + ","
    lines.append(line)
    return "\n".join(lines) + "\n"


def range_table(name, flags, comment, names=None):
    def spell(value):
        return "0x%x" % value if names is None else names(value)
    body = rows("{0x%04x, 0x%04x, %s}" % (a, b, spell(v)) for a, b, v in ranges(flags))
    return ("\n/* %s */\nconst struct nc_code_range %s[] = {\n%s};\n"
            "const size_t %s_count =\n    sizeof %s / sizeof %s[0];\n"
            % (comment, name, body, name, name, name))


# ---------------------------------------------------------------- Unicode

def matched_by_tokenizers(pattern):
    """Code points that match one by one in the regular expressions of tokenizers."""
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    found = set()
    for start in range(0, len(POINTS), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, POINTS[start:start + 4096]))):
            found.update(map(ord, piece))
    return found


def unicode_tables():
    every = "".join(map(chr, POINTS))
    base = {c: unicodedata.category(chr(c)) for c in POINTS}
    flags = {}
    for class_name, bits in (("L", (1, 2)), ("N", (4, 8))):
        transformers = matched_by_tokenizers(r"\p{%s}" % class_name)
        open_clip = set(map(ord, regex.findall(r"\p{%s}" % class_name, every)))
        known = {c for c in POINTS if base[c][0] == class_name}
        for c in known - transformers | known - open_clip:
            raise SystemExit("U+%04X lost its class; the tables cannot say so" % c)
        for c in (transformers | open_clip) - known:
            flags[c] = flags.get(c, 0) | (c in transformers) * bits[0] | (c in open_clip) * bits[1]
    text = range_table("nc_tokenizer_later", flags,
                       "Letters and numbers that Unicode 14.0 does not have: who knows them.",
                       lambda v: "|".join(n for b, n in ((1, "LT"), (2, "LO"), (4, "NT"), (8, "NO"))
                                          if v & b))
    text = text.replace("const struct", "#define LT NC_LETTER_TRANSFORMERS\n#define LO "
                        "NC_LETTER_OPEN_CLIP\n#define NT NC_NUMBER_TRANSFORMERS\n#define NO "
                        "NC_NUMBER_OPEN_CLIP\nconst struct", 1)

    # Lower case. Python's is Unicode 14.0's; the table holds what tokenizers knows beyond.
    lower = normalizers.Lowercase()
    deltas = {}
    for c in POINTS:
        theirs = lower.normalize_str(chr(c))
        ours = chr(c).lower()
        if theirs != ours:
            assert len(theirs) == 1 and ours == chr(c)
            deltas[c] = ord(theirs) - c
    text += range_table("nc_tokenizer_later_lower", deltas,
                        "Capitals that Unicode 14.0 does not have: distance to the small letter.",
                        str)

    # Normalisation: which combining marks and composing letters a reference does not know.
    nfc = normalizers.NFC()
    inert = {}
    for c in POINTS:
        mark = not regex.match(r"\p{ccc=0}", chr(c))
        if base[c] == "Cn" and regex.match(r"[\p{L}\p{M}\p{N}\p{Cf}\p{Sk}]", chr(c)):
            inert[c] = inert.get(c, 0) | 1
        moves = (nfc.normalize_str(chr(c) + "\u0334") != chr(c) + "\u0334"
                 or nfc.normalize_str("\u0345" + chr(c)) != "\u0345" + chr(c))
        if mark and not moves and not regex.match(r"\p{ccc=1}|\p{ccc=240}", chr(c)):
            inert[c] = inert.get(c, 0) | 2
    for c in POINTS:  # composition, pair by pair
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and parts[0][0] != "<":
            pair = "".join(chr(int(p, 16)) for p in parts)
            if nfc.normalize_str(pair) != unicodedata.normalize("NFC", pair):
                for p in pair:
                    if unicodedata.combining(p) == 0:
                        inert[ord(p)] = inert.get(ord(p), 0) | 2
    for c in list(inert):
        if inert[c] == 1 and nfc.normalize_str("a" + chr(c)) == "a" + chr(c):
            inert[c] = 3  # Unicode later than 14.0: tokenizers does not compose it either
    text += range_table("nc_tokenizer_inert", inert,
                        "Code points that a reference's normalisation does not know.",
                        lambda v: {1: "IO", 2: "IT", 3: "IO|IT"}[v])
    text = text.replace("const struct nc_code_range nc_tokenizer_inert",
                        "#define IT NC_INERT_TRANSFORMERS\n#define IO NC_INERT_OPEN_CLIP\n"
                        "const struct nc_code_range nc_tokenizer_inert")

    # The final sigma of str.lower(): what surrounds it, beyond the general category.
    context = {}
    for c in POINTS:
        s = chr(c)
        ignorable = ("a\u03a3" + s + "a").lower()[1] == "\u03c3" and \
            ("a\u03a3" + s).lower()[1] == "\u03c2"
        cased = ("a\u03a3" + s).lower()[1] == "\u03c3"
        value = 2 if ignorable else 1 if cased else 0
        by_category = 2 if base[c] in ("Mn", "Me", "Cf", "Lm", "Sk") else \
            1 if base[c] in ("Lu", "Ll", "Lt") else 0
        if value != by_category:
            context[c] = value
    text += range_table("nc_tokenizer_sigma", context,
                        "Final sigma: not as the category says (0 neither, 1 cased, 2 ignorable).",
                        str)
    with open(os.path.join(HERE, "unicode_table.c"), "w") as out:
        out.write(NOTICE + '#include "parts.h"\n' + text)


# ---------------------------------------------------------------- HTML entities

def entity_tables():
    names = html.entities.html5
    cells, upper = [], []
    for name in sorted(names, key=lambda n: n.rstrip(";")):
        if not name.endswith(";"):
            assert names[name] == names[name + ";"]
            continue
        value = names[name]
        flags = []
        if name[:-1] in names:
            flags.append("B")
        if name == name.lower() and html.unescape("&" + name.upper()) == "&" + name.upper():
            if value.upper() == value:
                flags.append("U")
            else:
                upper.append((name.upper(), value.upper()))
        first, second = ord(value[0]), ord(value[1]) if len(value) > 1 else 0
        assert len(value) <= 2
        numbers = ["0x%x" % first, "|".join(flags) or "0", "0x%x" % second]
        while numbers[-1] in ("0", "0x0"):
            numbers.pop()
        cells.append('{"%s", {%s}}' % (name[:-1], ", ".join(numbers)))
    text = NOTICE + """#include "parts.h"

/* HTML5's named character references (Python's html.entities.html5), sorted.
 * B: also without a semicolon. U: ftfy also takes the name in capitals. */
#define B NC_ENTITY_BARE
#define U NC_ENTITY_UPPER
const struct nc_entity nc_entities[] = {
""" + rows(cells) + """};
const size_t nc_entity_count = sizeof nc_entities / sizeof nc_entities[0];

/* Names in capitals that stand for a capital (ftfy). */
const struct nc_upper_entity nc_upper_entities[] = {
""" + rows('{"%s", {%s}}' % (n[:-1], ", ".join("0x%x" % ord(c) for c in v))
           for n, v in sorted(upper)) + """};
const size_t nc_upper_entity_count = sizeof nc_upper_entities / sizeof nc_upper_entities[0];
"""
    assert max(len(v) for _, v in upper) <= 3
    with open(os.path.join(HERE, "entity_table.c"), "w") as out:
        out.write(text)


# ---------------------------------------------------------------- ftfy's character sets

def members(char_class):
    return set(map(ord, regex.findall("[" + char_class + "]", "".join(map(chr, POINTS)))))


def charset_tables():
    masks = {}
    bit = 0
    order = ["common", "c1", "bad", "law", "currency", "start_punctuation", "end_punctuation",
             "numeric", "kaomoji", "upper_accented", "lower_accented", "upper_common",
             "lower_common", "box"]
    assert set(order) == set(ftfy.badness.MOJIBAKE_CATEGORIES)
    classes = [ftfy.badness.MOJIBAKE_CATEGORIES[n] for n in order]
    clues = ["utf8_first_of_2", "utf8_first_of_3", "utf8_first_of_4", "utf8_continuation",
             "utf8_continuation_strict"]
    assert set(clues) == set(ftfy.chardata.UTF8_CLUES)
    classes += [ftfy.chardata.UTF8_CLUES[n] for n in clues]
    for char_class in classes:
        for c in members(char_class):
            masks[c] = masks.get(c, 0) | 1 << bit
        bit += 1
    firsts = [members(ftfy.chardata.UTF8_CLUES[n]) for n in clues[:3]]
    assert not (firsts[0] & firsts[1] or firsts[0] & firsts[2] or firsts[1] & firsts[2])
    text = NOTICE + '#include "parts.h"\n'
    text += range_table("nc_mojibake_classes", masks,
                        "Characters that occur in mojibake: a bit for each enum nc_mojibake.")

    text += """
/* What the bytes 0x80 to 0xff mean in each single-byte encoding that ftfy tries,
 * in its order. Unassigned bytes mean what they mean in Latin-1 ("sloppy"). */
const uint16_t nc_single_byte_encodings[NC_SINGLE_BYTE_ENCODINGS][128] = {
"""
    for encoding in ftfy.chardata.CHARMAP_ENCODINGS:
        upper = bytes(range(128, 256)).decode(encoding)
        assert upper.encode(encoding) == bytes(range(128, 256)) and len(set(upper)) == 128
        assert all(ord(c) >= 0x80 and ord(c) != 0xFFFD for c in upper)
        low = bytes(range(128)).decode(encoding)
        sloppy = encoding.startswith("sloppy")
        assert all(ord(c) == (0xFFFD if sloppy and i == 0x1A else i) for i, c in enumerate(low))
        text += "    { /* %s */\n" % encoding + rows(["0x%04x" % ord(c) for c in upper], 90).replace(
            "    ", "        ") + "    },\n"
    text += "};\n"
    sloppy = [int(e.startswith("sloppy")) for e in ftfy.chardata.CHARMAP_ENCODINGS]
    assert sloppy == [0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert ftfy.chardata.CHARMAP_ENCODINGS.index("macroman") == 8
    assert ftfy.chardata.CHARMAP_ENCODINGS.index("latin-1") == 0

    width = ftfy.chardata.WIDTH_MAP
    cells = []
    for c in range(0xFF01, 0xFFF0):
        other = width.get(c, chr(c))
        assert len(other) == 1 or (c == 0xFFE3 and other == " \u0304")
        cells.append("0x%04x" % ord(other[0]))
    text += """
/* Standard width of U+FF01 to U+FFEF. U+FFE3 is a space and a combining macron. */
const uint16_t nc_standard_width[0xfff0 - 0xff01] = {
""" + rows(cells) + "};\n"
    with open(os.path.join(HERE, "charset_table.c"), "w") as out:
        out.write(text)


if __name__ == "__main__":
    unicode_tables()
    entity_tables()
    charset_tables()
