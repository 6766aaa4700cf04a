/* Draws the progress bar, or writes lines where there is no terminal. */
#include "nclip/support/progress.h"

#include "nclip/support/terminal.h"
#include "progress_parts.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double REDRAW = 0.1;  /* seconds between two drawings of the bar */
static const double LINE = 5;      /* seconds between two lines */
static const double SAMPLE = 0.25; /* seconds over which a rate is taken */
static const double MEMORY = 10;   /* seconds after which a rate counts 1/e */

struct nc_progress {
    struct progress_surroundings at;
    char title[32], unit[32], note[160];
    size_t initial, total, done;
    double started, shown;
    /* smoothed rate: sum of weight * rate over sum of weight, older ones fading */
    double sampled, rate_sum, weight_sum;
    size_t sampled_done;
};

double nc_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static size_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

struct nc_progress *progress_start_in(const struct progress_surroundings *surroundings,
                                      const char *title, const char *unit, size_t initial,
                                      size_t total)
{
    struct nc_progress *progress = calloc(1, sizeof *progress);
    if (!progress)
        return NULL;
    progress->at = *surroundings;
    snprintf(progress->title, sizeof progress->title, "%s", title);
    snprintf(progress->unit, sizeof progress->unit, "%s", unit);
    progress->initial = progress->done = progress->sampled_done = initial;
    progress->total = total;
    progress->started = progress->sampled = progress->at.clock();
    progress->shown = progress->at.terminal ? -INFINITY : progress->started;
    return progress;
}

struct nc_progress *nc_progress_start(const char *title, const char *unit, size_t initial,
                                      size_t total)
{
    const char *kind = getenv("TERM");
    const struct progress_surroundings surroundings = {
        .out = stderr,
        .terminal = isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0,
        .width = terminal_width,
        .clock = nc_seconds,
    };
    return progress_start_in(&surroundings, title, unit, initial, total);
}

/* ---- Rates and times ---------------------------------------------------------------------- */

static void sample(struct nc_progress *progress, double now)
{
    double seconds = now - progress->sampled;
    if (seconds < SAMPLE || progress->done < progress->sampled_done)
        return;
    double fade = exp(-seconds / MEMORY);
    double rate = (double)(progress->done - progress->sampled_done) / seconds;
    progress->rate_sum = progress->rate_sum * fade + rate * (1 - fade);
    progress->weight_sum = progress->weight_sum * fade + (1 - fade);
    progress->sampled = now;
    progress->sampled_done = progress->done;
}

static double rate_now(const struct nc_progress *progress)
{
    return progress->weight_sum > 0 ? progress->rate_sum / progress->weight_sum : 0;
}

/* "812", "8.3" or "0.042": three digits are as much as a rate is worth */
static void print_rate(FILE *out, double rate)
{
    fprintf(out, "%.*f", rate >= 99.95 ? 0 : rate >= 9.995 ? 1 : rate >= 0.9995 ? 2 : 3, rate);
}

/* "0:07", "12:34", "3:05:00" or "2 days 3:05:00" */
static void print_duration(FILE *out, double seconds)
{
    unsigned long long whole = seconds < 1e12 ? (unsigned long long)(seconds + 0.5) : 0;
    if (whole >= 2 * 86400) {
        fprintf(out, "%llu days ", whole / 86400);
        whole %= 86400;
        fprintf(out, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60, whole % 60);
    } else if (whole >= 3600) {
        fprintf(out, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60, whole % 60);
    } else {
        fprintf(out, "%llu:%02llu", whole / 60, whole % 60);
    }
}

/* ---- Drawing ------------------------------------------------------------------------------ */

