/* cJSON with the checks that files from strangers need: every getter names the
 * file, the key, and what was expected. All failures are NC_BAD_INPUT.
 */
#ifndef NCLIP_FORMATS_JSON_H
#define NCLIP_FORMATS_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Parses a whole file (at most 4 GiB; "-": standard input). A syntax error is
 * reported with its line. The caller calls cJSON_Delete(*root). */
int nc_json_load(const char *path, cJSON **root);

/* Parses `size` bytes; `where` names them in messages ("captions.jsonl line 7"). */
int nc_json_parse(const char *where, const char *text, size_t size, cJSON **root);

/* Whether a JSON text escapes the character zero, at which cJSON would end a string. */
bool nc_json_escapes_zero(const char *text, size_t size);

/* Adds a whole number with all its digits, where cJSON's doubles are exact to 2^53. */
bool nc_json_add_count(cJSON *object, const char *key, uint64_t value);

/* Prints the tree as one line and frees it. NC_FAILED when it is NULL or not `complete`: a member
 * could not be added. */
int nc_json_print(FILE *out, cJSON *root, bool complete);

/* Likewise, but indented, into a file that appears when complete. */
int nc_json_write(const char *path, cJSON *root, bool complete);

/* Required members of an object. `where` names the object. Strings point into
 * the tree. nc_json_size wants a whole number 0 .. 2^53. */
int nc_json_object(const char *where, const cJSON *object, const char *key, const cJSON **value);
int nc_json_array(const char *where, const cJSON *object, const char *key, const cJSON **value);
int nc_json_string(const char *where, const cJSON *object, const char *key, const char **value);
int nc_json_size(const char *where, const cJSON *object, const char *key, size_t *value);
int nc_json_number(const char *where, const cJSON *object, const char *key, double *value);

/* The same for optional members: *value is left alone when the key is absent
 * or null, and a wrong type is still an error. */
int nc_json_optional_size(const char *where, const cJSON *object, const char *key, size_t *value);
int nc_json_optional_number(const char *where, const cJSON *object, const char *key, double *value);
int nc_json_optional_string(const char *where, const cJSON *object, const char *key,
                            const char **value);
int nc_json_optional_bool(const char *where, const cJSON *object, const char *key, bool *value);

/* Calls `read` for each element of the array `key` of the object that is the whole text, one at a
 * time: memory for one element, not for a tree of all. Other members are passed over. `path` names
 * the text; a missing or repeated array is NC_BAD_INPUT. */
int nc_json_each(const char *path, const char *text, size_t size, const char *key,
                 int (*read)(void *context, size_t index, const cJSON *element), void *context);

#endif
