// The entry points that TensorFlow looks up by name, and the builder behind them.
//
// Nothing here can run a network. The engine that buildEngineWithConfig returns is a line of text that says so.

#include "builder.h"

#include <stdlib.h>
#include <string.h>

namespace stand_in {
namespace {

char const kNoEngine[] = "tftrt_yolo: recorded by a stand-in for TensorRT, not an engine\n";

struct Memory final : VHostMemory {
    Shell shell;
    Memory() { shell.implementation = this; }
    void* data() override { return const_cast<char*>(kNoEngine); }
    size_t size() override { return sizeof kNoEngine - 1; }
};

struct TimingCache final : VTimingCache {
    Shell shell;
    TimingCache() { shell.implementation = this; }
    Shell* serialize() override { return &(new Memory)->shell; }
};

struct Engine final : VCudaEngine {
    Shell shell;
    Engine() { shell.implementation = this; }
    Shell* serialize() override { return &(new Memory)->shell; }
};

struct Builder final : VBuilder {
    Shell shell;
    Builder() { shell.implementation = this; }

    Shell* createBuilderConfig() override { return &(new Config)->shell; }
    Shell* createNetworkV2(uint32_t flags) override {
        Network* network = new Network;
        network->creation_flags = flags;
        return &network->shell;
    }
    Shell* createOptimizationProfile() override { return &(new Profile)->shell; }
    Shell* buildEngineWithConfig(Shell& network, Shell& config) override {
        write_recording(*static_cast<Network*>(network.implementation), *static_cast<Config*>(config.implementation));
        return &(new Engine)->shell;
    }
};

bool is_recording() { return getenv("TFTRT_YOLO_RECORDING_DIR") != nullptr; }

}  // namespace

bool Profile::setDimensions(char const* input, int32_t selector, Dims dims) {
    entries.add({copy_of(input), selector, dims});
    return true;
}

Dims Profile::getDimensions(char const* input, int32_t selector) {
    for (ProfileEntry const& entry : entries)
        if (entry.selector == selector && !strcmp(entry.input, input)) return entry.dims;
    return {-1, {}};
}

int32_t Config::addOptimizationProfile(Shell const* profile) {
    profiles.add(static_cast<Profile*>(profile->implementation));
    return profiles.count - 1;
}

Shell* Config::createTimingCache(void const*, size_t) { return &(new TimingCache)->shell; }

}  // namespace stand_in

#define EXPORTED extern "C" __attribute__((visibility("default")))

// Without the variable that a recording sets, it passes for no TensorRT: TensorFlow compares this version with its own.
EXPORTED int32_t getInferLibVersion() { return stand_in::is_recording() ? 8601 : 0; }

EXPORTED stand_in::Shell* createInferBuilder_INTERNAL(void*, int32_t version) {
    if (version != 8601) stand_in::fail("TensorFlow was built against another TensorRT than 8.6.1");
    return &(new stand_in::Builder)->shell;
}

EXPORTED void* createInferRuntime_INTERNAL(void*, int32_t) { stand_in::fail("it cannot run engines"); }

EXPORTED stand_in::IPluginRegistry* getPluginRegistry() {
    static stand_in::IPluginRegistry registry;
    return &registry;
}

EXPORTED bool initLibNvInferPlugins(void*, char const*) { return true; }

// By this symbol a process can tell the stand-in from TensorRT.
EXPORTED int32_t tftrt_yolo_stand_in() { return 1; }
