/* The baseline of the jitter figures: the same loop with nothing in it. loop RATE_HZ SECONDS PRIORITY > lateness (ns).
   Prints one line: missed ticks, drift of the last deadline (ns), then the lateness of each tick. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    double rate = atof(argv[1]), seconds = atof(argv[2]);
    struct sched_param priority = {.sched_priority = atoi(argv[3])};
    long long period = (long long)(1e9 / rate + 0.5), n = (long long)(seconds * rate), missed = 0, ticks = 0;
    long long *late = malloc(n * sizeof *late);
    if (!late || mlockall(MCL_CURRENT | MCL_FUTURE))
        return 1;
    if (priority.sched_priority && sched_setscheduler(0, SCHED_FIFO, &priority))
        return 1;
    for (long long i = 0; i < n; i++)
        late[i] = 0;
    long long first = now() + period, deadline = first;
    for (long long i = 0; i < n; i++) {
        struct timespec t = {deadline / 1000000000LL, deadline % 1000000000LL};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL))
            ;
        late[ticks++] = now() - deadline;
        deadline += period;
        long long behind = now() - deadline;
        if (behind >= period) {
            long long skipped = behind / period;
            missed += skipped, i += skipped;
            deadline += skipped * period;
        }
    }
    printf("%lld %lld", missed, deadline - first - (ticks + missed) * period);
    for (long long i = 0; i < ticks; i++)
        printf(" %lld", late[i]);
    printf("\n");
    return 0;
}
