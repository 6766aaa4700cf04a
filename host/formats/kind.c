/* Tells what a file is by its first bytes: the table of signatures. */
#include "kind.h"

#include "nclip/formats/tar.h"
#include "nclip/support/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Names and remedies ------------------------------------------------------------------ */

static const struct {
    const char *name, *remedy;
} kinds[] = {
    [NC_KIND_UNKNOWN] = {"bytes of a kind that nclip does not know", NULL},
    [NC_KIND_EMPTY] = {"an empty file", NULL},
    [NC_KIND_JPEG] = {"a JPEG picture", NULL},
    [NC_KIND_PNG] = {"a PNG picture", NULL},
    [NC_KIND_WEBP] = {"a WebP picture", NULL},
    [NC_KIND_GIF] = {"a GIF", NULL},
    [NC_KIND_AVIF] = {"an AVIF picture", NULL},
    [NC_KIND_HEIC] = {"a HEIC picture", NULL},
    [NC_KIND_BMP] = {"a BMP picture", NULL},
    [NC_KIND_TIFF] = {"a TIFF picture", NULL},
    [NC_KIND_PNM] = {"a PNM picture", NULL},
    [NC_KIND_ICON] = {"a Windows icon", NULL},
    [NC_KIND_JPEG_XL] = {"a JPEG XL picture", NULL},
    [NC_KIND_JPEG_2000] = {"a JPEG 2000 picture", NULL},
    [NC_KIND_PHOTOSHOP] = {"a Photoshop file", NULL},
    [NC_KIND_SVG] = {"an SVG drawing", NULL},
    [NC_KIND_VIDEO] = {"a video file", NULL},
    [NC_KIND_PDF] = {"a PDF", NULL},
    [NC_KIND_GZIP] = {"packed with gzip", "unpack it with gunzip first"},
    [NC_KIND_ZSTD] = {"packed with zstd", "unpack it with unzstd first"},
    [NC_KIND_BZIP2] = {"packed with bzip2", "unpack it with bunzip2 first"},
    [NC_KIND_XZ] = {"packed with xz", "unpack it with unxz first"},
    [NC_KIND_LZ4] = {"packed with lz4", "unpack it with unlz4 first"},
    [NC_KIND_7Z] = {"a 7z archive", "unpack it first"},
    [NC_KIND_TAR] = {"a tar", NULL},
    [NC_KIND_ZIP] = {"a zip archive", "unpack it with unzip first"},
    [NC_KIND_OFFICE] = {"a spreadsheet or document", "export it as text or CSV in UTF-8"},
    [NC_KIND_SAFETENSORS] = {"a safetensors file", NULL},
    [NC_KIND_PYTORCH] = {"a PyTorch archive", NULL},
    [NC_KIND_PICKLE] = {"a Python pickle", NULL},
    [NC_KIND_GGUF] = {"a GGUF file", NULL},
    [NC_KIND_NPY] = {"a NumPy array", NULL},
    [NC_KIND_NPZ] = {"a NumPy archive", NULL},
    [NC_KIND_HDF5] = {"an HDF5 file", NULL},
    [NC_KIND_PARQUET] = {"Parquet", NULL},
    [NC_KIND_ARROW] = {"an Arrow file", NULL},
    [NC_KIND_SQLITE] = {"an SQLite database", NULL},
    [NC_KIND_UTF16] = {"UTF-16 text", "convert it with `iconv -f UTF-16 -t UTF-8`"},
    [NC_KIND_UTF32] = {"UTF-32 text", "convert it with `iconv -f UTF-32 -t UTF-8`"},
    [NC_KIND_LFS_POINTER] = {"a Git LFS pointer", "fetch the file itself with `git lfs pull`"},
    [NC_KIND_HTML] = {"an HTML page", "the download went wrong: fetch the file again"},
    [NC_KIND_XML] = {"an XML text", NULL},
    [NC_KIND_JSON] = {"JSON", NULL},
    [NC_KIND_JSONL] = {"JSON lines", NULL},
    [NC_KIND_CSV] = {"CSV", NULL},
    [NC_KIND_TSV] = {"TSV", NULL},
    [NC_KIND_TEXT] = {"text", NULL},
};

