/* What torch.save() and torch.jit.save() write: a zip archive of a pickle, data.pkl, and of the
 * numbers of each storage, data/KEY. The state dict in it becomes a list of tensors.
 *
 * Source: PyTorch's torch/serialization.py and caffe2/serialize/inline_container.h.
 */
#include "nclip/formats/zip.h"
#include "nclip/support/error.h"
#include "pickle.h"
#include "tensors_parts.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <zlib.h>

enum {
    DEEPEST = 64,           /* modules in modules */
    MOST_TENSORS = 1 << 18, /* of a state dict */
    LONGEST_NAME = 1 << 12,
    LONGEST_KEY = 1 << 10,
};

/* What a shard's tensors point into. */
struct owned {
    struct nc_zip *zip;
    struct piece {
        struct piece *next;
        char bytes[];
    } * pieces; /* names, and copies of strided tensors */
};

struct reader {
    struct nc_tensors *tensors;
    struct nc_shard *shard;
    struct owned *owned;
    char folder[LONGEST_KEY]; /* of the archive: "archive/" */
    char name[LONGEST_NAME];  /* of where a module's walk is */
};

static void release(void *pointer)
{
    struct owned *owned = pointer;
    while (owned->pieces) {
        struct piece *next = owned->pieces->next;
        free(owned->pieces);
        owned->pieces = next;
    }
    nc_zip_close(owned->zip);
    free(owned);
}

static void *keep(struct reader *reader, size_t size)
{
    struct piece *piece = malloc(sizeof *piece + size);
    if (!piece) {
        nc_error(NC_FAILED, "%s: no memory for its tensors", reader->shard->path);
        return NULL;
    }
    piece->next = reader->owned->pieces;
    reader->owned->pieces = piece;
    return piece->bytes;
}

/* ---- Formats that are not read ---- */

/* The number that old files begin with, as a pickle of protocol 2. */
static const uint8_t old_magic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc,
                                    0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8};

static int check_old(const struct nc_shard *shard)
{
    const uint8_t *bytes = shard->mapping.data;
    if (bytes[0] == 'P')
        return NC_OK;
    bool old =
        shard->mapping.size >= sizeof old_magic && memcmp(bytes, old_magic, sizeof old_magic) == 0;
    const char *slash = strrchr(shard->path, '/'), *name = slash ? slash + 1 : shard->path;
    return nc_error(NC_BAD_INPUT,
                    "%s: %s, which is not read; convert it: python -c \"import torch; "
                    "torch.save(torch.load('%s', map_location='cpu', weights_only=True), "
                    "'new.pt')\"",
                    shard->path,
                    old ? "PyTorch's format of before 1.6" : "a pickle that is no zip archive",
                    name);
}

/* ---- Members ---- */

/* The member "FOLDER/NAME"; NULL: it is not there. */
static const struct nc_zip_member *find_member(const struct reader *reader, const char *name,
                                               size_t length)
{
    char path[2 * LONGEST_KEY];
    size_t folder = strlen(reader->folder);
    if (length >= LONGEST_KEY)
        return NULL;
    memcpy(path, reader->folder, folder);
    memcpy(path + folder, name, length);
    path[folder + length] = 0;
    return memchr(name, 0, length) ? NULL : nc_zip_find(reader->owned->zip, path);
}

/* The archive's only folder is named as whoever saved it liked. */
static int find_folder(struct reader *reader)
{
    static const char pickle[] = "data.pkl";
    for (size_t i = 0; i < nc_zip_count(reader->owned->zip); i++) {
        const struct nc_zip_member *member = nc_zip_at(reader->owned->zip, i);
        size_t length = member->name_length, ending = sizeof pickle - 1;
        if (length < ending || length >= LONGEST_KEY ||
            memcmp(member->name + length - ending, pickle, ending) != 0)
            continue;
        length -= ending;
        const char *slash = memchr(member->name, '/', length);
        if (!memchr(member->name, 0, length) && (!length || slash == member->name + length - 1)) {
            memcpy(reader->folder, member->name, length);
            reader->folder[length] = 0;
            return NC_OK;
        }
    }
    return nc_error(NC_BAD_INPUT,
                    "%s: a zip archive without data.pkl: torch.save() did not write it",
                    reader->shard->path);
}

