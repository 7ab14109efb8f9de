/*
 * libnvidia-ml.so.1 as a script: answers the NVML calls that orchestrator's inventory makes through pynvml.
 *
 * The file named by NVML_SCRIPT is read anew at every call, so that a test can let time pass between two calls. Each
 * line is DEVICE KEY VALUE. DEVICE is "-" for the driver, "0" for a card, "0:1" for slot 1 of a card in MIG mode:
 *
 *     - driver 580.95.05               - count 2
 *     0 uuid GPU-a                     0 name NVIDIA H100 80GB HBM3
 *     0 total BYTES                    0 free BYTES                     0 reserved BYTES
 *     0 compute PID BYTES              0 graphics PID -                 ("-": the driver does not tell)
 *     0 capability 9 0                 0 persistence 1                  0 mig 1
 *     0:1 slices 1                     0:1 memory_mb 4864
 *     0 fails nvmlDeviceGetMemoryInfo 3                                 (or "*" for every call; "-" for the driver's)
 *
 * What a card has no line for is "not supported". With -DOLD_DRIVER the calls that R510 brought are missing.
 * Layouts: nvml.h of R535 and later, as pynvml's ctypes structures have them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    ARGUMENT_VERSION_MISMATCH = 25, UNKNOWN = 999
};
enum { SLOTS = 7, STRIDE = SLOTS + 1, MEMORY_V2 = 0x02000028 };

typedef uintptr_t Device; /* 1 + card * STRIDE, and 1 + slot more for a MIG device */
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct {
    unsigned multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, slices, compute_slices;
    unsigned long long memory_mb;
} Attributes;

static const char *name_of(Device device, char text[16]) {
    unsigned card = (device - 1) / STRIDE, slot = (device - 1) % STRIDE;
    if (!device) return "-";
    if (slot) snprintf(text, 16, "%u:%u", card, slot - 1);
    else snprintf(text, 16, "%u", card);
    return text;
}

/* The value of the nth line of a device with this key; 0 if there is none. */
static int value_of(Device device, const char *key, int nth, char value[256]) {
    char line[512], who[16], found_device[16], found_key[64], found[256];
    const char *script = getenv("NVML_SCRIPT"), *wanted = name_of(device, who);
    FILE *file = script ? fopen(script, "r") : NULL;
    int left = nth + 1;
    while (file && left && fgets(line, sizeof line, file))
        if (sscanf(line, "%15s %63s %255[^\n]", found_device, found_key, found) == 3
            && !strcmp(found_device, wanted) && !strcmp(found_key, key))
            left--;
    if (file) fclose(file);
    if (!left) strcpy(value, found);
    return !left;
}

static int number_of(Device device, const char *key, unsigned long long *number) {
    char value[256];
    if (!value_of(device, key, 0, value)) return NOT_SUPPORTED;
    *number = strtoull(value, NULL, 10);
    return SUCCESS;
}

static int text_of(Device device, const char *key, char *text, unsigned size) {
    char value[256];
    if (!value_of(device, key, 0, value)) return NOT_SUPPORTED;
    if (strlen(value) >= size) return INSUFFICIENT_SIZE;
    strcpy(text, value);
    return SUCCESS;
}

/* The error that the script wants of this call. */
static int failure(Device device, const char *call) {
    char value[256], name[128];
    int code;
    for (int nth = 0; value_of(device, "fails", nth, value); nth++)
        if (sscanf(value, "%127s %d", name, &code) == 2 && (!strcmp(name, "*") || !strcmp(name, call))) return code;
    return SUCCESS;
}

#define TRY(call) do { int code_ = (call); if (code_) return code_; } while (0)
#define BEGIN(device) TRY(failure(device, __func__))

int nvmlInitWithFlags(unsigned flags) { (void)flags; BEGIN(0); return SUCCESS; }
int nvmlInit_v2(void) { BEGIN(0); return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
    static char text[32];
    snprintf(text, sizeof text, "scripted error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) { BEGIN(0); return text_of(0, "driver", text, size); }

int nvmlDeviceGetCount_v2(unsigned *count) {
    unsigned long long number = 0;
    BEGIN(0);
    TRY(number_of(0, "count", &number));
    *count = number;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    unsigned count;
    TRY(nvmlDeviceGetCount_v2(&count));
    if (index >= count) return INVALID_ARGUMENT;
    BEGIN(1 + index * STRIDE);
    *device = 1 + index * STRIDE;
    return SUCCESS;
}

int nvmlDeviceGetUUID(Device device, char *text, unsigned size) {
    BEGIN(device);
    return text_of(device, "uuid", text, size);
}

int nvmlDeviceGetName(Device device, char *text, unsigned size) {
    BEGIN(device);
    return text_of(device, "name", text, size);
}

/* Version 1: what is reserved counts as used. */
int nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
    BEGIN(device);
    TRY(number_of(device, "total", &memory->total));
    TRY(number_of(device, "free", &memory->free));
    memory->used = memory->total - memory->free;
    return SUCCESS;
}

#ifndef OLD_DRIVER
static int processes(Device device, const char *key, unsigned *count, Process *list) {
    char value[256], used[32];
    unsigned room = *count, pid;
    for (*count = 0; value_of(device, key, *count, value); ++*count) {
        if (*count >= room) continue;
        if (sscanf(value, "%u %31s", &pid, used) != 2) return UNKNOWN;
        list[*count] = (Process){pid, strcmp(used, "-") ? strtoull(used, NULL, 10) : ~0ULL, ~0u, ~0u};
    }
    return *count > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2 *memory) {
    if (memory->version != MEMORY_V2) return ARGUMENT_VERSION_MISMATCH;
    BEGIN(device);
    TRY(number_of(device, "total", &memory->total));
    TRY(number_of(device, "free", &memory->free));
    TRY(number_of(device, "reserved", &memory->reserved));
    memory->used = memory->total - memory->free - memory->reserved;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *list) {
    BEGIN(device);
    return processes(device, "compute", count, list);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, Process *list) {
    BEGIN(device);
    return processes(device, "graphics", count, list);
}
#endif

int nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor) {
    char value[256];
    BEGIN(device);
    if (!value_of(device, "capability", 0, value)) return NOT_SUPPORTED;
    return sscanf(value, "%d %d", major, minor) == 2 ? SUCCESS : UNKNOWN;
}

int nvmlDeviceGetPersistenceMode(Device device, unsigned *mode) {
    unsigned long long number = 0;
    BEGIN(device);
    TRY(number_of(device, "persistence", &number));
    *mode = number;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    unsigned long long number = 0;
    BEGIN(device);
    TRY(number_of(device, "mig", &number));
    *current = *pending = number;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *count) {
    BEGIN(device);
    *count = SLOTS;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned slot, Device *mig) {
    char value[256];
    BEGIN(device);
    if (slot >= SLOTS) return INVALID_ARGUMENT;
    if (!value_of(device + 1 + slot, "uuid", 0, value)) return NOT_FOUND;
    *mig = device + 1 + slot;
    return SUCCESS;
}

int nvmlDeviceGetAttributes_v2(Device device, Attributes *attributes) {
    unsigned long long slices = 0;
    BEGIN(device);
    memset(attributes, 0, sizeof *attributes);
    TRY(number_of(device, "slices", &slices));
    attributes->slices = slices;
    return number_of(device, "memory_mb", &attributes->memory_mb);
}
