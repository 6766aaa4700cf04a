/* JSON as a tree of cJSON's, with the checks that files from strangers need: every getter names the
 * file, the key, and what was expected. All failures are NC_BAD_INPUT, except missing memory.
 *
 * What is read is what Python's json reads (nclip/formats/json_reader.h): NaN and Infinity are
 * null, and refused where an optional number is asked for; half a surrogate pair is U+FFFD, and of
 * members with one name the last counts. A string with the character zero is refused, by name: a C
 * string would end there.
 */
#ifndef NCLIP_FORMATS_JSON_H
#define NCLIP_FORMATS_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Parses a whole file (at most 4 GiB, packed or not; "-": standard input). An error names the line,
 * the byte and the place: "annotations[7].caption". The caller calls cJSON_Delete(*root). */
int nc_json_load(const char *path, cJSON **root);

/* Parses `size` bytes; `where` names them in messages ("captions.jsonl line 7"). */
int nc_json_parse(const char *where, const char *text, size_t size, cJSON **root);

/* The same of text that need not be JSON: NULL is no failure. */
cJSON *nc_json_try(const char *text, size_t size);

/* Adds a whole number with all its digits, where cJSON's doubles are exact to 2^53. */
bool nc_json_add_count(cJSON *object, const char *key, uint64_t value);

/* For a program's main(): cJSON's running out of memory is noticed, so that the two functions below
 * refuse a tree that lacks a member, whether or not its maker looked. */
void nc_json_watch_memory(void);

/* Prints the tree as one line and frees it. NC_FAILED when it is NULL or not `complete`: a member
 * could not be added. */
int nc_json_print(FILE *out, cJSON *root, bool complete);

/* Likewise, but indented, into a file that appears when complete. */
int nc_json_write(const char *path, cJSON *root, bool complete);

/* The member of that name, the last of several; NULL: none, or no object. */
cJSON *nc_json_member(const cJSON *object, const char *key);

/* Required members of an object. `where` names the object. Strings point into
 * the tree. nc_json_size wants a whole number 0 .. 2^53. */
int nc_json_object(const char *where, const cJSON *object, const char *key, const cJSON **value);
int nc_json_array(const char *where, const cJSON *object, const char *key, const cJSON **value);
int nc_json_string(const char *where, const cJSON *object, const char *key, const char **value);
int nc_json_size(const char *where, const cJSON *object, const char *key, size_t *value);
int nc_json_number(const char *where, const cJSON *object, const char *key, double *value);

/* Refuses an object two of whose members have one name, where each is an item: Python would see the
 * last of them alone. No object at all is fine. */
int nc_json_unique(const char *where, const cJSON *object);

/* An id as text: 42 and "42" are the same, and a whole number keeps all its digits. *id points into
 * the tree or into `number`. */
enum { NC_JSON_ID = 32 };
int nc_json_id(const char *where, const cJSON *object, const char *key, char number[NC_JSON_ID],
               const char **id);

/* An id that is a whole number 0 .. 2^53, also written as a string: "42". */
int nc_json_id_number(const char *where, const cJSON *object, const char *key, size_t *value);

/* The same for optional members: *value is left alone when the key is absent
 * or null, and a wrong type is still an error. */
int nc_json_optional_size(const char *where, const cJSON *object, const char *key, size_t *value);
int nc_json_optional_number(const char *where, const cJSON *object, const char *key, double *value);
int nc_json_optional_string(const char *where, const cJSON *object, const char *key,
                            const char **value);
int nc_json_optional_bool(const char *where, const cJSON *object, const char *key, bool *value);

/* One of the arrays that nc_json_arrays() reads. */
struct nc_json_array {
    const char *key;
    int (*read)(void *context, size_t index, const cJSON *element);
    bool found; /* set on return */
};

/* Calls `read` for each element of the arrays of the object that is the whole text, one at a time
 * and in the text's order: memory for one element, not for a tree of all. Other members are passed
 * over. `path` names the text; an array that is repeated, or none, is NC_BAD_INPUT; one that is
 * missing is the caller's to refuse. */
int nc_json_arrays(const char *path, const char *text, size_t size, struct nc_json_array *arrays,
                   size_t count, void *context);

/* The same of one array, which must be there. */
int nc_json_each(const char *path, const char *text, size_t size, const char *key,
                 int (*read)(void *context, size_t index, const cJSON *element), void *context);

/* JSON lines: calls `read` for the value of each line that is not blank. `where` is
 * "PATH line 7". `growing`: a last line without its end is still being written, and left out. */
int nc_json_lines(const char *path, const char *text, size_t size, bool growing,
                  int (*read)(void *context, const char *where, const cJSON *value),
                  void *context);

/* The same of a file (at most 4 GiB, packed or not; "-": standard input). */
int nc_json_lines_load(const char *path, bool growing,
                       int (*read)(void *context, const char *where, const cJSON *value),
                       void *context);

#endif
