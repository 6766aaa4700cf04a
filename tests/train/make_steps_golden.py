"""Makes tests/train/golden_steps.json: 100 optimizer steps of the quick start's text tower in
PyTorch and transformers, fp32, with everything a recipe can ask for; golden_con_clip.json, 40
steps of CoN-CLIP's loss as its authors' code computes it; and in fp64 golden_own_terms.json, 40
steps with the terms that a picture has with its own texts, golden_rmsprop.json and golden_sgd.json,
40 steps of other optimizers, with a rate of its own for the logit scale, golden_terms.json, 40 steps
of a list of terms, and golden_PRESET.json, 40 steps of presets, both on captions with all roles.

    python3 tests/train/make_steps_golden.py [FILE.json ...]          (torch, transformers)

Captions, contradictions, pictures and the order of the batches are made here and written down
with the losses, the gradients' norms and a sample of the weights after the last step. Batches
are those that nclip itself draws from the seed; the last of an epoch is a small one.
Also prints how far the same run in fp64 ends from fp32: what rounding alone does.
Run it again when configs/quickstart/model changes.
"""
import json
import math
import pathlib
import random
import sys

import torch
import torch.nn.functional as F
from transformers import CLIPModel, CLIPTokenizer

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent.parent / "configs" / "quickstart" / "model"
PICTURES, CAPTIONS = 40, 104
# Limits of gradient and scale that some steps reach and others do not.
RECIPE = dict(batch_size=32, learning_rate=1e-3, schedule="cosine", warmup_steps=10, epochs=25,
              beta1=0.9, beta2=0.98, epsilon=1e-6, weight_decay=0.1, gradient_clip=3.5,
              logit_scale_max=2.643, precision="fp32", trainable="all", validation_fraction=0,
              drop_last="false", mask_same_image="true", contradictions="true", seed=42)
CON_CLIP = dict(RECIPE, loss="con_clip", epochs=10, mask_same_image="false", gradient_clip=0)
# Weights and margins at which each term costs something in some examples and nothing in others.
OWN_TERMS = dict(RECIPE, epochs=10, gradient_clip=0, infonce=0.8, choice=0.5, hinge_picture=2,
                 hinge_picture_low=-0.02, hinge_picture_high=0.03, hinge_text=0.7,
                 hinge_text_low=-0.75, hinge_text_high=-0.6, hinge_apart=0.3,
                 hinge_apart_margin=-0.6, preserve=3, hard_negatives="false")
RMSPROP = dict(RECIPE, epochs=10, optimizer="rmsprop", learning_rate=2e-4, rmsprop_alpha=0.95,
               rate_decay=0.9, schedule="constant", decay_norms_and_biases="false",
               logit_scale_learning_rate=1e-3)
SGD = dict(RECIPE, epochs=10, optimizer="sgd", learning_rate=0.02, momentum=0.8, weight_decay=0.01,
           rate_decay=0.95, logit_scale_learning_rate=0.005)
# A list: rectangles of texts and pictures, whose targets are not all a picture's first text.
TERMS = dict(RECIPE, epochs=10, gradient_clip=0, loss=[
    "{term: infonce, texts: [caption, absence, contradiction], rows: [1, 0.5, 0.25], "
    "pictures: [image, distractor], columns: [1, 2], weight: 0.7}",
    "{term: infonce, texts: [paraphrase, contradiction], pictures: [image], hard: choices, weight: 0.5}",
    "{term: choice, texts: [choices], weight: 0.25}",
    "{term: hinge_apart, texts: [absence], margin: -0.6}"])
# SemCLIP's plane makes steep gradients where a text is nearly orthogonal to it: small steps, or rounding
# alone decides where they lead.
FIRST = 44  # captions of the first of two sources
PRESETS = {"negbench": dict(RECIPE, epochs=10, gradient_clip=0, preset="negbench"),
           "semclip": dict(RECIPE, epochs=10, gradient_clip=1, learning_rate=1e-4, preset="semclip"),
           "omni_negclip": dict(RECIPE, epochs=10, gradient_clip=0, sources="12,20",
                                mask_same_image="false", preset="omni_negclip"),
           "keep": dict(RECIPE, epochs=10, gradient_clip=0, preset="keep"),
           "siglip": dict(RECIPE, epochs=10, gradient_clip=0, trainable="all, logit_bias",
                          preset="siglip")}
SAMPLES = 6  # of each tensor
MASK = 2**64 - 1