const char *nc_kind_name(enum nc_kind kind)
{
    return kinds[kind].name;
}

bool nc_kind_is_picture(enum nc_kind kind)
{
    return kind >= NC_KIND_JPEG && kind <= NC_KIND_PHOTOSHOP;
}

bool nc_kind_is_text(enum nc_kind kind)
{
    return kind >= NC_KIND_JSON || kind == NC_KIND_EMPTY;
}

int nc_kind_refuse(const char *where, enum nc_kind kind, const char *expected, const char *remedy)
{
    if (kinds[kind].remedy)
        remedy = kinds[kind].remedy;
    return nc_error(NC_BAD_INPUT, "%s: %s, not %s%s%s", where, kinds[kind].name, expected,
                    remedy ? "; " : "", remedy ? remedy : "");
}

/* ---- Signatures -------------------------------------------------------------------------- */

static const struct {
    enum nc_kind kind;
    uint8_t offset, size;
    const char *bytes;
} signatures[] = {
    {NC_KIND_JPEG, 0, 3, "\xff\xd8\xff"},
    {NC_KIND_PNG, 0, 8, "\x89PNG\r\n\x1a\n"},
    {NC_KIND_WEBP, 8, 4, "WEBP"},
    {NC_KIND_GIF, 0, 6, "GIF87a"},
    {NC_KIND_GIF, 0, 6, "GIF89a"},
    {NC_KIND_TIFF, 0, 4, "II*\0"},
    {NC_KIND_TIFF, 0, 4, "MM\0*"},
    {NC_KIND_TIFF, 0, 4, "II+\0"}, /* BigTIFF */
    {NC_KIND_TIFF, 0, 4, "MM\0+"},
    {NC_KIND_ICON, 0, 4, "\0\0\1\0"},
    {NC_KIND_JPEG_XL, 0, 12, "\0\0\0\x0cJXL \r\n\x87\n"},
    {NC_KIND_JPEG_XL, 0, 2, "\xff\x0a"},
    {NC_KIND_JPEG_2000, 0, 12, "\0\0\0\x0cjP  \r\n\x87\n"},
    {NC_KIND_JPEG_2000, 0, 4, "\xff\x4f\xff\x51"},
    {NC_KIND_PHOTOSHOP, 0, 6, "8BPS\0\1"},
    {NC_KIND_VIDEO, 0, 4, "\x1a\x45\xdf\xa3"}, /* Matroska, WebM */
    {NC_KIND_VIDEO, 8, 4, "AVI "},
    {NC_KIND_PDF, 0, 5, "%PDF-"},
    {NC_KIND_GZIP, 0, 2, "\x1f\x8b"},
    {NC_KIND_ZSTD, 0, 4, "\x28\xb5\x2f\xfd"},
    {NC_KIND_BZIP2, 4, 6, "1AY&SY"},
    {NC_KIND_XZ, 0, 6, "\xfd" "7zXZ\0"},
    {NC_KIND_LZ4, 0, 4, "\x04\x22\x4d\x18"},
    {NC_KIND_7Z, 0, 6, "7z\xbc\xaf\x27\x1c"},
    {NC_KIND_ZIP, 0, 4, "PK\3\4"},
    {NC_KIND_ZIP, 0, 4, "PK\5\6"}, /* an empty one */
    {NC_KIND_OFFICE, 0, 8, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"},
    {NC_KIND_GGUF, 0, 4, "GGUF"},
    {NC_KIND_NPY, 0, 6, "\x93NUMPY"},
    {NC_KIND_HDF5, 0, 8, "\x89HDF\r\n\x1a\n"},
    {NC_KIND_PARQUET, 0, 4, "PAR1"},
    {NC_KIND_ARROW, 0, 6, "ARROW1"},
    {NC_KIND_SQLITE, 0, 16, "SQLite format 3\0"},
    {NC_KIND_UTF32, 0, 4, "\xff\xfe\0\0"},
    {NC_KIND_UTF32, 0, 4, "\0\0\xfe\xff"},
    {NC_KIND_UTF16, 0, 2, "\xff\xfe"},
    {NC_KIND_UTF16, 0, 2, "\xfe\xff"},
    {NC_KIND_LFS_POINTER, 0, 23, "version https://git-lfs"},
};

/* What a signature that is not at the start stands behind. */
static const char *leads(size_t offset)
{
    return offset == 8 ? "RIFF" : offset == 4 ? "BZh" : "";
}

static uint32_t little_endian(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* ISO's media files: the first box lists the brands. A picture's own brand may stand behind the
 * general one of its family. */
static enum nc_kind media_kind(const uint8_t *head, size_t size)
{
    static const struct {
        char brand[5];
        enum nc_kind kind;
    } brands[] = {
        {"avif", NC_KIND_AVIF}, {"avis", NC_KIND_AVIF}, {"heic", NC_KIND_HEIC},
        {"heix", NC_KIND_HEIC}, {"heim", NC_KIND_HEIC}, {"heis", NC_KIND_HEIC},
        {"hevc", NC_KIND_HEIC}, {"hevx", NC_KIND_HEIC}, {"mif1", NC_KIND_HEIC},
        {"msf1", NC_KIND_HEIC}, {"jxl ", NC_KIND_JPEG_XL}, {"jp2 ", NC_KIND_JPEG_2000},
    };
    size_t end = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (end > size)
        end = size;
    for (size_t i = 0; i < sizeof brands / sizeof *brands; i++)
        for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4) /* behind the first: its version */
            if (memcmp(head + at, brands[i].brand, 4) == 0)
                return brands[i].kind;
    return NC_KIND_VIDEO;
}

static bool name_holds(const char *name, size_t size, const char *part)
{
    return memmem(name, size, part, strlen(part)) != NULL;
}

/* Which zip it is, by the name of its first file. */
static enum nc_kind zip_kind(const uint8_t *head, size_t size)
{
    static const char *const torch[] = {"/data.pkl", "/version", "/byteorder", "/.format_version",
                                        "/.data/", "/constants.pkl", "/code/", "/data/"};
    size_t length = size >= 30 ? head[26] | (size_t)head[27] << 8 : 0;
    const char *name = (const char *)head + 30;
    if (!length || length > size - 30)
        return NC_KIND_ZIP;
    if (name_holds(name, length, "[Content_Types].xml") || name_holds(name, length, "docProps/") ||
        (length == 8 && memcmp(name, "mimetype", 8) == 0))
        return NC_KIND_OFFICE;
    if (length > 4 && memcmp(name + length - 4, ".npy", 4) == 0)
        return NC_KIND_NPZ;
    for (size_t i = 0; i < sizeof torch / sizeof *torch; i++)
        if (name_holds(name, length, torch[i]))
            return NC_KIND_PYTORCH;
    return NC_KIND_ZIP;
}

/* BM alone would also be how a caption begins. */
static bool is_bmp(const uint8_t *head, size_t size)
{
    return size >= 18 && memcmp(head, "BM", 2) == 0 && little_endian(head + 6) == 0 &&
           little_endian(head + 14) >= 12 && little_endian(head + 14) <= 124;
}

static size_t skip_all(const uint8_t *head, size_t size, size_t at, const char *of)
{
    while (at < size && head[at] && strchr(of, head[at]))
        at++;
    return at;
}

/* "P6", then a width and a height, or a comment. */
static bool is_pnm(const uint8_t *head, size_t size)
{
    static const char blanks[] = " \t\r\n", digits[] = "0123456789";
    if (size < 8 || head[0] != 'P' || head[1] < '1' || head[1] > '7')
        return false;
    size_t width = skip_all(head, size, 2, blanks);
    if (width == 2 || width == size)
        return false;
    if (head[width] == '#')
        return true;
    if (head[1] == '7')
        return head[width] == 'W' || head[width] == 'H' || head[width] == 'D';
    size_t behind = skip_all(head, size, width, digits);
    size_t height = skip_all(head, size, behind, blanks);
    return behind > width && height > behind && skip_all(head, size, height, digits) > height;
}

/* Protocols 2 to 5; no text begins so. */
static bool is_pickle(const uint8_t *head, size_t size)
{
    return size >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5;
}

static bool is_safetensors(const uint8_t *head, size_t size)
{
    return size >= 10 && head[8] == '{' && little_endian(head + 4) == 0 &&
           little_endian(head) >= 2 && little_endian(head) <= 100000000;
}

enum nc_kind nc_kind_of_packing(const void *bytes, size_t size)
{
    const uint8_t *head = bytes;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
        if (signatures[i].kind >= NC_KIND_GZIP && signatures[i].kind <= NC_KIND_LZ4 &&
            size >= (size_t)signatures[i].offset + signatures[i].size &&
            memcmp(head + signatures[i].offset, signatures[i].bytes, signatures[i].size) == 0 &&
            memcmp(head, leads(signatures[i].offset), strlen(leads(signatures[i].offset))) == 0)
            return signatures[i].kind;
    /* Frames that hold no data may stand before zstd's others. */
    if (size >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, "\x2a\x4d\x18", 3) == 0)
        return NC_KIND_ZSTD;
    return NC_KIND_UNKNOWN;
}

