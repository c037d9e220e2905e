// A CUDA runtime that computes nothing: it hands out this computer's memory, and writes down every
// kernel that is launched, every library call, copy, wait and capture. What onnxruntime's CUDA
// provider would ask of a card is seen so on a machine without one: numbers are garbage, what is
// launched is exact. It says nothing of time.
//
// Built as one library that stands in for CUDA's runtime, driver, cuBLAS, cuBLASLt and cuRAND.
//   NOTHING_LOG      a file: a line an event, "[capture] " before those inside a capture
//   NOTHING_SM       compute capability times ten, 86 by default
//   NOTHING_FAULT    what is wrong: no-device, old-driver, no-kernel, or a file: while that exists
//                    memory is refused
//   NOTHING_MEMORY   bytes that the card has, 24 GiB by default
#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#undef cudaGetDeviceProperties

namespace {

using Guard = std::lock_guard<std::mutex>;
using Status = cudaError_t;

constexpr size_t page = 4096;
constexpr int driver_version = 13000;

std::mutex mutex;
bool capturing = false;
size_t held = 0;

// Never destroyed, as kernels are registered before main and let go of after it.
std::map<const void *, std::string> &names() {
  static auto *all = new std::map<const void *, std::string>;
  return *all;
}

std::map<const void *, size_t> &blocks() {
  static auto *all = new std::map<const void *, size_t>;
  return *all;
}

long long setting(const char *name, long long usual) {
  const char *text = getenv(name);
  return text ? atoll(text) : usual;
}

std::string fault() {
  const char *text = getenv("NOTHING_FAULT");
  return text ? text : "";
}

int capability() { return int(setting("NOTHING_SM", 86)); }

size_t memory() { return size_t(setting("NOTHING_MEMORY", 24ll << 30)); }

FILE *log_file() {
  static FILE *file = [] {
    const char *path = getenv("NOTHING_LOG");
    FILE *opened = path ? fopen(path, "a") : stderr;
    setvbuf(opened, nullptr, _IOLBF, 0);
    return opened;
  }();
  return file;
}

void say(const char *kind, const char *form = "", ...) {
  char text[2048];
  va_list values;
  va_start(values, form);
  vsnprintf(text, sizeof text, form, values);
  va_end(values);
  fprintf(log_file(), "%s%s %s\n", capturing ? "[capture] " : "", kind, text);
}

size_t whole_pages(size_t size) { return size ? (size + page - 1) / page * page : page; }

Status take(void **pointer, size_t size) {
  const size_t pages = whole_pages(size);
  Guard guard(mutex);
  if (held + pages > memory() || access(fault().c_str(), F_OK) == 0) {
    say("REFUSED", "%zu", size);
    return cudaErrorMemoryAllocation;
  }
  *pointer = mmap(nullptr, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  blocks()[*pointer] = pages;
  held += pages;
  say("MALLOC", "%zu", size);
  return cudaSuccess;
}

Status give_back(void *pointer) {
  Guard guard(mutex);
  const auto block = blocks().find(pointer);
  if (block != blocks().end()) {
    munmap(pointer, block->second);
    held -= block->second;
    blocks().erase(block);
  }
  return cudaSuccess;
}

bool is_ours(const void *pointer) {
  Guard guard(mutex);
  auto block = blocks().upper_bound(pointer);
  if (block == blocks().begin()) return false;
  --block;
  return static_cast<const char *>(pointer) < static_cast<const char *>(block->first) + block->second;
}

Status launch(const void *kernel, dim3 grid, dim3 block) {
  Guard guard(mutex);
  if (fault() == "no-kernel") return cudaErrorNoKernelImageForDevice;
  const auto name = names().find(kernel);
  say("KERNEL", "%s <<<%u,%u,%u|%u,%u,%u>>>", name == names().end() ? "?" : name->second.c_str(), grid.x,
      grid.y, grid.z, block.x, block.y, block.z);
  return cudaSuccess;
}

Status copy(void *to, const void *from, size_t size, cudaMemcpyKind kind, const char *how) {
  static const char *kinds[] = {"host-host", "host-device", "device-host", "device-device", "default"};
  say("COPY", "%s %s %zu", how, kinds[kind], size);
  memmove(to, from, size);
  return cudaSuccess;
}

Status fill(void *to, int value, size_t size) {
  say("MEMSET", "%zu", size);
  memset(to, value, size);
  return cudaSuccess;
}

template <typename Handle>
Status made(Handle *handle) {
  *handle = static_cast<Handle>(malloc(64));
  return cudaSuccess;
}

void *host_memory(size_t size) { return aligned_alloc(page, whole_pages(size)); }

struct Launch {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
thread_local Launch pushed;

}  // namespace

#define API extern "C" __attribute__((visibility("default")))
// Functions that succeed, whatever they are given.
#define SUCCEEDS(name) \
  API int name(...) { return 0; }
// ... and write down that they were called.
#define NOTED(name)        \
  API int name(...) {      \
    say("LIBRARY", #name); \
    return 0;              \
  }
// ... and make a handle, which is their first argument.
#define MAKES(name) \
  API int name(void **handle, ...) { return made(handle); }

// Kernels, as compiled code registers and launches them.
API void **__cudaRegisterFatBinary(void *) {
  static void *handle[4];
  return handle;
}
API void __cudaRegisterFatBinaryEnd(void **) {}
API void __cudaUnregisterFatBinary(void **) {}
API void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, uint3 *, uint3 *,
                                dim3 *, dim3 *, int *) {
  Guard guard(mutex);
  names()[host] = name;
}
API void __cudaRegisterVar(void **, char *, char *, const char *, int, size_t, int, int) {}
API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st *stream) {
  pushed = {grid, block, shared, stream};
  return 0;
}
API Status __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
  *grid = pushed.grid;
  *block = pushed.block;
  *shared = pushed.shared;
  *static_cast<cudaStream_t *>(stream) = pushed.stream;
  return cudaSuccess;
}
API Status __cudaGetKernel(cudaKernel_t *kernel, const void *function) {
  *kernel = (cudaKernel_t)function;
  return cudaSuccess;
}
API Status __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **, size_t, cudaStream_t) {
  return launch(kernel, grid, block);
}
API Status cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **, size_t, cudaStream_t) {
  return launch(kernel, grid, block);
}
API Status cudaLaunchKernelExC(const cudaLaunchConfig_t *how, const void *kernel, void **) {
  return launch(kernel, how->gridDim, how->blockDim);
}
API Status cudaLaunchCooperativeKernel(const void *kernel, dim3 grid, dim3 block, void **, size_t,
                                       cudaStream_t) {
  return launch(kernel, grid, block);
}
API Status cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t function, void *given) {
  say("HOST");
  function(given);
  return cudaSuccess;
}
API Status cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *) {
  if (fault() == "no-kernel") return cudaErrorNoKernelImageForDevice;
  memset(attributes, 0, sizeof *attributes);
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 64;
  attributes->ptxVersion = attributes->binaryVersion = capability();
  attributes->maxDynamicSharedSizeBytes = 101376;
  return cudaSuccess;
}
API Status cudaFuncSetAttribute(const void *, cudaFuncAttribute, int) { return cudaSuccess; }
API Status cudaKernelSetAttributeForDevice(cudaKernel_t, cudaFuncAttribute, int, int) { return cudaSuccess; }
API Status cudaLibraryLoadData(cudaLibrary_t *library, const void *, cudaJitOption *, void **, unsigned,
                               cudaLibraryOption *, void **, unsigned) {
  return made(library);
}
API Status cudaLibraryUnload(cudaLibrary_t) { return cudaSuccess; }
API Status cudaLibraryGetKernel(cudaKernel_t *kernel, cudaLibrary_t, const char *name) {
  made(kernel);
  Guard guard(mutex);
  names()[*kernel] = name;
  return cudaSuccess;
}
API Status cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *count, const void *, int, size_t,
                                                                  unsigned) {
  *count = 2;
  return cudaSuccess;
}

