/* powercut: a disk whose power can be cut, and that fails on demand. A process of the tests, in C because
 * its partner is libfuse.
 *
 *     powercut IMAGE MOUNTPOINT
 *
 * serves two files in MOUNTPOINT. `disk` is the disk, of IMAGE's size, to be put below a loop device:
 * what is written to it lies in a volatile cache, sector by sector, until a flush (the loop driver's
 * fsync) writes the cache to IMAGE, the platter. Like a disk, it may write a sector earlier. `control`
 * takes one command a write, and reads as one line: `on REQUESTS FLUSHES` or `off REQUESTS FLUSHES KEPT
 * LOST`.
 *
 *     cut KEEP SEED           cuts the power now: of the sectors in the cache, KEEP percent (0 to 100),
 *                             by chance, have reached the platter, the others have not. From then on
 *                             everything fails with EIO
 *     arm REQUESTS KEEP SEED  the same, once so many more writes and flushes have been taken
 *     disarm                  not at all
 *     power                   on again, with what the platter has
 *     flushes FAILING         0: they work; 1: they fail with EIO, and what is in the cache is lost
 *     slow MILLISECONDS       each flush takes as long
 *     rot TEXT                a sector that has TEXT in it cannot be read any more; without TEXT, all can
 *
 * The order in which requests came is kept nowhere: an unflushed write may be on the platter, and an
 * earlier one not. One thread serves all, so a command falls between two requests.
 */
#define FUSE_USE_VERSION 314
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SECTOR = 512 };

static struct {
    int platter;
    uint64_t bytes;
    /* The cache: a sector's newest bytes, or NULL; and which sectors are in it. */
    unsigned char **cached;
    uint64_t *dirty;
    size_t dirty_count, dirty_room;

    bool is_off, flushes_fail;
    unsigned slow_milliseconds;
    uint64_t requests, flushes;
    /* The cut that is to come, if `armed` is not 0. */
    uint64_t armed;
    unsigned keep;
    /* What became of the cache at the last cut. */
    uint64_t kept, lost;
    char rotten[256];
} disk;

static uint64_t dice = 1;

/* xorshift64*: the same cuts for the same seed. */
static uint64_t throw_dice(void)
{
    dice ^= dice >> 12;
    dice ^= dice << 25;
    dice ^= dice >> 27;
    return dice * 2685821657736338717u;
}

static void seed_dice(uint64_t seed)
{
    dice = seed != 0 ? seed : 1;
}

/* Whether a sector gets to the platter, of a hundred so many do. ext4's superblock, 1024 bytes from there on,
 * has a checksum and no copy in the journal: torn, it is not mounted. Its two sectors go together. */
static bool is_chosen(uint64_t sector, unsigned percent)
{
    static bool is_first_half_chosen;
    if (sector == 3) return is_first_half_chosen;
    bool chosen = throw_dice() % 100 < percent;
    if (sector == 2) is_first_half_chosen = chosen;
    return chosen;
}

/* The platter is a file of a healthy disk: what fails here is the test's own ground. */
static void put(uint64_t sector, const unsigned char *bytes)
{
    if (pwrite(disk.platter, bytes, SECTOR, (off_t)(sector * SECTOR)) != SECTOR) {
        perror("powercut: write the platter");
        abort();
    }
}

static void forget_cache(void)
{
    for (size_t i = 0; i < disk.dirty_count; i++) {
        free(disk.cached[disk.dirty[i]]);
        disk.cached[disk.dirty[i]] = NULL;
    }
    disk.dirty_count = 0;
}

static void cut(void)
{
    disk.armed = 0;
    disk.is_off = true;
    disk.kept = disk.lost = 0;
    for (size_t i = 0; i < disk.dirty_count; i++) {
        if (is_chosen(disk.dirty[i], disk.keep)) {
            put(disk.dirty[i], disk.cached[disk.dirty[i]]);
            disk.kept++;
        } else {
            disk.lost++;
        }
    }
    forget_cache();
}

