"""Golden values for reading and writing CLIP folders, made by transformers and open_clip.

    python make_model_golden.py                    writes the files beside this script
    python make_model_golden.py --check PROGRAM    PROGRAM is the built test golden_model_folder:
        it loads each folder and saves it again in each type; transformers must load what
        it saved, with the same values.

golden_model/<folder>/      tiny random CLIPs as transformers saves them
golden_model_tensors.txt    folder, tensor, elements, CRC-32 of its values as fp32
golden_parameters.txt       tensor, shape, name in OpenAI's state dict, third of it, transposed
golden_model_configs.json   configs and what transformers understands by them
"""
import argparse
import json
import os
import shutil
import subprocess
import tempfile
import zlib

import open_clip
import torch
from transformers import CLIPConfig, CLIPModel

HERE = os.path.dirname(os.path.abspath(__file__))
# Sizes that differ from one another wherever they can; 11 is no multiple of 4.
TEXT = dict(hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=1,
            vocab_size=60, max_position_embeddings=14, bos_token_id=58, eos_token_id=59,
            pad_token_id=59)
VISION = dict(hidden_size=40, intermediate_size=28, num_hidden_layers=1, num_attention_heads=1,
              image_size=11, patch_size=4)


def random_model(seed):
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=24))
    for value in model.parameters():
        value.data.normal_(0, 0.2)
    return model.eval()


def write_folders():
    root = os.path.join(HERE, "golden_model")
    shutil.rmtree(root, ignore_errors=True)
    lines = []
    for name, dtype, shard in (("fp32", torch.float32, None), ("fp16", torch.float16, None),
                               ("sharded-bf16", torch.bfloat16, "16KB")):
        model = random_model(len(name)).to(dtype)
        folder = os.path.join(root, name)
        model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        for file in os.listdir(folder):
            os.chmod(os.path.join(folder, file), 0o644)
        loaded = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        for key, value in loaded.state_dict().items():
            data = value.contiguous().numpy().tobytes()
            lines.append(f"{name} {key} {value.numel()} {zlib.crc32(data):08x}\n")
    with open(os.path.join(HERE, "golden_model_tensors.txt"), "w") as file:
        file.writelines(lines)


def openai_name(name):
    """Name in OpenAI's state dict, third of it or -1, transposed or not."""
    vision = name.startswith("vis")
    for old, new in (("text_model.", ""), ("vision_model.", "visual."),
                     ("encoder.layers.", "transformer.resblocks."),
                     ("embeddings.token_embedding", "token_embedding"),
                     ("embeddings.position_embedding.weight", "positional_embedding"),
                     ("embeddings.class_embedding", "class_embedding"),
                     ("embeddings.patch_embedding", "conv1"), ("pre_layrnorm", "ln_pre"),
                     ("post_layernorm", "ln_post"), ("final_layer_norm", "ln_final"),
                     ("layer_norm", "ln_"), ("self_attn", "attn"), ("fc1", "c_fc"),
                     ("fc2", "c_proj"), ("text_projection.weight", "text_projection"),
                     ("visual_projection.weight", "visual.proj")):
        name = name.replace(old, new)
    for third, letter in enumerate("qkv"):
        if f".{letter}_proj." in name:
            return name.replace(f".{letter}_proj.", ".in_proj_"), third, False
    return name, -1, name == "text_projection" or (vision and name == "visual.proj")


def write_parameters():
    """The two ways of naming, proven by equal features of the two implementations."""
    text = dict(TEXT, intermediate_size=4 * 32)
    vision = dict(VISION, intermediate_size=4 * 40, image_size=12)
    torch.manual_seed(7)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    other = open_clip.model.CLIP(
        embed_dim=24, quick_gelu=True,
        vision_cfg=dict(layers=1, width=40, head_width=40, patch_size=4, image_size=12),
        text_cfg=dict(context_length=14, vocab_size=60, width=32, heads=1, layers=2)).eval()
    state = {key: torch.full_like(value, float("nan")) for key, value in other.state_dict().items()}
    lines = []
    for key, value in model.state_dict().items():
        if key != "logit_scale":
            value.normal_(0, 0.1)
        target, third, transposed = openai_name(key)
        place = state[target] if third < 0 else state[target].chunk(3)[third]
        place.copy_(value.T if transposed else value)
        shape = "x".join(map(str, value.shape)) or "1"
        lines.append(f"{key} {shape} {target} {third} {int(transposed)}\n")
    other.load_state_dict(state)
    tokens = torch.randint(0, 58, (5, 14))
    tokens[:, -1] = 59
    pixels = torch.randn(5, 3, 12, 12)
    with torch.no_grad():
        pairs = ((model(input_ids=tokens, pixel_values=pixels).text_embeds,
                  other.encode_text(tokens, normalize=True)),
                 (model(input_ids=tokens, pixel_values=pixels).image_embeds,
                  other.encode_image(pixels, normalize=True)))
    for ours, theirs in pairs:
        assert (ours - theirs).abs().max() < 1e-5, (ours - theirs).abs().max()
    with open(os.path.join(HERE, "golden_parameters.txt"), "w") as file:
        file.writelines(lines)