def make_data(con_clip, roles=False):
    choose = random.Random(5)
    colours = "red green blue yellow black gray teal brown".split()
    shapes = "circle rectangle triangle shape".split()
    starts = ["a picture of a", "there is a", "the image shows a", "a"]
    captions = []
    for i in range(CAPTIONS):
        picture = i if i < PICTURES else choose.randrange(PICTURES)
        start, shape = choose.choice(starts), choose.choice(shapes)
        colour = choose.choice(colours)
        told = choose.choice([f"{start} {colour} {shape}", f"{start} {shape}",
                              f"{start} {shape} that is not {choose.choice(colours)}"])
        caption = {"image": f"{picture:02}.png", "caption": told}
        if con_clip or choose.random() < 0.6:
            caption["contradiction"] = f"{start} {shape} that is not {colour}"
        if con_clip:
            caption["distractor"] = f"{(picture + 1 + choose.randrange(PICTURES - 1)) % PICTURES:02}.png"
        if roles:
            caption["contradiction"] = f"{start} {shape} that is not {colour}"
            caption["distractor"] = f"{(picture + 1 + choose.randrange(PICTURES - 1)) % PICTURES:02}.png"
            caption["absence"] = f"{told} and not {choose.choice(colours)}"
            caption["paraphrase"] = f"{choose.choice(starts)} {shape}, {colour}"
            if choose.random() < 0.7:
                caption["choices"] = [f"{start} {choose.choice(colours)} {choose.choice(shapes)}"
                                      for _ in range(choose.choice([2, 3]))]
        captions.append(caption)
    # Whole numbers, so that the file holds them exactly; whoever reads them divides by the norm.
    pictures = [[choose.randint(-99, 99) for _ in range(64)] for _ in range(PICTURES)]
    return captions, pictures


class Stream:
    """nclip's random numbers (host/train/examples/random.h)."""

    def __init__(self, seed, purpose, number):
        self.state = seed
        self.state = self.next() ^ purpose
        self.state = self.next() ^ number
        self.state = self.next()

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        return z ^ z >> 31

    def below(self, bound):
        while True:
            product = self.next() * bound
            if product & MASK >= 2**64 % bound:
                return product >> 64

    def shuffle(self, items):
        for i in range(len(items), 1, -1):
            j = self.below(i)
            items[i - 1], items[j] = items[j], items[i - 1]


def make_source_batches(recipe, counts):
    """Of sources that follow each other in the captions (host/train/examples/sources.c)."""
    per_batch = [int(n) for n in recipe["sources"].split(",")]
    number = max(-(-n // k) for n, k in zip(counts, per_batch))
    batches = []
    for epoch in range(recipe["epochs"]):
        drawn = []
        for i, (n, k) in enumerate(zip(counts, per_batch)):
            stream, source, first = Stream(recipe["seed"], 7 + i, epoch), [], sum(counts[:i])
            while len(source) < number * k:
                order = list(range(first, first + n))
                stream.shuffle(order)
                source += order
            drawn.append([source[b * k:(b + 1) * k] for b in range(number)])
        batches += [sum(parts, []) for parts in zip(*drawn)]
    return batches


def make_batches(recipe):
    if "sources" in recipe:
        return make_source_batches(recipe, [FIRST, CAPTIONS - FIRST])
    batches = []
    for epoch in range(recipe["epochs"]):
        order = list(range(CAPTIONS))
        Stream(recipe["seed"], 2, epoch).shuffle(order)
        batches += [order[i:i + recipe["batch_size"]] for i in range(0, CAPTIONS, recipe["batch_size"])]
    return batches


def learning_rate(recipe, step, steps):
    warmup, epoch = recipe["warmup_steps"], step // (steps // recipe["epochs"])
    peak = recipe["learning_rate"] * recipe.get("rate_decay", 1) ** epoch
    if step < warmup:
        return peak * (step + 1) / warmup
    if recipe["schedule"] == "constant":
        return peak
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) * peak


def con_clip_loss(model, tokenizer, captions, image, batch):
    """The mean of three cross-entropies (Singh et al. 2025): pictures over captions and denials,
    captions over pictures and distractors, distractors over denials and captions."""
    chosen = [captions[i] for i in batch]
    texts = [c["caption"] for c in chosen] + [c["contradiction"] for c in chosen]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    text = F.normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=-1)
    pictures = image[[int(c[key][:2]) for key in ("image", "distractor") for c in chosen]]
    count, scale = len(chosen), model.logit_scale.exp()
    target = torch.arange(count)
    reversed_text = torch.cat([text[count:], text[:count]])
    loss = (F.cross_entropy(scale * pictures[:count] @ text.T, target) +
            F.cross_entropy(scale * text[:count] @ pictures.T, target) +
            F.cross_entropy(scale * pictures[count:] @ reversed_text.T, target)) / 3
    return loss, 0, count


