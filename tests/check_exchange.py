#!/usr/bin/env python3
"""Checks, with NumPy, Apache Arrow and faiss themselves, that nclip store import reads what they write,
and that they read what nclip store export writes.

    python3 tests/check_exchange.py [build/nclip]     (ctest: cli/store_peers, with $NCLIP_PYTHON)

Needs numpy (without it all is SKIPPED, exit code 77); without pyarrow, or where nclip was built without
Parquet, tables are JSON lines; without faiss and autofaiss the index is SKIPPED.
"""
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile


def there(package):
    return importlib.util.find_spec(package) is not None


if not there("numpy"):
    print("SKIPPED: the Python package numpy is missing")
    raise SystemExit(77)

import numpy as np

nclip = sys.argv[1] if len(sys.argv) > 1 else "build/nclip"
random = np.random.default_rng(7)
checked = []


def run(*arguments, fails=False):
    done = subprocess.run([nclip, *map(str, arguments)], capture_output=True, text=True)
    if (done.returncode != 0) != fails:
        raise SystemExit(f"nclip {' '.join(map(str, arguments))}: exit code {done.returncode}: {done.stderr}")
    return done


def rows(count, columns, dtype):
    values = random.standard_normal((count, columns))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(dtype)


def write_table(path, columns, parquet):
    if parquet:
        import pyarrow
        import pyarrow.parquet
        pyarrow.parquet.write_table(pyarrow.table(columns), f"{path}.parquet", row_group_size=37)
    else:
        names = list(columns)
        with open(f"{path}.jsonl", "w") as out:
            for values in zip(*columns.values()):
                out.write(json.dumps(dict(zip(names, values))) + "\n")


def read_table(folder, parquet):
    keys, captions = [], []
    for path in sorted((folder / "metadata").iterdir()):
        if parquet:
            import pyarrow.parquet
            table = pyarrow.parquet.read_table(path).to_pydict()
            keys += table["image_path"]
            captions += table["caption"]
        else:
            for line in path.read_text().splitlines():
                row = json.loads(line)
                keys.append(row["image_path"])
                captions.append(row["caption"])
    return keys, captions


def layout(folder, dtype, parquet, padded):
    """Three files as clip-retrieval writes them; returns what is in them."""
    parts, keys, captions = [], [], []
    for number, count in enumerate((101, 7, 64)):
        name = f"{number:04d}" if padded else str(number)
        for sub in ("img_emb", "text_emb", "metadata"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        parts.append(rows(count, 48, dtype))
        keys.append([f"{number:05d}{i:04d}" for i in range(count)])
        captions.append([None if i % 10 == 3 else f"a photo of \"{i}\" caf\u00e9s" for i in range(count)])
        np.save(folder / "img_emb" / f"img_emb_{name}.npy", parts[-1])
        np.save(folder / "text_emb" / f"text_emb_{name}.npy", parts[-1])
        write_table(folder / "metadata" / f"metadata_{name}",
                    {"image_path": keys[-1], "caption": captions[-1], "NSFW": ["UNLIKELY"] * count,
                     "similarity": [0.25] * count}, parquet)
    return np.concatenate(parts), sum(keys, []), sum(captions, [])


def check(folder, dtype, parquet, padded, *options):
    source, store, out = folder / "laion", folder / "store", folder / "out"
    values, keys, captions = layout(source, dtype, parquet, padded)
    run("store", "import", source, "--made-by", "numpy", "--captions-out", folder / "c.jsonl", "--out", store,
        *options)
    lines = [json.loads(line) for line in (folder / "c.jsonl").read_text().splitlines()]
    assert [(line["image"], line["caption"]) for line in lines] == \
        [(k, c) for k, c in zip(keys, captions) if c is not None], "captions"
    run("store", "export", store, "--out", out, "--rows-per-file", 50, "--captions", folder / "c.jsonl",
        "--type", "fp16" if dtype == "float16" else "fp32", "--metadata", "parquet" if parquet else "jsonl")
    back = np.concatenate([np.load(path) for path in sorted((out / "img_emb").iterdir())])
    assert back.dtype == values.dtype and np.array_equal(back, values), "rows"
    got = read_table(out, parquet)
    assert got == (keys, captions), "keys and captions"
    checked.append(f"{dtype}, {'Parquet' if parquet else 'JSON lines'}{', ' + options[0] if options else ''}: "
                   f"{len(keys)} rows, keys and captions there and back")
    return out, values


def check_dictionary(folder):
    """Columns as pandas' categories and as numbers."""
    import pyarrow
    import pyarrow.parquet
    values = rows(5, 8, "float32")
    np.save(folder / "x.npy", values)
    table = pyarrow.table({"image_path": pyarrow.array(["a", "b", "c", "d", "e"]).dictionary_encode(),
                           "key": pyarrow.array([10, 11, 12, 13, 14], pyarrow.int64())})
    pyarrow.parquet.write_table(table, folder / "x.parquet")
    for column in ("image_path", "key"):
        store = folder / f"store-{column}"
        run("store", "import", folder / "x.npy", "--keys", folder / "x.parquet", "--key-column", column,
            "--made-by", "x", "--out", store)
        run("store", "export", store, "--out", folder / f"out-{column}")
        keys = [json.loads(line)["image_path"] for line in
                (folder / f"out-{column}" / "metadata" / "metadata_0000.jsonl").read_text().splitlines()]
        assert keys == [str(value) for value in table[column].to_pylist()], keys
    checked.append("columns of categories and of numbers")


def check_faiss(out, values):
    import faiss
    index = faiss.IndexFlatIP(values.shape[1])
    index.add(np.concatenate([np.load(p) for p in sorted((out / "img_emb").iterdir())]).astype("float32"))
    _, nearest = index.search(values[:10].astype("float32"), 1)
    assert nearest[:, 0].tolist() == list(range(10))
    checked.append("faiss finds each row under its number")


with tempfile.TemporaryDirectory() as name:
    top = pathlib.Path(name)
    probe = run("store", "export", "--help").stdout
    np.save(top / "probe.npy", rows(2, 4, "float32"))
    (top / "probe.txt").write_text("a\nb\n")
    run("store", "import", top / "probe.npy", "--keys", top / "probe.txt", "--made-by", "x", "--out", top / "p")
    built = subprocess.run([nclip, "store", "export", top / "p", "--out", top / "pp", "--metadata", "parquet"],
                           capture_output=True).returncode == 0
    parquet = there("pyarrow") and built
    if not parquet:
        print("SKIPPED: Parquet:", "nclip was built without it" if there("pyarrow") else "pyarrow is missing")
    for number, (dtype, with_parquet, padded, options) in enumerate((
            ("float16", parquet, True, ()), ("float32", False, False, ()), ("float16", parquet, False, ("--link",)))):
        folder = top / str(number)
        folder.mkdir()
        out, values = check(folder, dtype, with_parquet, padded, *options)
    if parquet:
        check_dictionary(top)
    if there("faiss"):
        check_faiss(out, values)
    else:
        print("SKIPPED: faiss is missing")
    fortran = top / "fortran.npy"
    np.save(fortran, np.asfortranarray(rows(3, 4, "float32")))
    assert "Fortran" in run("store", "import", fortran, "--made-by", "x", "--key-column", "row", "--out", top / "f",
                            fails=True).stderr
for line in checked:
    print(line)
