/* Writes down, in order, what a program does to the files below one directory, and what it sends to others.
 *
 * Loaded into the program with LD_PRELOAD. Every call that is written down runs under one lock together with its record, so the
 * records stand in the order in which things happened; a sync has a record where it begins and one where it has ended, and runs
 * without the lock. A sync is not passed on to the disk: what it promises is for the reader of the record to say. It takes a
 * moment, as a disk does, so that requests gather behind it.
 *
 * A record is a header of five numbers and a payload, written by one call to a file that is opened for appending. What is not
 * known here (a mapping, fallocate, copy_file_range) is found by the reader: the files that it arrives at would differ.
 *
 * RECORDED_DIRECTORY  Below which changes are written down.
 * RECORD              Where to.
 * RECORDED_BOOT       What the program finds in the place of /proc/sys/kernel/random/boot_id.
 * RECORDS_MAX         After how many records the program dies, as by SIGKILL, with all of them whole. Without it, it lives.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATED, WRITTEN, ZEROED, RESIZED, SYNC_BEGUN, SYNC_ENDED, RENAMED, REMOVED, LINKED, DIRECTORY_MADE, SENT };

/* Bytes of what is sent that are kept: heads are what is looked for. */
#define SENT_MAX 2048
/* How long a sync takes, in microseconds. */
#define SYNC_US 300

struct header {
	uint64_t kind, file, offset, length, payload;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_MAX];
static size_t directory_length;
static const char *boot;
static int record = -1;
static uint64_t syncs, records, records_max = UINT64_MAX;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_send)(int, const void *, size_t, int);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_link)(const char *, const char *);
static int (*real_linkat)(int, const char *, int, const char *, int);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

static void fail(const char *what)
{
	fprintf(stderr, "recorder: %s: %s\n", what, strerror(errno));
	abort();
}

__attribute__((constructor)) static void begin(void)
{
	real_open = dlsym(RTLD_NEXT, "open");
	real_write = dlsym(RTLD_NEXT, "write");
	real_writev = dlsym(RTLD_NEXT, "writev");
	real_pwrite = dlsym(RTLD_NEXT, "pwrite");
	real_send = dlsym(RTLD_NEXT, "send");
	real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
	real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
	real_rename = dlsym(RTLD_NEXT, "rename");
	real_unlink = dlsym(RTLD_NEXT, "unlink");
	real_link = dlsym(RTLD_NEXT, "link");
	real_linkat = dlsym(RTLD_NEXT, "linkat");
	real_mkdir = dlsym(RTLD_NEXT, "mkdir");
	real_fsync = dlsym(RTLD_NEXT, "fsync");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	const char *root = getenv("RECORDED_DIRECTORY"), *file = getenv("RECORD");
	if (!root || !file || !realpath(root, directory))
		fail("RECORDED_DIRECTORY and RECORD say where");
	directory_length = strlen(directory);
	record = real_open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (record < 0)
		fail(file);
	boot = getenv("RECORDED_BOOT");
	if (getenv("RECORDS_MAX"))
		records_max = strtoull(getenv("RECORDS_MAX"), NULL, 10);
}

static void note(enum kind kind, uint64_t file, uint64_t offset, uint64_t length, const void *payload, size_t size)
{
	struct header header = {kind, file, offset, length, size};
	struct iovec parts[2] = {{&header, sizeof header}, {(void *)payload, size}};
	int kept = errno;
	if (real_writev(record, parts, 2) != (ssize_t)(sizeof header + size))
		fail("the record");
	if (++records >= records_max)
		kill(getpid(), SIGKILL);
	errno = kept;
}

/* Whether a path lies below the directory. */
static int is_below(const char *path)
{
	return strncmp(path, directory, directory_length) == 0 &&
	       (path[directory_length] == '/' || path[directory_length] == 0);
}

enum target { OTHER, FILE_BELOW, DIRECTORY_BELOW, SOCKET };

static enum target target_of(int fd, struct stat *found)
{
	char link[64], path[PATH_MAX];
	int kept = errno;
	ssize_t length = -1;
	enum target target = OTHER;
	if (fd == record || fstat(fd, found) < 0)
		goto done;
	if (S_ISSOCK(found->st_mode)) {
		target = SOCKET;
		goto done;
	}
	if (!S_ISREG(found->st_mode) && !S_ISDIR(found->st_mode))
		goto done;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		goto done;
	path[length] = 0;
	if (is_below(path))
		target = S_ISDIR(found->st_mode) ? DIRECTORY_BELOW : FILE_BELOW;
done:
	errno = kept;
	return target;
}