def batch_loss(model, tokenizer, captions, image, batch):
    chosen = [captions[i] for i in batch]
    count = len(chosen)
    denied = [i for i, c in enumerate(chosen) if "contradiction" in c]
    texts = [c["caption"] for c in chosen] + [chosen[i]["contradiction"] for i in denied]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    text = F.normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=-1)
    own = torch.tensor([int(c["image"][:2]) for c in chosen])
    picture = image[own]
    masked = (own[:, None] == own[None]) & ~torch.eye(count, dtype=torch.bool)
    scale = model.logit_scale.exp()
    scores = (scale * text[:count] @ picture.T).masked_fill(masked, -math.inf)
    # A contradiction stands in the column of its caption's picture alone.
    extra = torch.full((count,), -math.inf, dtype=text.dtype)
    extra = extra.index_put((torch.tensor(denied, dtype=torch.long),), scale * (text[count:] * picture[denied]).sum(-1))
    rows = torch.logsumexp(scores, 1) - scores.diagonal()
    columns = torch.logsumexp(torch.cat([scores, extra[None]]), 0) - scores.diagonal()
    return (rows.mean() + columns.mean()) / 2, int(masked.sum()), len(denied)


def make_optimizer(recipe, trained):
    """Groups as PyTorch has them: the logit scale may have its own rate, norms and biases no decay.
    "pace": their rate beside that of all others."""
    groups = []
    for scale in (False, True):
        for plain in (False, True):  # norms, biases, the scale
            parameters = [p for n, p in trained.items()
                          if (n == "logit_scale") == scale and (p.ndim < 2) == plain]
            decays = not plain or recipe.get("decay_norms_and_biases", "true") == "true"
            own = recipe.get("logit_scale_learning_rate", 0) if scale else 0
            groups.append({"params": parameters, "pace": own / recipe["learning_rate"] if own else 1,
                           "weight_decay": recipe["weight_decay"] if decays else 0})
    groups = [g for g in groups if g["params"]]
    rate, epsilon = recipe["learning_rate"], recipe["epsilon"]
    if recipe.get("optimizer") == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=recipe["rmsprop_alpha"], eps=epsilon)
    if recipe.get("optimizer") == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=recipe["momentum"])
    return torch.optim.AdamW(groups, lr=rate, betas=(recipe["beta1"], recipe["beta2"]), eps=epsilon)


base = {}  # of each precision: what the captions' features were before training
active = {}  # of each margin: how often it costs something


def margin(name, x):
    active.setdefault(name, []).extend((x > 0).tolist())
    return F.relu(x)


def own_terms_loss(model, tokenizer, captions, image, batch):
    """InfoNCE without contradictions, the choice between a caption and its contradiction
    (NegBench, Omni-NegCLIP), CLIP-bnl's bands at the picture and between texts, Omni-NegCLIP's
    margin between texts."""
    r = OWN_TERMS
    plain = [{k: v for k, v in c.items() if k != "contradiction"} for c in captions]
    loss, masked, _ = batch_loss(model, tokenizer, plain, image, batch)
    tokens = tokenizer([c["caption"] for c in captions], padding=True, return_tensors="pt")
    features = F.normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=-1)
    before = base.setdefault(features.dtype, features.detach())
    kept = (1 - (features * before).sum(-1))[batch].mean()
    denied = [captions[i] for i in batch if "contradiction" in captions[i]]
    encode = lambda key: F.normalize(model.text_projection(model.text_model(**tokenizer(
        [c[key] for c in denied], padding=True, return_tensors="pt")).pooler_output), dim=-1)
    text, extra = encode("caption"), encode("contradiction")
    picture = image[[int(c["image"][:2]) for c in denied]]
    own, at_picture, at_text = (text * picture).sum(-1), (extra * picture).sum(-1), (extra * text).sum(-1)
    scores = model.logit_scale.exp() * torch.stack([own, at_picture], 1)
    choice = F.cross_entropy(scores, torch.zeros(len(denied), dtype=torch.long))
    band = lambda name, d: (margin(name + "_low", r[name + "_low"] - d) +
                            margin(name + "_high", d - r[name + "_high"])).mean()
    loss = (r["preserve"] * kept + r["infonce"] * loss + r["choice"] * choice +
            r["hinge_picture"] * band("hinge_picture", own - at_picture) +
            r["hinge_text"] * band("hinge_text", own - at_text) +
            r["hinge_apart"] * margin("hinge_apart", at_text + r["hinge_apart_margin"]).mean())
    return loss, masked, len(denied)


