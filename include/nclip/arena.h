/* One block of memory for a whole run, planned before the first step.
 *
 *     nc_arena_create(&arena);
 *     nc_arena_reserve(arena, "qkv", bytes, (void **)&tower->qkv);   // records the slot
 *     ...
 *     nc_arena_commit(arena, ops);                                   // allocates, fills the slots
 *
 * Slots that never live at the same time share bytes: take a mark, reserve the
 * first group, rewind to the mark, reserve the second group. The plan is the
 * largest extent that was ever reached.
 */
#ifndef NCLIP_ARENA_H
#define NCLIP_ARENA_H

#include <stddef.h>
#include <stdio.h>

struct nc_arena;
struct nc_ops;

enum { NC_ARENA_ALIGNMENT = 64 }; /* bytes; large slots start on their own page */

int nc_arena_create(struct nc_arena **arena);
void nc_arena_destroy(struct nc_arena *arena); /* releases the block; NULL is allowed */

/* Records that *slot needs `bytes`. Between reserve and commit *slot is NULL.
 * `label` groups slots in the printed plan and must outlive the arena. */
int nc_arena_reserve(struct nc_arena *arena, const char *label, size_t bytes, void **slot);

size_t nc_arena_mark(const struct nc_arena *arena);
void nc_arena_rewind(struct nc_arena *arena, size_t mark);

size_t nc_arena_bytes(const struct nc_arena *arena); /* planned so far */

/* Allocates the block from the backend (host memory when `ops` is NULL), not
 * zeroed, and sets every slot. Nothing can be reserved afterwards. */
int nc_arena_commit(struct nc_arena *arena, struct nc_ops *ops);

/* A table: label, bytes; slots that share bytes are marked. After the commit also what the backend
 * took for itself. */
void nc_arena_print(const struct nc_arena *arena, FILE *out);

#endif
