/* Loads a shared library when it is first needed: a machine without the library still runs all
 * that does not need it. */
#ifndef NCLIP_SUPPORT_SHARED_LIBRARY_H
#define NCLIP_SUPPORT_SHARED_LIBRARY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* functions[i] = the function names[i] of the library `soname`, looked for where the system's
 * loader looks, then in `folder` (NULL: only there). It stays loaded. `functions` has room for
 * `count` pointers to functions. NC_FAILED: it was not found, or lacks a function; the message
 * starts with `user`, who needs it, and `functions` is as it was. */
int nc_shared_library_load(const char *user, const char *soname, const char *folder,
                           const char *const *names, size_t count, void *functions);

/* The names that a list F(name) ... of functions wants, and a struct of pointers to them that is
 * filled in the same order, from headers that declare them. */
#define NC_SHARED_LIBRARY_NAME(name) #name,
#ifdef __cplusplus
#define NC_SHARED_LIBRARY_MEMBER(name) decltype(&::name) name;
#else
#define NC_SHARED_LIBRARY_MEMBER(name) __typeof__(&name) name;
#endif

#ifdef __cplusplus
}
#endif
#endif
