/* The one error type: a status, and one sentence that says what is wrong,
 * where, and what to do about it.
 *
 * Every function that can fail returns an `enum nc_status` as int. It sets the
 * message with nc_error() at the place that knows what went wrong; callers pass
 * the status up unchanged. Only main() prints the message and exits, with the
 * status as the exit code.
 */
#ifndef NCLIP_SUPPORT_ERROR_H
#define NCLIP_SUPPORT_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

enum nc_status {
    NC_OK = 0,        /* done */
    NC_FAILED = 1,    /* the machine's fault: disk full, out of memory, a kernel refused */
    NC_USAGE = 2,     /* the command line is wrong */
    NC_BAD_INPUT = 3, /* a file, a model or a config is wrong */
};

/* Records the message of the calling thread (replacing an earlier one) and
 * returns `status`, so that `return nc_error(NC_BAD_INPUT, "%s: ...", path)`
 * reads in one line. Messages are cut at 2047 bytes. */
int nc_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whose fault a failed call of the system is: NC_BAD_INPUT where the path or the file is wrong (not
 * there, not allowed, of another kind), NC_FAILED where the machine is (no handles, no memory, a disk
 * or server that fails): what skips a bad file must not skip a good one that could not be read. */
int nc_error_kind(int cause);

/* "PATH: cannot read: ..." of errno, with the status of nc_error_kind(). */
int nc_error_read(const char *path);

/* Puts "<prefix>: " before the recorded message; returns `status` unchanged.
 * For a caller that knows the file or the item the callee could not name. */
int nc_error_prefix(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Another process reports the failure: main() of this one must print nothing. */
void nc_error_silence(void);
int nc_error_silenced(void);

/* The calling thread's last message; "" before the first. Valid until the
 * thread's next nc_error(). */
const char *nc_error_message(void);

#ifdef __cplusplus
}
#endif
#endif