/* A write or flush has come: the armed cut may be due before it is taken. */
static bool takes_request(void)
{
    if (disk.is_off) return false;
    disk.requests++;
    if (disk.armed > 0 && --disk.armed == 0) cut();
    return !disk.is_off;
}

static void cache(uint64_t sector, const unsigned char *bytes)
{
    unsigned char *known = disk.cached[sector];
    if (known == NULL) {
        known = malloc(SECTOR);
        if (disk.dirty_count == disk.dirty_room) {
            disk.dirty_room = disk.dirty_room > 0 ? 2 * disk.dirty_room : 1024;
            disk.dirty = realloc(disk.dirty, disk.dirty_room * sizeof *disk.dirty);
        }
        if (known == NULL || disk.dirty == NULL) abort();
        disk.cached[sector] = known;
        disk.dirty[disk.dirty_count++] = sector;
    } else if (is_chosen(sector, 12)) {
        /* What it had before may be on the platter by now. */
        put(sector, known);
    }
    memcpy(known, bytes, SECTOR);
}

static int flush_cache(void)
{
    if (!takes_request()) return -EIO;
    disk.flushes++;
    if (disk.slow_milliseconds > 0) {
        struct timespec time = {disk.slow_milliseconds / 1000,
                                (long)(disk.slow_milliseconds % 1000) * 1000000};
        nanosleep(&time, NULL);
    }
    if (disk.flushes_fail) {
        forget_cache();
        return -EIO;
    }
    for (size_t i = 0; i < disk.dirty_count; i++) put(disk.dirty[i], disk.cached[disk.dirty[i]]);
    forget_cache();
    return 0;
}

static int command(const char *text)
{
    unsigned long long count, seed;
    unsigned number;
    if (sscanf(text, "cut %u %llu", &number, &seed) == 2) {
        disk.keep = number;
        seed_dice(seed);
        if (!disk.is_off) cut();
    } else if (sscanf(text, "arm %llu %u %llu", &count, &number, &seed) == 3) {
        disk.keep = number;
        seed_dice(seed);
        disk.armed = count;
    } else if (strncmp(text, "disarm", 6) == 0) {
        disk.armed = 0;
    } else if (strncmp(text, "power", 5) == 0) {
        disk.armed = 0;
        disk.is_off = false;
    } else if (sscanf(text, "flushes %u", &number) == 1) {
        disk.flushes_fail = number != 0;
    } else if (sscanf(text, "slow %u", &number) == 1) {
        disk.slow_milliseconds = number;
    } else if (strncmp(text, "rot", 3) == 0) {
        disk.rotten[0] = 0;
        (void)sscanf(text, "rot %255s", disk.rotten);
    } else {
        return -EINVAL;
    }
    return 0;
}

/* Its files. */

static bool is_disk(const char *path) { return strcmp(path, "/disk") == 0; }
static bool is_control(const char *path) { return strcmp(path, "/control") == 0; }

static int look(const char *path, struct stat *status, struct fuse_file_info *file)
{
    (void)file;
    memset(status, 0, sizeof *status);
    if (strcmp(path, "/") == 0) {
        status->st_mode = S_IFDIR | 0755;
        status->st_nlink = 2;
    } else if (is_disk(path) || is_control(path)) {
        status->st_mode = S_IFREG | 0600;
        status->st_nlink = 1;
        status->st_size = is_disk(path) ? (off_t)disk.bytes : 0;
    } else {
        return -ENOENT;
    }
    return 0;
}

static int list(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    (void)offset, (void)file, (void)flags;
    if (strcmp(path, "/") != 0) return -ENOENT;
    static const char *const names[] = {".", "..", "disk", "control"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) fill(buffer, names[i], NULL, 0, 0);
    return 0;
}

static int open_file(const char *path, struct fuse_file_info *file)
{
    if (!is_disk(path) && !is_control(path)) return -ENOENT;
    /* The kernel keeps nothing of it: what it writes is here at once, and what it reads is from here. */
    file->direct_io = 1;
    return 0;
}

