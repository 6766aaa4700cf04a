/* Catches SIGINT, SIGTERM and SIGUSR1 and remembers that one came. */
#include "nclip/support/signals.h"

#include <signal.h>

/* A handler has no other way to speak: it only sets this. */
static volatile sig_atomic_t stop;

static struct sigaction before_interrupt, before_terminate, before_hangup, before_user;

static void note(int number)
{
    (void)number;
    stop = 1;
}

void nc_signals_catch(void)
{
    /* oneDNN's kernels may use the stack pointer as any register: a handler needs its own stack. */
    static _Alignas(64) char handler_stack[1 << 17];
    stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    sigaltstack(&stack, NULL);
    struct sigaction once = {.sa_handler = note, .sa_flags = SA_RESETHAND | SA_ONSTACK};
    struct sigaction always = {.sa_handler = note, .sa_flags = SA_ONSTACK};
    sigemptyset(&once.sa_mask);
    sigemptyset(&always.sa_mask);
    stop = 0;
    sigaction(SIGINT, &once, &before_interrupt);
    sigaction(SIGTERM, &always, &before_terminate);
    sigaction(SIGUSR1, &always, &before_user);
    sigaction(SIGHUP, NULL, &before_hangup);
    if (before_hangup.sa_handler != SIG_IGN) /* nohup */
        sigaction(SIGHUP, &always, NULL);
}

void nc_signals_leave_errors(void)
{
    signal(SIGXFSZ, SIG_IGN);
}

bool nc_signals_stop(void)
{
    return stop;
}

void nc_signals_pass_on(void)
{
    stop = 1;
}

void nc_signals_release(void)
{
    sigaction(SIGINT, &before_interrupt, NULL);
    if (stop)
        return;
    sigaction(SIGTERM, &before_terminate, NULL);
    sigaction(SIGUSR1, &before_user, NULL);
    sigaction(SIGHUP, &before_hangup, NULL);
}
