"""Makes tests/pictures/images/: small pictures of many kinds, and what PIL and transformers
make of them. Needs numpy, Pillow and transformers; run it in tests/data:

    python3 make_image_golden.py

images/golden.json lists the cases; images/golden.bin.gz holds the expected bytes, case
after case: 8-bit RGB [height, width, 3] for "decode" and "resize", fp32 [3, size, size]
for "preprocess". A "decode" with "damage" is of a file that PIL reads although that is wrong with
it; one with "transparency" is put on white as transformers 5 does it. Made with Pillow 13.0.0
(libjpeg-turbo 3.2.0, libwebp 1.6.0) and transformers 5.23.0.
"""

import gzip
import io
import json
import os
import struct
import zlib

import numpy as np
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

OUT = "images"
rng = np.random.default_rng(20251)
cases, blob = [], bytearray()


def picture(height, width):
    """Smooth colours with edges and a little noise, as photographs have them."""
    small = rng.integers(0, 256, (height // 6 + 2, width // 6 + 2, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(small).resize((width, height), Image.BICUBIC)).astype(int)
    image[height // 3 :, : width // 2] = 255 - image[height // 3 :, : width // 2]
    image += rng.integers(-6, 7, image.shape)
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def write(name, data):
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(data)


def expect(case, array):
    case["bytes"] = array.nbytes
    cases.append(case)
    blob.extend(array.tobytes())


def opened(name):
    # No tRNS left: recent transformers would put the picture on white.
    image = Image.open(os.path.join(OUT, name)).convert("RGB")
    image.info.pop("transparency", None)
    return image


def decode(name, damage=None):
    image = np.array(opened(name))
    case = {"kind": "decode", "file": name, "width": image.shape[1], "height": image.shape[0]}
    expect(case | {"damage": damage} if damage else case, image)


def jpeg(name, image, sampling=None, **options):
    """`sampling` is the first component's byte of factors, written over what PIL chose:
    PIL cannot make all of them itself. The number of blocks must stay right."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    data = bytearray(buffer.getvalue())
    if sampling:
        frame = data.find(b"\xff\xc0")
        data[frame + 11] = sampling
    write(name, bytes(data))
    decode(name)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bytes(width, height, depth, color, rows, interlace=0, extra=b""):
    """A PNG from rows of packed samples, each row with filter type 0."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    data = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))


def png(name, image, **options):
    image.save(os.path.join(OUT, name), "PNG", **options)
    decode(name)


def make_pictures():
    p = picture(37, 50)
    jpeg("444.jpg", p, quality=90, subsampling=0)
    jpeg("422.jpg", p, quality=85, subsampling=1)
    jpeg("420.jpg", p, quality=75, subsampling=2)
    jpeg("420_low.jpg", picture(33, 47), quality=20, subsampling=2, optimize=True)
    jpeg("420_even.jpg", picture(32, 48), quality=95, subsampling=2)
    jpeg("440.jpg", picture(32, 64), quality=85, subsampling=1, sampling=0x12)
    jpeg("411.jpg", picture(32, 64), quality=85, subsampling=2, sampling=0x41)
    jpeg("noise_422.jpg", Image.fromarray(rng.integers(0, 256, (17, 29, 3), dtype=np.uint8)),
         quality=92, subsampling=1)
    jpeg("progressive.jpg", picture(41, 35), quality=80, subsampling=2, progressive=True)
    jpeg("progressive_444.jpg", picture(20, 25), quality=95, subsampling=0, progressive=True)
    jpeg("restart.jpg", picture(30, 40), quality=80, subsampling=2, restart_marker_blocks=2)
    jpeg("progressive_restart.jpg", picture(30, 40), quality=80, progressive=True,
         restart_marker_rows=1)
    jpeg("grey.jpg", picture(29, 31).convert("L"), quality=85)
    jpeg("cmyk.jpg", picture(24, 26).convert("CMYK"), quality=85)
    jpeg("rgb.jpg", picture(19, 22), quality=85, keep_rgb=True)
    for width, height in ((1, 1), (1, 17), (17, 1), (2, 2), (3, 3), (5, 4)):
        jpeg(f"{width}x{height}.jpg", picture(height, width), quality=85, subsampling=2)

    q = picture(21, 27)
    png("rgb.png", q)
    png("grey.png", q.convert("L"))
    png("bit.png", q.convert("1"))
    png("palette256.png", q.quantize(256))
    png("palette5.png", q.quantize(5))
    png("palette_alpha.png", q.quantize(7), transparency=bytes([0, 90, 255]))
    png("grey_key.png", q.convert("L"), transparency=17)
    alpha = Image.fromarray(rng.integers(0, 256, (21, 27), dtype=np.uint8))
    rgba = q.copy()
    rgba.putalpha(alpha)
    png("rgba.png", rgba)
    png("grey_alpha.png", rgba.convert("LA"))
    png("grey16.png", Image.fromarray(rng.integers(0, 400, (9, 13), dtype=np.uint16)))
    wide = rng.integers(0, 65536, (7, 11, 3), dtype=np.uint16)
    write("rgb16.png", png_bytes(11, 7, 16, 2, [row.astype(">u2").tobytes() for row in wide]))
    decode("rgb16.png")
    # Adam7 by hand: PIL reads it but does not write it.
    pixels, rows = np.array(picture(13, 18)), []
    for x, y, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                         (1, 0, 2, 2), (0, 1, 1, 2)):
        rows += [row.tobytes() for row in pixels[y::dy, x::dx] if row.size]
    write("interlaced.png", png_bytes(18, 13, 8, 2, rows, interlace=1))
    decode("interlaced.png")


def make_resizes():
    for name, width, height, filters in (
        ("444.jpg", 23, 17, (1, 2, 3)), ("444.jpg", 7, 5, (1, 2, 3)), ("444.jpg", 101, 74, (3,)),
        ("444.jpg", 50, 12, (3,)), ("444.jpg", 13, 37, (3,)), ("444.jpg", 50, 37, (3,)),
        ("noise_422.jpg", 12, 7, (1, 2, 3)), ("noise_422.jpg", 40, 40, (1, 3)),
        ("1x1.jpg", 9, 6, (1, 2, 3)), ("1x17.jpg", 4, 20, (3,)), ("17x1.jpg", 5, 3, (1, 3)),
        ("2x2.jpg", 31, 3, (3,)), ("bit.png", 10, 33, (1, 3)),
        ("440.jpg", 60, 9, (3,)),  # rows shrink by more than twice the columns: rows first
    ):
        for resample in filters:
            image = np.array(opened(name).resize((width, height), resample))
            expect({"kind": "resize", "file": name, "width": width, "height": height,
                    "resample": resample}, image)


def make_preprocessed():
    names = ["444.jpg", "progressive.jpg", "1x17.jpg", "17x1.jpg", "grey.jpg", "bit.png"]
    configs = [
        {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}},
        {"size": {"shortest_edge": 20}, "crop_size": {"height": 17, "width": 17}, "resample": 2},
        {"size": {"shortest_edge": 11}, "crop_size": {"height": 16, "width": 16}, "resample": 1},
        {"size": {"height": 15, "width": 15}, "do_center_crop": False,
         "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]},
        {"do_resize": False, "crop_size": {"height": 19, "width": 19}, "do_rescale": False},
        {"size": {"shortest_edge": 14}, "crop_size": {"height": 14, "width": 14},
         "do_normalize": False, "rescale_factor": 0.00784313725490196},
    ]
    boxes = [None, [3.5, 4.5, 20.0, 17.2], [-6.3, 10.49, 21.01, 40.0], [0.0, 0.0, 1.2, 1.4]]
    for number, config in enumerate(configs):
        processor = CLIPImageProcessorPil(**config)
        for index, name in enumerate(names[: 6 if number == 0 else 2]):
            for box in boxes if index < 2 and number < 2 else boxes[:1]:
                image = opened(name)
                if box:
                    x, y, width, height = box
                    image = image.crop((x, y, x + width, y + height))
                values = processor(images=image, input_data_format="channels_last",
                                   return_tensors="np")["pixel_values"][0]
                expect({"kind": "preprocess", "file": name, "config": config, "box": box,
                        "size": values.shape[1]}, np.ascontiguousarray(values, np.float32))


def damaged(name, data, damage):
    write(name, bytes(data))
    decode(name, damage)


def make_damaged():
    """What PIL reads without a word."""
    jpeg_bytes = open(f"{OUT}/420.jpg", "rb").read()
    scan = jpeg_bytes.find(b"\xff\xda")
    middle = (scan + len(jpeg_bytes)) // 2
    damaged("damaged_premature_end.jpg", jpeg_bytes[:middle] + b"\xff\xd9", "premature end")
    damaged("damaged_extraneous.jpg", jpeg_bytes[:-2] + b"abc" + jpeg_bytes[-2:], "extraneous bytes")
    damaged("damaged_codes.jpg", jpeg_bytes[:middle] + 4 * b"\xff\0" + jpeg_bytes[middle + 8 :],
            "bad Huffman code")
    restart = open(f"{OUT}/restart.jpg", "rb").read()
    marker = restart.find(b"\xff\xd1")
    damaged("damaged_restart_lost.jpg", restart[:marker] + restart[marker + 2:], "Corrupt JPEG data")
    damaged("damaged_restart_swapped.jpg", restart[: marker + 1] + b"\xd3" + restart[marker + 2:],
            "Corrupt JPEG data")
    progressive = open(f"{OUT}/progressive.jpg", "rb").read()
    damaged("damaged_last_scan.jpg", progressive[: progressive.rfind(b"\xff\xda")] + b"\xff\xd9",
            "scans are missing")

    png_data = open(f"{OUT}/rgb.png", "rb").read()
    end, data = len(png_data) - 12, png_data.find(b"IDAT")
    pixels = png_data[data + 4 : end - 4]
    header = png_data[: data - 4]
    damaged("damaged_crc.png", png_data[: end - 4] + b"\0\0\0\0" + png_data[end:], "checksum at byte 33")
    damaged("damaged_no_end.png", png_data[:end], "end part is missing")
    damaged("damaged_cut_checksum.png", png_data[: end - 7], "do not end")
    damaged("damaged_text_crc.png", png_data[:end] + chunk(b"tEXt", b"a\0b")[:-1] + b"?" + png_data[end:],
            "checksum at byte 1361")
    rows = zlib.decompress(pixels)
    stride = 1 + 3 * 27
    damaged("damaged_few_rows.png", header + chunk(b"IDAT", zlib.compress(rows[: 9 * stride]))
            + chunk(b"IEND", b""), "pixels are missing")
    damaged("damaged_surplus.png", header + chunk(b"IDAT", zlib.compress(rows + b"more"))
            + chunk(b"IEND", b""), "bytes behind")
    # The end of the compressed stream in a part of its own: PIL does not come to its wrong checksum.
    damaged("damaged_late_checksum.png", header + chunk(b"IDAT", pixels[:-4])
            + chunk(b"IDAT", b"abcd") + chunk(b"IEND", b""), "pixels' checksum")
    unknown = header + chunk(b"ABCD", b"?") + png_data[data - 4 :]
    write("unknown_part.png", unknown)
    decode("unknown_part.png")
    indices = b"".join(b"\0" + bytes(range(9)) for _ in range(4))
    damaged("damaged_no_palette.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(
        ">IIBBBBB", 9, 4, 8, 3, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(indices))
        + chunk(b"IEND", b""), "no palette")


def webp(name, image, **options):
    image.save(os.path.join(OUT, name), "WEBP", **options)
    decode(name)


def make_webp():
    def rgba(height, width):
        image = picture(height, width)
        image.putalpha(picture(height, width).convert("L"))
        return image

    webp("lossy.webp", picture(37, 50), quality=70)
    webp("lossless.webp", picture(21, 27), lossless=True)
    webp("lossy_alpha.webp", rgba(33, 17), quality=60, alpha_quality=50)
    webp("lossless_alpha.webp", rgba(9, 14), lossless=True, exact=True)
    webp("animated.webp", rgba(15, 20), save_all=True, append_images=[rgba(15, 20)], duration=50)
    webp("1x1.webp", picture(1, 1))


def on_white(name):
    image = Image.open(os.path.join(OUT, name))
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = np.array(image.convert("RGB"))
    expect({"kind": "decode", "file": name, "transparency": "white", "width": image.shape[1],
            "height": image.shape[0]}, image)


def make_white():
    rgb = open(f"{OUT}/rgb.png", "rb").read()
    first = np.array(Image.open(f"{OUT}/rgb.png"))[3, 4]
    header = rgb.find(b"IDAT") - 4
    write("rgb_key.png", rgb[:header] + chunk(b"tRNS", b"".join(b"\0" + bytes([v]) for v in first))
          + rgb[header:])
    grey = open(f"{OUT}/grey16.png", "rb").read()
    value = int(np.array(Image.open(f"{OUT}/grey16.png"))[2, 2])
    header = grey.find(b"IDAT") - 4
    write("grey16_key.png", grey[:header] + chunk(b"tRNS", struct.pack(">H", value)) + grey[header:])
    deep = rng.integers(0, 65536, (7, 11, 4), dtype=np.uint16)
    write("rgba16.png", png_bytes(11, 7, 16, 6, [row.astype(">u2").tobytes() for row in deep]))
    Image.fromarray(rng.integers(0, 2, (9, 13), dtype=np.uint8) * 255).convert("1").save(
        f"{OUT}/bit_key.png", transparency=1)
    for name in ("rgba.png", "grey_alpha.png", "palette_alpha.png", "grey_key.png", "rgb_key.png",
                 "grey16_key.png", "rgba16.png", "bit_key.png", "rgb.png", "444.jpg",
                 "lossy_alpha.webp", "lossless_alpha.webp", "animated.webp", "lossy.webp"):
        on_white(name)


def make_more_preprocessed():
    """Squares, and transparent pictures as transformers 5 takes them."""
    for name, config in (
        ("444.jpg", {"size": 16, "default_to_square": True, "crop_size": 16}),
        ("444.jpg", {"size": 16, "default_to_square": False, "crop_size": 16}),
        ("444.jpg", {"size": [13, 17], "crop_size": {"height": 13, "width": 13}}),
        ("rgba.png", {"size": {"shortest_edge": 12}, "crop_size": 12}),
        ("lossy_alpha.webp", {"size": 14, "crop_size": 14}),
    ):
        values = CLIPImageProcessorPil(**config)(images=Image.open(os.path.join(OUT, name)),
                                                 return_tensors="np")["pixel_values"][0]
        expect({"kind": "preprocess", "file": name, "config": config | {"transparency": "white"},
                "box": None, "size": values.shape[1]}, np.ascontiguousarray(values, np.float32))


os.makedirs(OUT, exist_ok=True)
make_pictures()
make_resizes()
make_preprocessed()
make_damaged()
make_webp()
make_white()
make_more_preprocessed()
with open(os.path.join(OUT, "golden.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
with open(os.path.join(OUT, "golden.bin.gz"), "wb") as file:
    file.write(gzip.compress(bytes(blob), 9, mtime=0))
print(len(cases), "cases,", len(blob), "bytes expected")
