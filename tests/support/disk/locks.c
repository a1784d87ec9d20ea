/* A file system without locks: each call for one fails with the errno in LOCK_ERRNO.
 *
 * LOCK_FCNTL  if set, not only `flock` but the locks of `fcntl` too, which DuckDB takes
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>

static int refuse(void)
{
    const char *number = getenv("LOCK_ERRNO");
    errno = number ? atoi(number) : ENOLCK;
    return -1;
}

int flock(int fd, int operation)
{
    (void)fd;
    (void)operation;
    return refuse();
}

static int control(int fd, int command, void *argument)
{
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl64");
    if (getenv("LOCK_FCNTL") && (command == F_SETLK || command == F_SETLKW))
        return refuse();
    return real(fd, command, argument);
}

#define PASS(name)                               \
    int name(int fd, int command, ...)           \
    {                                            \
        va_list rest;                            \
        va_start(rest, command);                 \
        void *argument = va_arg(rest, void *);   \
        va_end(rest);                            \
        return control(fd, command, argument);   \
    }
PASS(fcntl)
PASS(fcntl64)
