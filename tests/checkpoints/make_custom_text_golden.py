"""Makes tests/checkpoints/custom_text/: a text tower as open_clip's CustomTextCLIP names it, beside
a vision tower of timm's (of which a few tensors stand for all), and what open_clip computes of token
ids: golden.safetensors with "features" [3, 24], L2-normalised, in fp32; ids.jsonl.

    python3 tests/checkpoints/make_custom_text_golden.py        (torch, open_clip_torch, safetensors)
"""
import json
import os

import torch
from open_clip.model import CustomTextCLIP
from safetensors.torch import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "custom_text")
CONFIG = dict(embed_dim=24,
              vision_cfg=dict(timm_model_name="convnext_atto", timm_model_pretrained=False,
                              timm_pool="", timm_proj="linear", image_size=64),
              text_cfg=dict(context_length=32, vocab_size=300, width=32, heads=1, layers=2))


def main():
    torch.manual_seed(0)
    model = CustomTextCLIP(**CONFIG).eval()
    for name, value in model.named_parameters():
        if name.startswith("text.") and value.dim() == 1:
            torch.nn.init.normal_(value, 1.0 if name.endswith("weight") else 0.0, 0.2)
    weights = {k: v for k, v in model.state_dict().items()
               if not k.startswith("visual.") or v.numel() < 100}
    torch.save({"epoch": 1, "state_dict": weights}, os.path.join(HERE, "open_clip_pytorch_model.bin"))
    with open(os.path.join(HERE, "open_clip_config.json"), "w") as out:
        json.dump({"model_cfg": dict(CONFIG, custom_text=True), "preprocess_cfg": {}}, out, indent=2)
        out.write("\n")
    captions = [[298, 5, 6, 7, 299], [298, 9, 299], [298] + list(range(1, 31)) + [299]]
    ids = torch.zeros(len(captions), 32, dtype=torch.long)
    for row, caption in zip(ids, captions):
        row[:len(caption)] = torch.tensor(caption)
    with torch.no_grad():
        features = model.encode_text(ids, normalize=True)
    save_file({"features": features.contiguous()}, os.path.join(HERE, "golden.safetensors"))
    with open(os.path.join(HERE, "ids.jsonl"), "w") as out:
        out.writelines(json.dumps(caption) + "\n" for caption in captions)


main()
