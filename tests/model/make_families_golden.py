"""Makes tests/model/families/: tiny random models of every family of text towers, with the features
and every gradient that transformers and open_clip compute for them in fp64.

    python3 tests/model/make_families_golden.py     (torch, transformers, open_clip_torch, safetensors)

Each folder is what those libraries save: config.json with model.safetensors (transformers), or
open_clip_config.json with open_clip_model.safetensors. Weights are stored as bf16, which every
precision holds. golden.safetensors: "features" [captions, dim], L2-normalised; "direction", the same
shape; "gradient.NAME" of sum(features * direction), NAME as in nclip's table. captions.json: ids
without padding. Of vision towers that nclip does not compute a few tensors stand for all.
"""
import json
import pathlib

import torch
import transformers
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "families"

CAPTIONS = [  # 48 starts, 49 ends, 2 ends too; ragged, one caption twice
    [48, 5, 6, 7, 49],
    [48, 5, 6, 8, 9, 10, 11, 49],
    [48, 49],
    [48, 5, 6, 7, 49],
    [48, 0, 47, 3, 4, 1, 20, 30, 31, 32, 33, 34, 35, 36, 37, 49],
    [48, 12, 13, 14, 15, 16, 49],
]


def tower(width, heads, mlp, **more):
    return dict(hidden_size=width, num_attention_heads=heads, intermediate_size=mlp,
                num_hidden_layers=2, **more)


TEXT = dict(vocab_size=50, max_position_embeddings=16, bos_token_id=48, eos_token_id=49)
SMALL = tower(32, 1, 64)


def siglip():
    config = transformers.SiglipConfig(
        text_config=dict(tower(72, 1, 80), **TEXT, projection_size=24, pad_token_id=1),
        vision_config=dict(tower(24, 1, 32), image_size=16, patch_size=8))
    return transformers.SiglipModel(config)


def siglip2():
    config = transformers.Siglip2Config(
        text_config=dict(tower(64, 2, 80), **TEXT, pad_token_id=0),
        vision_config=dict(tower(64, 2, 32), num_patches=4, patch_size=8))
    return transformers.Siglip2Model(config)


def metaclip_2():
    text = dict(SMALL, **dict(TEXT, eos_token_id=2), hidden_act="gelu", pad_token_id=1)
    config = transformers.MetaClip2Config(text_config=text, projection_dim=24,
                                          vision_config=dict(SMALL, image_size=16, patch_size=8))
    return transformers.MetaClip2Model(config)


def long_context():
    """As LongCLIP's weights are kept by transformers' users."""
    text = dict(SMALL, **dict(TEXT, max_position_embeddings=248), pad_token_id=0)
    config = transformers.CLIPConfig(text_config=text, projection_dim=24,
                                     vision_config=dict(SMALL, image_size=16, patch_size=8))
    return transformers.CLIPModel(config)


TIMM = dict(timm_model_name="convnext_atto", timm_model_pretrained=False, timm_pool="",
            timm_proj="linear", image_size=64)
VIT = dict(image_size=16, layers=1, width=64, patch_size=8)
OPEN_TEXT = dict(context_length=16, vocab_size=50, width=32, heads=1, layers=2)
OPEN_CLIP = {
    "open_clip_siglip2": dict(custom_text=True, init_logit_bias=-10, vision_cfg=TIMM, text_cfg=dict(
        OPEN_TEXT, no_causal_mask=True, proj_bias=True, pool_type="last", mlp_ratio=3.7362,
        norm_kwargs={"eps": 1e-6}, act_kwargs={"approximate": "tanh"})),
    "mobileclip_s": dict(custom_text=True, vision_cfg=TIMM,
                         text_cfg=dict(OPEN_TEXT, no_causal_mask=True)),
    "pe_core": dict(custom_text=True, vision_cfg=TIMM, text_cfg=dict(OPEN_TEXT, context_length=32)),
    "clipa": dict(vision_cfg=dict(VIT, pool_type="avg", final_ln_after_pool=True), text_cfg=dict(
        OPEN_TEXT, no_causal_mask=True, pool_type="last")),
    "worldwide": dict(vision_cfg=VIT, quick_gelu=True,
                      text_cfg=dict(OPEN_TEXT, pool_type="eos", eos_id=2)),
    "longclip": dict(vision_cfg=VIT, quick_gelu=True, text_cfg=dict(OPEN_TEXT, context_length=32)),
}


def unmasked_padding():
    """A tower of open_clip's that leaves padding out (use_pad_mask), which no config of its asks for."""
    config = dict(OPEN_TEXT, no_causal_mask=True, pool_type="eos", eos_id=49)
    model = CustomTextCLIP(embed_dim=24, vision_cfg=TIMM, text_cfg=config)
    model.text.use_pad_mask = True
    return model


def randomize(model):
    torch.manual_seed(7)
    for name, value in model.named_parameters():
        if name.startswith(("vision_model.", "visual.")) and value.ndim < 2:
            continue
        with torch.no_grad():
            if name in ("logit_scale", "logit_bias"):
                value.fill_(2.5 if name == "logit_scale" else -8)
            elif value.ndim < 2:  # norms and biases start at one and zero
                value.add_(0.2 * torch.randn_like(value))
            else:
                value.copy_(torch.randn_like(value) * (2.0 / value.shape[-1]) ** 0.5)
            value.copy_(value.bfloat16())
    return model.double().eval()