def config_cases():
    yield "defaults", {}
    yield "empty sections", {"text_config": {}, "vision_config": {}}
    yield "null sections", {"text_config": None, "vision_config": None, "text_config_dict": None,
                            "vision_config_dict": None}
    # The layout of openai/clip-vit-large-patch14: `text_config` says eos_token_id 2, but
    # `text_config_dict`, completed by the defaults, goes before it.
    yield "old large", {
        "model_type": "clip", "projection_dim": 768, "logit_scale_init_value": 2.6592,
        "text_config": {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
                        "num_hidden_layers": 12, "eos_token_id": 2, "hidden_act": "gelu"},
        "text_config_dict": {"hidden_size": 768, "intermediate_size": 3072,
                             "num_attention_heads": 12, "num_hidden_layers": 12,
                             "projection_dim": 768},
        "vision_config": {"image_size": 336, "layer_norm_eps": 1e-6},
        "vision_config_dict": {"hidden_size": 1024, "intermediate_size": 4096,
                               "num_attention_heads": 16, "num_hidden_layers": 24,
                               "patch_size": 14, "projection_dim": 768}}
    # openai/clip-vit-base-patch32
    yield "base", {"projection_dim": 512, "text_config_dict": None,
                   "text_config": {"eos_token_id": 2, "bos_token_id": 0},
                   "vision_config": {"patch_size": 32}, "vision_config_dict": None}
    yield "one dict", {"text_config": {"hidden_size": 640, "num_attention_heads": 10},
                       "vision_config_dict": {"patch_size": 16}, "vision_config": {"patch_size": 14}}
    yield "other", {"projection_dim": 1024, "logit_scale_init_value": 4.0,
                    "text_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-6,
                                    "vocab_size": 50000, "max_position_embeddings": 64,
                                    "eos_token_id": 49999, "projection_dim": 7},
                    "vision_config": {"hidden_act": "gelu", "image_size": 225, "patch_size": 14,
                                      "hidden_size": 1280, "num_attention_heads": 16}}


def write_configs():
    cases = []
    for name, config in config_cases():
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "config.json"), "w") as file:
                json.dump(config, file)
            read = CLIPConfig.from_pretrained(folder)
        keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                "hidden_act", "layer_norm_eps")
        expected = {
            "text": {key: getattr(read.text_config, key)
                     for key in keys + ("vocab_size", "max_position_embeddings", "eos_token_id")},
            "vision": {key: getattr(read.vision_config, key)
                       for key in keys + ("image_size", "patch_size", "num_channels")},
            "projection_dim": read.projection_dim,
            "logit_scale_init_value": read.logit_scale_init_value}
        cases.append({"name": name, "config": config, "expected": expected})
    with open(os.path.join(HERE, "golden_model_configs.json"), "w") as file:
        json.dump(cases, file, indent=1)
        file.write("\n")


def check(program):
    """PROGRAM saves <type> of each golden folder at $NCLIP_SAVE_TO/<folder>-<type>."""
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([os.path.abspath(program)], check=True, cwd=os.path.dirname(HERE),
                       env=dict(os.environ, NCLIP_SAVE_TO=out), stdout=subprocess.DEVNULL)
        compared = 0
        for name in sorted(os.listdir(os.path.join(HERE, "golden_model"))):
            source = CLIPModel.from_pretrained(os.path.join(HERE, "golden_model", name),
                                               dtype=torch.float32).state_dict()
            for suffix, dtype in types.items():
                saved, report = CLIPModel.from_pretrained(os.path.join(out, f"{name}-{suffix}"),
                                                          output_loading_info=True)
                assert not any(report[key] for key in ("missing_keys", "unexpected_keys",
                                                       "mismatched_keys")), report
                for key, value in saved.state_dict().items():
                    expected = source[key]
                    if not key.startswith("vis"):
                        expected = expected.to(dtype)
                    assert torch.equal(value.float(), expected.float()), (name, suffix, key)
                    compared += 1
    print(f"{compared} tensors equal after nclip saved them and transformers loaded them")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", metavar="PROGRAM")
    program = parser.parse_args().check
    if program:
        check(program)
    else:
        write_folders()
        write_parameters()
        write_configs()
