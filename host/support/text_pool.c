/* Copies strings into blocks that are freed together. */
#include "nclip/support/text_pool.h"

#include <stdlib.h>
#include <string.h>

struct nc_text_pool {
    struct nc_text_pool *next;
    size_t used, capacity;
    char bytes[];
};

const char *nc_text_pool_copy(struct nc_text_pool **pool, const char *text)
{
    enum { BLOCK = 1 << 18 };
    size_t size = strlen(text) + 1;
    if (!*pool || (*pool)->capacity - (*pool)->used < size) {
        size_t capacity = size > BLOCK ? size : BLOCK;
        struct nc_text_pool *block = malloc(sizeof *block + capacity);
        if (!block)
            return NULL;
        *block = (struct nc_text_pool){.next = *pool, .capacity = capacity};
        *pool = block;
    }
    char *copy = (*pool)->bytes + (*pool)->used;
    memcpy(copy, text, size);
    (*pool)->used += size;
    return copy;
}

void nc_text_pool_free(struct nc_text_pool *pool)
{
    while (pool) {
        struct nc_text_pool *next = pool->next;
        free(pool);
        pool = next;
    }
}
