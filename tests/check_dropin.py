#!/usr/bin/env python3
"""Checks, with the real libraries, that what nclip exports drops into them: transformers (CLIPModel,
the zero-shot pipeline, the text models alone), open_clip, diffusers (Stable Diffusion and SDXL),
CLIPSeg and clip-benchmark. Also that nclip imports what open_clip and OpenAI's form hold.

    python3 -W ignore tests/check_dropin.py [build/nclip]     (ctest: cli/dropin, with $NCLIP_PYTHON)

All models are tiny and random; nothing is downloaded. Prints a table and fails where a difference is
larger than allowed. A part whose package is missing is SKIPPED; without torch, transformers and
safetensors all of it is (exit code 77).
"""
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1",
                  TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false", TQDM_DISABLE="1")


def missing(*packages):
    return [p for p in packages if importlib.util.find_spec(p) is None]


if missing("numpy", "PIL", "torch", "transformers", "safetensors"):
    print("SKIPPED: these Python packages are missing:",
          *missing("numpy", "PIL", "torch", "transformers", "safetensors"))
    raise SystemExit(77)

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
import transformers
from transformers import AutoTokenizer, CLIPConfig, CLIPModel, CLIPTextModel, CLIPTextModelWithProjection

# transformers 5 resizes with torchvision unless asked, which rounds some pixels otherwise than PIL,
# open_clip and nclip do: enough to move a logit by 0.02.
CLIPImageProcessor = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)

HERE = pathlib.Path(__file__).resolve().parent
NCLIP = sys.argv[1] if len(sys.argv) > 1 else str(HERE.parent / "build" / "nclip")
SMALL = HERE.parent / "configs" / "quickstart" / "model"  # lends its tokenizer
WORDS = ["red", "blue", "green", "yellow"]
SHAPES = ["circle", "rectangle", "triangle"]
TEXTS = ["a red circle", "a shape that is not red", "there is no triangle in the picture", "blue",
         "a picture of a green rectangle without a frame, and of nothing else"]
FAILED = []


