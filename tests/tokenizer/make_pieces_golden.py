"""Writes golden_pieces.json and the vocabularies in golden_pieces/: texts with their ids as the
tokenizers of SigLIP, SigLIP 2 and MetaCLIP 2 give them.

    python3 tests/tokenizer/make_pieces_golden.py [--full]

Needs Python with transformers 5.24, tokenizers and sentencepiece 0.2. The vocabularies are small ones,
trained here on this project's own texts; their map of characters is a few rows of NFKC. --full writes
nothing, but compares with the whole map (nmt_nfkc) and larger vocabularies; it needs the path of nclip
in $NCLIP.

    siglip       spiece.model      transformers' SiglipTokenizer
    gemma        tokenizer.model   sentencepiece, small letters, with Siglip2Tokenizer's <eos> behind
    siglip2      tokenizer.json    BPE with byte fallback, as Siglip2Tokenizer's
    metaclip_2   tokenizer.json    unigram, as XLMRobertaTokenizer's
    t5           tokenizer.json    unigram, as T5's, which open_clip's SigLIP has: with Lowercase, signs
                                   removed, Strip
"""
import base64
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import unicodedata

import sentencepiece
import tokenizers
import transformers
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
FULL = "--full" in sys.argv
FOLDER = tempfile.mkdtemp() if FULL else HERE + "/golden_pieces"

SPECIAL = ["<s>", "</s>", "a </s> b", "a</s>b", "<mask>", "a  <mask>  b", "<unk>", "x<unk>y", "<pad>", "<eos>",
           "<bos>x", "no<eos>", "▁", "a▁b", "▁▁ a", "  lead", "tail  ", "<0x41>", "<0x0A>x", "\n\n",
           "A Photo Of NO Dogs, Cats!", "no-dogs; (cats)", "....", "a.b.c", "   ", "\u3000x\u3000",
           "ﬁve ﬂags Ⅷ ½", "ｆｕｌｌ　ｗｉｄｔｈ", "e\u0301\u0302 a\u030a", "\u00a0no\u00a0dog\u00a0"]


def texts():
    import make_tokenizer_golden as clip  # its strings, not its tokenizers
    for group in (clip.CONTRACTIONS, clip.SPECIAL, clip.ENTITIES, clip.SPACES, clip.CASE, clip.UNICODE, SPECIAL):
        for text in group:
            yield text.encode("utf-8")
    yield from clip.BYTES
    for text in clip.LONG:
        yield text.encode("utf-8")
    rng = random.Random(5)
    pool = [0x20, 0x20, 0x41, 0x62, 0x2581, 0xe9, 0x301, 0x30a, 0xa0, 0x200b, 0x3000, 0xff21, 0xfb01, 0x65e5,
            0x1f600, 0x200d, 0x1f3fd, 0xac00, 0x1100, 0x1161, 0x3a3, 0x130, 0x0a, 0x2e, 0x27]
    for _ in range(2000 if FULL else 120):
        yield "".join(chr(rng.choice(pool)) for _ in range(rng.randrange(1, 24))).encode("utf-8")


def corpus():
    lines = []
    for name in sorted(glob.glob(HERE + "/../../**/*.[ch]", recursive=True) + glob.glob(HERE + "/../../README.md")):
        if "/build" in name:
            continue
        with open(name, encoding="utf-8", errors="ignore") as file:
            lines += [line.strip(" */#-|\n") for line in file]
    random.Random(1).shuffle(lines)
    lines = [line for line in lines if 10 < len(line) < 150][:6000]
    return lines + ["a photo of a dog and no cat", "without any ▁ signs", "日本語のテキスト 中文字符 café"] * 20


def rules(path):
    """A few rows of NFKC, and of what nmt adds."""
    rows = {chr(c): " " for c in (0x9, 0xa, 0xd, 0xa0, 0x2003, 0x3000)}
    rows |= {chr(c): "" for c in (0x7, 0x1b, 0x200b)}
    for c in list(range(0xff21, 0xff5b)) + [0xfb00, 0xfb01, 0xfb02, 0xbd, 0xb2, 0x2167, 0x212b, 0x2122, 0x2026]:
        rows[chr(c)] = unicodedata.normalize("NFKC", chr(c))
    for pair in ("e\u0301", "a\u030a", "e\u0301\u0302", "\u1100\u1161", "\u30ab\u3099"):
        rows[pair] = unicodedata.normalize("NFKC", pair)
    with open(path, "w", encoding="utf-8") as file:
        for key, value in sorted(rows.items()):
            file.write(" ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n")


