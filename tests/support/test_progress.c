/* What the progress bar draws, and when. */
#include "../../host/support/progress_parts.h"

#include "nclip/support/progress.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

/* A clock and a screen that the test holds. */
static double now;
static size_t columns;
static char *output;
static size_t output_size;
static FILE *screen;

static double fake_clock(void)
{
    return now;
}

static size_t fake_width(void)
{
    return columns;
}

static struct nc_progress *start(bool terminal, size_t initial, size_t total)
{
    now = 100;
    columns = 80;
    screen = open_memstream(&output, &output_size);
    assert_non_null(screen);
    struct progress_surroundings surroundings = {screen, terminal, fake_width, fake_clock};
    struct nc_progress *progress =
        progress_start_in(&surroundings, "embed", "pictures", initial, total);
    assert_non_null(progress);
    return progress;
}

static void expect(const char *expected)
{
    assert_int_equal(fclose(screen), 0);
    assert_string_equal(output, expected);
    free(output);
}

static void lines_come_every_few_seconds(void **state)
{
    (void)state;
    struct nc_progress *progress = start(false, 0, 10000);
    for (size_t i = 1; i <= 120; i++) { /* 12 seconds at 100 a second */
        now += 0.1;
        nc_progress_update(progress, i * 10, i == 120 ? "2 skipped" : NULL);
    }
    nc_progress_finish(progress);
    expect("embed  510/10000  100 pictures/s  1:35 left\n"
           "embed  1020/10000  100 pictures/s  1:30 left\n"
           "embed  1200/10000  100 pictures/s  in 0:12  2 skipped\n");
}

static void bar_is_drawn_ten_times_a_second(void **state)
{
    (void)state;
    struct nc_progress *progress = start(true, 0, 100);
    nc_progress_update(progress, 0, NULL);
    for (size_t i = 1; i <= 50; i++) {
        now += 0.01;
        nc_progress_update(progress, i, "x");
    }
    size_t drawn = 0;
    fflush(screen);
    for (const char *at = output; (at = strchr(at, '\r')); at++)
        drawn++;
    assert_in_range(drawn, 4, 6);
    now = 101;
    nc_progress_finish(progress);
    assert_int_equal(fclose(screen), 0);
    const char *last = strrchr(output, '\r');
    assert_string_equal(last, "\rembed  [###############---------------]  50/100  50.0 pictures/s"
                              "  in 0:01  x\x1b[K\n");
    free(output);
}

static void bar_fits_the_terminal(void **state)
{
    (void)state;
    for (size_t width = 1; width < 120; width++) {
        struct nc_progress *progress = start(true, 0, 100);
        columns = width;
        now += 1;
        nc_progress_update(progress, 50, "n\xc3\xb6te");
        fflush(screen);
        size_t used = 0;
        for (const char *at = output + 1; *at != '\x1b'; at++)
            used += ((unsigned char)*at & 0xc0) != 0x80;
        assert_true(used < width);
        assert_true(width < 80 || strstr(output, "n\xc3\xb6te"));
        nc_progress_finish(progress);
        assert_int_equal(fclose(screen), 0);
        free(output);
    }
}

static void rate_leaves_out_what_was_there(void **state)
{
    (void)state;
    struct nc_progress *progress = start(false, 9000, 10000);
    now += 10;
    nc_progress_update(progress, 9050, NULL);
    nc_progress_finish(progress);
    expect("embed  9050/10000  5.00 pictures/s  3:10 left\n"
           "embed  9050/10000  5.00 pictures/s  in 0:10\n");
}

static void rate_follows_a_change(void **state)
{
    (void)state;
    struct nc_progress *progress = start(false, 0, 1000000);
    size_t done = 0;
    for (int i = 0; i < 60; i++) { /* a slow minute, then a fast one */
        now += 1;
        nc_progress_update(progress, done += 10, NULL);
    }
    for (int i = 0; i < 60; i++) {
        now += 1;
        nc_progress_update(progress, done += 1000, NULL);
    }
    fflush(screen);
    char *line = output + output_size - 1;
    while (line > output && line[-1] != '\n')
        line--;
    double rate = strtod(strstr(line, "  ") + 2 + strlen("60600/1000000"), NULL);
    assert_true(rate > 990 && rate <= 1000);
    nc_progress_finish(progress);
    fclose(screen);
    free(output);
}

