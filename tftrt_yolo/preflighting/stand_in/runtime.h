// What plays TensorRT's runtime in a rehearsal: engines that are recordings, computed by Python on the host.
//
// An engine is the recorded network with its profiles, as bytes that begin by saying that they are no engine. What the
// bytes hold, Python reads and checks (tftrt_yolo/preflighting/rehearsal); so does whatever is computed. Here are only
// the objects that TF-TRT holds, and the rules that TensorRT has for them.

#pragma once

#include "builder.h"
#include "nvinfer_runtime.h"

namespace stand_in {

// Bounds of a Description, which Python fills: rehearsal/description.py has the same.
constexpr int32_t kMaxBindings = 64, kMaxProfiles = 32, kNameLength = 256;
constexpr int32_t kWords = 1024;  // bytes of a message

// What an engine has, by binding: first the inputs, then the outputs, of one profile.
struct Binding {
    char name[kNameLength];
    int32_t is_input;
    int32_t type;
    Dims dims;                                    // -1 where the batch decides
    Dims profiles[kMaxProfiles][3];               // of an input: least, optimum, largest
};

struct Description {
    char name[kNameLength];
    int32_t layers, bindings, profiles;
    Binding of[kMaxBindings];
};

struct Bytes {
    char* data = nullptr;
    size_t size = 0;

    Bytes copied() const;
    void release();
};

struct MemoryShell final : Shell {
    Bytes bytes;
    ~MemoryShell() override { bytes.release(); }
};

struct Memory final : VHostMemory {
    MemoryShell shell;

    explicit Memory(Bytes bytes) { shell.implementation = this, shell.bytes = bytes; }
    void* data() override { return shell.bytes.data; }
    size_t size() override { return shell.bytes.size; }
};

struct Engine;

struct EngineShell final : Shell {
    ~EngineShell() override;                      // lets go of the bytes, and of what Python holds
};

struct Engine final : VCudaEngine {
    EngineShell shell;
    Logger* logger;
    Bytes bytes;                                  // Python's weights are these
    int64_t handle = -1;                          // what Python knows it by
    int32_t contexts = 0;
    Description has{};

    Engine(Logger* to, Bytes of) : logger(to), bytes(of) { shell.implementation = this; }
    bool open();                                  // false if the bytes are no engine of ours; says why
    int32_t all() const { return has.bindings * has.profiles; }
    int32_t checked(int32_t binding) const;       // its number within a profile; the process ends if there is none
    bool fits(int32_t binding, int32_t profile, Dims const& dims) const;

    int32_t getNbBindings() override { return all(); }
    int32_t getBindingIndex(char const* name) override;
    char const* getBindingName(int32_t binding) override;
    bool bindingIsInput(int32_t binding) override { return has.of[checked(binding)].is_input; }
    Dims getBindingDimensions(int32_t binding) override { return has.of[checked(binding)].dims; }
    DataType getBindingDataType(int32_t binding) override { return static_cast<DataType>(has.of[checked(binding)].type); }
    int32_t getNbLayers() override { return has.layers; }
    Shell* serialize() override { return &(new Memory(bytes.copied()))->shell; }
    Shell* createExecutionContext() override;
    Shell* createExecutionContextWithoutDeviceMemory() override { return createExecutionContext(); }
    size_t getDeviceMemorySize() override { return 1 << 20; }  // nothing is put there; TF-TRT allocates it all the same
    char const* getName() override { return has.name; }
    int32_t getNbOptimizationProfiles() override { return has.profiles; }
    Dims getProfileDimensions(int32_t binding, int32_t profile, int32_t selector) override;
};

struct Context final : VExecutionContext {
    Shell shell;
    Engine* engine;
    int32_t profile;                              // -1 until one is set
    bool has_outputs = false;                     // whether the outputs' shapes are known for these inputs
    Dims dims[kMaxBindings];

    Context(Engine* of, int32_t first_profile);
    int32_t own(int32_t binding) const;           // number within this profile, or -1
    bool knows_outputs();

    Shell const& getEngine() override { return engine->shell; }
    bool setOptimizationProfile(int32_t to) override;
    int32_t getOptimizationProfile() override { return profile; }
    bool setBindingDimensions(int32_t binding, Dims to) override;
    Dims getBindingDimensions(int32_t binding) override;
    bool allInputDimensionsSpecified() override;
    bool enqueueV2(void* const* bindings, void* stream, void* consumed) override;
};

struct Runtime final : VRuntime {
    Shell shell;
    Logger* logger;

    explicit Runtime(Logger* to) : logger(to) { shell.implementation = this; }
    Shell* deserializeCudaEngine(void const* data, size_t size, void*) override;
};

// Builds an engine as TensorRT does, or says why not and gives null (engine.cpp).
Engine* built_engine(Network const& network, Config const& config, Logger* logger);
// The engine's bytes: what says that it is none, then network.json and weights.bin of a recording (recording.cpp).
Bytes recorded(Network const& network, Config const& config);

Bytes no_engine();                                // the words alone

// Calls a function of rehearsal/runtime.py with whole numbers and addresses; what it gives, or -1 after saying why not
// (python_half.cpp).
int64_t ask(Logger* logger, char const* function, int64_t const* arguments, int32_t count);
template <typename... Arguments>
int64_t ask(Logger* logger, char const* function, Arguments... arguments) {
    int64_t const all[] = {(int64_t)arguments...};
    return ask(logger, function, all, static_cast<int32_t>(sizeof...(arguments)));
}

bool is_rehearsal();                              // by the environment
bool fails(char const* what);                     // whether a test asks for this to fail
void say(Logger* logger, Severity severity, char const* format, ...) __attribute__((format(printf, 3, 4)));
void trace(char const* format, ...) __attribute__((format(printf, 1, 2)));  // if TFTRT_YOLO_REHEARSAL_LOG is set

}  // namespace stand_in
