/* PyTorch's archives. The first byte: an archive as it is; an index of shards with one shard; or a
 * pickle, which is put into an archive with the right checksum, so that it is looked at whatever is
 * changed in it. */
#include "fuzz.h"

#include "nclip/checkpoints/tensors.h"
#include "nclip/support/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- An archive around a pickle ---- */

struct archive {
    uint8_t *at;
    size_t count;
};

static void put(struct archive *a, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        a->at[a->count++] = i < 8 ? (uint8_t)(value >> (8 * i)) : 0;
}

static void put_bytes(struct archive *a, const void *bytes, size_t count)
{
    memcpy(a->at + a->count, bytes, count);
    a->count += count;
}

struct member {
    const char *name;
    const uint8_t *data;
    size_t size, place;
};

/* What a member's two headers have in common. */
static void put_header(struct archive *a, const struct member *m)
{
    put(a, 0, 2 + 2); /* flags; stored */
    put(a, 0, 4);     /* time */
    put(a, crc32_z(0, m->data, m->size), 4);
    put(a, m->size, 4);
    put(a, m->size, 4);
    put(a, strlen(m->name), 2);
    put(a, 0, 2);
}

static struct archive wrap(const uint8_t *pickle, size_t size)
{
    static const uint8_t numbers[256] = {0, 0, 128, 63};
    struct member members[] = {{"archive/data.pkl", pickle, size, 0},
                               {"archive/data/0", numbers, sizeof numbers, 0},
                               {"archive/data/1", numbers, 64, 0}};
    struct archive a = {malloc(size + 2048), 0};
    size_t count = sizeof members / sizeof members[0];
    for (size_t i = 0; i < count; i++) {
        members[i].place = a.count;
        put(&a, 0x04034b50, 4);
        put(&a, 20, 2);
        put_header(&a, &members[i]);
        put_bytes(&a, members[i].name, strlen(members[i].name));
        put_bytes(&a, members[i].data, members[i].size);
    }
    size_t directory = a.count;
    for (size_t i = 0; i < count; i++) {
        put(&a, 0x02014b50, 4);
        put(&a, 20, 2);
        put(&a, 20, 2);
        put_header(&a, &members[i]);
        put(&a, 0, 2 + 2 + 2 + 4);
        put(&a, members[i].place, 4);
        put_bytes(&a, members[i].name, strlen(members[i].name));
    }
    size_t end = a.count;
    put(&a, 0x06054b50, 4);
    put(&a, 0, 4);
    put(&a, count, 2);
    put(&a, count, 2);
    put(&a, end - directory, 4);
    put(&a, directory, 4);
    put(&a, 0, 2);
    return a;
}

static volatile uint8_t touched;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nc_tensors *file;
    struct fuzz_part parts[2] = {{data, size}};
    char path[4096];
    fuzz_remove("model.pt");
    fuzz_remove("pytorch_model.bin.index.json");
    fuzz_remove("pytorch_model-1.bin");
    unsigned choice = fuzz_choose(&data, &size, 3);
    if (choice == 2) {
        struct archive archive = wrap(data, size);
        snprintf(path, sizeof path, "%s", fuzz_file("model.pt", archive.at, archive.count));
        free(archive.at);
    } else if (choice == 1) {
        fuzz_cut(data, size, parts, 2);
        fuzz_file("pytorch_model-1.bin", parts[1].data, parts[1].size);
        snprintf(path, sizeof path, "%s",
                 fuzz_file("pytorch_model.bin.index.json", parts[0].data, parts[0].size));
    } else {
        snprintf(path, sizeof path, "%s", fuzz_file("model.pt", data, size));
    }
    int status = nc_tensors_open(path, &file);
    fuzz_expect_sentence(status);
    if (status != NC_OK)
        return 0;
    for (size_t i = 0; i < nc_tensors_count(file); i++) {
        const struct nc_tensor *tensor = nc_tensors_at(file, i);
        for (size_t b = 0; b < tensor->bytes; b++)
            touched ^= tensor->data[b];
        if (nc_tensors_find(file, tensor->name) != tensor)
            abort();
    }
    nc_tensors_close(file);
    return 0;
}
