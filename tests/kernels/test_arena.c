/* The arena: slots apart, bytes shared after a rewind, and what is refused. */
#include "nclip/arena.h"
#include "nclip/ops.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct nc_arena *create(void **state)
{
    (void)state;
    struct nc_arena *arena;
    assert_int_equal(nc_arena_create(&arena), NC_OK);
    return arena;
}

static void slots_are_apart_and_aligned(void **state)
{
    struct nc_arena *arena = create(state);
    enum { COUNT = 200 }; /* more than the first capacity */
    static void *slots[COUNT];
    static size_t bytes[COUNT];
    size_t sum = 0;
    for (size_t i = 0; i < COUNT; i++) {
        bytes[i] = i % 7 == 3 ? 0 : i % 5 == 0 ? 70000 + i : 13 * i + 1;
        sum += bytes[i];
        slots[i] = &slots;
        assert_int_equal(nc_arena_reserve(arena, "slot", bytes[i], &slots[i]), NC_OK);
        assert_null(slots[i]);
    }
    assert_true(nc_arena_bytes(arena) >= sum);
    assert_true(nc_arena_bytes(arena) <= sum + COUNT / 5 * 4096 + COUNT * NC_ARENA_ALIGNMENT);
    assert_int_equal(nc_arena_commit(arena, NULL), NC_OK);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal((uintptr_t)slots[i] % (bytes[i] > 70000 ? 4096 : NC_ARENA_ALIGNMENT), 0);
        memset(slots[i], (int)i, bytes[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < bytes[i]; j++)
            assert_int_equal(((uint8_t *)slots[i])[j], (uint8_t)i);
    }
    nc_arena_destroy(arena);
}

static void rewound_slots_share_bytes(void **state)
{
    struct nc_arena *arena = create(state);
    void *kept, *first, *second, *behind;
    assert_int_equal(nc_arena_reserve(arena, "kept", 640, &kept), NC_OK);
    size_t mark = nc_arena_mark(arena);
    assert_int_equal(nc_arena_reserve(arena, "first", 6400, &first), NC_OK);
    nc_arena_rewind(arena, mark);
    assert_int_equal(nc_arena_reserve(arena, "second", 64, &second), NC_OK);
    assert_int_equal(nc_arena_reserve(arena, "behind", 64, &behind), NC_OK);
    assert_int_equal(nc_arena_bytes(arena), 640 + 6400);

    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    nc_arena_print(arena, out);
    fclose(out);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        bool shared = strstr(line, "shared") != NULL;
        assert_int_equal(shared,
                         strstr(line, "first") || strstr(line, "second") || strstr(line, "behind"));
    }
    free(text);

    assert_int_equal(nc_arena_commit(arena, NULL), NC_OK);
    assert_ptr_equal(first, second);
    assert_ptr_equal((char *)behind, (char *)second + 64);
    assert_ptr_equal((char *)first, (char *)kept + 640);
    nc_arena_destroy(arena);
}

static void a_closed_plan_stays_closed(void **state)
{
    struct nc_arena *arena = create(state);
    void *slot, *late;
    assert_int_equal(nc_arena_reserve(arena, "slot", 1, &slot), NC_OK);
    assert_int_equal(nc_arena_commit(arena, NULL), NC_OK);
    assert_int_equal(nc_arena_reserve(arena, "late", 1, &late), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "late"));
    assert_int_equal(nc_arena_commit(arena, NULL), NC_FAILED);
    nc_arena_destroy(arena);
    nc_arena_destroy(NULL);
}

static void too_much_is_refused(void **state)
{
    struct nc_arena *arena = create(state);
    void *slot;
    assert_int_equal(nc_arena_reserve(arena, "huge", SIZE_MAX - 10, &slot), NC_FAILED);
    assert_int_equal(nc_arena_reserve(arena, "most", SIZE_MAX / 2 - 8192, &slot), NC_OK);
    assert_int_equal(nc_arena_reserve(arena, "over", 8192, &slot), NC_FAILED);
    assert_int_equal(nc_arena_commit(arena, NULL), NC_FAILED);
    assert_null(slot);
    nc_arena_destroy(arena);
}

/* A backend that aligns to 64 bytes only, and counts what it gave. */
struct nc_backend {
    char *raw;
    size_t bytes, released;
    bool refuse;
};

static int give(struct nc_backend *backend, size_t bytes, void **out)
{
    if (backend->refuse)
        return nc_error(NC_FAILED, "the device is full");
    backend->bytes = bytes;
    backend->raw = aligned_alloc(4096, (bytes + 64 + 4095) / 4096 * 4096);
    *out = backend->raw + 64;
    return NC_OK;
}

static void take_back(struct nc_backend *backend, void *data, size_t bytes)
{
    assert_ptr_equal(data, backend->raw + 64);
    backend->released += bytes;
    free(backend->raw);
}

static void memory_comes_from_the_backend(void **state)
{
    struct nc_backend backend = {0};
    struct nc_ops ops = {.backend = &backend, .allocate = give, .release = take_back};
    struct nc_arena *arena = create(state);
    void *small, *large;
    assert_int_equal(nc_arena_reserve(arena, "small", 100, &small), NC_OK);
    assert_int_equal(nc_arena_reserve(arena, "large", 100000, &large), NC_OK);
    backend.refuse = true;
    assert_int_equal(nc_arena_commit(arena, &ops), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "the device is full"));
    assert_null(small);
    backend.refuse = false;
    assert_int_equal(nc_arena_commit(arena, &ops), NC_OK);
    assert_int_equal((uintptr_t)large % 4096, 0);
    assert_true((char *)small >= backend.raw + 64);
    memset(large, 1, 100000); /* the sanitizer sees it when this leaves the block */
    assert_true((char *)large + 100000 <= backend.raw + 64 + backend.bytes);
    nc_arena_destroy(arena);
    assert_int_equal(backend.released, backend.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_apart_and_aligned),
        cmocka_unit_test(rewound_slots_share_bytes),
        cmocka_unit_test(a_closed_plan_stays_closed),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(memory_comes_from_the_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
