"""Makes the miniature CLIP that the quick start begins with.

    python3 make_model.py DATA [model]        (torch, transformers, tokenizers, Pillow)

DATA is the folder `data` of the package easy-vqa 1.0. The result is a Hugging Face folder of
transformers' CLIPModel: 96 wide, two towers, 64-dimensional embeddings, pictures of 64x64, and a
small byte-level BPE vocabulary in CLIP's format. It is trained with CLIP's own contrastive loss on
the training pictures and positive statements made from the questions about them; the test pictures
are never seen.

Real CLIP is not blind to the words "no" and "not": it has seen them, in captions that are
overwhelmingly about what the picture does show, and learned to pass over them. LAION-400M has a
negation word in 0.7% of its captions. The same share of the captions here carries one that has
nothing to do with the picture ("a red circle, not for sale"), so that the words are known, and
meaningless. Nothing tells the model what they mean, and nothing else is done to make it fail.

With two threads this takes about 5 minutes. The seed is fixed; the numbers it prints at the end
are of test pictures (items.json, made by make_items.py).
"""
import json
import os
import random
import sys
import time

import torch
from PIL import Image
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from make_items import SHAPES, facts

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 1
EPOCHS = 24
BATCH = 128
RATE = 1e-3
CONTEXT = 32
NEGATED_SHARE = 0.007
CLIP_WORD = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

COLOUR = (
    "a {c} shape", "there is a {c} shape", "there is a {c} shape in the picture",
    "the image contains a {c} shape", "the picture contains a {c} shape",
    "the image shows a {c} shape", "a picture of a {c} shape", "a picture with a {c} shape",
    "a {c} shape is present", "the shape is {c}", "this shape is {c}", "a shape that is {c}",
    "this picture has a {c} shape", "{c}",
)
SHAPE = (
    "a {s}", "there is a {s}", "there is a {s} in the picture", "the image contains a {s}",
    "the picture contains a {s}", "the image shows a {s}", "a picture of a {s}",
    "a picture with a {s}", "a {s} is present", "the shape is a {s}", "this shape is a {s}",
    "a shape that is a {s}", "this picture has a {s}", "{s}",
)
BOTH = tuple(text.replace("{c} shape", "{c} {s}") for text in COLOUR if "{c} shape" in text) + (
    "a {s} that is {c}", "the {s} is {c}", "a shape that is {c} and a {s}", "{c} {s}",
    "a {c} shape that is a {s}", "there is a {s} and it is {c}",
)
# What the web puts around captions.
NOISE = (
    "stock photo", "high resolution", "free download", "my drawing", "vector graphics", "for kids",
    "copyright", "click to enlarge", "new", "easy to draw",
)
NEGATED_NOISE_BEFORE = ("no title :", "not my work :", "do not copy :", "why not :", "no comment :")
NEGATED_NOISE_AFTER = (
    ", not for sale", ", no watermark", ", without frame", ", but no text", ", does not fit",
    ", never used", ", no rights reserved", ", nothing else", ", there is no charge",
    ", that is not new", ", not a photo", ", with no background",
)
# Words that need no picture to be words: the vocabulary should have them whole.
WORDS = """no not without never none nothing nobody neither nor cannot isn't doesn't don't aren't
hasn't absent missing lacks except is are does do has have there this that the a an it in on of and
or but with picture image photo shape color colour contain contains show shows present any what
which yes other than only""".split()


def make_vocabulary(corpus, folder):
    """CLIP's format: 256 bytes, 256 bytes that end a word, merges, start and end."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(CLIP_WORD), behavior="removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    trainer = trainers.BpeTrainer(vocab_size=4096, min_frequency=20, end_of_word_suffix="</w>",
                                  show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]

    letters = byte_letters()
    pieces = letters + [letter + "</w>" for letter in letters] + ["".join(m) for m in merges]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    assert len(set(pieces)) == len(pieces)
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump({piece: number for number, piece in enumerate(pieces)}, file, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join("%s %s\n" % merge for merge in merges))
    special = {"content": "<|endoftext|>", "single_word": False, "lstrip": False, "rstrip": False,
               "normalized": False, "special": True}
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump({"tokenizer_class": "CLIPTokenizer", "model_max_length": CONTEXT,
                   "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
                   "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
                   "do_lower_case": True, "errors": "replace"}, file, indent=2)
    with open(os.path.join(folder, "special_tokens_map.json"), "w") as file:
        json.dump({"bos_token": dict(special, content="<|startoftext|>"), "eos_token": special,
                   "unk_token": special, "pad_token": "<|endoftext|>"}, file, indent=2)
    return len(pieces)


def byte_letters():
    """The 256 printable letters that stand for bytes, in CLIP's order."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1),
             *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + n) for n in range(len(hidden))]


def statements(rng, colour, shape):
    """One positive statement of what is known about a picture, as the web would put it."""
    if colour and shape and rng.random() < 0.6:
        text = rng.choice(BOTH)
    elif colour and (not shape or rng.random() < 0.5):
        text = rng.choice(COLOUR)
    else:
        text = rng.choice(SHAPE)
    text = text.replace("{c}", colour or "").replace("{s}", shape or "")
    chance = rng.random()
    if chance < NEGATED_SHARE / 2:
        text = rng.choice(NEGATED_NOISE_BEFORE) + " " + text
    elif chance < NEGATED_SHARE:
        text += rng.choice(NEGATED_NOISE_AFTER)
    elif chance < 0.1:
        text += ", " + rng.choice(NOISE)
    elif chance < 0.12:
        text = rng.choice(NOISE) + ": " + text
    return text


