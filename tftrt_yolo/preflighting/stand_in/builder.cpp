// The entry points that TensorFlow looks up by name, and the builder behind them.
//
// It records, or it rehearses: then the engine that buildEngineWithConfig returns is computed by Python on the host.
// The engine of a recording is a line of text that says that it is none.

#include "runtime.h"

#include <stdlib.h>
#include <string.h>

namespace stand_in {
namespace {

struct TimingCache final : VTimingCache {
    Shell shell;
    TimingCache() { shell.implementation = this; }
    Shell* serialize() override { return &(new Memory(no_engine()))->shell; }
};

bool is_recording() { return getenv("TFTRT_YOLO_RECORDING_DIR") != nullptr; }

struct Builder final : VBuilder {
    Shell shell;
    Logger* logger;
    explicit Builder(Logger* to) : logger(to) { shell.implementation = this; }

    Shell* createBuilderConfig() override { return &(new Config)->shell; }
    Shell* createNetworkV2(uint32_t flags) override {
        Network* network = new Network;
        network->creation_flags = flags;
        return &network->shell;
    }
    Shell* createOptimizationProfile() override { return &(new Profile)->shell; }
    Shell* buildEngineWithConfig(Shell& network, Shell& config) override {
        Network& built = *static_cast<Network*>(network.implementation);
        Config& how = *static_cast<Config*>(config.implementation);
        if (is_recording()) {
            write_recording(built, how);
            return &(new Engine(logger, no_engine()))->shell;
        }
        Engine* engine = built_engine(built, how, logger);
        return engine ? &engine->shell : nullptr;
    }
};

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

// Without the variable of a recording or a rehearsal it passes for no TensorRT: TensorFlow compares this version.
EXPORTED int32_t getInferLibVersion() { return stand_in::is_recording() || stand_in::is_rehearsal() ? 8601 : 0; }

static void check_version(int32_t version) {
    if (version != 8601) stand_in::fail("TensorFlow was built against another TensorRT than 8.6.1");
}

EXPORTED stand_in::Shell* createInferBuilder_INTERNAL(void* logger, int32_t version) {
    check_version(version);
    return &(new stand_in::Builder(static_cast<stand_in::Logger*>(logger)))->shell;
}

EXPORTED stand_in::Shell* createInferRuntime_INTERNAL(void* logger, int32_t version) {
    check_version(version);
    if (!stand_in::is_rehearsal()) stand_in::fail("it runs engines only in a rehearsal");
    return &(new stand_in::Runtime(static_cast<stand_in::Logger*>(logger)))->shell;
}

EXPORTED stand_in::IPluginRegistry* getPluginRegistry() {
    static stand_in::IPluginRegistry registry;
    return &registry;
}

EXPORTED bool initLibNvInferPlugins(void*, char const*) { return true; }

// By this symbol a process can tell the stand-in from TensorRT.
EXPORTED int32_t tftrt_yolo_stand_in() { return 1; }