def nclip(*arguments):
    done = subprocess.run([NCLIP, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"nclip {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def check(what, value, allowed):
    if not value <= allowed:
        FAILED.append(what)
    print(f"{what:<76} {value:9.2e}   allowed {allowed:.0e}   "
          f"{'ok' if value <= allowed else 'FAILED'}", flush=True)


def largest(a, b):
    a, b = (torch.as_tensor(x).detach().double() for x in (a, b))
    assert a.shape == b.shape, (a.shape, b.shape)
    return float((a - b).abs().max())


def features(output):  # transformers 5 gives an object where 4 gave a tensor
    return output if torch.is_tensor(output) else output.pooler_output


# ---- what is checked ----


def make_model(folder):
    """Of the sizes that all formats can say: heads of 64, mlp of four times the width."""
    torch.manual_seed(1)
    ids = dict(bos_token_id=774, eos_token_id=775, pad_token_id=775)
    config = CLIPConfig(
        text_config=dict(hidden_size=64, intermediate_size=256, num_hidden_layers=3,
                         num_attention_heads=1, vocab_size=776, projection_dim=48, **ids),
        vision_config=dict(hidden_size=128, intermediate_size=512, num_hidden_layers=2,
                           num_attention_heads=2, image_size=32, patch_size=8, projection_dim=48),
        projection_dim=48)
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:  # or nothing that it computes would differ from anything
                parameter.mul_(2)
            elif name != "logit_scale":
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json"):
        shutil.copy(SMALL / name, folder / name)
    settings = json.loads((SMALL / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(settings, model_max_length=77)))
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)


def make_pictures(folder):
    """A folder a class, as clip-benchmark and torchvision's ImageFolder read it."""
    numbers = np.random.default_rng(3)
    paths = []
    for word in WORDS:
        for i in range(6):
            path = folder / word / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = numbers.integers(0, 256, (5, 7, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((50, 40), Image.BICUBIC).save(path)
            paths.append(path)
    return paths


class Ours:
    """What nclip makes of the model: features and logits."""

    def __init__(self, model, work, paths):
        self.model, self.work = model, work
        self.images = self.encode("--images", work / "pictures")
        self.texts = self.encode_texts(TEXTS)
        self.scale = float(load_file(model / "model.safetensors")["logit_scale"].float().exp())
        self.logits = self.scale * self.images @ self.texts.T
        assert len(self.images) == len(paths)

    def encode(self, *arguments):
        nclip("encode", "--model", self.model, *arguments, "--out", self.work / "out.npy")
        return torch.from_numpy(np.load(self.work / "out.npy"))

    def encode_texts(self, texts, *arguments):
        (self.work / "texts.txt").write_text("\n".join(texts) + "\n")
        return self.encode("--text", self.work / "texts.txt", *arguments)


# ---- transformers ----


def check_transformers(ours, work, paths):
    from transformers import pipeline
    folder = work / "hf"
    nclip("export", "--model", ours.model, "--format", "hf", "--out", folder)
    model, report = CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding="max_length", return_tensors="pt")
    pixels = CLIPImageProcessor.from_pretrained(folder)([Image.open(p) for p in paths], return_tensors="pt")
    with torch.no_grad():
        logits = model.eval()(**tokens, **pixels).logits_per_image
    check("transformers CLIPModel: logits", largest(logits, ours.logits), 1e-5)

    classify = pipeline("zero-shot-image-classification", model=str(folder), device="cpu",
                        image_processor=CLIPImageProcessor.from_pretrained(folder))
    (template, labels) = "a picture of a {}", WORDS + ["no circle"]
    texts = ours.encode_texts([template.format(label) for label in labels])
    expected = (ours.scale * ours.images @ texts.T).softmax(-1)
    worst = 0.0
    for path, row in zip(paths[:6], expected):
        for item in classify(Image.open(path), candidate_labels=labels, hypothesis_template=template):
            worst = max(worst, abs(item["score"] - float(row[labels.index(item["label"])])))
    check("transformers zero-shot-image-classification: probabilities", worst, 1e-5)


def check_text_models(ours, work):
    full = CLIPModel.from_pretrained(ours.model).eval()
    tokens = AutoTokenizer.from_pretrained(ours.model)(TEXTS, padding="max_length", return_tensors="pt")
    ends = (tokens.input_ids == 775).int().argmax(-1)
    raw = ours.encode_texts(TEXTS, "--raw")
    for name, kind in (("hf-text", CLIPTextModel), ("hf-text-projection", CLIPTextModelWithProjection)):
        folder = work / name
        nclip("export", "--model", ours.model, "--format", name, "--out", folder)
        model, report = kind.from_pretrained(folder, output_loading_info=True)
        assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
        with torch.no_grad():
            output = model.eval()(**tokens)
            expected = full.text_model(**tokens).last_hidden_state
        check(f"transformers {kind.__name__}: hidden states, same weights",
              largest(output.last_hidden_state, expected), 0)
        projected = full.text_projection(output.last_hidden_state[range(len(TEXTS)), ends]) \
            if kind is CLIPTextModel else output.text_embeds
        check(f"transformers {kind.__name__}: projected, against nclip encode --raw",
              largest(projected, raw), 1e-5)


# ---- open_clip, both ways ----


def open_clip_logits(model, preprocess, tokenizer, paths):
    pixels = torch.stack([preprocess(Image.open(path)) for path in paths])
    with torch.no_grad():
        image = model.encode_image(pixels, normalize=True)
        text = model.encode_text(tokenizer(TEXTS), normalize=True)
        return model.logit_scale.exp() * image @ text.T


def check_open_clip(ours, work, paths):
    import open_clip
    folder = work / "open_clip"
    nclip("export", "--model", ours.model, "--format", "open_clip", "--out", folder)
    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    logits = open_clip_logits(model.eval(), preprocess, tokenizer, paths)
    check("open_clip create_model_and_transforms: logits", largest(logits, ours.logits), 1e-5)

    # OpenAI's form: its readers round the weights to fp16 when they load them.
    half, back = work / "openai", work / "openai-back"
    nclip("export", "--model", ours.model, "--format", "openai", "--dtype", "fp16", "--out", half)
    nclip("import", half, "--out", back)
    state = load_file(half / "model.safetensors")
    if hasattr(open_clip.model, "build_model_from_openai_state_dict"):  # open_clip 4 has no such reader
        model = open_clip.model.build_model_from_openai_state_dict(state).float()
        logits = open_clip_logits(model, preprocess, tokenizer, paths)
        check("open_clip build_model_from_openai_state_dict: logits",
              largest(logits, Ours(back, work, paths).logits), 1e-5)

    # The other way, from models that open_clip made itself.
    for activation in ("gelu", "quick_gelu"):
        torch.manual_seed(5)
        config = dict(embed_dim=40, quick_gelu=activation == "quick_gelu",
                      vision_cfg=dict(image_size=32, layers=2, width=96, head_width=48, patch_size=8, mlp_ratio=2.5),
                      text_cfg=dict(context_length=77, vocab_size=776, width=64, heads=2, layers=2))
        model = open_clip.model.CLIP(**config).eval()
        for parameter in model.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        source, back = work / f"made-{activation}", work / f"imported-{activation}"
        source.mkdir()
        save_file(model.state_dict(), source / "open_clip_model.safetensors")
        (source / "open_clip_config.json").write_text(json.dumps(
            dict(model_cfg=config, preprocess_cfg=dict(mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.2],
                                                       interpolation="bilinear", resize_mode="squash"))))
        nclip("import", source, "--tokenizer", ours.model, "--out", back)
        _, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{source}")
        logits = open_clip_logits(model, preprocess, tokenizer, paths)
        check(f"open_clip's own model ({activation}), imported: logits", largest(logits, Ours(back, work, paths).logits), 1e-5)
        theirs = CLIPModel.from_pretrained(back).eval()
        with torch.no_grad():
            pixels = CLIPImageProcessor.from_pretrained(back)([Image.open(p) for p in paths], return_tensors="pt")
            tokens = AutoTokenizer.from_pretrained(back)(TEXTS, padding="max_length", return_tensors="pt")
            logits = logits - theirs(**tokens, **pixels).logits_per_image
        check(f"the same in transformers ({activation}): logits", float(logits.abs().max()), 1e-5)
        again = work / f"again-{activation}"
        nclip("export", "--model", back, "--format", "open_clip", "--out", again)
        after = load_file(again / "open_clip_model.safetensors")
        assert after.keys() == model.state_dict().keys()
        check(f"and back in open_clip's form ({activation}): tensors",
              max(largest(value, model.state_dict()[key]) for key, value in after.items()), 0)


# ---- diffusers ----


def tiny_parts(cross, **unet):
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    torch.manual_seed(7)
    common = dict(block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=32)
    return dict(
        unet=UNet2DConditionModel(sample_size=8, in_channels=4, out_channels=4, cross_attention_dim=cross,
                                  down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                                  up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **common, **unet),
        vae=AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
                          latent_channels=4, sample_size=16, **common),
        scheduler=DDIMScheduler())


