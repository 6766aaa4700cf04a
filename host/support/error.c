/* Keeps the last error message of each thread. */
#include "nclip/support/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Like errno: one message a thread, so that a parallel loop's failures do not mix. */
static _Thread_local char message[2048];

int nc_error(int status, const char *format, ...)
{
    char text[sizeof message]; /* the arguments may point into `message` */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(message, text, sizeof message);
    return status;
}

int nc_error_prefix(int status, const char *format, ...)
{
    char prefix[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(prefix, sizeof prefix, format, arguments);
    va_end(arguments);

    char text[sizeof message + sizeof prefix + 3];
    snprintf(text, sizeof text, "%s: %s", prefix, message);
    memcpy(message, text, sizeof message - 1);
    message[sizeof message - 1] = 0;
    return status;
}

int nc_error_kind(int cause)
{
    static const int of_files[] = {ENOENT,       EACCES, EPERM, ENOTDIR, EISDIR, ELOOP,
                                   ENAMETOOLONG, EINVAL, ENXIO, ENODEV,  EILSEQ, EBADF};
    for (size_t i = 0; i < sizeof of_files / sizeof *of_files; i++)
        if (cause == of_files[i])
            return NC_BAD_INPUT;
    return NC_FAILED;
}

int nc_error_read(const char *path)
{
    int cause = errno;
    return nc_error(nc_error_kind(cause), "%s: cannot read: %s", path, strerror(cause));
}

static _Thread_local int silenced;

void nc_error_silence(void)
{
    silenced = 1;
}

int nc_error_silenced(void)
{
    return silenced;
}

const char *nc_error_message(void)
{
    return message;
}
