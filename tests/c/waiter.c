/* A read that waits in vain, some functions deep: a forked child keeps the write
 * end. The lines that a test asks for are marked. */

#include <stdio.h>
#include <unistd.h>

static volatile int calls;

static __attribute__((noinline)) void keep(void)
{
    sleep(60); /* kept */
    calls++;
}

static __attribute__((noinline)) void wait_for_word(int fd)
{
    char word[8];
    calls += read(fd, word, sizeof word); /* waits */
}

static __attribute__((noinline)) void between(int fd)
{
    wait_for_word(fd); /* between */
    calls++;
}

int main(void)
{
    int ends[2];
    printf("{\"fact\":\"ready\"}\n");
    fflush(stdout);
    getchar();
    if (pipe(ends) != 0)
        return 1;
    if (fork() == 0) {
        keep();
        return 0;
    }
    close(ends[1]);
    between(ends[0]); /* main */
    return calls;
}