static int check_byte_order(const struct reader *reader)
{
    const struct nc_zip_member *order = find_member(reader, "byteorder", 9);
    if (!order || (order->size == 6 && memcmp(order->data, "little", 6) == 0))
        return NC_OK;
    return nc_error(NC_BAD_INPUT,
                    "%s: was written on a machine of another byte order; load and save it once "
                    "with PyTorch here",
                    reader->shard->path);
}

static int check_stored(const struct reader *reader, const struct nc_zip_member *member)
{
    return member->method == 0
               ? NC_OK
               : nc_error(NC_BAD_INPUT,
                          "%s: its member %.*s is compressed, as torch.save() never does; unpack "
                          "it and pack it anew with zip -0",
                          reader->shard->path, (int)member->name_length, member->name);
}

/* ---- Tensors ---- */

static int wrong(const struct reader *reader, const struct nc_tensor *tensor, const char *what)
{
    return nc_error(NC_BAD_INPUT, "%s: tensor \"%.200s\" %s", reader->shard->path, tensor->name,
                    what);
}

/* Whether elements follow each other as they do in a dense array; *last: of the storage, how many
 * elements the tensor reaches over. False in *fits when that is no number. */
static bool is_dense(const struct nc_pickle_tensor *from, size_t *last, bool *fits)
{
    bool dense = true, empty = false;
    size_t expected = 1, reach = 1;
    *fits = true;
    for (size_t i = from->rank; i-- > 0;) {
        size_t length = from->shape[i], span;
        empty = empty || !length;
        if (length > 1) {
            dense = dense && from->stride[i] == expected;
            *fits = *fits && !__builtin_mul_overflow(length - 1, from->stride[i], &span) &&
                    !__builtin_add_overflow(reach, span, &reach);
            *fits = *fits && !__builtin_mul_overflow(expected, length, &expected);
        }
    }
    *last = empty ? 0 : reach;
    return dense || empty;
}

/* Element after element, in the order of a dense array. */
static void copy_strided(uint8_t *to, const uint8_t *from, const struct nc_pickle_tensor *tensor,
                         size_t count, size_t element)
{
    size_t index[NC_TENSOR_RANK] = {0}, at = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(to + i * element, from + at * element, element);
        for (size_t d = tensor->rank; d-- > 0;) {
            at += tensor->stride[d];
            if (++index[d] < tensor->shape[d])
                break;
            at -= tensor->stride[d] * tensor->shape[d];
            index[d] = 0;
        }
    }
}

/* Where the tensor's numbers are: in its storage's member, or in a copy. */
static int find_data(struct reader *reader, const struct nc_pickle_tensor *from,
                     struct nc_tensor *tensor)
{
    char key[LONGEST_KEY];
    const struct nc_pickle_storage *storage = from->of;
    size_t length = storage->key_length, last, end,
           element = nc_tensor_type_size(storage->type_name);
    bool fits;
    if (length + 5 >= sizeof key)
        return wrong(reader, tensor, "has a storage of a name that is too long");
    memcpy(key, "data/", 5);
    memcpy(key + 5, storage->key, length);
    const struct nc_zip_member *member = find_member(reader, key, length + 5);
    if (!member)
        return nc_error(
            NC_BAD_INPUT, "%s: tensor \"%.200s\": its numbers, %sdata/%.*s, are not in the archive",
            reader->shard->path, tensor->name, reader->folder, (int)length, storage->key);
    int status = check_stored(reader, member);
    if (status != NC_OK)
        return status;
    bool dense = is_dense(from, &last, &fits);
    if (!fits || __builtin_add_overflow(from->offset, last, &end) || end > member->size / element ||
        end > storage->count)
        return wrong(reader, tensor, "reaches over the end of its numbers; the file is damaged");
    tensor->data = member->data + from->offset * element;
    if (dense)
        return NC_OK;
    if (tensor->count > storage->count)
        return wrong(reader, tensor, "repeats its numbers (it was expanded); save a clone() of it");
    uint8_t *copy = keep(reader, tensor->bytes);
    if (!copy)
        return NC_FAILED;
    copy_strided(copy, tensor->data, from, tensor->count, element);
    tensor->data = copy;
    return NC_OK;
}

