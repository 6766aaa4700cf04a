"""Makes tests/checkpoints/open_clip/: tiny random models as open_clip makes and names them, with the
logits that open_clip computes for them in fp64.

    python3 tests/checkpoints/make_open_clip_golden.py

One with GELU in fp32, whose config leaves the pooling to the default, and one with QuickGELU in
fp16, another mlp and another epsilon, that ends captions at a token of its own. Token ids are those
of the quick start's tokenizer.
"""
import json
import pathlib
import shutil

import open_clip
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
TOKENIZER = HERE.parent.parent / "configs" / "quickstart" / "model"
TEXTS = ["a red circle", "a shape that is not red", "no triangle", ""]
CONTEXT = 20
MODELS = {
    "gelu": dict(text={}, vision={}, dtype=torch.float32),
    "quick_gelu": dict(text=dict(mlp_ratio=1.5, norm_kwargs=dict(eps=1e-4), pool_type="eos", eos_id=775),
                       vision=dict(mlp_ratio=2.7, norm_kwargs=dict(eps=1e-3)), dtype=torch.float16),
}


def main():
    shutil.rmtree(HERE / "open_clip", ignore_errors=True)
    for name, spec in MODELS.items():
        folder = HERE / "open_clip" / name
        folder.mkdir(parents=True)
        config = dict(
            embed_dim=24, quick_gelu=name == "quick_gelu",
            vision_cfg=dict(image_size=12, layers=1, width=40, head_width=40, patch_size=4, **spec["vision"]),
            text_cfg=dict(context_length=CONTEXT, vocab_size=776, width=32, heads=1, layers=2, **spec["text"]))
        torch.manual_seed(len(name))
        model = open_clip.model.CLIP(**config).eval()
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.data.add_(0.2 * torch.randn_like(parameter))
        state = {key: value.to(spec["dtype"]) for key, value in model.state_dict().items()}
        save_file(state, folder / "open_clip_model.safetensors")
        (folder / "open_clip_config.json").write_text(json.dumps(dict(model_cfg=config), indent=2) + "\n")
        # What is compared is what the file holds, computed in fp64.
        model.load_state_dict(state)
        model.double()
        model.attn_mask = model.attn_mask.double()
        tokens = AutoTokenizer.from_pretrained(TOKENIZER)(
            TEXTS, padding="max_length", max_length=CONTEXT, return_tensors="pt").input_ids
        pixels = torch.randn(3, 3, 12, 12)
        with torch.no_grad():
            image = model.encode_image(pixels.double(), normalize=True)
            text = model.encode_text(tokens, normalize=True)
            logits = model.logit_scale.exp() * image @ text.T
        save_file(dict(pixels=pixels, logits=logits.float()), folder / "golden.safetensors")
        print(name, logits.flatten().tolist()[:4])


main()