static int is_zero(const char *bytes, size_t size)
{
	return size > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static void note_written(uint64_t file, off_t offset, const char *bytes, size_t size)
{
	if (is_zero(bytes, size))
		note(ZEROED, file, offset, size, NULL, 0);
	else
		note(WRITTEN, file, offset, size, bytes, size);
}

static void note_parts(enum target target, uint64_t file, off_t offset, const struct iovec *parts, size_t count, size_t done)
{
	char head[SENT_MAX];
	size_t filled = 0;
	for (size_t part = 0; part < count && done > 0; part++) {
		size_t size = parts[part].iov_len < done ? parts[part].iov_len : done;
		if (target == FILE_BELOW) {
			note_written(file, offset, parts[part].iov_base, size);
		} else {
			size_t room = sizeof head - filled, taken = size < room ? size : room;
			memcpy(head + filled, parts[part].iov_base, taken);
			filled += taken;
		}
		offset += size;
		done -= size;
	}
	if (target == SOCKET)
		note(SENT, 0, 0, filled, head, filled);
}

/* After a call that moved the descriptor's offset. */
static void note_moved(enum target target, int fd, const struct stat *found, const struct iovec *parts, size_t count, ssize_t done)
{
	if (done <= 0)
		return;
	off_t end = target == FILE_BELOW ? lseek(fd, 0, SEEK_CUR) : 0;
	note_parts(target, found->st_ino, end - done, parts, count, done);
}

static int open_noted(const char *path, int flags, mode_t mode)
{
	struct stat found;
	if (boot && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		path = boot;
	if (!is_below(path) || !(flags & (O_CREAT | O_TRUNC)))
		return real_open(path, flags, mode);
	pthread_mutex_lock(&lock);
	int is_new = lstat(path, &found) < 0;
	int fd = real_open(path, flags, mode);
	if (fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode)) {
		if (is_new)
			note(CREATED, found.st_ino, 0, 0, path, strlen(path));
		else if (flags & O_TRUNC)
			note(RESIZED, found.st_ino, 0, 0, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
	return fd;
}

static mode_t mode_of(int flags, va_list rest)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPENS(name)                                        \
	int name(const char *path, int flags, ...)         \
	{                                                  \
		va_list rest;                              \
		va_start(rest, flags);                     \
		mode_t mode = mode_of(flags, rest);        \
		va_end(rest);                              \
		return open_noted(path, flags, mode);      \
	}

OPENS(open)
OPENS(open64)

#define NOTED(target, fd, call)                                                   \
	struct stat found;                                                        \
	enum target target = target_of(fd, &found);                               \
	if (target != FILE_BELOW && target != SOCKET)                             \
		return call;                                                      \
	pthread_mutex_lock(&lock);                                                \
	ssize_t done = call;

ssize_t write(int fd, const void *bytes, size_t size)
{
	struct iovec part = {(void *)bytes, size};
	NOTED(target, fd, real_write(fd, bytes, size))
	note_moved(target, fd, &found, &part, 1, done);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	NOTED(target, fd, real_writev(fd, parts, count))
	note_moved(target, fd, &found, parts, count, done);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	NOTED(target, fd, real_pwrite(fd, bytes, size, offset))
	if (done > 0)
		note_written(found.st_ino, offset, bytes, done);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
	return pwrite(fd, bytes, size, offset);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
	struct iovec part = {(void *)bytes, size};
	NOTED(target, fd, real_send(fd, bytes, size, flags))
	note_moved(target, fd, &found, &part, 1, done);
	pthread_mutex_unlock(&lock);
	return done;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	NOTED(target, fd, real_sendmsg(fd, message, flags))
	note_moved(target, fd, &found, message->msg_iov, message->msg_iovlen, done);
	pthread_mutex_unlock(&lock);
	return done;
}

int ftruncate(int fd, off_t size)
{
	NOTED(target, fd, real_ftruncate(fd, size))
	if (done == 0)
		note(RESIZED, found.st_ino, size, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return done;
}

int ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

static void note_names(enum kind kind, const char *from, const char *to)
{
	char names[2 * PATH_MAX];
	int size = snprintf(names, sizeof names, "%s\n%s", from, to);
	note(kind, 0, 0, 0, names, size);
}

#define NAMES(condition, call, noted)                  \
	if (!(condition))                              \
		return call;                           \
	pthread_mutex_lock(&lock);                     \
	int done = call;                               \
	if (done == 0)                                 \
		noted;                                 \
	pthread_mutex_unlock(&lock);                   \
	return done;

int rename(const char *from, const char *to)
{
	NAMES(is_below(from) || is_below(to), real_rename(from, to), note_names(RENAMED, from, to))
}

int link(const char *from, const char *to)
{
	NAMES(is_below(to), real_link(from, to), note_names(LINKED, from, to))
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	NAMES(is_below(to), real_linkat(from_fd, from, to_fd, to, flags), note_names(LINKED, from, to))
}

int unlink(const char *path)
{
	NAMES(is_below(path), real_unlink(path), note(REMOVED, 0, 0, 0, path, strlen(path)))
}

int mkdir(const char *path, mode_t mode)
{
	struct stat found;
	NAMES(is_below(path), real_mkdir(path, mode),
	      note(DIRECTORY_MADE, lstat(path, &found) == 0 ? found.st_ino : 0, 0, 0, path, strlen(path)))
}

static int sync_noted(int fd, int (*sync)(int))
{
	struct stat found;
	enum target target = target_of(fd, &found);
	if (target != FILE_BELOW && target != DIRECTORY_BELOW)
		return sync(fd);
	pthread_mutex_lock(&lock);
	uint64_t number = ++syncs;
	note(SYNC_BEGUN, found.st_ino, number, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	usleep(SYNC_US);
	pthread_mutex_lock(&lock);
	note(SYNC_ENDED, found.st_ino, number, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return 0;
}

int fsync(int fd)
{
	return sync_noted(fd, real_fsync);
}

int fdatasync(int fd)
{
	return sync_noted(fd, real_fdatasync);
}