def encoder(model, tokenizer):
    return lambda texts: F.normalize(model.text_projection(model.text_model(**tokenizer(
        texts, padding=True, return_tensors="pt")).pooler_output), dim=-1)


def choice_loss(model, encode, image, chosen):
    """NegBench's multiple choice: the caption against the picture's choices."""
    losses = []
    for c in chosen:
        if "choices" in c:
            scores = encode([c["caption"]] + c["choices"]) @ image[int(c["image"][:2])]
            losses.append(-F.log_softmax(model.logit_scale.exp() * scores, 0)[0])
    return torch.stack(losses).mean()


def symmetric_loss(model, tokenizer, captions, image, batch):
    plain = [{k: c[k] for k in ("caption", "image")} for c in captions]
    return batch_loss(model, tokenizer, plain, image, batch)[0]


def negbench_loss(model, tokenizer, captions, image, batch):
    """0.99 InfoNCE + 0.01 four-way choice (Alhamoud et al. 2025)."""
    choice = choice_loss(model, encoder(model, tokenizer), image, [captions[i] for i in batch])
    return 0.99 * symmetric_loss(model, tokenizer, captions, image, batch) + 0.01 * choice, 0, 0


def directions(seed, width, dtype):
    """SemCLIP's: two random orthonormal vectors (host/train/step/basis.c)."""
    stream = Stream(seed, 6, 0)
    def normal():
        first, second = ((stream.next() >> 11) + 1) * 2.0**-53, (stream.next() >> 11) * 2.0**-53
        return math.sqrt(-2 * math.log(first)) * math.cos(2 * math.pi * second)
    x = torch.tensor([[normal() for _ in range(width)] for _ in range(2)], dtype=torch.float64)
    first = F.normalize(x[0], dim=0)
    return torch.stack([first, F.normalize(x[1] - (x[1] @ first) * first, dim=0)]).float().to(dtype)


def semclip_loss(model, tokenizer, captions, image, batch):
    """The mean of InfoNCE and two cosine embedding losses (SemCLIP, src/custom_loss.py)."""
    chosen = [captions[i] for i in batch]
    encode = encoder(model, tokenizer)
    basis = directions(42, image.shape[1], image.dtype)
    text, paraphrase, negation = (F.normalize(encode([c[k] for c in chosen]) @ basis.T, dim=-1, eps=1e-6)
                                  for k in ("caption", "paraphrase", "contradiction"))
    near = (1 - (text * paraphrase).sum(-1)).mean()
    apart = F.relu((text * negation).sum(-1)).mean()
    return (symmetric_loss(model, tokenizer, captions, image, batch) + near + apart) / 3, 0, 0


def omni_negclip_loss(model, tokenizer, captions, image, batch):
    """Presence and absence (Omni-NegCLIP, src/training_utils/loss_functions.py and the trainer)."""
    parts = [[captions[i] for i in batch if (i < FIRST) == first] for first in (True, False)]
    scale, encode = model.logit_scale.exp(), encoder(model, tokenizer)
    pictures = [image[[int(c["image"][:2]) for c in part]] for part in parts]
    targets = [torch.arange(len(part)) for part in parts]
    text, denied = (encode([c[k] for c in parts[0]]) for k in ("caption", "contradiction"))
    both = scale * torch.stack([(text * pictures[0]).sum(-1), (denied * pictures[0]).sum(-1)], 1)
    presence = (F.cross_entropy(scale * pictures[0] @ torch.cat([text, denied]).T, targets[0]) +
                F.cross_entropy(scale * text @ pictures[0].T, targets[0]) +
                F.cross_entropy(both, torch.zeros_like(targets[0]))) / 3
    text, absent = (encode([c[k] for c in parts[1]]) for k in ("caption", "absence"))
    symmetric = lambda t: (F.cross_entropy(scale * pictures[1] @ t.T, targets[1]) +
                           F.cross_entropy(scale * t @ pictures[1].T, targets[1])) / 2
    absence = symmetric(absent) + symmetric(text) + F.relu((text * absent).sum(-1) + 0.9).mean()
    return presence + absence, 0, 0