def paint(pipe, prompt):
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(11)
    picture = pipe(prompt, num_inference_steps=2, height=16, width=16, guidance_scale=2.0,
                   generator=generator, output_type="np").images[0]
    assert picture.shape == (16, 16, 3) and np.isfinite(picture).all()
    return picture


def replace(pipe, kind, folder, encoders, ours):
    """Saves the pipeline, puts nclip's export in place of its text encoders, and loads it again."""
    pipe.save_pretrained(folder)
    for name, format_name in encoders.items():
        shutil.rmtree(folder / name)
        nclip("export", "--model", ours.model, "--format", format_name, "--out", folder / name)
    return kind.from_pretrained(folder)


def random_encoder(kind, ours):
    return kind(kind.config_class.from_pretrained(ours.model))


def check_diffusers(ours, work):
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
    tokenizer = AutoTokenizer.from_pretrained(ours.model)
    full = CLIPModel.from_pretrained(ours.model).eval()
    prompts = TEXTS[:2]
    tokens = tokenizer(prompts, padding="max_length", return_tensors="pt")
    ends = (tokens.input_ids == 775).int().argmax(-1)
    raw = ours.encode_texts(prompts, "--raw")
    with torch.no_grad():
        hidden = full.text_model(tokens.input_ids, output_hidden_states=True).hidden_states

    plain = StableDiffusionPipeline(text_encoder=random_encoder(CLIPTextModel, ours), tokenizer=tokenizer,
                                    safety_checker=None, feature_extractor=None,
                                    requires_safety_checker=False, **tiny_parts(64))
    before = paint(plain, prompts[0])
    pipe = replace(plain, StableDiffusionPipeline, work / "sd", {"text_encoder": "hf-text"}, ours)
    with torch.no_grad():
        embeds, _ = pipe.encode_prompt(prompts, "cpu", 1, False)
        check("diffusers StableDiffusionPipeline: prompts, against nclip encode --raw",
              largest(full.text_projection(embeds[range(2), ends]), raw), 1e-5)
    pictures = [paint(pipe, prompt) for prompt in prompts]
    assert np.abs(pictures[0] - before).max() > 1e-4, "the picture does not depend on the text encoder"
    assert np.abs(pictures[0] - pictures[1]).max() > 1e-5, "the picture does not depend on the prompt"

    plain = StableDiffusionXLPipeline(
        text_encoder=random_encoder(CLIPTextModel, ours), tokenizer=tokenizer,
        text_encoder_2=random_encoder(CLIPTextModelWithProjection, ours), tokenizer_2=tokenizer,
        add_watermarker=False,
        **tiny_parts(128, addition_embed_type="text_time", addition_time_embed_dim=8,
                     projection_class_embeddings_input_dim=6 * 8 + 48, transformer_layers_per_block=1))
    before = paint(plain, prompts[0])
    pipe = replace(plain, StableDiffusionXLPipeline, work / "sdxl",
                   {"text_encoder": "hf-text", "text_encoder_2": "hf-text-projection"}, ours)
    with torch.no_grad():
        embeds, _, pooled, _ = pipe.encode_prompt(prompts, device="cpu", do_classifier_free_guidance=False)
    check("diffusers StableDiffusionXLPipeline: pooled prompts, as nclip encode --raw", largest(pooled, raw), 1e-5)
    check("diffusers StableDiffusionXLPipeline: both encoders' hidden states, same weights",
          largest(embeds, torch.cat([hidden[-2], hidden[-2]], -1)), 0)
    pictures = [paint(pipe, prompt) for prompt in prompts]
    assert np.abs(pictures[0] - before).max() > 1e-4, "the picture does not depend on the text encoders"
    assert np.abs(pictures[0] - pictures[1]).max() > 1e-5, "the picture does not depend on the prompt"
    print("diffusers: both pipelines painted with nclip's text encoders")


