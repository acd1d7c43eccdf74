/* The mean of every two by two pixels, rounded as OpenCV rounds it. */
#include "kernels.h"

/* out[3 x + i] = the rounded mean of four values of pixels 2 x and 2 x + 1; `sums` and `means` are scratch. */
static void halve_rows(const byte *restrict upper, const byte *restrict lower, byte *restrict out, int width, uint16_t *restrict sums,
                       byte *restrict means)
{
    const bytes16 every_other = {0, 1, 2, 6, 7, 8}; /* pixel */
    int count = 3 * width, kept = 3 * (width / 2), i = 0;
    for (int j = 0; j < count; j++)
        sums[j] = (uint16_t)(upper[j] + lower[j]);
    for (int j = 0; j < count - 3; j++) /* of every pixel and the next: half of it in vain, and still the fastest */
        means[j] = (byte)((uint16_t)(sums[j] + sums[j + 3] + 2) >> 2);
    for (; i + 8 <= kept; i += 6) {
        bytes16 pair;
        memcpy(&pair, means + 2 * i, sizeof pair);
        pair = __builtin_shuffle(pair, every_other);
        memcpy(out + i, &pair, 8);
    }
    for (; i < kept; i++)
        out[i] = means[2 * i - i % 3];
}

/* out (height / 2, width / 2, 3) of picture (height, width, 3); an odd last row or column is left out. */
int edgeseg_halve(const byte *picture, int height, int width, byte *restrict out)
{
    size_t count = 3 * (size_t)width, half = 3 * (size_t)(width / 2);
    uint16_t *sums = malloc(count * sizeof *sums);
    byte *means = malloc(count + sizeof(bytes16));
    if (sums && means)
        for (int y = 0; y < height / 2; y++)
            halve_rows(picture + 2 * y * count, picture + (2 * y + 1) * count, out + y * half, width, sums, means);
    int failed = !sums || !means;
    free(sums);
    free(means);
    return failed ? -1 : 0;
}