def keep_loss(model, tokenizer, captions, image, batch):
    features = encoder(model, tokenizer)([c["caption"] for c in captions])
    before = base.setdefault(("keep", features.dtype), features.detach())
    kept = (1 - (features * before).sum(-1))[batch].mean()
    return symmetric_loss(model, tokenizer, captions, image, batch) + kept, 0, 0


def siglip_loss(model, tokenizer, captions, image, batch):
    """The sigmoid loss (Zhai et al. 2023, algorithm 1), contradictions as one more negative each."""
    chosen = [captions[i] for i in batch]
    own = torch.tensor([int(c["image"][:2]) for c in chosen])
    encode, scale = encoder(model, tokenizer), model.logit_scale.exp()
    scores = scale * encode([c["caption"] for c in chosen]) @ image[own].T + model.logit_bias
    positive = torch.eye(len(chosen), dtype=torch.bool)
    kept = (own[:, None] != own[None]) | positive
    denied = scale * (encode([c["contradiction"] for c in chosen]) * image[own]).sum(-1) + model.logit_bias
    pairs = F.logsigmoid(torch.where(positive, scores, -scores))[kept].sum() + F.logsigmoid(-denied).sum()
    return -pairs / len(chosen), 0, 0


def terms_loss(model, tokenizer, captions, image, batch):
    chosen, n = [captions[i] for i in batch], len(batch)
    scale, encode = model.logit_scale.exp(), encoder(model, tokenizer)
    number = lambda key: torch.tensor([int(c[key][:2]) for c in chosen])
    own, other = number("image"), number("distractor")
    text = {k: encode([c[k] for c in chosen])
            for k in ("caption", "absence", "contradiction", "paraphrase")}
    never = torch.full((n,), -1)  # a text that is false of all pictures of the term is masked from none

    def rectangle(texts, groups, pictures, picture_groups, rows, columns):
        """rows and columns: lists of (weight, places of these, places of their targets)."""
        scores = scale * texts @ image[pictures].T
        masked = groups[:, None] == picture_groups[None]
        for _, here, there in rows:
            masked[here, there] = False
        scores = scores.masked_fill(masked, -math.inf)
        total = sum(w for w, _, _ in rows) + sum(w for w, _, _ in columns)
        loss = sum(w * (torch.logsumexp(scores[here], 1) - scores[here, there]).mean()
                   for w, here, there in rows if w)
        return scores, lambda extra: (loss + sum(
            w * (torch.logsumexp(torch.cat([scores[:, here], extra[:, here]]), 0)
                 - scores[there, here]).mean() for w, here, there in columns)) / total

    first = torch.arange(n)
    nothing = lambda columns: torch.full((1, columns), -math.inf, dtype=image.dtype)
    _, one = rectangle(torch.cat([text["caption"], text["absence"], text["contradiction"]]),
                       torch.cat([own, own, other]), torch.cat([own, other]), torch.cat([own, other]),
                       [(1, first, first), (0.5, n + first, first), (0.25, 2 * n + first, n + first)],
                       [(1, first, first), (2, n + first, 2 * n + first)])
    _, two = rectangle(torch.cat([text["paraphrase"], text["contradiction"]]), torch.cat([own, never]),
                       own, own, [(1, first, first)], [(1, first, first)])
    most = max(len(c.get("choices", ())) for c in chosen)
    extra = torch.full((most, n), -math.inf, dtype=image.dtype)
    for i, c in enumerate(chosen):
        if "choices" in c:
            extra[:len(c["choices"]), i] = scale * encode(c["choices"]) @ image[own[i]]
    apart = F.relu((text["absence"] * text["caption"]).sum(-1) - 0.6).mean()
    loss = (0.7 * one(nothing(2 * n)) + 0.5 * two(extra) + 0.25 * choice_loss(model, encode, image, chosen) +
            apart)
    return loss, 0, 0


