/* A pool of string copies, which are all freed at once. */
#ifndef NCLIP_SUPPORT_TEXT_POOL_H
#define NCLIP_SUPPORT_TEXT_POOL_H

#ifdef __cplusplus
extern "C" {
#endif

struct nc_text_pool; /* begins as NULL */

/* A copy, owned by *pool; NULL: no memory. */
const char *nc_text_pool_copy(struct nc_text_pool **pool, const char *text);
void nc_text_pool_free(struct nc_text_pool *pool); /* NULL is allowed */

#ifdef __cplusplus
}
#endif

#endif