/* What stands behind the bar. */
static void print_state(FILE *out, const struct nc_progress *progress, bool finished)
{
    double elapsed = progress->at.clock() - progress->started;
    double rate = rate_now(progress);
    if (finished || rate <= 0) /* over all of it */
        rate = elapsed > 0 ? (double)(progress->done - progress->initial) / elapsed : 0;

    fprintf(out, "%zu", progress->done);
    if (progress->total)
        fprintf(out, "/%zu", progress->total);
    if (rate > 0 && isfinite(rate)) {
        fputs("  ", out);
        print_rate(out, rate);
        fprintf(out, " %s/s", progress->unit);
    } else {
        fprintf(out, " %s", progress->unit);
    }
    if (finished) {
        fputs("  in ", out);
        print_duration(out, elapsed);
    } else if (progress->total > progress->done && rate > 0) {
        fputs("  ", out);
        print_duration(out, (double)(progress->total - progress->done) / rate);
        fputs(" left", out);
    }
    if (*progress->note)
        fprintf(out, "  %s", progress->note);
}

/* Bytes of the first `columns` characters of UTF-8. */
static size_t clip(const char *text, size_t columns)
{
    size_t bytes = 0;
    for (size_t column = 0; text[bytes] && column < columns; column++) {
        bytes++;
        while (((unsigned char)text[bytes] & 0xc0) == 0x80)
            bytes++;
    }
    return bytes;
}

static size_t columns_of(const char *text)
{
    size_t columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

static void draw_bar(FILE *out, const struct nc_progress *progress, size_t cells)
{
    double share = (double)progress->done / (double)progress->total;
    size_t full = share >= 1 ? cells : (size_t)(share * (double)cells);
    fputs("  [", out);
    for (size_t i = 0; i < cells; i++)
        fputc(i < full ? '#' : '-', out);
    fputc(']', out);
}

static void show(struct nc_progress *progress, bool finished)
{
    enum { LEAST_CELLS = 8, MOST_CELLS = 30, BAR_EDGES = 6 /* "  [" "]" and "  " */ };
    FILE *out = progress->at.out;
    char *state = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&state, &size);
    if (!stream)
        return;
    print_state(stream, progress, finished);
    if (fclose(stream) != 0 || !state) {
        free(state);
        return;
    }
    if (!progress->at.terminal) {
        fprintf(out, "%s  %s\n", progress->title, state);
    } else {
        /* The last column stays free: some terminals would wrap. */
        size_t room = progress->at.width() - 1, title = columns_of(progress->title);
        size_t needed = title + BAR_EDGES + columns_of(state);
        size_t cells = room > needed ? room - needed : 0;
        fputs("\r", out);
        if (room > title + 2) {
            fputs(progress->title, out);
            if (progress->total && cells >= LEAST_CELLS)
                draw_bar(out, progress, cells < MOST_CELLS ? cells : MOST_CELLS);
            fprintf(out, "  %.*s", (int)clip(state, room - title - 2), state);
        }
        fputs("\x1b[K", out); /* clear to the end of the line */
        if (finished)
            fputc('\n', out);
    }
    fflush(out);
    free(state);
}

void nc_progress_update(struct nc_progress *progress, size_t done, const char *note)
{
    if (!progress)
        return;
    double now = progress->at.clock();
    progress->done = done < progress->initial ? progress->initial : done;
    snprintf(progress->note, sizeof progress->note, "%s", note ? note : "");
    nc_terminal_tame(progress->note, "\n\t"); /* file names come from strangers */
    sample(progress, now);
    if (now - progress->shown >= (progress->at.terminal ? REDRAW : LINE)) {
        progress->shown = now;
        show(progress, false);
    }
}

void nc_progress_total(struct nc_progress *progress, size_t total)
{
    if (progress)
        progress->total = total;
}

void nc_progress_message(struct nc_progress *progress, const char *format, ...)
{
    if (!progress)
        return;
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    nc_terminal_tame(text, "\n\t");
    fprintf(progress->at.out, "%s%s\n", progress->at.terminal ? "\r\x1b[K" : "", text);
    free(text);
    if (progress->at.terminal)
        show(progress, false);
    else
        fflush(progress->at.out);
}

void nc_progress_finish(struct nc_progress *progress)
{
    if (!progress)
        return;
    show(progress, true);
    free(progress);
}
