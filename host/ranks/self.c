/* What a process's watch observes of its own rank (processor time, bytes read and written) and
 * reports to rank 0, and how it ends the process. */
#include "self.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- The end -------------------------------------------------------------------------- */

_Noreturn void nc_watch_leave(struct nc_watch *w, int status)
{
    if (w->end)
        w->end(w->end_context);
    _exit(status);
}

/* One line, in one piece: other processes may write to the same terminal. */
void nc_watch_speak(size_t rank, const char *host, const char *text)
{
    char line[WIRE_TEXT + 256];
    int length = snprintf(line, sizeof line, "nclip: rank %zu on %s: %s\n", rank, host, text);
    if (length >= (int)sizeof line)
        length = sizeof line - 1;
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* there is nobody to tell */
}

/* ---- What a rank says of itself ------------------------------------------------------------ */

/* Bytes that this process has read and written through files; sockets are not counted. */
static uint64_t bytes_moved(void)
{
    char text[512];
    int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    unsigned long long in = 0, out = 0;
    if (got > 0) {
        text[got] = 0;
        if (sscanf(text, "rchar: %llu wchar: %llu", &in, &out) != 2)
            return 0;
    }
    return in + out;
}

void nc_watch_look_at_self(struct nc_watch *w, struct wire_message *beat)
{
    enum { OWN_READING = 4096 }; /* reading /proc itself counts: fewer bytes are no work */
    struct timespec used;
    double now = nc_seconds(), cpu = 0;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0)
        cpu = (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
    uint64_t bytes = bytes_moved();
    struct rusage usage;
    long faults = getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_majflt : 0; /* mapped files */
    if (cpu - w->cpu > 0.1 * (now - w->cpu_at) || bytes - w->bytes > OWN_READING ||
        faults != w->faults)
        w->activity++;
    w->cpu = cpu;
    w->cpu_at = now;
    w->bytes = bytes;
    w->faults = faults;
    const char *what = w->what;
    *beat = (struct wire_message){.head = {.kind = WIRE_BEAT,
                                           .rank = (uint32_t)w->rank,
                                           .status = (uint32_t)w->patience, .number = w->arrived,
                                           .completed = w->completed,
                                           .blocked = w->blocked,
                                           .activity = w->activity,
                                           .ticks = w->ticks}};
    if (what)
        beat->head.length = (uint32_t)snprintf(beat->text, sizeof beat->text, "%s", what);
}

void nc_watch_take_failure(struct nc_watch *w, struct wire_message *message)
{
    uint64_t wakes;
    if (read(w->wake, &wakes, sizeof wakes) < 0 && errno != EAGAIN)
        return;
    pthread_mutex_lock(&w->lock);
    if (w->failed) {
        message->head = (struct wire_head){.kind = WIRE_FAIL,
                                           .rank = (uint32_t)w->rank,
                                           .status = (uint32_t)w->fail_status,
                                           .length = (uint32_t)strlen(w->fail_text)};
        memcpy(message->text, w->fail_text, sizeof message->text);
    }
    pthread_mutex_unlock(&w->lock);
}

/* A process that was stopped and continues must not judge: the others have ended meanwhile. */
void nc_watch_leave_when_stopped(struct nc_watch *w)
{
    double now = nc_seconds();
    if (w->awake > 0 && now - w->awake > w->timeout)
        nc_watch_leave(w, NC_FAILED);
    w->awake = now;
}