enum nc_kind nc_kind_of(const void *bytes, size_t size, bool whole)
{
    const uint8_t *head = bytes;
    if (size > NC_KIND_HEAD) {
        size = NC_KIND_HEAD;
        whole = false;
    }
    if (!size)
        return NC_KIND_EMPTY;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        size_t end = (size_t)signatures[i].offset + signatures[i].size;
        if (size < end ||
            memcmp(head + signatures[i].offset, signatures[i].bytes, signatures[i].size) != 0)
            continue;
        if (memcmp(head, leads(signatures[i].offset), strlen(leads(signatures[i].offset))) != 0)
            continue;
        return signatures[i].kind == NC_KIND_ZIP ? zip_kind(head, size) : signatures[i].kind;
    }
    if (nc_kind_of_packing(head, size) != NC_KIND_UNKNOWN)
        return NC_KIND_ZSTD;
    if (size >= 12 && memcmp(head + 4, "ftyp", 4) == 0)
        return media_kind(head, size);
    if (size >= NC_TAR_BLOCK && nc_tar_recognize(head))
        return NC_KIND_TAR;
    if (is_bmp(head, size))
        return NC_KIND_BMP;
    if (is_pnm(head, size))
        return NC_KIND_PNM;
    /* The length of a safetensors file's header may look like a pickle. */
    if (is_safetensors(head, size))
        return NC_KIND_SAFETENSORS;
    if (is_pickle(head, size))
        return NC_KIND_PICKLE;
    return nc_text_kind((const char *)head, size, whole);
}

int nc_kind_of_file(const char *path, enum nc_kind *kind)
{
    uint8_t *head = malloc(NC_KIND_HEAD + 1);
    if (!head)
        return nc_error(NC_FAILED, "%s: no memory", path);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC), cause = errno;
    size_t used = 0;
    ssize_t count = descriptor < 0 ? -1 : 1;
    while (descriptor >= 0 && count > 0 && used <= NC_KIND_HEAD) {
        count = read(descriptor, head + used, NC_KIND_HEAD + 1 - used);
        cause = errno;
        if (count < 0 && cause == EINTR)
            count = 1;
        else if (count > 0)
            used += (size_t)count;
    }
    if (descriptor >= 0)
        close(descriptor);
    *kind = nc_kind_of(head, used, count == 0);
    free(head);
    errno = cause;
    return count < 0 ? nc_error_read(path) : NC_OK;
}