// The card.
API Status cudaGetDeviceCount(int *count) {
  *count = fault() == "no-device" ? 0 : 1;
  if (fault() == "no-device") return cudaErrorNoDevice;
  return fault() == "old-driver" ? cudaErrorInsufficientDriver : cudaSuccess;
}
API Status cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}
API Status cudaSetDevice(int) {
  if (fault() == "no-device") return cudaErrorNoDevice;
  return fault() == "old-driver" ? cudaErrorInsufficientDriver : cudaSuccess;
}
API Status cudaDriverGetVersion(int *version) {
  *version = fault() == "old-driver" ? 12000 : driver_version;
  return cudaSuccess;
}
API Status cudaRuntimeGetVersion(int *version) {
  *version = driver_version;
  return cudaSuccess;
}
API Status cudaGetDeviceProperties(cudaDeviceProp *card, int) {
  memset(card, 0, sizeof *card);
  strcpy(card->name, "a card that computes nothing");
  card->totalGlobalMem = memory();
  card->major = capability() / 10;
  card->minor = capability() % 10;
  card->multiProcessorCount = 64;
  card->warpSize = 32;
  card->maxThreadsPerBlock = 1024;
  card->maxThreadsDim[0] = card->maxThreadsDim[1] = 1024;
  card->maxThreadsDim[2] = 64;
  card->maxGridSize[0] = 2147483647;
  card->maxGridSize[1] = card->maxGridSize[2] = 65535;
  card->maxThreadsPerMultiProcessor = 1536;
  card->maxBlocksPerMultiProcessor = 16;
  card->regsPerBlock = card->regsPerMultiprocessor = 65536;
  card->sharedMemPerBlock = 49152;
  card->sharedMemPerBlockOptin = 101376;
  card->sharedMemPerMultiprocessor = 102400;
  card->l2CacheSize = 6 << 20;
  card->concurrentKernels = card->memoryPoolsSupported = 1;
  card->cooperativeLaunch = card->unifiedAddressing = 1;
  return cudaSuccess;
}
API Status cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = 64;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 1536;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 49152;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = 101376;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = 102400;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = capability() / 10;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = capability() % 10;
      break;
    case cudaDevAttrL2CacheSize:
      *value = 6 << 20;
      break;
    default:
      *value = 1;
  }
  return cudaSuccess;
}
API Status cudaMemGetInfo(size_t *left, size_t *total) {
  Guard guard(mutex);
  *total = memory();
  *left = *total - held;
  return cudaSuccess;
}
API Status cudaGetLastError() { return cudaSuccess; }
API Status cudaPeekAtLastError() { return cudaSuccess; }
API const char *cudaGetErrorName(Status status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    default:
      return "cudaErrorUnknown";
  }
}
API const char *cudaGetErrorString(Status status) {
  switch (status) {
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    default:
      return "unknown error";
  }
}
API Status cudaGetDriverEntryPointByVersion(const char *, void **function, unsigned, unsigned long long,
                                            cudaDriverEntryPointQueryResult *result) {
  *function = nullptr;
  if (result) *result = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

// Memory.
API Status cudaMalloc(void **pointer, size_t size) { return take(pointer, size); }
API Status cudaMallocFromPoolAsync(void **pointer, size_t size, cudaMemPool_t, cudaStream_t) {
  return take(pointer, size);
}
API Status cudaFree(void *pointer) { return give_back(pointer); }
API Status cudaFreeAsync(void *pointer, cudaStream_t) { return give_back(pointer); }
API Status cudaHostAlloc(void **pointer, size_t size, unsigned) {
  *pointer = host_memory(size);
  return cudaSuccess;
}
API Status cudaMallocHost(void **pointer, size_t size) {
  *pointer = host_memory(size);
  return cudaSuccess;
}
API Status cudaFreeHost(void *pointer) {
  free(pointer);
  return cudaSuccess;
}
API Status cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind kind) {
  return copy(to, from, size, kind, "waiting");
}
API Status cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind kind, cudaStream_t) {
  return copy(to, from, size, kind, "queued");
}
API Status cudaMemcpy2DAsync(void *, size_t, const void *, size_t, size_t width, size_t height,
                             cudaMemcpyKind, cudaStream_t) {
  say("COPY", "queued rows %zu", width * height);
  return cudaSuccess;
}
API Status cudaMemcpyFromSymbol(void *to, const void *, size_t size, size_t, cudaMemcpyKind) {
  say("COPY", "waiting symbol %zu", size);
  memset(to, 0, size);
  return cudaSuccess;
}
API Status cudaMemset(void *to, int value, size_t size) { return fill(to, value, size); }
API Status cudaMemsetAsync(void *to, int value, size_t size, cudaStream_t) { return fill(to, value, size); }
API Status cudaMemPoolCreate(cudaMemPool_t *pool, const cudaMemPoolProps *) { return made(pool); }
API Status cudaMemPoolDestroy(cudaMemPool_t) { return cudaSuccess; }
API Status cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void *value) {
  memset(value, 0, sizeof(unsigned long long));
  return cudaSuccess;
}
API Status cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void *) { return cudaSuccess; }
API Status cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
API Status cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *pointer) {
  memset(attributes, 0, sizeof *attributes);
  const bool on_card = is_ours(pointer);
  attributes->type = on_card ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  attributes->devicePointer = on_card ? const_cast<void *>(pointer) : nullptr;
  return cudaSuccess;
}

