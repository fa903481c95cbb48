/* Faults that a test turns on and off while a program runs, by files in the folder that FARTHING_TEST_FAULTS names:
   `disk` has the number of the error that every write to a file ends with, `clock` the seconds that the clock is off,
   `mounts` is what the kernel says is mounted, while `readonly` is there no database can be opened to write, and `hurry` is how
   many times shorter naps are: SQLite counts the naps it asked for, so it gives up on a lock as many times sooner. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int path_of(const char *name, char *path, size_t size) {
  const char *folder = getenv("FARTHING_TEST_FAULTS");
  if (!folder) return 0;
  snprintf(path, size, "%s/%s", folder, name);
  return access(path, F_OK) == 0;
}

static long number_in(const char *name) {
  char path[4096], text[32] = {0};
  if (!path_of(name, path, sizeof path)) return 0;
  int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0) return 0;
  ssize_t got = syscall(SYS_read, fd, text, sizeof text - 1);
  syscall(SYS_close, fd);
  return got > 0 ? atol(text) : 0;
}

static int fails(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) return 0;
  long error = number_in("disk");
  if (error) errno = (int)error;
  return error != 0;
}

ssize_t write(int fd, const void *from, size_t count) {
  if (fails(fd)) return -1;
  return ((ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, from, count);
}

ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
  if (fails(fd)) return -1;
  return ((ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(fd, from, count, at);
}

ssize_t pwrite64(int fd, const void *from, size_t count, off64_t at) {
  if (fails(fd)) return -1;
  return ((ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, from, count, at);
}

int clock_gettime(clockid_t clock, struct timespec *to) {
  int done = syscall(SYS_clock_gettime, clock, to);
  if (done == 0 && clock == CLOCK_REALTIME) to->tv_sec += number_in("clock");
  return done;
}

int nanosleep(const struct timespec *nap, struct timespec *left) {
  struct timespec shorter = *nap;
  long times = number_in("hurry");
  if (times > 1) {
    long long nanos = (nap->tv_sec * 1000000000LL + nap->tv_nsec) / times;
    shorter.tv_sec = nanos / 1000000000LL;
    shorter.tv_nsec = nanos % 1000000000LL;
  }
  return syscall(SYS_nanosleep, &shorter, left);
}

static int opened(const char *path, int flags, mode_t mode) {
  char other[4096];
  if (strcmp(path, "/proc/self/mountinfo") == 0 && path_of("mounts", other, sizeof other)) path = other;
  int writes = (flags & O_ACCMODE) != O_RDONLY;
  if (writes && strstr(path, ".db") && path_of("readonly", other, sizeof other)) { errno = EROFS; return -1; }
  return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return opened(path, flags | O_LARGEFILE, mode);
}