def train(dtype, recipe, captions, pictures, batches):
    compute = (con_clip_loss if recipe is CON_CLIP else own_terms_loss if recipe is OWN_TERMS
               else terms_loss if recipe is TERMS
               else globals()[recipe["preset"] + "_loss"] if "preset" in recipe else batch_loss)
    model = CLIPModel.from_pretrained(MODEL, attn_implementation="eager").to(dtype).eval()
    tokenizer = CLIPTokenizer.from_pretrained(MODEL)
    image = F.normalize(torch.tensor(pictures, dtype=torch.float64), dim=-1).to(dtype)
    if "logit_bias" in recipe["trainable"]:
        model.logit_bias = torch.nn.Parameter(torch.tensor(-10, dtype=dtype))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(("text_model", "text_projection", "logit_scale", "logit_bias")))
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(recipe, trained)
    losses, norms, scales, hidden, extras = [], [], [], 0, 0
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = group["pace"] * learning_rate(recipe, step, len(batches))
        loss, masked, denied = compute(model, tokenizer, captions, image, batch)
        hidden, extras = hidden + masked, extras + denied
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), recipe["gradient_clip"] or math.inf)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=recipe["logit_scale_max"])
        losses.append(loss.item())
        norms.append(norm.item())
        scales.append(model.logit_scale.item())
    print(f"{dtype}: loss {losses[0]:.4f} to {losses[-1]:.4f}, {hidden} masked pairs, {extras} contradictions, "
          f"clipped in {sum(n > (recipe['gradient_clip'] or math.inf) for n in norms)} steps, "
          f"clamped in {sum(s >= recipe['logit_scale_max'] - 1e-6 for s in scales)}")
    return losses, norms, scales, {n: p.detach().reshape(-1) for n, p in trained.items()}


def difference(a, b):
    return max(abs(x - y) for x, y in zip(a, b))


def write(file, recipe):
    captions, pictures = make_data(recipe is CON_CLIP, "loss" in recipe and recipe is TERMS or "preset" in recipe)
    batches = make_batches(recipe)
    torch.set_num_threads(1)
    losses, norms, scales, weights = train(torch.float32, recipe, captions, pictures, batches)
    exact = train(torch.float64, recipe, captions, pictures, batches)
    apart = {n: ((w - exact[3][n]).norm() / exact[3][n].norm()).item() for n, w in weights.items()
             if "k_proj.bias" not in n}
    print(f"fp32 from fp64: losses {difference(losses, exact[0]):.2g}, norms "
          f"{max(abs(a / b - 1) for a, b in zip(norms, exact[1])):.2g} relative, scales "
          f"{difference(scales, exact[2]):.2g}, weights", *max((v, k) for k, v in apart.items()))
    if recipe is not RECIPE and recipe is not CON_CLIP:
        losses, norms, scales, weights = exact
    if recipe is OWN_TERMS:
        print("margins that cost:", {k: f"{sum(v)} of {len(v)}" for k, v in active.items()})
    picked = {}
    for name, values in weights.items():
        if "k_proj.bias" in name:  # the softmax does not see it: its gradient is rounding
            continue
        at = sorted({i * (len(values) - 1) // (SAMPLES - 1) for i in range(SAMPLES)})
        picked[name] = {"norm": values.double().norm().item(), "at": at, "value": values[at].tolist()}
    rounded = lambda numbers: [float(f"{x:.8g}") for x in numbers]
    for row in picked.values():
        row.update(norm=float(f"{row['norm']:.9g}"), value=rounded(row["value"]))
    lines = lambda rows: "[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows) + "]"
    parts = {"settings": json.dumps([f"{k}={v}" for k, v in recipe.items()
                                     if k != "preset" and not isinstance(v, list)]),
             **{k: json.dumps(recipe[k]) for k in ("preset", "loss")
                if k in recipe and not (k == "loss" and recipe is CON_CLIP)},
             **({"first": str(FIRST)} if "sources" in recipe else {}),
             "captions": lines(captions), "pictures": lines(pictures), "batches": lines(batches),
             "losses": json.dumps(rounded(losses)), "norms": json.dumps(rounded(norms)),
             "scales": json.dumps(rounded(scales)),
             "weights": lines(dict(name=n, **r) for n, r in picked.items())}
    (HERE / file).write_text(
        "{" + ",\n".join(f'"{k}": {v}' for k, v in parts.items()) + "}\n")


FILES = {"golden_steps.json": RECIPE, "golden_con_clip.json": CON_CLIP,
         "golden_own_terms.json": OWN_TERMS, "golden_rmsprop.json": RMSPROP, "golden_sgd.json": SGD,
         "golden_terms.json": TERMS, **{f"golden_{name}.json": r for name, r in PRESETS.items()}}
for file in sys.argv[1:] or FILES:
    write(file, FILES[file])