# ---- CLIPSeg ----


def check_clipseg(ours, work, paths):
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation
    config = json.loads((ours.model / "config.json").read_text())
    torch.manual_seed(9)
    model = CLIPSegForImageSegmentation(CLIPSegConfig(
        text_config=config["text_config"], vision_config=config["vision_config"], projection_dim=48,
        extract_layers=[0, 1], reduce_dim=32, decoder_num_attention_heads=2, decoder_intermediate_size=64)).eval()
    state = load_file(work / "hf-text-projection" / "model.safetensors")
    report = model.load_state_dict({f"clip.{key}": value for key, value in state.items()}, strict=False)
    assert not report.unexpected_keys, report
    assert not [key for key in report.missing_keys if key.startswith(("clip.text_model", "clip.text_projection"))
                and "position_ids" not in key], report
    tokens = AutoTokenizer.from_pretrained(ours.model)(TEXTS, padding="max_length", return_tensors="pt")
    pixels = CLIPImageProcessor.from_pretrained(ours.model)([Image.open(paths[0])] * len(TEXTS), return_tensors="pt")
    with torch.no_grad():
        output = model(**tokens, **pixels)
    check("transformers CLIPSeg: phrases, against nclip encode --raw",
          largest(output.conditional_embeddings, ours.encode_texts(TEXTS, "--raw")), 1e-5)
    assert torch.isfinite(output.logits).all()
    assert float((output.logits[0] - output.logits[1]).abs().max()) > 1e-5, "the mask does not depend on the phrase"


# ---- clip-benchmark ----


