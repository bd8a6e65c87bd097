/* A fake libnvidia-ml.so.1: the boards that a scenario file describes, for tests without a GPU.
 *
 * The scenario is the file that DTCBENCH_FAKE_NVML names; boards.py writes it and explains what
 * each setting means. It is read once per process, by the first nvmlInit that finds it.
 *
 * Every reading is a function of the scenario and of CLOCK_MONOTONIC, so that all processes see the
 * same boards. Times are whole µs since the scenario's epoch and powers whole mW, hence energies
 * whole nJ: the counter is exact, and 64 bits hold 700 W for 150 days.
 *
 * Only what dtcbench and Ray ask of NVML is here; pynvml reports the rest as "Function Not Found".
 * Structures and constants follow NVIDIA's nvml.h. */

#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_GPUS = 32,
    MAX_PROCESSES = 32,
    TEXT = 96,                 /* the longest name or UUID that NVML returns, with its end */
    REFRESH_US = 100000,       /* how often the driver renews power and energy */
    AVERAGE_US = 1000000,      /* what POWER_AVERAGE is the mean of */
    COUNTER_BASE_MJ = 1000000, /* a board has drawn power before anybody looks at its counter */
    NJ_PER_MJ = 1000000,
    SM_MHZ = 1980,
    MEMORY_MHZ = 2619,
};
#define US_PER_S INT64_C(1000000)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define NAME_PREFIX "FAKE " /* nothing measured here can be taken for a real board's */
#define VERSION "FAKE 1.0"

typedef enum {
    NVML_SUCCESS = 0, NVML_ERROR_UNINITIALIZED = 1, NVML_ERROR_INVALID_ARGUMENT = 2, NVML_ERROR_NOT_SUPPORTED = 3,
    NVML_ERROR_NO_PERMISSION = 4, NVML_ERROR_NOT_FOUND = 6, NVML_ERROR_INSUFFICIENT_SIZE = 7, NVML_ERROR_DRIVER_NOT_LOADED = 9,
    NVML_ERROR_GPU_IS_LOST = 15, NVML_ERROR_ARGUMENT_VERSION_MISMATCH = 25,
} nvmlReturn_t;

/* ---- The boards ---- */

/* What a board may refuse to tell, in the scenario's words. ESSENTIALS is never refused. */
enum quantity { COUNTER, FIELDS, USAGE, TEMPERATURE, CLOCKS, LIMIT, THROTTLE, UTILISATION, PROCESSES, MIG, MEMORY_INFO,
                ESSENTIALS };
static const char *const QUANTITIES[ESSENTIALS] = {
    "counter", "fields", "usage", "temperature", "clocks", "limit", "throttle", "utilisation", "processes", "mig",
    "memory",
};

struct step { /* a time of constant power */
    int64_t from_us, mw;
    int64_t before_nj; /* drawn from the cycle's begin to from_us */
};

struct process {
    int64_t pid, from_us, until_us;
};

struct gpu {
    unsigned index;
    char uuid[TEXT], name[TEXT];
    struct step *steps; /* the power over one cycle, which repeats */
    size_t step_count;
    int64_t cycle_us, cycle_nj;
    int64_t limit_mw, temperature_c, memory_gib, hidden_mib, utilisation_pct, mig, zero_every;
    int64_t counter_reset_us, lost_from_us, throttle_from_us; /* INT64_MAX: never */
    int64_t module_mw, tells_module; /* the power of the rest of its module; -1: it is on none */
    bool unsupported[ESSENTIALS], forbidden[ESSENTIALS];
    struct process processes[MAX_PROCESSES];
    size_t process_count;
    atomic_uint power_readings; /* of this process; all that changes after the start */
};
typedef struct gpu *nvmlDevice_t;

static struct gpu gpus[MAX_GPUS];
static unsigned gpu_count;
static int64_t epoch_us;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * US_PER_S + now.tv_nsec / 1000 - epoch_us;
}