/* A shell's `>` wants it. */
static int truncate_file(const char *path, off_t size, struct fuse_file_info *file)
{
    (void)size, (void)file;
    return is_control(path) ? 0 : -EPERM;
}

static int read_control(char *buffer, size_t size, off_t offset)
{
    char line[128];
    unsigned long long requests = disk.requests, flushes = disk.flushes;
    int count = disk.is_off ? snprintf(line, sizeof line, "off %llu %llu %llu %llu\n", requests, flushes,
                                       (unsigned long long)disk.kept, (unsigned long long)disk.lost)
                            : snprintf(line, sizeof line, "on %llu %llu\n", requests, flushes);
    if (offset >= count) return 0;
    size_t rest = (size_t)(count - offset);
    if (rest > size) rest = size;
    memcpy(buffer, line + offset, rest);
    return (int)rest;
}

static int read_file(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)file;
    if (is_control(path)) return read_control(buffer, size, offset);
    if (disk.is_off) return -EIO;
    if ((uint64_t)offset >= disk.bytes) return 0;
    if (size > disk.bytes - (uint64_t)offset) size = disk.bytes - (uint64_t)offset;
    if (offset % SECTOR != 0 || size % SECTOR != 0) return -EINVAL;
    ssize_t got = pread(disk.platter, buffer, size, offset);
    if (got != (ssize_t)size) return -EIO;
    for (size_t done = 0; done < size; done += SECTOR) {
        const unsigned char *known = disk.cached[((uint64_t)offset + done) / SECTOR];
        if (known != NULL) memcpy(buffer + done, known, SECTOR);
        if (disk.rotten[0] != 0 && memmem(buffer + done, SECTOR, disk.rotten, strlen(disk.rotten)) != NULL)
            return -EIO;
    }
    return (int)size;
}

static int write_file(const char *path, const char *bytes, size_t size, off_t offset,
                      struct fuse_file_info *file)
{
    (void)file;
    if (is_control(path)) {
        char text[300];
        if (size >= sizeof text) return -EINVAL;
        memcpy(text, bytes, size);
        text[size] = 0;
        int failed = command(text);
        return failed != 0 ? failed : (int)size;
    }
    if (offset % SECTOR != 0 || size % SECTOR != 0 || (uint64_t)offset > disk.bytes ||
        size > disk.bytes - (uint64_t)offset)
        return -EINVAL;
    if (!takes_request()) return -EIO;
    for (size_t done = 0; done < size; done += SECTOR)
        cache(((uint64_t)offset + done) / SECTOR, (const unsigned char *)bytes + done);
    return (int)size;
}

static int sync_file(const char *path, int data_only, struct fuse_file_info *file)
{
    (void)data_only, (void)file;
    return is_disk(path) ? flush_cache() : 0;
}

static const struct fuse_operations operations = {
    .getattr = look,
    .readdir = list,
    .open = open_file,
    .truncate = truncate_file,
    .read = read_file,
    .write = write_file,
    .fsync = sync_file,
};

int main(int count, char **words)
{
    if (count != 3) {
        fprintf(stderr, "usage: powercut IMAGE MOUNTPOINT\n");
        return 64;
    }
    disk.platter = open(words[1], O_RDWR | O_CLOEXEC);
    struct stat status;
    if (disk.platter < 0 || fstat(disk.platter, &status) != 0) {
        fprintf(stderr, "powercut: %s: %s\n", words[1], strerror(errno));
        return 66;
    }
    disk.bytes = (uint64_t)status.st_size / SECTOR * SECTOR;
    disk.cached = calloc(disk.bytes / SECTOR, sizeof *disk.cached);
    if (disk.cached == NULL) {
        fprintf(stderr, "powercut: no memory for the cache\n");
        return 71;
    }
    char *fuse[] = {words[0], "-f", "-s", "-o", "fsname=powercut", words[2], NULL};
    return fuse_main(6, fuse, &operations, NULL);
}