def check_clip_benchmark(ours, work, paths):
    import open_clip
    from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    name = f"local-dir:{work / 'open_clip'}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()

    # Its own makes a float of an array with one element, which NumPy 2.5 refuses; the same otherwise.
    zeroshot_classification.accuracy = lambda output, target, topk: [
        float((output.topk(k, -1).indices == target[:, None]).sum()) / len(target) for k in topk]

    # Zero-shot: the mean of each class's normalised templates, normalised.
    templates = ["a picture of a {c} shape", "there is no {c} circle", "{c}"]
    data = ImageFolder(work / "pictures", preprocess)
    classes = data.classes
    theirs = zeroshot_classification.evaluate(model, DataLoader(data, batch_size=5), tokenizer, classes, templates,
                                              "cpu", amp=False)
    texts = ours.encode_texts([t.format(c=c) for c in classes for t in templates])
    means = texts.reshape(len(classes), len(templates), -1).mean(1)
    scores = ours.encode("--images", work / "pictures") @ (means / means.norm(dim=-1, keepdim=True)).T
    targets = torch.tensor(data.targets)
    right = scores.argmax(-1) == targets
    mean = float(np.mean([right[targets == c].double().mean() for c in range(len(classes))]))
    check("clip-benchmark zero-shot: top-1", abs(theirs["acc1"] - float(right.double().mean())), 0)
    check("clip-benchmark zero-shot: mean per class", abs(theirs["mean_per_class_recall"] - mean), 1e-12)
    print(f"    ({theirs['acc1']:.4f} of {len(data)} pictures, {len(classes)} classes)")
    if "zeroshot" in nclip("evaluate", "--help"):
        (work / "templates.txt").write_text("".join(t.format(c="{}") + "\n" for t in templates))
        result = json.loads(nclip("evaluate", "zeroshot", "--model", ours.model, "--images", work / "pictures",
                                  "--templates", work / "templates.txt", "--json"))
        check("clip-benchmark zero-shot, as nclip evaluate: top-1", abs(theirs["acc1"] - result["score"]), 1e-12)
        check("clip-benchmark zero-shot, as nclip evaluate: mean per class",
              abs(theirs["mean_per_class_recall"] - result["groups"]["mean per class"]["score"]), 1e-12)

    # Retrieval: several captions a picture.
    captions = [[f"a {w} {s}" for s in SHAPES[:1 + i % 3]] for i, w in enumerate(
        (WORDS * len(paths))[:len(paths)])]

    class Captioned(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return preprocess(Image.open(paths[index])), [f"{c} number {index}" for c in captions[index]]

    def collate(batch):
        return torch.stack([picture for picture, _ in batch]), [texts for _, texts in batch]

    theirs = zeroshot_retrieval.evaluate(model, DataLoader(Captioned(), batch_size=5, collate_fn=collate), tokenizer,
                                         "cpu", amp=False, recall_k_list=[5])
    flat = [(f"{c} number {i}", i) for i, group in enumerate(captions) for c in group]
    scores = ours.encode_texts([text for text, _ in flat]) @ ours.encode("--images", work / "pictures").T
    owner = torch.tensor([i for _, i in flat])
    found = (scores.topk(5, -1).indices == owner[:, None]).any(-1).double().mean()
    by_picture = (owner[scores.T.topk(5, -1).indices] == torch.arange(len(paths))[:, None]).any(-1).double().mean()
    check("clip-benchmark retrieval: text to image at 5", abs(theirs["image_retrieval_recall@5"] - float(found)), 1e-7)
    check("clip-benchmark retrieval: image to text at 5", abs(theirs["text_retrieval_recall@5"] - float(by_picture)), 1e-7)
    print(f"    ({float(found):.4f} and {float(by_picture):.4f})")


def main():
    work = pathlib.Path(tempfile.mkdtemp(prefix="nclip-dropin-"))
    try:
        model = work / "model"
        make_model(model)
        paths = make_pictures(work / "pictures")
        paths.sort(key=lambda path: str(path.relative_to(work / "pictures")))  # nclip's order
        ours = Ours(model, work, paths)
        parts = [((), lambda: check_transformers(ours, work, paths)),
                 ((), lambda: check_text_models(ours, work)),
                 (("open_clip",), lambda: check_open_clip(ours, work, paths)),
                 (("diffusers",), lambda: check_diffusers(ours, work)),
                 ((), lambda: check_clipseg(ours, work, paths)),
                 (("open_clip", "clip_benchmark", "torchvision"), lambda: check_clip_benchmark(ours, work, paths))]
        for packages, part in parts:
            if missing(*packages):
                print("SKIPPED a part: these Python packages are missing:", *missing(*packages))
            else:
                part()
    finally:
        shutil.rmtree(work)
    if FAILED:
        raise SystemExit(f"{len(FAILED)} of the checks failed")


main()