/* The instant that power and energy are reported for; negative before the epoch. */
static int64_t latest_refresh_us(void) {
    int64_t now = now_us();
    return now < 0 ? -1 : now - now % REFRESH_US;
}

/* The step that lies `us` after the cycle's begin. */
static const struct step *step_at(const struct gpu *gpu, int64_t us) {
    size_t low = 0, high = gpu->step_count; /* it is in [low, high) */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (gpu->steps[middle].from_us <= us)
            low = middle;
        else
            high = middle;
    }
    return &gpu->steps[low];
}

static int64_t power_mw(const struct gpu *gpu, int64_t us) { return us < 0 ? 0 : step_at(gpu, us % gpu->cycle_us)->mw; }

/* The integral of the power from the epoch on. */
static int64_t energy_nj(const struct gpu *gpu, int64_t us) {
    if (us <= 0)
        return 0;
    int64_t in_cycle_us = us % gpu->cycle_us;
    const struct step *step = step_at(gpu, in_cycle_us);
    return us / gpu->cycle_us * gpu->cycle_nj + step->before_nj + (in_cycle_us - step->from_us) * step->mw;
}

static int64_t average_mw(const struct gpu *gpu, int64_t us) {
    return (energy_nj(gpu, us) - energy_nj(gpu, us - AVERAGE_US)) / AVERAGE_US;
}

/* What the counter covers has drawn since the epoch: the board, or the whole module. */
static int64_t counted_nj(const struct gpu *gpu, int64_t us) {
    return energy_nj(gpu, us) + (gpu->module_mw > 0 && us > 0 ? gpu->module_mw * us : 0);
}

static int64_t counter_mj(const struct gpu *gpu, int64_t us) {
    if (us >= gpu->counter_reset_us)
        return (counted_nj(gpu, us) - counted_nj(gpu, gpu->counter_reset_us)) / NJ_PER_MJ;
    return COUNTER_BASE_MJ + counted_nj(gpu, us) / NJ_PER_MJ;
}

/* Whether this power reading, whichever call makes it, is one of those that come out as 0. */
static bool reads_zero(struct gpu *gpu) {
    unsigned reading = atomic_fetch_add(&gpu->power_readings, 1) + 1;
    return gpu->zero_every > 0 && reading % gpu->zero_every == 0;
}

/* ---- The scenario ---- */

static bool add_gpu(const char *uuid) {
    if (gpu_count == MAX_GPUS)
        return false;
    struct gpu *gpu = &gpus[gpu_count];
    memset(gpu, 0, sizeof *gpu);
    gpu->index = gpu_count++;
    gpu->counter_reset_us = gpu->lost_from_us = gpu->throttle_from_us = INT64_MAX;
    gpu->module_mw = -1;
    snprintf(gpu->uuid, sizeof gpu->uuid, "%s", uuid);
    return true;
}

static bool add_step(struct gpu *gpu, int64_t length_us, int64_t mw) {
    struct step *steps = length_us > 0 ? realloc(gpu->steps, (gpu->step_count + 1) * sizeof *steps) : NULL;
    if (!steps)
        return false;
    gpu->steps = steps;
    gpu->steps[gpu->step_count++] = (struct step){gpu->cycle_us, mw, gpu->cycle_nj};
    gpu->cycle_us += length_us;
    gpu->cycle_nj += length_us * mw;
    return true;
}

static bool add_process(struct gpu *gpu, struct process process) {
    if (gpu->process_count == MAX_PROCESSES)
        return false;
    gpu->processes[gpu->process_count++] = process;
    return true;
}

static bool set_name(struct gpu *gpu, const char *name) {
    bool prefixed = strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)) == 0;
    snprintf(gpu->name, sizeof gpu->name, "%s%s", prefixed ? "" : NAME_PREFIX, name);
    return true;
}

static bool set_refused(bool refused[ESSENTIALS], const char *quantity) {
    for (int i = 0; i < ESSENTIALS; i++)
        if (strcmp(quantity, QUANTITIES[i]) == 0)
            return refused[i] = true;
    return false;
}

