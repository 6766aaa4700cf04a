/* Plans the slots of an arena, allocates its one block and prints the plan. */
#include "nclip/arena.h"

#include "nclip/ops.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From 64 KiB on a slot starts on its own page; below that it would waste too much. */
enum { PAGE = 4096, LARGE = 1 << 16 };

struct slot {
    const char *label;
    void **pointer;
    size_t begin, end; /* in the block */
};

struct nc_arena {
    struct slot *slots; /* in the order of reservation */
    size_t count, capacity;
    size_t top;  /* where the next slot goes */
    size_t plan; /* the highest top there was */
    bool committed;
    struct nc_ops *ops; /* whose memory the block is; NULL: the host's */
    void *block;
    size_t block_bytes;
};

int nc_arena_create(struct nc_arena **arena)
{
    *arena = calloc(1, sizeof **arena);
    return *arena ? NC_OK : nc_error(NC_FAILED, "no memory for a memory plan");
}

void nc_arena_destroy(struct nc_arena *arena)
{
    if (!arena)
        return;
    if (arena->block && arena->ops)
        arena->ops->release(arena->ops->backend, arena->block, arena->block_bytes);
    else if (arena->block)
        munmap(arena->block, arena->block_bytes);
    free(arena->slots);
    free(arena);
}

int nc_arena_reserve(struct nc_arena *arena, const char *label, size_t bytes, void **slot)
{
    *slot = NULL;
    if (arena->committed)
        return nc_error(NC_FAILED, "%s: the memory plan is closed", label);
    size_t alignment = bytes >= LARGE ? PAGE : NC_ARENA_ALIGNMENT;
    size_t limit = SIZE_MAX / 2 - PAGE;
    if (bytes > limit || arena->top > limit - bytes)
        return nc_error(NC_FAILED, "%s: %zu bytes are more than this machine can address", label,
                        bytes);
    if (arena->count == arena->capacity) {
        size_t capacity = arena->capacity ? 2 * arena->capacity : 64;
        struct slot *larger = realloc(arena->slots, capacity * sizeof *larger);
        if (!larger)
            return nc_error(NC_FAILED, "no memory for a memory plan");
        arena->slots = larger;
        arena->capacity = capacity;
    }
    size_t begin = (arena->top + alignment - 1) / alignment * alignment;
    arena->slots[arena->count++] = (struct slot){label, slot, begin, begin + bytes};
    arena->top = begin + bytes;
    if (arena->plan < arena->top)
        arena->plan = arena->top;
    return NC_OK;
}

size_t nc_arena_mark(const struct nc_arena *arena)
{
    return arena->top;
}

void nc_arena_rewind(struct nc_arena *arena, size_t mark)
{
    if (mark < arena->top)
        arena->top = mark;
}

size_t nc_arena_bytes(const struct nc_arena *arena)
{
    return arena->plan;
}

int nc_arena_commit(struct nc_arena *arena, struct nc_ops *ops)
{
    if (arena->committed)
        return nc_error(NC_FAILED, "the memory plan is closed already");
    /* One page more, because a backend may align less than to a page. */
    size_t bytes = arena->plan + PAGE;
    void *block = NULL;
    if (ops) {
        int status = ops->allocate(ops->backend, bytes, &block);
        if (status != NC_OK)
            return nc_error_prefix(status, "memory plan of %zu bytes", bytes);
    } else {
        block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return nc_error(NC_FAILED,
                            "no memory for a plan of %zu bytes; a smaller batch needs "
                            "less",
                            bytes);
    }
    arena->committed = true;
    arena->ops = ops;
    arena->block = block;
    arena->block_bytes = bytes;
    char *base = (char *)block + (PAGE - (uintptr_t)block % PAGE) % PAGE;
    for (size_t i = 0; i < arena->count; i++)
        *arena->slots[i].pointer = base + arena->slots[i].begin;
    return NC_OK;
}

static bool shares_bytes(const struct nc_arena *arena, const struct slot *slot)
{
    for (size_t i = 0; i < arena->count; i++) {
        const struct slot *other = &arena->slots[i];
        if (other != slot && other->begin < slot->end && slot->begin < other->end)
            return true;
    }
    return false;
}

/* One row a label: what its slots take, and whether others use the same bytes. */
static void print_label(const struct nc_arena *arena, const char *label, FILE *out)
{
    size_t bytes = 0;
    bool shared = false;
    for (size_t i = 0; i < arena->count; i++) {
        const struct slot *slot = &arena->slots[i];
        if (strcmp(slot->label, label) != 0)
            continue;
        bytes += slot->end - slot->begin;
        shared = shared || shares_bytes(arena, slot);
    }
    fprintf(out, "  %-32s %12.2f MiB%s\n", label, (double)bytes / 0x1p20, shared ? "  shared" : "");
}

void nc_arena_print(const struct nc_arena *arena, FILE *out)
{
    fprintf(out, "memory plan\n");
    for (size_t i = 0; i < arena->count; i++) {
        size_t first = 0;
        while (strcmp(arena->slots[first].label, arena->slots[i].label) != 0)
            first++;
        if (first == i)
            print_label(arena, arena->slots[i].label, out);
    }
    fprintf(out, "  %-32s %12.2f MiB\n", "total", (double)arena->plan / 0x1p20);
    if (arena->ops && arena->ops->own_bytes)
        fprintf(out, "  %-32s %12.2f MiB\n", "beside it, the backend's own",
                (double)arena->ops->own_bytes / 0x1p20);
}
