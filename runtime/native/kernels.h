/* What the kernels of this folder share.

   Pictures are rows of bytes without gaps, colours interleaved. Every kernel returns 0, or -1 where there was no memory. They are
   written in GNU C: its vectors are those of AVX2 and of NEON alike, and most loops are left for the compiler to see them in. */
#ifndef EDGESEG_KERNELS_H
#define EDGESEG_KERNELS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__) || !defined(__GNUC__)
#error "written for GCC; elsewhere the runtime does the same with OpenCV"
#elif defined(__x86_64__)
#pragma GCC target("avx2") /* edgeseg_supported() asks the processor before any of this runs */
#elif !defined(__aarch64__)
#error "written for x86-64 and aarch64; elsewhere the runtime does the same with OpenCV"
#endif

typedef uint8_t byte;
typedef int16_t word;
typedef byte bytes16 __attribute__((vector_size(16)));
typedef word words16 __attribute__((vector_size(32)));

/* A picture that is enlarged by linear interpolation, row by row from above. */
typedef struct {
    const byte *picture;
    int rows, row_bytes, height;
    struct columns *columns;
    byte *source;  /* a row of the picture, with room for a vector behind it */
    word *kept[2]; /* rows enlarged along x, times 128, and */
    int which[2];  /* which rows of the picture they are */
    int above, below;
    word weight;   /* of the row below, of 32768 */
    word *between; /* these two */
} enlarged;

int enlarged_begin(enlarged *e, const byte *picture, int rows, int columns, int channels, int height, int width);
void enlarged_end(enlarged *e);
void enlarged_seek(enlarged *e, int y);                  /* sets above, below and weight for row y of the result */
const word *enlarged_row(enlarged *e, int start, int end); /* of that row the values start..end times 128, from `start` on */

static inline int smaller(int a, int b) { return a < b ? a : b; }
static inline int larger(int a, int b) { return a > b ? a : b; }

#endif
