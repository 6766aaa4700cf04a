#!/usr/bin/env python3
"""Compares the tokenizer with transformers and open_clip on random strings.

    python3 tests/tokenizer/check_tokenizer.py [--strings 20000] [--seed 1] [--every-character]

Needs Python with transformers and open_clip (which brings OpenAI's vocabulary), and
a C compiler with the tokenizer's libraries. Prints the mismatches and ends with 1
when there are any.
"""
import argparse
import ctypes
import glob
import html.entities
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRANSFORMERS, OPEN_CLIP = 0, 1
NAMES = {TRANSFORMERS: "transformers", OPEN_CLIP: "open_clip"}


class Tokens(ctypes.Structure):
    _fields_ = [("ids", ctypes.POINTER(ctypes.c_int32)), ("count", ctypes.c_size_t),
                ("full_count", ctypes.c_size_t), ("truncated", ctypes.c_bool),
                ("skipped", ctypes.c_bool), ("negation_lost", ctypes.c_bool),
                ("capacity", ctypes.c_size_t), ("scratch", ctypes.c_void_p)]


def built_in(folder):
    """A C file of the word lists, as host/support/built_in.cmake makes one."""
    lists = sorted(glob.glob(ROOT + "/configs/words/*.txt"))
    texts = ["".join("\\%03o" % byte for byte in open(path, "rb").read()) for path in lists]
    names = [os.path.splitext(os.path.basename(path))[0] for path in lists]
    source = os.path.join(folder, "word_lists.c")
    with open(source, "w") as out:
        for kind, strings in (("names", names), ("texts", texts)):
            out.write("const char *const nc_word_list_%s[] = {%s, 0};\n"
                      % (kind, ", ".join('"%s"' % text for text in strings)))
    return [source]


def build(folder):
    """The tokenizer as a shared library."""
    library = os.path.join(folder, "tokenizer.so")
    sources = [name for room in ("tokenizer", "negation", "formats", "support")
               for name in glob.glob(ROOT + "/host/" + room + "/*.c")]
    sources += built_in(folder)
    subprocess.run(["cc", "-std=c17", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library,
                    "-I" + ROOT + "/include"] + sources +
                   ["-lutf8proc", "-lz", "-lzstd", "-lcjson", "-lxxhash", "-lm"], check=True)
    return ctypes.CDLL(library)


class Ours:
    def __init__(self, library, path, rules):
        self.library = library
        library.nc_error_message.restype = ctypes.c_char_p
        self.tokenizer = ctypes.c_void_p()
        self.tokens = Tokens()
        if library.nc_tokenizer_load(path.encode(), rules, ctypes.byref(self.tokenizer)):
            raise SystemExit(library.nc_error_message().decode())

    def __call__(self, data, context=0):
        if self.library.nc_tokenizer_encode(self.tokenizer, data, ctypes.c_size_t(len(data)),
                                            ctypes.c_size_t(context), 0,
                                            ctypes.byref(self.tokens)):
            raise SystemExit(self.library.nc_error_message().decode())
        return self.tokens.ids[:self.tokens.count]


def write_hugging_face(simple, folder):
    """OpenAI's vocabulary as vocab.json and merges.txt."""
    vocab = {k.replace("<start_of_text>", "<|startoftext|>")
              .replace("<end_of_text>", "<|endoftext|>"): v for k, v in simple.encoder.items()}
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/vocab.json", "w") as f:
        json.dump(vocab, f)
    with open(folder + "/merges.txt", "w") as f:
        f.write("#version: 0.2\n")
        f.writelines(" ".join(pair) + "\n" for pair in simple.bpe_ranks)


