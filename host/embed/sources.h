/* The sources of a store that has many: their numbers, and which are complete. */
#ifndef NCLIP_HOST_EMBED_SOURCES_H
#define NCLIP_HOST_EMBED_SOURCES_H

#include "nclip/embed/embed.h"
#include "patterns.h"

#define EMBED_SOURCES "sources"   /* the folder in the store */
#define EMBED_STOP "sources/stop" /* is there when a rank was told to stop */

/* A source of this call. */
struct embed_source {
    size_t number;  /* in the store */
    uint64_t bytes; /* of a tar; 0 of others */
    bool done;
};

/* What sources/list.jsonl says. */
struct embed_list {
    size_t first; /* number of the first source */
    bool keys_by_path, captions;
    char *prefix;             /* of the keys; "" for none */
    struct embed_paths paths; /* [number - first] */
};

/* What this call is to do. */
struct embed_selection {
    struct embed_source *items; /* in the order given */
    size_t count;
    size_t missing;
};

/* All that --images names; with skip_missing, paths may name nothing. NC_BAD_INPUT names the first
 * that is missing. *missing is their number, *single is whether there is one path at all. */
int embed_find_sources(const struct nc_embed_options *options, struct embed_paths *paths,
                       size_t *missing);

/* Whether the store has a list of sources. */
bool embed_has_list(const char *store);

/* Rank 0's, with the folder locked: numbers the paths, known ones as before and new ones behind
 * them, and writes the list; removes what a kill left; finds which are done. */
int embed_register(const struct nc_embed_options *options, const struct embed_paths *paths,
                   struct embed_list *list, struct embed_selection *selection);
int embed_list_load(const char *store, struct embed_list *list);
void embed_list_free(struct embed_list *list);
void embed_selection_free(struct embed_selection *selection);

static inline const char *embed_path_of(const struct embed_list *list, size_t number)
{
    return list->paths.items[number - list->first];
}

#endif