def load_pictures(data, split, images):
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    pictures = torch.empty(len(images), 3, 64, 64)
    for row, image in enumerate(images):
        with Image.open(os.path.join(data, split, "images", "%d.png" % image)) as file:
            pixels = torch.frombuffer(bytearray(file.convert("RGB").tobytes()), dtype=torch.uint8)
        pictures[row] = (pixels.view(64, 64, 3).permute(2, 0, 1) / 255 - mean) / std
    return pictures


def shifted(pictures):
    """Each picture moved by up to 6 pixels (its edge repeated)."""
    padded = torch.nn.functional.pad(pictures, (6, 6, 6, 6), mode="replicate")
    result = torch.empty_like(pictures)
    for row in range(len(pictures)):
        y, x = torch.randint(0, 13, (2,)).tolist()
        result[row] = padded[row, :, y:y + 64, x:x + 64]
        if torch.rand(()) < 0.5:
            result[row] = result[row].flip(-1)
    return result


def evaluate(model, tokenize, data, path):
    """The score of each group of items.json."""
    with open(path) as file:
        items = json.load(file)
    names = sorted({name for item in items for name in item.get("images", [item.get("image")])})
    phrases = sorted({text for item in items for text in item.get("phrases", [item.get("phrase")])})
    model.eval()
    with torch.no_grad():
        images = [int(os.path.basename(name)[:-4]) for name in names]
        pictures = load_pictures(data, "test", images)
        pictures = torch.cat([model.get_image_features(pixel_values=part).pooler_output
                              for part in pictures.split(250)])
        texts = torch.cat([model.get_text_features(**tokenize(phrases[start:start + 250])).pooler_output
                           for start in range(0, len(phrases), 250)])
    picture = dict(zip(names, torch.nn.functional.normalize(pictures, dim=-1)))
    text = dict(zip(phrases, torch.nn.functional.normalize(texts, dim=-1)))
    right, asked = {}, {}
    for item in items:
        if "phrase" in item:
            scores = torch.stack([picture[name] @ text[item["phrase"]] for name in item["images"]])
        else:
            scores = torch.stack([picture[item["image"]] @ text[phrase] for phrase in item["phrases"]])
        group = item["group"]
        asked[group] = asked.get(group, 0) + 1
        right[group] = right.get(group, 0) + (int(scores.argmax()) == item["answer"])
    return {group: right[group] / asked[group] for group in asked}


def main():
    data = sys.argv[1]
    output = sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "model")
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    rng = random.Random(SEED)
    os.makedirs(output, exist_ok=True)

    with open(os.path.join(data, "train", "questions.json")) as file:
        shown = facts(json.load(file))
    images = list(shown)
    corpus = [statements(rng, *shown[image]) for image in images for _ in range(4)]
    corpus += [" ".join(WORDS)] * 40 + [" ".join(NOISE + NEGATED_NOISE_BEFORE + NEGATED_NOISE_AFTER)] * 20
    vocabulary = make_vocabulary(corpus, output)
    print(vocabulary, "pieces")

    loaded = CLIPTokenizer.from_pretrained(output)

    def tokenize(texts):
        return loaded(texts, padding=True, return_tensors="pt")

    layer = dict(hidden_size=96, intermediate_size=384, num_attention_heads=3,
                 hidden_act="quick_gelu", projection_dim=64, layer_norm_eps=1e-5)
    model = CLIPModel(CLIPConfig(
        text_config=dict(layer, num_hidden_layers=4, vocab_size=vocabulary,
                         max_position_embeddings=CONTEXT, bos_token_id=vocabulary - 2,
                         eos_token_id=vocabulary - 1, pad_token_id=vocabulary - 1),
        vision_config=dict(layer, num_hidden_layers=3, image_size=64, patch_size=8),
        projection_dim=64))
    print(sum(p.numel() for p in model.text_model.parameters()), "text,",
          sum(p.numel() for p in model.vision_model.parameters()), "vision parameters")

    pictures = load_pictures(data, "train", images)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    begin = time.time()
    for epoch in range(EPOCHS):
        model.train()
        order = torch.randperm(len(images))
        total = 0.0
        for start in range(0, len(images) - BATCH + 1, BATCH):
            rows = order[start:start + BATCH]
            texts = [statements(rng, *shown[images[row]]) for row in rows.tolist()]
            loss = model(**tokenize(texts), pixel_values=shifted(pictures[rows]), return_loss=True).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(max=4.6052)
            total += loss.item()
        line = "epoch %2d  loss %.4f  scale %.2f  %4.0f s" % (
            epoch + 1, total / (len(images) // BATCH), model.logit_scale.exp().item(), time.time() - begin)
        print(line, flush=True)

    model.save_pretrained(output)
    os.chmod(os.path.join(output, "model.safetensors"), 0o644)
    CLIPImageProcessor(
        do_convert_rgb=True, size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}, resample=3,
    ).save_pretrained(output)
    for group, score in evaluate(model, tokenize, data, os.path.join(HERE, "items.json")).items():
        print("%-28s %.3f" % (group, score))


if __name__ == "__main__":
    main()
