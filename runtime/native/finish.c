/* The matte's last step: enlarged, and its ramp steepened, in one go. */
#include "kernels.h"

enum { LOW = 64, HIGH = 191 }; /* below a quarter there is nobody, above three quarters nothing but her */
enum { WORTH = 32 };           /* pixels of a run that it is quicker to fill than to compute */

typedef struct {
    int start, end; /* pixels of a row of the result */
    byte value;
} run;

/* 3t^2 - 2t^3 of value / 128 of 255, t rising from 0 at a quarter to 1 at three quarters. */
static inline byte steepened(word value)
{
    word t = (word)((word)(value - 8160 + 32) >> 6); /* 255 (2 x / 255 - 1/2), rounded */
    uint16_t u = (uint16_t)(t < 0 ? 0 : t > 255 ? 255 : t);
    uint16_t square = (uint16_t)(u * u), rest = (uint16_t)(765 - 2 * u);
    uint16_t scaled = (uint16_t)(64 * rest + rest / 2); /* 64.5 = 64 * 2^16 / 255^2 */
    return (byte)((uint16_t)((uint16_t)((uint32_t)square * scaled >> 16) + 32) >> 6);
}

static void interpolate(enlarged *e, byte *restrict alpha, int start, int end)
{
    if (start >= end)
        return;
    const word *restrict values = enlarged_row(e, start, end);
    for (int x = 0; x < end - start; x++)
        alpha[start + x] = steepened(values[x]);
}

/* Where nothing can lie between the rows `upper` and `lower` of the plane but 0, or but 255; how many runs there are. */
static int find_runs(const byte *restrict upper, const byte *restrict lower, int columns, int width, byte *restrict kinds, run *runs)
{
    int count = 0;
    for (int i = 0; i < columns; i++) {
        byte most = upper[i] > lower[i] ? upper[i] : lower[i], least = upper[i] < lower[i] ? upper[i] : lower[i];
        kinds[i] = (byte)((most < LOW ? 1 : 0) | (least > HIGH ? 2 : 0));
    }
    for (int i = 0, end; i < columns; i = end) {
        uint64_t eight, same = kinds[i] * 0x0101010101010101u;
        end = i + 1;
        while (end + 8 <= columns && (memcpy(&eight, kinds + end, 8), eight == same))
            end += 8;
        while (end < columns && kinds[end] == kinds[i])
            end++;
        if (!kinds[i])
            continue;
        /* What lies between the centres of two pixels of a kind is of that kind. */
        run r = {.value = kinds[i] == 2 ? 255 : 0};
        r.start = i ? (int)(((int64_t)(2 * i + 1) * width + columns - 1) / (2 * columns)) : 0;
        r.end = end < columns ? (int)(((int64_t)(2 * end - 1) * width - columns) / (2 * columns)) : width;
        if (r.end - r.start >= WORTH)
            runs[count++] = r;
    }
    return count;
}

/* alpha (height, width) of the plane (rows, columns); 255 is the person in both. */
int edgeseg_finish(const byte *plane, int rows, int columns, byte *restrict alpha, int height, int width)
{
    enlarged e;
    int count = 0, above = -1, below = -1;
    run *runs = malloc((size_t)columns * (sizeof *runs + 1));
    if (!runs || enlarged_begin(&e, plane, rows, columns, 1, height, width)) {
        free(runs);
        return -1;
    }
    for (int y = 0; y < height; y++, alpha += width) {
        enlarged_seek(&e, y);
        if (e.above != above || e.below != below) {
            above = e.above, below = e.below;
            const byte *upper = plane + (size_t)above * columns, *lower = plane + (size_t)below * columns;
            count = find_runs(upper, lower, columns, width, (byte *)(runs + columns), runs);
        }
        int done = 0;
        for (const run *r = runs; r < runs + count; r++) {
            interpolate(&e, alpha, done, r->start);
            memset(alpha + r->start, r->value, (size_t)(r->end - r->start));
            done = r->end;
        }
        interpolate(&e, alpha, done, width);
    }
    enlarged_end(&e);
    free(runs);
    return 0;
}