def train(name, **options):
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/corpus", "w", encoding="utf-8") as file:
            file.write("\n".join(corpus()))
        if options.pop("mapped", False):
            if FULL:
                options["normalization_rule_name"] = "nmt_nfkc"
            else:
                rules(folder + "/rules.tsv")
                options["normalization_rule_tsv"] = folder + "/rules.tsv"
        sentencepiece.SentencePieceTrainer.train(
            input=folder + "/corpus", model_prefix=folder + "/m", minloglevel=2, num_threads=1,
            hard_vocab_limit=False, **options)
        os.makedirs(f"{FOLDER}/{name.split('/')[0]}", exist_ok=True)
        model = proto.ModelProto()
        with open(folder + "/m.model", "rb") as file:
            model.ParseFromString(file.read())
        for field in ("input", "model_prefix"):
            model.trainer_spec.ClearField(field)
        model.normalizer_spec.normalization_rule_tsv = ""
        with open(f"{FOLDER}/{name}", "wb") as file:
            file.write(model.SerializeToString())
    return model


def write(name, data):
    with open(f"{FOLDER}/{name}", "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


def siglip():
    train("siglip/spiece.model", model_type="unigram", vocab_size=4000 if FULL else 400, pad_id=0, eos_id=1,
          unk_id=2, bos_id=-1, mapped=True)
    tokenizer = transformers.SiglipTokenizer(FOLDER + "/siglip/spiece.model")
    write("siglip/tokenizer_config.json", {"tokenizer_class": "SiglipTokenizer", "pad_token": "</s>",
                                           "eos_token": "</s>", "unk_token": "<unk>"})
    return lambda text: tokenizer(text)["input_ids"]


def gemma_pieces():
    return train("gemma/tokenizer.model", model_type="bpe", vocab_size=3000 if FULL else 640, pad_id=0, eos_id=1,
                 bos_id=2, unk_id=3, byte_fallback=True, normalization_rule_name="identity",
                 add_dummy_prefix=False, remove_extra_whitespaces=False)


def gemma():
    gemma_pieces()
    write("gemma/tokenizer_config.json", {"tokenizer_class": "Siglip2Tokenizer", "pad_token": "<pad>",
                                          "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    processor = sentencepiece.SentencePieceProcessor(model_file=FOLDER + "/gemma/tokenizer.model")
    special = {"<pad>", "</s>", "<s>", "<unk>"}
    lower = normalizers.Lowercase()

    def encode(text):
        if any(name in text for name in special):
            return None
        return processor.encode(lower.normalize_str(text)) + [1]
    return encode


def added(id, content, **more):
    return dict({"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True}, **more)


def build(name, model, normalizer, splitter, template, tokens):
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    for token in tokens:
        special = token.pop("special")
        token.pop("id")
        add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
        add([AddedToken(token.pop("content"), special=special, **token)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, pair=None, special_tokens=[(t, tokenizer.token_to_id(t)) for t in template.split()
                                                    if not t.startswith("$")])
    os.makedirs(f"{FOLDER}/{name}", exist_ok=True)
    data = json.loads(tokenizer.to_str())
    write(f"{name}/tokenizer.json", data)
    tokenizer = tokenizers.Tokenizer.from_file(f"{FOLDER}/{name}/tokenizer.json")
    return lambda text: tokenizer.encode(text).ids


def siglip2():
    model = proto.ModelProto()
    with open(FOLDER + "/gemma/tokenizer.model", "rb") as file:
        model.ParseFromString(file.read())
    names = {"<s>": "<bos>", "</s>": "<eos>"}
    vocab = {names.get(p.piece, p.piece): i for i, p in enumerate(model.pieces)}
    ranked = []
    for i, piece in enumerate(model.pieces):
        for cut in range(1, len(piece.piece)):
            if piece.type == 1 and piece.piece[:cut] in vocab and piece.piece[cut:] in vocab:
                ranked.append((-piece.score, i, piece.piece[:cut], piece.piece[cut:]))
    merges = [(left, right) for _, _, left, right in sorted(ranked)]
    write_config = {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", "bos_token": "<bos>",
                    "eos_token": "<eos>"}
    encode = build("siglip2", models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True,
                                         byte_fallback=True),
                   normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")]),
                   pre_tokenizers.Split(" ", "merged_with_previous"), "$A <eos>",
                   [added(0, "<pad>"), added(1, "<eos>"), added(2, "<bos>"), added(3, "<unk>"),
                    added(9, "\n\n", special=False), added(9, "zwölf", special=False, normalized=True)])
    write("siglip2/tokenizer_config.json", write_config)
    return encode


def unigram(**options):
    folder = "scratch"
    model = train(folder + "/m.model", model_type="unigram", vocab_size=4000 if FULL else 400, pad_id=-1, eos_id=-1,
                  bos_id=-1, unk_id=0, mapped=True, **options)
    shutil.rmtree(FOLDER + "/" + folder)
    charsmap = model.normalizer_spec.precompiled_charsmap
    return [(p.piece, p.score) for p in model.pieces[1:]], normalizers.Precompiled(charsmap)


def metaclip_2():
    pieces, charsmap = unigram()
    vocab = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + pieces + [("<mask>", 0.0)]
    encode = build("metaclip_2", models.Unigram(vocab, unk_id=3, byte_fallback=False),
                   normalizers.Sequence([charsmap, normalizers.Replace(Regex(" {2,}"), " ")]),
                   pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                            pre_tokenizers.Metaspace(prepend_scheme="always")]),
                   "<s> $A </s>", [added(0, "<s>"), added(1, "<pad>"), added(2, "</s>"), added(3, "<unk>"),
                                   added(9, "<mask>", lstrip=True)])
    write("metaclip_2/tokenizer_config.json", {"tokenizer_class": "XLMRobertaTokenizer", "pad_token": "<pad>",
                                               "bos_token": "<s>", "eos_token": "</s>"})
    return encode


def t5():
    pieces, charsmap = unigram(byte_fallback=True)
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + pieces
    encode = build("t5", models.Unigram(vocab, unk_id=2, byte_fallback=True),
                   normalizers.Sequence([
                       normalizers.Lowercase(), normalizers.Replace(Regex(r"""[!"#$%&'()*+,-./:;<=>?@\[\\\]^_`{|}~]"""), ""),
                       normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), charsmap,
                       normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "▁")]),
                   pre_tokenizers.Metaspace(prepend_scheme="first"), "$A </s>",
                   [added(0, "<pad>"), added(1, "</s>", rstrip=True), added(2, "<unk>")])
    write("t5/tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "pad_token": "<pad>", "eos_token": "</s>"})
    return encode


def main():
    kinds = {"siglip": siglip(), "gemma": gemma(), "siglip2": siglip2(), "metaclip_2": metaclip_2(), "t5": t5()}
    entries = [{"hex": data.hex()} for data in texts()]
    for name, encode in kinds.items():
        for entry in entries:
            ids = encode(bytes.fromhex(entry["hex"]).decode("utf-8", errors="replace"))
            if ids is not None:
                entry[name] = ids
    if FULL:
        return compare(kinds, entries)
    with open(HERE + "/golden_pieces.json", "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in entries) + "\n]\n")
    print(len(entries), "texts;", sum(os.path.getsize(f) for f in glob.glob(FOLDER + "/*/*")), "bytes of vocabularies")


def compare(kinds, entries):
    for name in kinds:
        usable = [e for e in entries if name in e and not set(bytes.fromhex(e["hex"])) & {0, 10, 13}]
        lines = b"\n".join(bytes.fromhex(e["hex"]).decode("utf-8", errors="replace").encode() for e in usable) + b"\n"
        result = subprocess.run([os.environ["NCLIP"], "tokenize", "--model", f"{FOLDER}/{name}", "--context", "0"],
                                input=lines, capture_output=True)
        got = [json.loads(line) for line in result.stdout.split(b"\n") if line]
        wrong = [(bytes.fromhex(e["hex"]), e[name], g) for e, g in zip(usable, got) if e[name] != g]
        print(name, len(usable), "texts,", len(got), "answers,", len(wrong), "differ", *wrong[:3], sep=" ")


main()
