"""Writes golden_open_clip_text.json and the vocabularies in golden_open_clip_text/: texts with their ids as
open_clip's HFTokenizer gives them, which cleans a text before a tokenizer of transformers' gets it.

    python3 tests/tokenizer/make_open_clip_text_golden.py

Needs Python with open_clip_torch 3.3, ftfy 6.3 and transformers 5.24. The vocabularies are those of
golden_pieces/ in folders as transformers' own classes save them, which is how open_clip's models have them:

    t5      unigram, T5Tokenizer          open_clip's SigLIP (canonicalize), ViT-L-14-worldwide (canonicalize)
    gemma   BPE with byte fallback        open_clip's SigLIP 2 (canonicalize)
    xlm     unigram, XLMRobertaTokenizer  ViT-H-14-worldwide (whitespace)
    clip    CLIPTokenizer                 golden_tokenizer/, as an export of nclip's has it (whitespace)

"lower" and "whitespace_underscore" are in no configuration that open_clip ships; the latter is of its main
branch after 3.3, and is computed here from 3.3's functions as that branch does.
"""
import base64
import json
import os
import shutil
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")

import open_clip.tokenizer as theirs
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = HERE + "/golden_open_clip_text"
KINDS = [("t5", "canonicalize"), ("gemma", "canonicalize"), ("xlm", "whitespace"), ("clip", "whitespace"),
         ("t5", "lower"), ("xlm", "whitespace_underscore")]
OWN = ["snake_case_name", "A_B  _C_", "no_dogs, NO cats!", "Σας ΣΑΣ ΟΔΟΣ. Σ", "İstanbul ẞ", "“No” dogs’ &amp;amp; cats",
       "sÃ³lo un perro", "a\u200b \u200b b\u200b", "\u2028line\u2029paragraph\x85", "!!!", "_", "it's {not} [there]~^`|\\"]


def pieces(name):
    with open(f"{HERE}/golden_pieces/{name}/tokenizer.json", encoding="utf-8") as file:
        return json.load(file)


def charsmap(data):
    for step in data["normalizer"]["normalizers"]:
        if step["type"] == "Precompiled":
            return base64.b64decode(step["precompiled_charsmap"])


def save(name, tokenizer):
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer.save_pretrained(scratch)
        os.makedirs(f"{FOLDER}/{name}", exist_ok=True)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            with open(f"{scratch}/{file}", encoding="utf-8") as source:
                data = json.load(source)
            with open(f"{FOLDER}/{name}/{file}", "w", encoding="utf-8") as out:
                json.dump(data, out, ensure_ascii=False, separators=(",", ":"))
                out.write("\n")


def vocabularies():
    shutil.rmtree(FOLDER, ignore_errors=True)
    data = pieces("t5")
    vocab = [tuple(p) for p in data["model"]["vocab"] if not p[0].startswith("<0x")]
    save("t5", transformers.T5Tokenizer(vocab=vocab, _spm_precompiled_charsmap=charsmap(data), extra_ids=0))
    data = pieces("siglip2")
    save("gemma", transformers.GemmaTokenizer(
        vocab=data["model"]["vocab"], merges=[tuple(m) if isinstance(m, list) else tuple(m.split(" "))
                                              for m in data["model"]["merges"]],
        add_bos_token=False, add_eos_token=True, padding_side="right"))
    data = pieces("metaclip_2")
    save("xlm", transformers.XLMRobertaTokenizer(
        vocab=[tuple(p) for p in data["model"]["vocab"]], _spm_precompiled_charsmap=charsmap(data)))


def texts():
    sys.argv = sys.argv[:1]
    sys.path.insert(0, HERE)
    with open(HERE + "/golden_pieces.json") as file:
        for entry in json.load(file):
            yield bytes.fromhex(entry["hex"])
    for text in OWN:
        yield text.encode("utf-8")


def make(name, clean):
    before = theirs.get_clean_fn
    if clean == "whitespace_underscore":
        theirs.get_clean_fn = lambda kind: lambda x: theirs.whitespace_clean(theirs.basic_clean(x).replace("_", " "))
    with tempfile.TemporaryDirectory() as scratch:
        if name == "clip":
            for file in ("vocab.json", "merges.txt"):
                shutil.copy(f"{HERE}/golden_tokenizer/{file}", scratch)
            with open(scratch + "/tokenizer_config.json", "w") as out:
                out.write('{"tokenizer_class":"CLIPTokenizer"}\n')
        tokenizer = theirs.HFTokenizer(scratch if name == "clip" else f"{FOLDER}/{name}", clean=clean)
    theirs.get_clean_fn = before

    def encode(text):
        ids = tokenizer.tokenizer([tokenizer.clean_fn(text)]).input_ids[0]
        short = tokenizer(text, context_length=len(ids) + 1)[0].tolist()  # and as it is called
        assert short[:len(ids)] == ids, (name, clean, text)
        return ids
    return encode


def main():
    vocabularies()
    entries = [{"hex": data.hex()} for data in texts()]
    for name, clean in KINDS:
        encode = make(name, clean)
        for entry in entries:
            entry[f"{name} {clean}"] = encode(bytes.fromhex(entry["hex"]).decode("utf-8", errors="replace"))
    with open(HERE + "/golden_open_clip_text.json", "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in entries) + "\n]\n")
    print(len(entries), "texts")


main()
