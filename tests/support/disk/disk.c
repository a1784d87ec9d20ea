/* A layer under a program's file calls: logs what is written and synced, fails it, or kills there.
 *
 * DISK_MATCH   part of the paths that are meant
 * DISK_LOG     where every change of them is appended: operation, path, offset, data
 * DISK_KILL    the number of the change before which the process is killed
 * DISK_FAULT   a file that says what goes wrong now: "write 28", "sync 5" (errno), "slow 300" (ms)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FILES 4096
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static char *paths[FILES];
static long changes;
static int log_fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int meant(const char *path)
{
    const char *match = getenv("DISK_MATCH");
    return match && path && strstr(path, match);
}

/* Set errno and return 1 if `kind` is to fail now; or take so long as it is to take. */
static int fails(const char *kind)
{
    const char *file = getenv("DISK_FAULT");
    char what[16] = "";
    int number = 0, fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY) : -1;
    char text[64] = "";
    if (fd < 0)
        return 0;
    if (syscall(SYS_read, fd, text, sizeof text - 1) > 0)
        sscanf(text, "%15s %d", what, &number);
    syscall(SYS_close, fd);
    if (!strcmp(what, "slow") && !strcmp(kind, "sync"))
        nanosleep(&(struct timespec){number / 1000, number % 1000 * 1000000L}, NULL);
    if (strcmp(what, kind))
        return 0;
    errno = number;
    return 1;
}

static void put(const void *data, size_t size)
{
    if (log_fd >= 0 && syscall(SYS_write, log_fd, data, size) != (long)size)
        abort();
}

static void note(char operation, const char *path, uint64_t offset, const void *data, uint32_t size)
{
    const char *file = getenv("DISK_LOG"), *kill_at = getenv("DISK_KILL");
    uint32_t length = (uint32_t)strlen(path);
    pthread_mutex_lock(&lock);
    if (kill_at && changes == atol(kill_at))
        syscall(SYS_kill, getpid(), SIGKILL);
    changes++;
    if (file && log_fd < 0)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    put(&operation, 1);
    put(&length, 4);
    put(path, length);
    put(&offset, 8);
    put(&size, 4);
    put(data, size);
    pthread_mutex_unlock(&lock);
}

static int opened(int fd, const char *path, int flags)
{
    if (fd >= 0 && fd < FILES) {
        free(paths[fd]);
        paths[fd] = meant(path) ? strdup(path) : NULL;
        if (paths[fd] && flags & O_CREAT)
            note('c', path, 0, "", 0);
        if (paths[fd] && flags & O_TRUNC)
            note('t', path, 0, "", 0);
    }
    return fd;
}

static const char *path_of(int fd)
{
    return fd >= 0 && fd < FILES ? paths[fd] : NULL;
}

#define OPEN(name, parameters, given)                                   \
    int name parameters                                                 \
    {                                                                   \
        va_list more;                                                   \
        va_start(more, flags);                                          \
        mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;       \
        va_end(more);                                                   \
        if (meant(path) && flags & O_CREAT && fails("write"))           \
            return -1;                                                  \
        return opened(REAL(name) given, path, flags);                   \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))

int close(int fd)
{
    if (fd >= 0 && fd < FILES && paths[fd]) {
        free(paths[fd]);
        paths[fd] = NULL;
    }
    return REAL(close)(fd);
}

#define PWRITE(name, offset_type)                                               \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset)     \
    {                                                                           \
        if (path_of(fd)) {                                                      \
            if (fails("write"))                                                 \
                return -1;                                                      \
            note('w', path_of(fd), (uint64_t)offset, data, (uint32_t)size);     \
        }                                                                       \
        return REAL(name)(fd, data, size, offset);                              \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t size)
{
    if (path_of(fd)) {
        if (fails("write"))
            return -1;
        /* Files that are written to in this way are appended to. */
        note('w', path_of(fd), (uint64_t)lseek(fd, 0, SEEK_END), data, (uint32_t)size);
    }
    return REAL(write)(fd, data, size);
}

#define SYNC(name)                                      \
    int name(int fd)                                    \
    {                                                   \
        if (path_of(fd)) {                              \
            if (fails("sync"))                          \
                return -1;                              \
            note('s', path_of(fd), 0, "", 0);           \
        }                                               \
        return REAL(name)(fd);                          \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name, length_type)                                     \
    int name(int fd, length_type length)                                \
    {                                                                   \
        if (path_of(fd))                                                \
            note('t', path_of(fd), (uint64_t)length, "", 0);            \
        return REAL(name)(fd, length);                                  \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int rename(const char *from, const char *to)
{
    if (meant(from))
        note('r', from, 0, to, (uint32_t)strlen(to));
    return REAL(rename)(from, to);
}

int unlink(const char *path)
{
    if (meant(path))
        note('u', path, 0, "", 0);
    return REAL(unlink)(path);
}

int remove(const char *path)
{
    if (meant(path))
        note('u', path, 0, "", 0);
    return REAL(remove)(path);
}