static bool set_number(struct gpu *gpu, const char *word, int64_t value) {
    struct { const char *word; int64_t *number; } numbers[] = {
        {"limit_mw", &gpu->limit_mw}, {"temperature_c", &gpu->temperature_c}, {"memory_gib", &gpu->memory_gib},
        {"hidden_mib", &gpu->hidden_mib}, {"utilisation_pct", &gpu->utilisation_pct},
        {"mig", &gpu->mig}, {"zero_every", &gpu->zero_every}, {"counter_reset_us", &gpu->counter_reset_us},
        {"lost_from_us", &gpu->lost_from_us}, {"throttle_from_us", &gpu->throttle_from_us},
        {"module_mw", &gpu->module_mw}, {"tells_module", &gpu->tells_module},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strcmp(word, numbers[i].word) == 0) {
            *numbers[i].number = value;
            return true;
        }
    return false;
}

/* Take one line of the scenario, which says `word rest`; false where it makes no sense. */
static bool take(const char *word, const char *rest) {
    long long a, b, c;
    int numbers = sscanf(rest, "%lld %lld %lld", &a, &b, &c);
    if (strcmp(word, "gpu") == 0)
        return add_gpu(rest);
    if (strcmp(word, "epoch_us") == 0 && numbers == 1) {
        epoch_us = a;
        return true;
    }
    if (gpu_count == 0)
        return false;
    struct gpu *gpu = &gpus[gpu_count - 1]; /* the lines after `gpu` are about that one */
    if (strcmp(word, "name") == 0)
        return set_name(gpu, rest);
    if (strcmp(word, "unsupported") == 0)
        return set_refused(gpu->unsupported, rest);
    if (strcmp(word, "forbidden") == 0)
        return set_refused(gpu->forbidden, rest);
    if (strcmp(word, "step") == 0)
        return numbers == 2 && add_step(gpu, a, b);
    if (strcmp(word, "process") == 0)
        return numbers == 3 && add_process(gpu, (struct process){a, b, c});
    return numbers == 1 && set_number(gpu, word, a);
}

/* Read the boards; a scenario that makes no sense leaves a line on stderr, as its author erred. */
static bool load(const char *path) {
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file)
        return false;
    bool sound = true;
    char line[256], word[32];
    gpu_count = 0;
    while (sound && fgets(line, sizeof line, file)) {
        int rest = 0;
        line[strcspn(line, "\n")] = '\0';
        sound = sscanf(line, "%31s %n", word, &rest) == 1 && rest > 0 && take(word, line + rest);
        if (!sound)
            fprintf(stderr, "fake NVML: %s: cannot take the line '%s'\n", path, line);
    }
    fclose(file);
    for (unsigned i = 0; i < gpu_count; i++)
        sound = sound && gpus[i].step_count > 0;
    return sound;
}

/* ---- The library ---- */

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;
static bool loaded;
static atomic_int users; /* nvmlInit calls less nvmlShutdown calls */

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&starting);
    if (!loaded)
        loaded = load(getenv("DTCBENCH_FAKE_NVML"));
    if (loaded)
        users++;
    bool started = loaded;
    pthread_mutex_unlock(&starting);
    return started ? NVML_SUCCESS : NVML_ERROR_DRIVER_NOT_LOADED;
}

nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