def gradients(name, gradient, projection_bias):
    """By nclip's names: open_clip's are split and transposed."""
    if not name.startswith(("text_model.", "text_projection.")) or name == "text_projection.bias":
        name = name.removeprefix("text.")
        fixed = {"token_embedding.weight": "text_model.embeddings.token_embedding.weight",
                 "positional_embedding": "text_model.embeddings.position_embedding.weight",
                 "ln_final.weight": "text_model.final_layer_norm.weight",
                 "ln_final.bias": "text_model.final_layer_norm.bias"}
        head = "text_model.head." if projection_bias else "text_projection."
        if name == "text_projection":
            return {head + "weight": gradient.T}
        if name.startswith("text_projection."):
            return {head + name.split(".")[1]: gradient}
        if name in fixed:
            return {fixed[name]: gradient}
        block, rest = name.removeprefix("transformer.resblocks.").split(".", 1)
        block = f"text_model.encoder.layers.{block}."
        if rest.startswith("attn.in_proj_"):
            kind = rest.removeprefix("attn.in_proj_")
            return {f"{block}self_attn.{part}_proj.{kind}": third
                    for part, third in zip("qkv", gradient.chunk(3))}
        names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj",
                 "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
        layer, kind = rest.rsplit(".", 1)
        return {f"{block}{names[layer]}.{kind}": gradient}
    if name.startswith("text_projection.") and projection_bias:
        name = "text_model.head." + name.split(".")[1]
    return {name: gradient}


def write(name, model, context, pad, captions, encode, save, mask=False):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    randomize(model)
    ids = torch.tensor([c + [pad] * (context - len(c)) for c in captions])
    features = torch.nn.functional.normalize(encode(model, ids), dim=-1)
    direction = torch.randn(features.shape, generator=torch.Generator().manual_seed(3)).float()
    (features * direction.double()).sum().backward()
    values = {"features": features.detach(), "direction": direction}
    bias = any(n.endswith(("head.bias", "text_projection.bias")) for n, _ in model.named_parameters())
    for parameter, value in model.named_parameters():
        if value.grad is not None:
            for ours, gradient in gradients(parameter, value.grad, bias).items():
                values["gradient." + ours] = gradient
    save_file({k: v.float().contiguous() for k, v in values.items()}, folder / "golden.safetensors")
    (folder / "captions.json").write_text(json.dumps(captions) + "\n")
    save(model.bfloat16(), folder)
    print(name, sum(f.stat().st_size for f in folder.iterdir()))


def save_transformers(model, folder):
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def text_features(model, ids):
    output = model.get_text_features(input_ids=ids)
    return output if torch.is_tensor(output) else output.pooler_output


def save_open_clip(config):
    def save(model, folder):
        weights = {k: v.contiguous() for k, v in model.state_dict().items()
                   if not k.startswith("visual.") or v.numel() < 100 or "timm_model_name" not in config["vision_cfg"]}
        if folder.name == "longclip":  # the first 20 positions are read of one table, the rest of another
            table = weights["positional_embedding"]
            weights["positional_embedding_res"] = torch.cat([torch.randn_like(table[:20]), table[20:]])
            weights["positional_embedding"] = torch.cat([table[:20], torch.randn_like(table[20:])])
        save_file(weights, folder / "open_clip_model.safetensors")
        written = {"model_cfg": dict(config, embed_dim=24), "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(written, indent=2) + "\n")
    return save


def save_own(model, folder):
    """nclip's own form, for what no family can say."""
    rows = {}
    for name, value in model.state_dict().items():
        if name.startswith("text."):
            rows.update(gradients(name, value, False))
    rows["logit_scale"] = model.logit_scale.reshape(())
    save_file({k: v.contiguous() for k, v in rows.items()}, folder / "model.safetensors")
    config = dict(SMALL, intermediate_size=128, **TEXT, model_type="nclip_text_model", hidden_act="gelu",
                  pad_token_id=0, projection_dim=24, mask="padding", pooling="first")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def main():
    torch.manual_seed(1)
    ends_with_2 = [[2 if i == 49 else 20 if i == 2 else i for i in c] for c in CAPTIONS]
    write("siglip", siglip(), 16, 1, CAPTIONS, text_features, save_transformers)
    write("siglip2", siglip2(), 16, 0, CAPTIONS, text_features, save_transformers)
    write("metaclip_2", metaclip_2(), 16, 1, ends_with_2, text_features, save_transformers)
    write("long_context", long_context(), 248, 0,
          CAPTIONS + [[48] + [(7 * i) % 47 for i in range(246)] + [49]], text_features,
          save_transformers)
    for name, config in OPEN_CLIP.items():
        custom = config.get("custom_text")
        arguments = {k: v for k, v in config.items() if k != "custom_text"}
        model = (CustomTextCLIP if custom else CLIP)(embed_dim=24, **arguments)
        captions = ends_with_2 if name == "worldwide" else CAPTIONS
        if name == "longclip":
            captions = CAPTIONS + [[48] + list(range(1, 28)) + [49]]
        write(name, model, config["text_cfg"]["context_length"], 0, captions,
              lambda m, ids: m.encode_text(ids), save_open_clip(config))
    captions = [[i or 20 for i in c] for c in CAPTIONS]  # 0 pads, and only pads
    write("unmasked_padding", unmasked_padding(), 16, 0, captions, lambda m, ids: m.encode_text(ids),
          save_own)


main()
