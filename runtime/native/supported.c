/* Whether this processor can run the other kernels; itself it needs nothing. */
int edgeseg_supported(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") != 0;
#else
    return 1; /* the vectors of aarch64 are part of it */
#endif
}
