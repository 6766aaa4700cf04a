/* Being told to stop, once and again: each case in a process of its own, whose end is looked at. */
#include "nclip/support/signals.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FINE = 7, WRONG = 8 };

static int end_of(int (*process)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(process());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void ends_by_itself(int (*process)(void))
{
    int status = end_of(process);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), FINE);
}

static void is_killed_by(int (*process)(void), int signal)
{
    int status = end_of(process);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
}

static int asked_often(void)
{
    nc_signals_catch();
    if (nc_signals_stop())
        return WRONG;
    for (int i = 0; i < 3; i++) {
        raise(SIGTERM);
        raise(SIGUSR1);
    }
    raise(SIGINT);
    return nc_signals_stop() ? FINE : WRONG;
}

static int interrupted_twice(void)
{
    nc_signals_catch();
    raise(SIGINT);
    raise(SIGINT);
    return FINE;
}

/* SLURM ends what is left of a step when its first rank has ended. */
static int asked_on_the_way_out(void)
{
    nc_signals_catch();
    raise(SIGTERM);
    nc_signals_release();
    raise(SIGTERM);
    raise(SIGUSR1);
    return nc_signals_stop() ? FINE : WRONG;
}

/* Another rank was told first; the signal of this one comes when it is nearly done. */
static int told_by_another(void)
{
    nc_signals_catch();
    nc_signals_pass_on();
    nc_signals_release();
    raise(SIGTERM);
    return nc_signals_stop() ? FINE : WRONG;
}

static int not_asked(void)
{
    nc_signals_catch();
    nc_signals_release();
    raise(SIGTERM);
    return FINE;
}

static void schedulers_may_ask_often(void **state)
{
    (void)state;
    ends_by_itself(asked_often);
    ends_by_itself(asked_on_the_way_out);
    ends_by_itself(told_by_another);
}

static void who_sits_there_need_not_wait(void **state)
{
    (void)state;
    is_killed_by(interrupted_twice, SIGINT);
}

static void what_was_there_before_comes_back(void **state)
{
    (void)state;
    is_killed_by(not_asked, SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedulers_may_ask_often),
        cmocka_unit_test(who_sits_there_need_not_wait),
        cmocka_unit_test(what_was_there_before_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