static bool valid_name(const char *name, size_t length)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)name;
    while (length) {
        utf8proc_int32_t code;
        utf8proc_ssize_t step = utf8proc_iterate(at, (utf8proc_ssize_t)length, &code);
        if (step < 1 || code == 0)
            return false;
        at += step;
        length -= (size_t)step;
    }
    return true;
}

static int add_tensor(struct reader *reader, const char *name, size_t length,
                      const struct nc_pickle_tensor *from)
{
    struct nc_shard *shard = reader->shard;
    if (!valid_name(name, length))
        return nc_error(NC_BAD_INPUT, "%s: a tensor's name is not UTF-8", shard->path);
    if (shard->count == MOST_TENSORS)
        return nc_error(NC_BAD_INPUT, "%s: more than %d tensors", shard->path, MOST_TENSORS);
    struct nc_tensor *tensor = nc_tensors_add(reader->tensors, shard);
    char *kept = tensor ? keep(reader, length + 1) : NULL;
    if (!kept)
        return NC_FAILED;
    memcpy(kept, name, length);
    kept[length] = 0;
    tensor->name = kept;
    tensor->rank = from->rank;
    memcpy(tensor->shape, from->shape, sizeof tensor->shape);
    int status = nc_tensor_measure(shard, tensor, from->of->type_name);
    return status == NC_OK ? find_data(reader, from, tensor) : status;
}

/* ---- The state dict ---- */

static bool is_text(const struct nc_pickle_value *value, const char *text)
{
    size_t length = strlen(text);
    return value->kind == NC_PICKLE_TEXT && value->length == length &&
           memcmp(value->text, text, length) == 0;
}

static size_t count_tensors(const struct nc_pickle_value *dict)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < dict->count; i += 2)
        count +=
            dict->items[i]->kind == NC_PICKLE_TEXT && dict->items[i + 1]->kind == NC_PICKLE_TENSOR;
    return count;
}

/* What every tensor's name begins with when the model was trained by several processes or was
 * compiled. */
static size_t common_prefix(const struct nc_pickle_value *dict)
{
    static const char *const prefixes[] = {"module.", "_orig_mod.", "module._orig_mod."};
    size_t longest = 0;
    for (size_t k = 0; k < sizeof prefixes / sizeof prefixes[0]; k++) {
        size_t length = strlen(prefixes[k]);
        bool all = true;
        for (size_t i = 0; i + 1 < dict->count && all; i += 2) {
            const struct nc_pickle_value *name = dict->items[i];
            all = dict->items[i + 1]->kind != NC_PICKLE_TENSOR || name->kind != NC_PICKLE_TEXT ||
                  (name->length > length && memcmp(name->text, prefixes[k], length) == 0);
        }
        if (all)
            longest = length;
    }
    return longest;
}

static int add_dict(struct reader *reader, const struct nc_pickle_value *dict)
{
    size_t prefix = common_prefix(dict);
    int status = NC_OK;
    for (size_t i = 0; i + 1 < dict->count && status == NC_OK; i += 2) {
        const struct nc_pickle_value *name = dict->items[i];
        if (name->kind == NC_PICKLE_TEXT && dict->items[i + 1]->kind == NC_PICKLE_TENSOR)
            status = add_tensor(reader, name->text + prefix, name->length - prefix,
                                dict->items[i + 1]->tensor);
    }
    return status;
}

