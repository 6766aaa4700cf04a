#!/usr/bin/env python3
"""The peer of `nclip-bench train`: the same step in PyTorch, as people run it.

open_clip's text tower with random parameters (transformers' where there is no open_clip), picture
embeddings already cached, CLIP's loss, torch.optim.AdamW, gradient clipping at 1; autocast to bf16 or fp32 throughout.
Captions come as token ids from `nclip-bench train --tokens-out`, so both read the same, and
are padded to 77 tokens, which is what open_clip and transformers do. --trim pads only to the
longest caption of the batch, which no released script does, for comparison. Padding is done
before the clock runs. Several batch
sizes are tried and the fastest counts: larger ones would serve PyTorch no better. On a GPU the
model is compiled (torch.compile), and batches are padded to a multiple of 8 tokens when trimmed,
so that it is compiled once for each such length.

    python3 train_pytorch.py --tokens tokens.jsonl --precision bf16      (torch; open_clip_torch or transformers)
    python3 train_pytorch.py --tokens tokens.jsonl --device cuda --batches 512 --steps 50

Prints one JSON object.
"""
import argparse
import json
import os
import resource
import time

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--tokens", required=True)
parser.add_argument("--shape", default="ViT-L/14")
parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
parser.add_argument("--batches", default="16,64,128", help="batch sizes to try")
parser.add_argument("--steps", type=int, default=1, help="counted steps of each batch size")
parser.add_argument("--library", choices=("open_clip", "transformers"), help="whose model (default: what is there)")
parser.add_argument("--trim", action="store_true", help="pad to the longest caption of a batch only")
parser.add_argument("--device", default="cpu")
parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
arguments = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(arguments.threads)
captions = [json.loads(line) for line in open(arguments.tokens)]
CONTEXT, VOCABULARY = 77, 49408
width, layers = {"tiny": (64, 1), "ViT-B": (512, 12), "ViT-L": (768, 12)}[arguments.shape[:5].rstrip("/")]


def of_open_clip():
    from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg, __version__
    from open_clip.loss import ClipLoss
    from open_clip.transformer import text_global_pool
    model = CLIP(width, CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=32, image_size=32),
                 CLIPTextCfg(context_length=CONTEXT, vocab_size=VOCABULARY, width=width, heads=width // 64,
                             layers=layers))
    model.visual = None  # frozen and cached: it never runs

    def encode(tokens):
        """CLIP.encode_text, for any number of tokens."""
        length = tokens.shape[1]
        cast = model.transformer.get_cast_dtype()
        x = model.token_embedding(tokens).to(cast) + model.positional_embedding[:length].to(cast)
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        x = text_global_pool(x, tokens, model.text_pool_type, eos_token_id=getattr(model, "text_eos_id", None))
        return x @ model.text_projection

    return f"open_clip {__version__}", model, encode, ClipLoss()


def of_transformers():
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, __version__
    model = CLIPTextModelWithProjection(CLIPTextConfig(
        vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, hidden_size=width, intermediate_size=4 * width,
        num_hidden_layers=layers, num_attention_heads=width // 64, projection_dim=width, hidden_act="quick_gelu",
        bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1, pad_token_id=0, attn_implementation="sdpa"))
    model.logit_scale = torch.nn.Parameter(torch.tensor(2.6592))

    def encode(tokens):
        return model(input_ids=tokens).text_embeds

    def loss_of(pictures, text, scale):
        scores, target = scale * pictures @ text.T, torch.arange(len(text), device=text.device)
        return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2

    return f"transformers {__version__}", model, encode, loss_of


try:
    library, model, encode_text, loss_of = of_transformers() if arguments.library == "transformers" else of_open_clip()
except ImportError:
    if arguments.library:
        raise
    library, model, encode_text, loss_of = of_transformers()
model.train()
device, on_gpu = torch.device(arguments.device), arguments.device != "cpu"
model.to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.01, fused=True)


@torch.compile(disable=not on_gpu, dynamic=False)
def encode(tokens):
    return F.normalize(encode_text(tokens), dim=-1)


def padded(batch):
    length = max(map(len, batch)) if arguments.trim else CONTEXT
    if on_gpu:
        length = min(-(-length // 8) * 8, CONTEXT)
    tokens = torch.zeros(len(batch), length, dtype=torch.long)
    for row, ids in enumerate(batch):
        tokens[row, :len(ids)] = torch.tensor(ids)
    return tokens.pin_memory() if on_gpu else tokens


def step(tokens, pictures):
    tokens = tokens.to(device, non_blocking=True)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=arguments.precision == "bf16"):
        text = encode(tokens)
        loss = loss_of(pictures.to(text.dtype), text, model.logit_scale.exp())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def wait():
    if on_gpu:
        torch.cuda.synchronize()


tried = []
for size in map(int, arguments.batches.split(",")):
    if size * 2 > len(captions):
        continue
    pictures = F.normalize(torch.randn(size, width), dim=-1).to(device)
    batches = []
    for i in range(arguments.steps + 1):
        first = i * size % (len(captions) - size + 1)
        batches.append(padded(captions[first:first + size]))
    for tokens in batches if on_gpu else batches[:1]:  # compiling, allocations, oneDNN's programs
        step(tokens, pictures)
    wait()
    began = time.perf_counter()
    for tokens in batches[1:]:
        step(tokens, pictures)
    wait()
    seconds = time.perf_counter() - began
    tried.append({"batch": size, "captions_per_second": size * arguments.steps / seconds})

best = max(tried, key=lambda t: t["captions_per_second"])
print(json.dumps({
    "benchmark": "train", "program": f"PyTorch {torch.__version__}, {library}",
    "device": torch.cuda.get_device_name() if on_gpu else "cpu", "shape": arguments.shape, "precision": arguments.precision,
    "padding": "longest of the batch" if arguments.trim else "77 tokens", **best, "tried": tried,
    "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else
                  resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
