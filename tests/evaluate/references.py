"""What each benchmark's own evaluation gives, on small generated data: PyTorch, transformers and
clip_benchmark, not nclip. Used by check_references.py (live) and make_references_golden.py.

Each of the functions returns (score, parts, choices[, best]): the choice of every item in nclip's
order, and the score of the choice where it says more than the choice does.
"""
import csv
import json
import pathlib
import random

import numpy as np
import torch
import torch.nn.functional as F
from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
from PIL import Image
from sklearn.metrics import balanced_accuracy_score
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

PICTURES, CLASSES = 14, 6
COLORS = "red blue teal gray black brown".split()
SHAPES = "circle rectangle triangle".split()
TEMPLATES = ["a picture of a {}.", "a {}, not a photo.", "there is no {} here", "{} and {}"]


# ---- Data: every benchmark's own format ----

def sentence(choose):
    start = choose.choice(["a picture of", "there is", "no", "a shape that is not", "without"])
    return f"{start} a {choose.choice(COLORS)} {choose.choice(SHAPES)} {choose.choice(['', 'and no ' + choose.choice(SHAPES)])}".strip()


def make_data(folder, seed=0):
    folder = pathlib.Path(folder)
    choose, numbers = random.Random(seed), np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True)
    names = []
    for i in range(PICTURES):
        size = (int(numbers.integers(20, 56)), int(numbers.integers(20, 56)))
        pixels = numbers.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize(size, Image.BICUBIC)
        names.append(f"{i:02}.png")
        (picture.convert("L") if i == 3 else picture).save(folder / "pictures" / names[-1])
    for i, name in enumerate(names):  # class folders; the last class has one picture more
        target = folder / "classes" / COLORS[i % CLASSES]
        target.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((folder / "pictures" / name).read_bytes())
    write = lambda name, data: (folder / name).write_text(json.dumps(data, indent=1) + "\n")
    two = lambda: choose.sample([sentence(choose) for _ in range(40)], 2)

    boxes = []
    for i in range(24):
        name = choose.choice(names)
        width, height = Image.open(folder / "pictures" / name).size
        pair = [[round(choose.uniform(-3, width / 2), 2), round(choose.uniform(0, height / 2), 2),
                 round(choose.uniform(4, width), 2), round(choose.uniform(4, height), 2)] for _ in range(2)]
        boxes.append({"image": name, "phrase": sentence(choose), "ref_bbox": pair[i % 2], "bbox_list": pair})
    write("negrefcocog.json", boxes)

    (folder / "valse").mkdir()
    for piece in ("existence", "plurals"):
        entries = {}
        for i in range(18):
            caption, foil = two()
            if i == 5:
                foil = caption.upper()  # the same tokens: a tie
            entries[f"{piece}_{i}"] = {"image_file": choose.choice(names), "caption": caption, "foil": foil,
                                       "mturk": {"caption": choose.choice([1, 2, 3, 3]), "foil": 0, "other": 0}}
        write(f"valse/{piece}.json", entries)
    write("sugarcrepe.json", {str(i): dict(zip(("filename", "caption", "negative_caption"),
                                              (choose.choice(names), *two()))) for i in range(20)})
    pairs = [two() for _ in range(20)]
    write("ccneg.json", {"image_paths": ["/workspace/datasets/cc3m/a/" + choose.choice(names) for _ in pairs],
                         "annotations": [{"json": {"caption": a}, "sop_data": {"negative-prompt": b + ", so"}}
                                         for a, b in pairs]})
    with open(folder / "crepe.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["", "image_id", "caption", "hard_negs", "x", "y", "width", "height"])
        (folder / "genome").mkdir()
        for i in range(16):
            name = choose.choice(names)
            width, height = Image.open(folder / "pictures" / name).size
            number = 100 + int(name[:2])
            (folder / "genome" / f"{number}.jpg").write_bytes((folder / "pictures" / name).read_bytes())
            caption, *foils = dict.fromkeys(sentence(choose) for _ in range(8))
            rows.writerow([i, number, caption, repr(foils[:4] + ["it's \"quoted\", no?"]), width // 2, height // 3, width // 3, height // 2])
    with open(folder / "negbench.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["correct_answer", "caption_0", "caption_1", "caption_2", "caption_3",
                       "correct_answer_template", "image_path"])
        for i in range(24):
            rows.writerow([i % 4, *(sentence(choose) + ", yes" for _ in range(4)),
                           choose.choice(["positive", "negative", "hybrid"]), "/data/val/" + choose.choice(names)])

    captions = list(dict.fromkeys(sentence(choose) for _ in range(400)))
    images, at = [], 0
    for i, name in enumerate(names):
        count = 5 if i else 7  # of seven the first five count
        images.append({"filepath": "val2014", "filename": name, "split": "test",
                       "sentences": [{"raw": c} for c in captions[at:at + count]]})
        at += count
    images.append({"filepath": "val2014", "filename": "none.png", "split": "train", "sentences": []})
    write("karpathy.json", {"dataset": "coco", "images": images})
    with open(folder / "negated.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["filepath", "captions"])
        for i, name in enumerate(names):
            rows.writerow(["/data/coco/" + name, repr(captions[at + 3 * i:at + 3 * i + 2 + i % 2])])

    (folder / "templates.txt").write_text("\n".join(TEMPLATES) + "\n")
    (folder / "celeba").mkdir()
    attributes = ["Red", "Round", "Young"]
    (folder / "prompts.txt").write_text("".join(f"{a}\t{sentence(choose)}\t{sentence(choose)}, not\n" for a in attributes))
    faces = "".join(f"{n} {' '.join(choose.choice(['1', '-1']) for _ in attributes)}\n" for n in names)
    (folder / "celeba" / "list_attr_celeba.txt").write_text(f"{PICTURES}\n{' '.join(attributes)}\n{faces}")
    (folder / "celeba" / "list_eval_partition.txt").write_text(
        "".join(f"{n} {0 if i == 2 else 2}\n" for i, n in enumerate(names)))


# ---- The model, as open_clip's interface that the references expect ----

class Reference:
    def __init__(self, model, data):
        self.clip = CLIPModel.from_pretrained(model).eval()
        self.processor = CLIPImageProcessorPil.from_pretrained(model)  # as OpenAI resizes
        self.words = CLIPTokenizer.from_pretrained(model)
        self.context = self.clip.config.text_config.max_position_embeddings
        self.data = pathlib.Path(data)

    def tokenize(self, texts):
        return self.words(list(texts), padding="max_length", truncation=True, max_length=self.context,
                          return_tensors="pt").input_ids

    def preprocess(self, picture):
        return self.processor(images=picture.convert("RGB"), return_tensors="pt").pixel_values[0]

    def encode_text(self, tokens):
        output = self.clip.get_text_features(input_ids=tokens)
        return output if torch.is_tensor(output) else output.pooler_output

    def encode_image(self, pixels):
        output = self.clip.get_image_features(pixel_values=pixels)
        return output if torch.is_tensor(output) else output.pooler_output

    @torch.no_grad()
    def cosines(self, pictures, texts):
        images = F.normalize(self.encode_image(torch.stack([self.preprocess(p) for p in pictures])), dim=-1)
        tokens, of = torch.unique(self.tokenize(texts), dim=0, return_inverse=True)  # so that equal texts tie
        words = F.normalize(self.encode_text(tokens), dim=-1)
        return (images.double() @ words.double().T)[:, of]

    def open(self, name, folder="pictures", box=None):
        picture = Image.open(self.data / folder / pathlib.Path(name).name)
        return picture.crop(box) if box else picture


def mean(values):
    return sum(values) / len(values)


# ---- The references ----

def negrefcocog(r):
    """negrefcocog_eval.py: each box cropped by PIL, the highest cosine, compared as boxes."""
    right, choices = [], []
    for item in json.loads((r.data / "negrefcocog.json").read_text()):
        scores = []
        for x, y, w, h in item["bbox_list"]:
            crop = r.open(item["image"]).crop((x, y, x + w, y + h))
            scores.append(r.cosines([crop], [item["phrase"]]).item())
        choices.append(int(np.argmax(scores)))
        right.append(item["bbox_list"][choices[-1]] == item["ref_bbox"])
    return mean(right), {}, choices


def valse(r):
    """acc_r of lxmert_valse_eval.py: valid items, the caption strictly above its foil."""
    parts, choices = {}, []
    for piece in ("existence", "plurals"):
        right = []
        for foil in json.loads((r.data / "valse" / f"{piece}.json").read_text()).values():
            if foil["mturk"]["caption"] >= 2:
                caption, other = r.cosines([r.open(foil["image_file"])], [foil["caption"], foil["foil"]])[0].tolist()
                right.append(caption > other)
                choices.append(0 if right[-1] else 1)
        parts[piece] = mean(right)
    return mean(list(parts.values())), parts, choices


def sugarcrepe(r):
    """main_eval.py: text_retrieval, strictly above."""
    choices = []
    for item in json.loads((r.data / "sugarcrepe.json").read_text()).values():
        good, bad = r.cosines([r.open(item["filename"])], [item["caption"], item["negative_caption"]])[0].tolist()
        choices.append(0 if good > bad else 1)
    return mean([c == 0 for c in choices]), {}, choices


def ccneg(r):
    """README of CoN-CLIP: argmax over (caption, negated caption without commas)."""
    data, choices = json.loads((r.data / "ccneg.json").read_text()), []
    for path, item in zip(data["image_paths"], data["annotations"]):
        texts = [item["json"]["caption"], item["sop_data"]["negative-prompt"].replace(",", "")]
        choices.append(int(r.cosines([r.open(path)], texts)[0].argmax()))
    return mean([c == 0 for c in choices]), {}, choices


def crepe(r):
    """crepe_eval_utils.py: the region cropped, R@1 of the caption among its hard negatives."""
    import ast
    choices, ranks = [], []
    for row in csv.DictReader(open(r.data / "crepe.csv")):
        x, y, w, h = (int(row[k]) for k in ("x", "y", "width", "height"))
        picture = r.open(row["image_id"] + ".jpg", "genome", (x, y, x + w, y + h))
        scores = r.cosines([picture], [row["caption"], *ast.literal_eval(row["hard_negs"])])
        ranks.append(int(torch.where(torch.argsort(scores, descending=True) == 0)[1]))
        choices.append(int(scores[0].argmax()))
    return mean([rank < 1 for rank in ranks]), {}, choices


def negbench(r):
    """mcq.py: argmax over four captions; a part for each kind of right answer."""
    choices, right = [], {}
    for row in csv.DictReader(open(r.data / "negbench.csv")):
        scores = r.cosines([r.open(row["image_path"])], [row[f"caption_{i}"] for i in range(4)])
        choices.append(int(scores[0].argmax()))
        right.setdefault("negbench/" + row["correct_answer_template"], []).append(choices[-1] == int(row["correct_answer"]))
    return mean(sum(right.values(), [])), {k: mean(v) for k, v in right.items()}, choices


def retrieve(r, images, texts):
    """clip_benchmark's zeroshot_retrieval.evaluate, and the best of each from its scores."""
    pixels = torch.stack([r.preprocess(r.open(name)) for name in images])
    found = zeroshot_retrieval.evaluate(r, [(pixels, texts)], r.tokenize, "cpu", amp=False, recall_k_list=[1, 5, 10])
    scores = r.cosines([r.open(name) for name in images], sum(texts, []))
    parts = {f"{ours}, recall at {k}": found[f"{theirs}_retrieval_recall@{k}"] for k in (1, 5, 10)
             for ours, theirs in (("text to image", "image"), ("image to text", "text"))}
    choices = scores.T.argmax(1).tolist() + scores.argmax(1).tolist()
    return parts["text to image, recall at 5"], parts, choices


def karpathy(r):
    images = [i for i in json.loads((r.data / "karpathy.json").read_text())["images"] if i["split"] == "test"]
    return retrieve(r, [i["filename"] for i in images], [[s["raw"] for s in i["sentences"]][:5] for i in images])


def negated(r):
    import ast
    rows = list(csv.DictReader(open(r.data / "negated.csv")))
    return retrieve(r, [row["filepath"] for row in rows], [ast.literal_eval(row["captions"]) for row in rows])


def accuracy(output, target, topk):
    """zeroshot_classification.accuracy, which NumPy 2.4 no longer lets through (clip-benchmark 1.6.2)."""
    right = output.topk(max(topk), 1).indices == target[:, None]
    return [right[:, :k].any(1).double().mean().item() for k in topk]


def zeroshot(r):
    """clip_benchmark's zeroshot_classification.evaluate, and its classifier for the choices."""
    names = sorted(p.name for p in (r.data / "classes").iterdir())
    files = [(p, names.index(p.parent.name)) for p in sorted((r.data / "classes").glob("*/*.png"))]
    pixels = torch.stack([r.preprocess(Image.open(p)) for p, _ in files])
    target = torch.tensor([c for _, c in files])
    templates = [t.replace("{}", "{c}") for t in TEMPLATES]

    class Loader(list):
        dataset = type("Set", (), {"classes": names})

    loader = Loader([(pixels, target)])
    zeroshot_classification.accuracy = accuracy
    found = zeroshot_classification.evaluate(r, loader, r.tokenize, names, templates, "cpu", amp=False)
    weights = zeroshot_classification.zero_shot_classifier(r, r.tokenize, names, templates, "cpu", amp=False)
    logits, _ = zeroshot_classification.run_classification(r, weights, loader, "cpu", amp=False)
    return found["acc1"], {"top-5": found["acc5"], "mean per class": found["mean_per_class_recall"]}, \
        logits.argmax(1).tolist(), (logits.max(1).values / 100).tolist()


def attributes(r):
    """scikit-learn's balanced accuracy of each attribute."""
    lines = (r.data / "celeba" / "list_attr_celeba.txt").read_text().splitlines()
    prompts = [line.split("\t") for line in (r.data / "prompts.txt").read_text().splitlines()]
    test = {line.split()[0] for line in (r.data / "celeba" / "list_eval_partition.txt").read_text().splitlines()
            if line.endswith(" 2")}
    rows = [line.split() for line in lines[2:] if line.split()[0] in test]
    scores = r.cosines([r.open(row[0]) for row in rows], [p for _, *pair in prompts for p in pair])
    said = torch.stack([scores[:, 2 * a] >= scores[:, 2 * a + 1] for a in range(len(prompts))], 1)
    labels = np.array([[value == "1" for value in row[1:]] for row in rows])
    parts = {name: balanced_accuracy_score(labels[:, a], said[:, a].numpy()) for a, name in enumerate(lines[1].split())}
    return mean(list(parts.values())), parts, [int(not s) for row in said for s in row]


# name: (reference, benchmark, arguments of nclip relative to the data)
CASES = {
    "negrefcocog": (negrefcocog, "negrefcocog", {"annotations": "negrefcocog.json", "images": "pictures"}),
    "valse": (valse, "foils", {"annotations": "valse", "images": "pictures"}),
    "sugarcrepe": (sugarcrepe, "foils", {"annotations": "sugarcrepe.json", "images": "pictures"}),
    "ccneg": (ccneg, "foils", {"annotations": "ccneg.json", "images": "pictures"}),
    "crepe": (crepe, "foils", {"annotations": "crepe.csv", "images": "genome"}),
    "negbench": (negbench, "foils", {"annotations": "negbench.csv", "images": "pictures"}),
    "karpathy": (karpathy, "retrieval", {"annotations": "karpathy.json", "images": "pictures"}),
    "negated": (negated, "retrieval", {"annotations": "negated.csv", "images": "pictures"}),
    "zeroshot": (zeroshot, "zeroshot", {"images": "classes", "templates": "templates.txt"}),
    "attributes": (attributes, "attributes", {"annotations": "celeba", "images": "pictures", "prompts": "prompts.txt"}),
}