nvmlReturn_t nvmlShutdown(void) {
    pthread_mutex_lock(&starting);
    bool started = users > 0;
    if (started)
        users--;
    pthread_mutex_unlock(&starting);
    return started ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

const char *nvmlErrorString(nvmlReturn_t error) {
    static const char *const texts[] = {
        "Success", "Uninitialized", "Invalid Argument", "Not Supported", "Insufficient Permissions",
        "Already Initialized", "Not Found", "Insufficient Size", "Insufficient External Power", "Driver Not Loaded",
        "Timeout", "Interrupt Request Issue", "NVML Shared Library Not Found", "Function Not Found",
        "Corrupted infoROM", "GPU is lost", "GPU requires reset", "GPU access blocked by the operating system",
        "Driver/library version mismatch", "In use by another client", "Insufficient Memory",
    };
    if (error == NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        return "Argument version mismatch";
    return (unsigned)error < sizeof texts / sizeof *texts ? texts[error] : "Unknown Error";
}

static nvmlReturn_t give_text(const char *text, char *buffer, unsigned length) {
    if (!users)
        return NVML_ERROR_UNINITIALIZED;
    if (!buffer)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length) { return give_text(VERSION, version, length); }
nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length) { return give_text(VERSION, version, length); }

/* ---- Which boards there are ---- */

/* Why `gpu` cannot tell `quantity` just now; NVML_SUCCESS where it can. */
static nvmlReturn_t refusal(const struct gpu *gpu, enum quantity quantity, const void *answer) {
    if (!users)
        return NVML_ERROR_UNINITIALIZED;
    if (!gpu || !answer)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (now_us() >= gpu->lost_from_us)
        return NVML_ERROR_GPU_IS_LOST;
    if (quantity == ESSENTIALS)
        return NVML_SUCCESS;
    if (gpu->forbidden[quantity])
        return NVML_ERROR_NO_PERMISSION;
    return gpu->unsupported[quantity] ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

#define RETURN_REFUSAL(gpu, quantity, answer)              \
    nvmlReturn_t refused = refusal(gpu, quantity, answer); \
    if (refused != NVML_SUCCESS)                           \
        return refused

/* The whole body of a call that tells one thing. A macro, as `value` may only be asked for once
 * `gpu` is known to be a board. */
#define TELL(gpu, quantity, answer, value)  \
    RETURN_REFUSAL(gpu, quantity, answer);  \
    *(answer) = (value);                    \
    return NVML_SUCCESS

static nvmlReturn_t give_handle(struct gpu *gpu, nvmlDevice_t *handle) { TELL(gpu, ESSENTIALS, handle, gpu); }

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    if (!users)
        return NVML_ERROR_UNINITIALIZED;
    if (!count)
        return NVML_ERROR_INVALID_ARGUMENT;
    *count = gpu_count; /* lost boards are counted too, as the driver found them when it started */
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *handle) {
    return give_handle(index < gpu_count ? &gpus[index] : NULL, handle);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *handle) {
    for (unsigned i = 0; uuid && i < gpu_count; i++)
        if (strcmp(gpus[i].uuid, uuid) == 0)
            return give_handle(&gpus[i], handle);
    return !users ? NVML_ERROR_UNINITIALIZED : uuid ? NVML_ERROR_NOT_FOUND : NVML_ERROR_INVALID_ARGUMENT;
}

/* The n-th board, from 0, sits on PCI bus n + 1. */
nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *handle) {
    if (!users)
        return NVML_ERROR_UNINITIALIZED;
    unsigned domain, bus, device; /* of 00000000:01:00.0, or of 0000:01:00.0 */
    if (!bus_id || sscanf(bus_id, "%x:%x:%x", &domain, &bus, &device) != 3)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (domain != 0 || bus == 0 || bus > gpu_count || device != 0)
        return NVML_ERROR_NOT_FOUND;
    return give_handle(&gpus[bus - 1], handle);
}

typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} nvmlPciInfo_t;

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t gpu, nvmlPciInfo_t *pci) {
    RETURN_REFUSAL(gpu, ESSENTIALS, pci);
    *pci = (nvmlPciInfo_t){.bus = gpu->index + 1};
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "0000:%02X:00.0", pci->bus & 0xFF);
    snprintf(pci->busId, sizeof pci->busId, "00000000:%02X:00.0", pci->bus & 0xFF);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t gpu, char *name, unsigned length) {
    RETURN_REFUSAL(gpu, ESSENTIALS, name);
    return give_text(gpu->name, name, length);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t gpu, char *uuid, unsigned length) {
    RETURN_REFUSAL(gpu, ESSENTIALS, uuid);
    return give_text(gpu->uuid, uuid, length);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t gpu, unsigned *index) { TELL(gpu, ESSENTIALS, index, gpu->index); }
nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t gpu, unsigned *minor) { TELL(gpu, ESSENTIALS, minor, gpu->index); }

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t gpu, int *major, int *minor) {
    RETURN_REFUSAL(gpu, ESSENTIALS, major && minor ? major : NULL);
    *major = 9;
    *minor = 0;
    return NVML_SUCCESS;
}

/* ---- What a board tells ---- */

/* Bytes in use: of the processes that run, and of those that the driver leaves out of its list. */
static uint64_t used_bytes(const struct gpu *gpu) {
    int64_t now = now_us();
    uint64_t used = (uint64_t)gpu->hidden_mib * MIB;
    for (size_t i = 0; i < gpu->process_count; i++)
        if (now >= gpu->processes[i].from_us && now < gpu->processes[i].until_us)
            used += GIB;
    return used;
}

typedef struct { unsigned long long total, free, used; } nvmlMemory_t;

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t gpu, nvmlMemory_t *memory) {
    RETURN_REFUSAL(gpu, MEMORY_INFO, memory);
    *memory = (nvmlMemory_t){.total = gpu->memory_gib * GIB, .used = used_bytes(gpu)};
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} nvmlMemory_v2_t;

/* The version of a structure that tells its layout: its size and, in the top byte, its number. */
#define STRUCTURE_VERSION(type, number) ((unsigned)sizeof(type) | (unsigned)(number) << 24)

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t gpu, nvmlMemory_v2_t *memory) {
    RETURN_REFUSAL(gpu, MEMORY_INFO, memory);
    if (memory->version != STRUCTURE_VERSION(nvmlMemory_v2_t, 2))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memory->total = gpu->memory_gib * GIB;
    memory->reserved = 0;
    memory->used = used_bytes(gpu);
    memory->free = memory->total - memory->used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t gpu, unsigned *mw) { TELL(gpu, LIMIT, mw, gpu->limit_mw); }
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t gpu, unsigned *mw) { TELL(gpu, LIMIT, mw, gpu->limit_mw); }

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t gpu, unsigned long long *mj) {
    TELL(gpu, COUNTER, mj, counter_mj(gpu, latest_refresh_us()));
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t gpu, unsigned *mw) {
    TELL(gpu, USAGE, mw, reads_zero(gpu) ? 0 : power_mw(gpu, latest_refresh_us()));
}

enum { POWER_AVERAGE = 185, POWER_INSTANT = 186, VALUE_TYPE_UNSIGNED_INT = 1 };

typedef struct {
    unsigned fieldId, scopeId;
    long long timestamp, latencyUsec;
    unsigned valueType;
    nvmlReturn_t nvmlReturn;
    union { unsigned uiVal; unsigned long long ullVal; } value;
} nvmlFieldValue_t;

/* The call itself succeeds; each value tells whether it could be had. */
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t gpu, int count, nvmlFieldValue_t *values) {
    RETURN_REFUSAL(gpu, ESSENTIALS, values);
    if (count < 1)
        return NVML_ERROR_INVALID_ARGUMENT;
    int64_t refresh_us = latest_refresh_us(); /* one for all values of the call */
    bool supported = !gpu->unsupported[FIELDS];
    bool zero = supported && reads_zero(gpu);
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    for (nvmlFieldValue_t *value = values; value < values + count; value++) {
        bool power = value->fieldId == POWER_AVERAGE || value->fieldId == POWER_INSTANT;
        value->timestamp = wall.tv_sec * US_PER_S + wall.tv_nsec / 1000;
        value->latencyUsec = 0;
        value->value.ullVal = 0;
        value->valueType = VALUE_TYPE_UNSIGNED_INT;
        value->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
        bool of_gpu = value->scopeId == 0, of_module = value->scopeId == 1 && gpu->module_mw >= 0 && gpu->tells_module;
        if (!supported || !power || !(of_gpu || of_module))
            continue;
        value->nvmlReturn = NVML_SUCCESS;
        if (zero)
            continue;
        value->value.uiVal = value->fieldId == POWER_AVERAGE ? average_mw(gpu, refresh_us) : power_mw(gpu, refresh_us);
        if (of_module)
            value->value.uiVal += gpu->module_mw;
    }
    return NVML_SUCCESS;
}