// Streams, events and captures.
API Status cudaStreamCreate(cudaStream_t *stream) { return made(stream); }
API Status cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) { return made(stream); }
API Status cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
API Status cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
API Status cudaStreamSynchronize(cudaStream_t) {
  say("WAIT", "stream");
  return cudaSuccess;
}
API Status cudaDeviceSynchronize() {
  say("WAIT", "device");
  return cudaSuccess;
}
API Status cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  say("CAPTURE", "begins");
  capturing = true;
  return cudaSuccess;
}
API Status cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
  capturing = false;
  say("CAPTURE", "ends");
  return made(graph);
}
API Status cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus *status) {
  *status = capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
API Status cudaGraphInstantiate(cudaGraphExec_t *ready, cudaGraph_t, unsigned long long) {
  return made(ready);
}
API Status cudaGraphLaunch(cudaGraphExec_t, cudaStream_t) {
  say("GRAPH");
  return cudaSuccess;
}
API Status cudaGraphDestroy(cudaGraph_t) { return cudaSuccess; }
API Status cudaGraphExecDestroy(cudaGraphExec_t) { return cudaSuccess; }
API Status cudaEventCreate(cudaEvent_t *event) { return made(event); }
API Status cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { return made(event); }
API Status cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
API Status cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
API Status cudaEventRecordWithFlags(cudaEvent_t, cudaStream_t, unsigned) { return cudaSuccess; }
API Status cudaEventSynchronize(cudaEvent_t) {
  say("WAIT", "event");
  return cudaSuccess;
}
API Status cudaEventElapsedTime(float *ms, cudaEvent_t, cudaEvent_t) {
  *ms = 1;
  return cudaSuccess;
}

// The driver: what asks for the card before anything else does.
API int cuInit(unsigned) { return fault() == "no-device" ? cudaErrorNoDevice : 0; }
API int cuDeviceGetCount(int *count) {
  *count = fault() == "no-device" ? 0 : 1;
  return 0;
}
API int cuDriverGetVersion(int *version) { return cudaDriverGetVersion(version); }
API int cuDeviceGet(int *device, int) { return cudaGetDevice(device); }
API int cuDeviceGetAttribute(int *value, int attribute, int device) {
  return cudaDeviceGetAttribute(value, static_cast<cudaDeviceAttr>(attribute), device);
}
API int cuDeviceTotalMem_v2(size_t *size, int) {
  *size = memory();
  return 0;
}
API int cuDeviceGetName(char *name, int size, int) {
  snprintf(name, size_t(size), "a card that computes nothing");
  return 0;
}
SUCCEEDS(cuTensorMapEncodeTiled)

// cuBLAS: a call a line; one may be several kernels on a card.
NOTED(cublasDgeam)
NOTED(cublasDgemmBatched)
NOTED(cublasDgemmStridedBatched)
NOTED(cublasDgemm_v2)
NOTED(cublasDgetrfBatched)
NOTED(cublasDgetriBatched)
NOTED(cublasGemmBatchedEx)
NOTED(cublasGemmEx)
NOTED(cublasGemmStridedBatchedEx)
NOTED(cublasScopy_v2)
NOTED(cublasSgeam)
NOTED(cublasSgemmBatched)
NOTED(cublasSgemmStridedBatched)
NOTED(cublasSgemm_v2)
NOTED(cublasSgetrfBatched)
NOTED(cublasSgetriBatched)
NOTED(cublasSscal_v2)
NOTED(cublasLtMatmul)
NOTED(cublasLtMatrixTransform)
MAKES(cublasCreate_v2)
SUCCEEDS(cublasDestroy_v2)
SUCCEEDS(cublasSetStream_v2)
SUCCEEDS(cublasSetMathMode)
API int cublasGetMathMode(void *, int *mode) {
  *mode = 0;
  return 0;
}
API const char *cublasGetStatusName(int) { return "a status"; }
API const char *cublasGetStatusString(int) { return "a status"; }
MAKES(cublasLtCreate)
SUCCEEDS(cublasLtDestroy)
SUCCEEDS(cublasLtMatmulAlgoConfigSetAttribute)
SUCCEEDS(cublasLtMatmulAlgoInit)
MAKES(cublasLtMatmulDescCreate)
SUCCEEDS(cublasLtMatmulDescDestroy)
SUCCEEDS(cublasLtMatmulDescSetAttribute)
MAKES(cublasLtMatmulPreferenceCreate)
SUCCEEDS(cublasLtMatmulPreferenceDestroy)
SUCCEEDS(cublasLtMatmulPreferenceSetAttribute)
MAKES(cublasLtMatrixLayoutCreate)
SUCCEEDS(cublasLtMatrixLayoutDestroy)
SUCCEEDS(cublasLtMatrixLayoutSetAttribute)
MAKES(cublasLtMatrixTransformDescCreate)
SUCCEEDS(cublasLtMatrixTransformDescDestroy)
SUCCEEDS(cublasLtMatrixTransformDescSetAttribute)

struct Heuristic {
  unsigned long long algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
API int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int wanted,
                                       Heuristic *results, int *count) {
  memset(results, 0, sizeof *results);
  *count = wanted > 0 ? 1 : 0;
  return 0;
}