/* A training checkpoint keeps the state dict beside the optimizer's and others. */
static const struct nc_pickle_value *find_state_dict(const struct nc_pickle_value *root)
{
    static const char *const keys[] = {"state_dict", "model_state_dict", "model", "module"};
    if (count_tensors(root))
        return root;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        for (size_t i = 0; i + 1 < root->count; i += 2)
            if (is_text(root->items[i], keys[k]) && root->items[i + 1]->kind == NC_PICKLE_DICT &&
                count_tensors(root->items[i + 1]))
                return root->items[i + 1];
    return NULL;
}

/* TorchScript: tensors are attributes of modules, and are named by the way to them. */
static int add_module(struct reader *reader, const struct nc_pickle_value *module, size_t used,
                      size_t depth, size_t *steps)
{
    const struct nc_pickle_value *attributes = module->attributes;
    int status = NC_OK;
    for (size_t i = 0; attributes && i + 1 < attributes->count && status == NC_OK; i += 2) {
        const struct nc_pickle_value *name = attributes->items[i], *item = attributes->items[i + 1];
        if (++*steps > 8 * (size_t)MOST_TENSORS || depth > DEEPEST)
            return nc_error(NC_BAD_INPUT, "%s: modules without end", reader->shard->path);
        if (name->kind != NC_PICKLE_TEXT ||
            (item->kind != NC_PICKLE_TENSOR && item->kind != NC_PICKLE_MODULE))
            continue;
        if (name->length + 1 > LONGEST_NAME - used)
            return nc_error(NC_BAD_INPUT, "%s: a tensor's name is longer than %d bytes",
                            reader->shard->path, LONGEST_NAME);
        memcpy(reader->name + used, name->text, name->length);
        size_t end = used + name->length;
        if (item->kind == NC_PICKLE_TENSOR) {
            status = add_tensor(reader, reader->name, end, item->tensor);
        } else {
            reader->name[end] = '.';
            status = add_module(reader, item, end + 1, depth + 1, steps);
        }
    }
    return status;
}

static int add_root(struct reader *reader, const struct nc_pickle_value *root)
{
    size_t steps = 0;
    const struct nc_pickle_value *dict =
        root->kind == NC_PICKLE_DICT ? find_state_dict(root) : NULL;
    if (root->kind == NC_PICKLE_MODULE)
        return add_module(reader, root, 0, 0, &steps);
    if (dict)
        return add_dict(reader, dict);
    return nc_error(NC_BAD_INPUT,
                    "%s: holds no state dict: neither tensors by name, nor such a dictionary "
                    "under \"state_dict\", \"model_state_dict\", \"model\" or \"module\"",
                    reader->shard->path);
}

int nc_pytorch_read(struct nc_tensors *tensors, struct nc_shard *shard)
{
    struct reader reader = {.tensors = tensors, .shard = shard};
    struct nc_pickle *pickle = NULL;
    const struct nc_pickle_value *root;
    int status = check_old(shard);
    if (status != NC_OK)
        return status;
    reader.owned = calloc(1, sizeof *reader.owned);
    if (!reader.owned)
        return nc_error(NC_FAILED, "%s: no memory", shard->path);
    shard->owned = reader.owned;
    shard->release = release;
    status = nc_zip_open(shard->path, shard->mapping.data, shard->mapping.size, &reader.owned->zip);
    if (status == NC_OK)
        status = find_folder(&reader);
    if (status == NC_OK)
        status = check_byte_order(&reader);
    if (status != NC_OK)
        return status;
    const struct nc_zip_member *member = find_member(&reader, "data.pkl", 8);
    status = check_stored(&reader, member);
    if (status == NC_OK && crc32_z(0, member->data, member->size) != member->checksum)
        status =
            nc_error(NC_BAD_INPUT, "%s: its data.pkl is damaged (wrong checksum)", shard->path);
    if (status == NC_OK)
        status = nc_pickle_read(shard->path, member->data, member->size, &pickle, &root);
    if (status == NC_OK)
        status = add_root(&reader, root);
    if (status == NC_OK && !shard->count)
        status = nc_error(NC_BAD_INPUT, "%s: holds no tensor", shard->path);
    if (status == NC_OK)
        nc_tensors_sort(tensors, shard);
    nc_pickle_free(pickle);
    return status;
}