typedef struct { unsigned isC2cEnabled; } nvmlC2cModeInfo_t;

nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t gpu, nvmlC2cModeInfo_t *info) {
    RETURN_REFUSAL(gpu, ESSENTIALS, info);
    info->isC2cEnabled = 1;
    return gpu->module_mw < 0 ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t gpu, unsigned sensor, unsigned *celsius) {
    RETURN_REFUSAL(gpu, TEMPERATURE, celsius);
    if (sensor != 0) /* 0 is the GPU's die, the only one there is */
        return NVML_ERROR_INVALID_ARGUMENT;
    *celsius = gpu->temperature_c;
    return NVML_SUCCESS;
}

typedef struct {
    unsigned version, sensorType;
    int temperature;
} nvmlTemperature_t;

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t gpu, nvmlTemperature_t *temperature) {
    RETURN_REFUSAL(gpu, TEMPERATURE, temperature);
    if (temperature->version != STRUCTURE_VERSION(nvmlTemperature_t, 1))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (temperature->sensorType != 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    temperature->temperature = gpu->temperature_c;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t gpu, unsigned type, unsigned *mhz) {
    enum { SM = 1, MEMORY = 2 };
    RETURN_REFUSAL(gpu, CLOCKS, mhz);
    if (type != SM && type != MEMORY)
        return NVML_ERROR_NOT_SUPPORTED;
    *mhz = type == SM ? SM_MHZ : MEMORY_MHZ;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t gpu, unsigned long long *reasons) {
    enum { NONE = 0, HW_THERMAL_SLOWDOWN = 0x40 };
    TELL(gpu, THROTTLE, reasons, now_us() >= gpu->throttle_from_us ? HW_THERMAL_SLOWDOWN : NONE);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t gpu, unsigned long long *reasons) {
    return nvmlDeviceGetCurrentClocksEventReasons(gpu, reasons);
}

typedef struct { unsigned gpu, memory; } nvmlUtilization_t;

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t gpu, nvmlUtilization_t *percent) {
    TELL(gpu, UTILISATION, percent, ((nvmlUtilization_t){.gpu = gpu->utilisation_pct}));
}

typedef struct {
    unsigned pid;
    unsigned long long usedGpuMemory;
    unsigned gpuInstanceId, computeInstanceId;
} nvmlProcessInfo_t;

/* `count` is the room in `infos` before and the number of processes after; without enough room
 * only the number is returned. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t gpu, unsigned *count, nvmlProcessInfo_t *infos) {
    const unsigned no_instance = 0xFFFFFFFF;
    RETURN_REFUSAL(gpu, PROCESSES, count);
    int64_t now = now_us();
    unsigned room = infos ? *count : 0, running = 0;
    for (size_t i = 0; i < gpu->process_count; i++) {
        const struct process *process = &gpu->processes[i];
        if (now < process->from_us || now >= process->until_us)
            continue;
        if (running < room)
            infos[running] = (nvmlProcessInfo_t){(unsigned)process->pid, GIB, no_instance, no_instance};
        running++;
    }
    *count = running;
    return running > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t gpu, unsigned *count, nvmlProcessInfo_t *infos) {
    return nvmlDeviceGetComputeRunningProcesses_v3(gpu, count, infos); /* of one layout */
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t gpu, unsigned *count, nvmlProcessInfo_t *infos) {
    (void)infos;
    TELL(gpu, PROCESSES, count, 0); /* no board has a display */
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t gpu, unsigned *current, unsigned *pending) {
    RETURN_REFUSAL(gpu, MIG, current && pending ? current : NULL);
    *current = *pending = gpu->mig;
    return NVML_SUCCESS;
}
