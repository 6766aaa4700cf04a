/* What a file is, told by its first bytes, whatever its name says.
 *
 * Pictures, archives and weights are known by their signatures (the table in
 * host/formats/kind.c), a tar by its first header's checksum. What holds no signature and no
 * control characters is text, and told apart by its first lines:
 *
 *     JSON     begins with [ or {; several objects, one a line, are JSONL
 *     TSV      every line has the same number of tabs, at least one
 *     CSV      the first line names columns (short, without blanks at their ends), and every record
 *              has as many fields
 *     UTF-16   by its mark, or by a zero at every other byte
 *
 * The same few sentences then say what a file is instead of what was asked for, and what to do. */
#ifndef NCLIP_FORMATS_KIND_H
#define NCLIP_FORMATS_KIND_H

#include <stdbool.h>
#include <stddef.h>

enum nc_kind {
    NC_KIND_UNKNOWN, /* bytes of no kind in this list */
    NC_KIND_EMPTY,
    /* pictures and films */
    NC_KIND_JPEG,
    NC_KIND_PNG,
    NC_KIND_WEBP,
    NC_KIND_GIF,
    NC_KIND_AVIF,
    NC_KIND_HEIC,
    NC_KIND_BMP,
    NC_KIND_TIFF,
    NC_KIND_PNM,
    NC_KIND_ICON,
    NC_KIND_JPEG_XL,
    NC_KIND_JPEG_2000,
    NC_KIND_PHOTOSHOP,
    NC_KIND_SVG,
    NC_KIND_VIDEO,
    NC_KIND_PDF,
    /* packed and archived */
    NC_KIND_GZIP,
    NC_KIND_ZSTD,
    NC_KIND_BZIP2,
    NC_KIND_XZ,
    NC_KIND_LZ4,
    NC_KIND_7Z,
    NC_KIND_TAR,
    NC_KIND_ZIP,
    NC_KIND_OFFICE, /* a spreadsheet or document */
    /* weights and tables */
    NC_KIND_SAFETENSORS,
    NC_KIND_PYTORCH, /* a zip with a pickle in it */
    NC_KIND_PICKLE,
    NC_KIND_GGUF,
    NC_KIND_NPY,
    NC_KIND_NPZ,
    NC_KIND_HDF5,
    NC_KIND_PARQUET,
    NC_KIND_ARROW,
    NC_KIND_SQLITE,
    /* texts */
    NC_KIND_UTF16,
    NC_KIND_UTF32,
    NC_KIND_LFS_POINTER,
    NC_KIND_HTML,
    NC_KIND_XML,
    NC_KIND_JSON,
    NC_KIND_JSONL,
    NC_KIND_CSV,
    NC_KIND_TSV,
    NC_KIND_TEXT,
};

enum { NC_KIND_HEAD = 1 << 16 }; /* more first bytes than these are not looked at */

/* `head` are the first `size` bytes; `whole`: there are no others. A picture's or archive's
 * signature needs 512 bytes at most, texts are told the better the more there are. */
enum nc_kind nc_kind_of(const void *head, size_t size, bool whole);

/* Which packing of a stream the bytes begin with (gzip, zstd, bzip2, xz, lz4), by its first
 * NC_KIND_PACKING bytes; NC_KIND_UNKNOWN: none. */
enum { NC_KIND_PACKING = 10 };
enum nc_kind nc_kind_of_packing(const void *head, size_t size);

/* The kind of a file on disk. NC_BAD_INPUT when it cannot be read. */
int nc_kind_of_file(const char *path, enum nc_kind *kind);

const char *nc_kind_name(enum nc_kind kind); /* "a WebP picture", "a Git LFS pointer" */
bool nc_kind_is_picture(enum nc_kind kind);  /* raster pictures, whether they are read or not */
bool nc_kind_is_text(enum nc_kind kind);     /* UTF-8 (or bytes of an older code) in lines */

/* NC_BAD_INPUT with "WHERE: a Git LFS pointer, not a safetensors file; fetch the file itself with
 * `git lfs pull`". `expected` follows "not"; `remedy` is what to do where the kind does not tell it
 * (NULL: nothing is said). */
int nc_kind_refuse(const char *where, enum nc_kind kind, const char *expected, const char *remedy);

#endif