def write_variants(folder):
    """The same vocabulary with the special and added tokens of folders in the wild."""
    from tokenizers import AddedToken
    from transformers import CLIPTokenizer

    def normalized(content):
        return {"content": content, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": True}
    named = {"bos_token": normalized("<|startoftext|>"), "eos_token": normalized("<|endoftext|>"),
             "unk_token": normalized("<|endoftext|>"), "pad_token": "<|endoftext|>"}
    typed = {k: dict(v, __type="AddedToken") if isinstance(v, dict) else v
             for k, v in named.items()}
    variants = {
        "openai": {"tokenizer_config.json": dict(typed, do_lower_case=True),
                   "special_tokens_map.json": named},
        "diffusion": {"special_tokens_map.json": dict(named, pad_token="!")},
        "pad": {"tokenizer_config.json": {"pad_token": "!", "bos_token": "<|startoftext|>"}},
        "added": {"added_tokens.json": {"<cat-toy>": 49408, "Big Dog": 49409, "\u00dcn\u00ef": 49410}},
        "listed": {"tokenizer_config.json": dict(
            typed, extra_special_tokens=["<Extra>"], added_tokens_decoder={
                "49406": dict(normalized("<|startoftext|>"), normalized=True, special=True),
                "49408": dict(normalized("cat"), special=False),
                "49407": dict(normalized("<|endoftext|>"), normalized=False, special=True)})},
    }
    for name, files in variants.items():
        os.makedirs(folder + "/" + name)
        for file in ("vocab.json", "merges.txt"):
            os.link(folder + "/plain/" + file, folder + "/" + name + "/" + file)
        for file, content in files.items():
            with open(folder + "/" + name + "/" + file, "w") as f:
                json.dump(content, f)
    for name in list(variants):
        CLIPTokenizer.from_pretrained(folder + "/" + name).save_pretrained(folder + "/re-" + name)
    grown = CLIPTokenizer.from_pretrained(folder + "/plain")
    grown.add_tokens(["<new1>", AddedToken("X y", normalized=False), AddedToken("\u00c9t\u00e9", normalized=True),
                      "no"])
    grown.add_special_tokens({"additional_special_tokens": ["<S1>", "<S1>x"]})
    grown.save_pretrained(folder + "/grown")
    return list(variants) + ["re-" + name for name in variants] + ["grown"]


def write_odd_merges(rng, folder):
    """Merges that no training makes: the same piece in several ways, in any order."""
    import gzip
    pieces = ["a", "b", "c", "a</w>", "b</w>", "c</w>"]
    lines = []
    for _ in range(rng.randint(1, 40)):
        left = rng.choice([p for p in pieces if not p.endswith("</w>")])
        right = rng.choice(pieces)
        if len(left + right) < 12:
            lines.append(left + " " + right)
            pieces.append(left + right)
    rng.shuffle(lines)
    os.makedirs(folder)
    with gzip.open(folder + "/bpe.gz", "wb") as f:
        f.write("\n".join(["header"] + lines).encode("utf-8"))


ADDED = """<|startoftext|> <|STARTOFTEXT|> <|endoftext|> <|ENDOFTEXT|> ! !! hello! <cat-toy> <CAT-TOY>
Big_Dog big_dog Ünï ünï U\u0308nï <Extra> <extra> cat Cat cats concat <new1> <NEW1> X_y x_y X__y Été été ÉTÉ
no not now <S1> <S1>x <s1>x <S1>X \xff é 's""".split()


# ---------------------------------------------------------------- random strings

WORDS = """a photo of the cat dog no not without isn't don't I'll we've they're he'd I'm it's O'Neil
THE ΣΊΣΥΦΟΣ ΟΔΥΣΣΕΥΣ straße İstanbul ISPARTA naïve café Ωmega ﬁne ﬂow ﬃ Ǆ ŉ ſ 'ſ <|startoftext|>
<|endoftext|> <start_of_text> <end_of_text> <|STARTOFTEXT|> <END_OF_TEXT> <ſtart_of_text> &amp; &lt;
&gt; &quot; &eacute; &EACUTE; &amp;amp; &amp;lt; &#39; &#x27; &#128; &#xD800; &#0; &notit; &amp;#65;
&nbsp &copy2024 &hellip; &fjlig; &SZLIG; &NotAnEntity; &#12abc; &#x110000; &#13; &#1;
日本語 中文字符 한국어 العربية עברית हिन्दी ไทย ＬＯＵＤ　ＮＯＩＳＥ ｱｲｳ Ⅷ ½ ² １２３ ٣٤ ௧ 👩‍👩‍👧 👍🏽 🇩🇪 ❤️ ‍ ﻿ 12345 3.14 1st
\x1b[31mred\x1b[0m \r\n \x85 \u2028 \x00 \x07 \x1c \x1f \x7f \u200b \u200d \u00ad \u0301 a\u0301\u0323
\u0345 α\u0345 Å Å \ufb01 ￣ “quoted” ‘single’ ´ ` ʼ … — ‐ !!! ??? ... :-) ¯\\_(ツ)_/¯ #1 @you $5 100%""".split(" ")
BROKEN = ["âœ” No problems", "Ã©", "Ã¨", "l’humanitÃ©", "à la mode Ã ", "Ã la mode", "vocÃª", "nÃ£o",
          "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "â€œquotesâ€\x9d", "â€œ like this â€�", "itâ€™s", "â€“", "â‚¬5",
          "ÃƒÂ©", "Ã¢â‚¬â„¢", "æ—¥æœ¬", "ã\x83\x84", "ðŸ˜€", "ðŸ‘\x8d", "рџЂ", "вЂ™", "Р·РґСЂР°РІ", "ГўВЂВњx",
          "Ã ", "Â ", "aÂ b", "Â£5", "Â©", "Ñ\x81", "Ð\x9f", "\x93hi\x94", "\x80", "caf\x82", "Ôªø", "√©", "‚Äôs", "ä½\xa0å¥½",
          "∂√±", "ΓΌ", "Γ³", "β€™", "ā€™", "Ă©", "Ĺ‚", "Ãº", "Ãœ", "Ø§Ù„Ø¹", "Ù…Ø±Ø­", "à¤¨", "à¸ª", "í•œ", "ê°€",
          "í\xa0½í¸\x80", "À\x80", "í\xa0\x80í°\n", "Ã\xa0 ", "Å\x93", "œ#", "Œ", "A°", "É°", "│┌═Ò", "¡¢£", "×²", "Ä±", "ÅŸ",
          "ï»¿", "ï¿½", "├⌐", "Γö£Γîø", "√© – oui",  "&" + "amp;" * 40 + "lt;", "&" + "#38;amp;AMP;#x26;" * 12 + "eacute;", "&" + "amp;" * 33, "sÃ³", "Ãquele", "Ã quele", "Ã s", "schÃ¶n", "cÃ³mo", "nãƒ¼", "\ufffd", "â\ufffd\ufffd"]


def characters():
    """Alphabets of different kinds; a string is drawn from one or several."""
    return [
        [chr(c) for c in range(0x80)],
        [chr(c) for c in range(0x20, 0x7F)],
        [chr(c) for c in range(0x80, 0x250)],
        [chr(c) for c in range(0x300, 0x370)] + list("aeiouAEOΑΩ"),
        [chr(c) for c in range(0x370, 0x530)],
        [chr(c) for c in range(0x590, 0x780)],
        [chr(c) for c in range(0x900, 0x1100)],
        [chr(c) for c in range(0x1100, 0x1200)] + [chr(c) for c in range(0xAC00, 0xAD00)],
        [chr(c) for c in range(0x1E00, 0x2000)],
        [chr(c) for c in range(0x2000, 0x2C00)],
        [chr(c) for c in range(0x3000, 0x3100)] + [chr(c) for c in range(0x4E00, 0x4E80)],
        [chr(c) for c in range(0xF900, 0x10000)],
        [chr(c) for c in range(0x1D000, 0x1D800)],
        [chr(c) for c in range(0x1F1E6, 0x1F200)] + [chr(c) for c in range(0x1F300, 0x1FB00)] +
        ["\u200d", "\ufe0f"],
        list(" \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2003\u2028\u3000") + list("ab'"),
        list("'sStTrReEvVmMlLdD \u017f\u212a"),
        list("&#xX;0123456789abcdefAElt "),
        list("aΣσς'.:\u0301\u00ad ͅA1"),
    ]


def mojibake_alphabet():
    from ftfy import badness, chardata
    import re
    every = "".join(map(chr, range(0x10000)))
    out = set(" aZ\n?")
    for group in list(badness.MOJIBAKE_CATEGORIES.values()) + list(chardata.UTF8_CLUES.values()):
        out.update(re.findall("[" + group + "]", every))
    return sorted(out)


def break_encoding(rng, text):
    encoding = rng.choice(["latin-1", "sloppy-windows-1252", "sloppy-windows-1251",
                           "sloppy-windows-1250", "sloppy-windows-1253", "sloppy-windows-1254",
                           "sloppy-windows-1257", "iso-8859-2", "macroman", "cp437"])
    text = text.encode("utf-8", "replace").decode(encoding, "replace")
    if rng.random() < 0.3:
        text = text.replace("\xa0", " ")
    if rng.random() < 0.3:
        text = "".join("\ufffd" if 0x80 <= ord(c) < 0xA0 else c for c in text)
    return text


def random_strings(rng, count):
    alphabets = characters()
    broken_letters = mojibake_alphabet()
    entities = list(html.entities.html5)
    everything = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for _ in range(count):
        parts = []
        for _ in range(rng.choice([1, 1, 2, 3, 6])):
            kind = rng.random()
            if kind < 0.25:
                parts.append(" ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 8))))
            elif kind < 0.5:
                parts.append("".join(rng.choices(rng.choice(alphabets), k=rng.randint(1, 20))))
            elif kind < 0.58:
                parts.append("".join(chr(rng.choice(everything)) for _ in range(rng.randint(1, 8))))
            elif kind < 0.66:
                parts.append("".join(rng.choices(broken_letters, k=rng.randint(1, 12))))
            elif kind < 0.76:
                parts.append(break_encoding(rng, rng.choice(WORDS) + rng.choice(["", " ", "x"]) +
                                            "".join(rng.choices(rng.choice(alphabets), k=3))))
            elif kind < 0.84:
                parts.append(rng.choice(BROKEN))
            elif kind < 0.94:
                name = rng.choice(entities).rstrip(";" if rng.random() < 0.3 else "")
                name = name.upper() if rng.random() < 0.3 else name
                parts.append("&" + name + rng.choice(["", ";", "x", " ", "&amp;"]))
            else:
                parts.append("".join(rng.choices("abcdefgh é", k=rng.randint(50, 400))))
        yield rng.choice(["", " ", "\n", "'"]).join(parts)


# ---------------------------------------------------------------- comparison

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--strings", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every-character", action="store_true",
                        help="also every code point, alone and among others")
    parser.add_argument("--show", type=int, default=20, help="mismatches to print")
    options = parser.parse_args()

    from open_clip.tokenizer import SimpleTokenizer, default_bpe
    from transformers import CLIPTokenizer
    folder = tempfile.mkdtemp(prefix="check-tokenizer-")
    library = build(folder)
    simple = SimpleTokenizer()
    write_hugging_face(simple, folder + "/plain")
    hugging = CLIPTokenizer.from_pretrained(folder + "/plain")
    hugging.save_pretrained(folder + "/saved")
    sources = {"vocab.json": folder + "/plain", "tokenizer.json": folder + "/saved",
               "gz": default_bpe()}
    ours = {(rules, name): Ours(library, path, rules)
            for rules in NAMES for name, path in sources.items()}

    def theirs(rules, text):
        if rules == TRANSFORMERS:
            return hugging(text)["input_ids"]
        if len(simple.cache) > 100000:
            simple.cache = {token: token for token in ("<start_of_text>", "<end_of_text>")}
        return [simple.sot_token_id] + simple.encode(text) + [simple.eot_token_id]

    rng = random.Random(options.seed)
    compared = wrong = 0
    started = time.time()

    def compare(rules, data, name, context=0):
        nonlocal compared, wrong
        text = data.decode("utf-8", "replace")
        try:
            want = theirs(rules, text)
        except ValueError as error:  # int() refuses more than 4300 digits of an entity
            if "digits" in str(error):
                return
            raise
        if context and len(want) > context:
            want = want[:context - 1] + want[-1:]
        got = ours[rules, name](data, context)
        compared += 1
        if got != want:
            wrong += 1
            if wrong <= options.show:
                print("%s, %s: %r\n  theirs %s\n  ours   %s" %
                      (NAMES[rules], name, text, want, got))

    names = list(sources)
    for number, text in enumerate(random_strings(rng, options.strings)):
        data = text.encode("utf-8")
        if number % 10 == 9:  # bytes that are not UTF-8
            data = bytearray(data)
            for _ in range(rng.randint(1, 4)):
                data.insert(rng.randint(0, len(data)), rng.randint(0x80, 0xFF))
                if rng.random() < 0.5:
                    del data[rng.randrange(len(data))]
            data = bytes(data)
        for rules in NAMES:
            compare(rules, data, names[number % 3], context=rng.choice([0, 0, 77, 2, 5]))
    print("random strings: %d comparisons, %d mismatches, %.0f s" %
          (compared, wrong, time.time() - started))

    before = compared, wrong
    for name in write_variants(folder):
        ours[TRANSFORMERS, name] = Ours(library, folder + "/" + name, TRANSFORMERS)
        hugging = CLIPTokenizer.from_pretrained(folder + "/" + name)
        for _ in range(options.strings // 40):
            text = rng.choice(["", " "]).join(rng.choices(ADDED, k=rng.randint(1, 8)))
            compare(TRANSFORMERS, text.replace("_", " ").encode("utf-8"), name)
    print("special and added tokens: %d comparisons, %d mismatches" %
          (compared - before[0], wrong - before[1]))

    before = compared, wrong
    for number in range(options.strings // 200):
        odd = "%s/odd-%d" % (folder, number)
        write_odd_merges(rng, odd)
        simple = SimpleTokenizer(odd + "/bpe.gz")
        write_hugging_face(simple, odd)
        hugging = CLIPTokenizer.from_pretrained(odd)
        ours[OPEN_CLIP, "odd"] = Ours(library, odd + "/bpe.gz", OPEN_CLIP)
        ours[TRANSFORMERS, "odd"] = Ours(library, odd + "/vocab.json", TRANSFORMERS)
        for _ in range(20):
            text = " ".join("".join(rng.choices("abc", k=rng.choice([3, 10, 47, 48, 49, 200])))
                            for _ in range(3))
            for rules in NAMES:
                compare(rules, text.encode("utf-8"), "odd")
    print("odd merges: %d comparisons, %d mismatches" % (compared - before[0], wrong - before[1]))

    simple, hugging = SimpleTokenizer(), CLIPTokenizer.from_pretrained(folder + "/plain")
    if options.every_character:
        before = compared, wrong
        for c in range(0x110000):
            if 0xD800 <= c < 0xE000:
                continue
            text = "aΣ%cb\u0301%c\u0323' %c \u0345%c\u0334 1" % (c, c, c, c)
            for rules in NAMES:
                compare(rules, text.encode("utf-8"), "gz")
        print("every character: %d comparisons, %d mismatches" %
              (compared - before[0], wrong - before[1]))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