static void unknown_total_and_long_times(void **state)
{
    (void)state;
    struct nc_progress *progress = start(false, 0, 0);
    now += 5;
    nc_progress_update(progress, 1, NULL);
    nc_progress_finish(progress);
    expect("embed  1  0.200 pictures/s\n"
           "embed  1  0.200 pictures/s  in 0:05\n");

    progress = start(false, 0, 100000);
    now += 10;
    nc_progress_update(progress, 1, NULL);
    now += 90;
    nc_progress_update(progress, 100, NULL);
    now += 4000;
    nc_progress_finish(progress);
    assert_int_equal(fclose(screen), 0);
    assert_non_null(strstr(output, "11 days 13:46:30 left\n"));
    assert_non_null(strstr(output, "in 1:08:20\n"));
    free(output);
}

static void nothing_done_yet(void **state)
{
    (void)state;
    struct nc_progress *progress = start(false, 0, 10);
    nc_progress_finish(progress);
    expect("embed  0/10 pictures  in 0:00\n");
}

static void messages_do_not_tear_the_bar(void **state)
{
    (void)state;
    struct nc_progress *progress = start(true, 0, 10);
    nc_progress_message(progress, "%s: \x1b[2Jbroken\t%d", "a.jpg", 7);
    fflush(screen);
    assert_true(strstr(output, "\r\x1b[Ka.jpg: ?[2Jbroken\t7\n\rembed  [---") == output);
    nc_progress_finish(progress);
    fclose(screen);
    free(output);
}

static void null_is_quiet(void **state)
{
    (void)state;
    nc_progress_update(NULL, 1, "x");
    nc_progress_message(NULL, "x");
    nc_progress_finish(NULL);
}

/* stderr replaced by the other side of a terminal or by a pipe. */
static size_t captured(int writer, int reader, char *text, size_t size)
{
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(writer, STDERR_FILENO) >= 0);
    struct nc_progress *progress = nc_progress_start("train", "captions", 0, 4);
    nc_progress_update(progress, 4, NULL);
    nc_progress_finish(progress);
    fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    /* A terminal hands over what was written in pieces, the later ones after a moment. */
    size_t length = 0;
    struct pollfd ready = {.fd = reader, .events = POLLIN};
    while (length < size - 1 && poll(&ready, 1, length ? 100 : 5000) > 0) {
        ssize_t count = read(reader, text + length, size - 1 - length);
        if (count <= 0)
            break;
        length += (size_t)count;
    }
    assert_true(length > 0);
    text[length] = 0;
    return length;
}

static void terminal_gets_a_bar(void **state)
{
    (void)state;
    char text[1024];
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
        skip();
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0)
        skip();
    const struct winsize size = {.ws_row = 24, .ws_col = 50};
    assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
    assert_int_equal(setenv("TERM", "xterm", 1), 0);
    captured(slave, master, text, sizeof text);
    assert_non_null(strstr(text, "\rtrain  ["));
    assert_non_null(strstr(text, "4/4"));
    for (const char *line = strchr(text, '\r'); line; line = strchr(line + 1, '\r')) {
        size_t length = strcspn(line + 1, "\r\n\x1b");
        assert_true(length < 50);
    }
    assert_int_equal(setenv("TERM", "dumb", 1), 0);
    captured(slave, master, text, sizeof text);
    assert_null(strchr(text, '['));
    close(slave);
    close(master);
}

static void pipe_gets_lines(void **state)
{
    (void)state;
    char text[1024];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    captured(ends[1], ends[0], text, sizeof text);
    assert_null(strchr(text, '\r'));
    assert_null(strchr(text, '\x1b'));
    assert_true(strncmp(text, "train  4/4", 10) == 0);
    assert_true(text[strlen(text) - 1] == '\n');
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_every_few_seconds),
        cmocka_unit_test(bar_is_drawn_ten_times_a_second),
        cmocka_unit_test(bar_fits_the_terminal),
        cmocka_unit_test(rate_leaves_out_what_was_there),
        cmocka_unit_test(rate_follows_a_change),
        cmocka_unit_test(unknown_total_and_long_times),
        cmocka_unit_test(nothing_done_yet),
        cmocka_unit_test(messages_do_not_tear_the_bar),
        cmocka_unit_test(null_is_quiet),
        cmocka_unit_test(terminal_gets_a_bar),
        cmocka_unit_test(pipe_gets_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
