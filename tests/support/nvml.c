/* A library with the symbols of NVML that the collectors use, and known answers for two GPUs.
 *
 * The second GPU has no power sensor and no energy counter. FAKE_NVML says what is wrong:
 * "no-driver", "no-gpu", or "lost", when the first GPU falls off the bus after three questions.
 * Signatures and codes are those of NVIDIA's NVML API reference.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, DRIVER_NOT_LOADED = 9, GPU_IS_LOST = 15 };

static int is_mode(const char *mode) {
    const char *set = getenv("FAKE_NVML");
    return set != NULL && strcmp(set, mode) == 0;
}

static int questions = 0;
static uint64_t energy_mj = 1000000;

static uintptr_t number(void *device) { return (uintptr_t)device - 1; }

static int lost(void *device) {
    return is_mode("lost") && number(device) == 0 && ++questions > 3;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    return is_mode("no-driver") ? DRIVER_NOT_LOADED : OK;
}

int nvmlShutdown(void) { return OK; }

const char *nvmlErrorString(int code) {
    (void)code;
    return "an error";
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    snprintf(text, size, "570.86.15");
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = is_mode("no-gpu") ? 0 : 2;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    if (index > 1) return 2; /* invalid argument */
    *device = (void *)(uintptr_t)(index + 1);
    return OK;
}

int nvmlDeviceGetName(void *device, char *text, unsigned size) {
    snprintf(text, size, "Fake H%u", (unsigned)(100 * (number(device) + 1)));
    return OK;
}

int nvmlDeviceGetUUID(void *device, char *text, unsigned size) {
    snprintf(text, size, "GPU-%u000-fake", (unsigned)number(device) + 1);
    return OK;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *memory) {
    memory[0] = 80000000000ULL;                         /* total */
    memory[2] = 20000000000ULL * (number(device) + 1);  /* used */
    memory[1] = memory[0] - memory[2];                  /* free */
    return OK;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
    if (lost(device)) return GPU_IS_LOST;
    rates[0] = 90 - 80 * (unsigned)number(device);
    rates[1] = 40;
    return OK;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    if (number(device) == 1) return NOT_SUPPORTED;
    *milliwatts = 612345;
    return OK;
}

int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts) {
    if (number(device) == 1) return NOT_SUPPORTED;
    *milliwatts = 700000;
    return OK;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *degrees) {
    (void)device;
    *degrees = sensor == 0 ? 61 : 0;
    return OK;
}

int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *megahertz) {
    (void)device;
    if (kind != 1 && kind != 2) return 2;
    *megahertz = kind == 1 ? 1980 : 2619;
    return OK;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, uint64_t *millijoules) {
    if (number(device) == 1) return NOT_SUPPORTED;
    *millijoules = energy_mj += 5000;
    return OK;
}
