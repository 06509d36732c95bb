/* CRC32C: the record checksum of the mailbox. Three streams would be faster for long payloads;
 * most records are short, so one stream of 8-byte steps is what counts. */
#include "CLinux.h"
#include <string.h>

static uint32_t table[256];

__attribute__((constructor)) static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
        table[i] = c;
    }
}

uint32_t baton_crc32c_table(uint32_t seed, const void *bytes, size_t count) {
    const uint8_t *p = bytes;
    uint32_t c = ~seed;
    while (count--) c = table[(c ^ *p++) & 0xff] ^ (c >> 8);
    return ~c;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t by_hardware(uint32_t seed, const void *bytes,
                                                              size_t count) {
    const uint8_t *p = bytes;
    uint64_t c = ~seed;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
        p += 8;
        count -= 8;
    }
    while (count--) c = _mm_crc32_u8((uint32_t)c, *p++);
    return ~(uint32_t)c;
}

uint32_t baton_crc32c(uint32_t seed, const void *bytes, size_t count) {
    static int supported = -1;
    if (__builtin_expect(supported < 0, 0)) supported = __builtin_cpu_supports("sse4.2") ? 1 : 0;
    return supported ? by_hardware(seed, bytes, count) : baton_crc32c_table(seed, bytes, count);
}

#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

__attribute__((target("+crc"))) static uint32_t by_hardware(uint32_t seed, const void *bytes,
                                                            size_t count) {
    const uint8_t *p = bytes;
    uint32_t c = ~seed;
    while (count >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = __crc32cd(c, word);
        p += 8;
        count -= 8;
    }
    while (count--) c = __crc32cb(c, *p++);
    return ~c;
}

uint32_t baton_crc32c(uint32_t seed, const void *bytes, size_t count) {
    static int supported = -1;
    if (supported < 0) supported = (getauxval(AT_HWCAP) & HWCAP_CRC32) ? 1 : 0;
    return supported ? by_hardware(seed, bytes, count) : baton_crc32c_table(seed, bytes, count);
}
#else
uint32_t baton_crc32c(uint32_t seed, const void *bytes, size_t count) {
    return baton_crc32c_table(seed, bytes, count);
}
#endif
