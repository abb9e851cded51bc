// Building an engine: the network is written down with its profiles, and calibrated by TF-TRT's calibrator if it is to.

#include "runtime.h"

#include <string.h>

namespace stand_in {
namespace {

constexpr int32_t kInt8 = 1;                      // BuilderFlag
constexpr int32_t kEntropyCalibration2 = 2;       // CalibrationAlgoType
constexpr int32_t kOptimum = 1, kTableBytes = 1 << 20;

// The shapes of the batches that the calibrator gives: of the profile for calibration, or the first.
bool calibration_dims(Engine const& engine, Config const& config, Dims* dims) {
    for (int32_t i = 0; i < engine.has.bindings; ++i) {
        Binding const& binding = engine.has.of[i];
        dims[i] = binding.dims;
        if (!binding.is_input) continue;
        Dims const set = config.calibration_profile ? config.calibration_profile->getDimensions(binding.name, kOptimum)
                                                    : binding.profiles[0][kOptimum];
        if (set.count != binding.dims.count) return false;
        dims[i] = set;
    }
    return true;
}

bool calibrate(Engine& engine, Config const& config) {
    Calibrator* calibrator = config.calibrator;
    if (calibrator->getAlgorithm() != kEntropyCalibration2) fail("another calibrator than IInt8EntropyCalibrator2");
    size_t length = 0;
    if (calibrator->readCalibrationCache(length)) {
        trace("a calibration table of %zu bytes is read", length);
        return true;
    }
    Dims dims[kMaxBindings];
    if (!calibration_dims(engine, config, dims)) {
        say(engine.logger, Severity::kERROR, "no profile gives the shapes of the calibrator's batches");
        return false;
    }
    trace("calibrates with batches of %d", calibrator->getBatchSize());
    void* bindings[kMaxBindings] = {};
    char const* names[kMaxBindings];
    int32_t inputs = 0;                           // they come first
    while (inputs < engine.has.bindings && engine.has.of[inputs].is_input) names[inputs] = engine.has.of[inputs].name, ++inputs;
    int32_t batches = 0;
    for (; calibrator->getBatch(bindings, names, inputs); ++batches) {
        trace("calibration batch %d", batches);
        if (ask(engine.logger, "observe", engine.handle, bindings, dims)) return false;
    }
    char* table = static_cast<char*>(take(kTableBytes));
    int64_t const size = ask(engine.logger, "write_table", engine.handle, table, kTableBytes);
    if (size < 0) return false;
    trace("writes a calibration table of %lld bytes over %d batches", static_cast<long long>(size), batches);
    calibrator->writeCalibrationCache(table, size);
    Bytes{table, 0}.release();
    return true;
}

bool refuses(Network const& network, Config const& config, Logger* logger) {
    if (fails("build")) {
        say(logger, Severity::kERROR, "a rehearsal of an engine that cannot be built, as was asked for");
        return true;
    }
    if (fails("memory")) {
        say(logger, Severity::kERROR, "a rehearsal of a GPU without memory, as was asked for: out of memory");
        return true;
    }
    if (network.inputs.count + network.outputs.count > kMaxBindings || config.profiles.count > kMaxProfiles) {
        say(logger, Severity::kERROR, "it takes %d inputs and outputs and %d profiles at most", kMaxBindings, kMaxProfiles);
        return true;
    }
    return false;
}

}  // namespace

Engine* built_engine(Network const& network, Config const& config, Logger* logger) {
    trace("buildEngineWithConfig: %d layers, %d profiles, flags %u%s", network.layers.count, config.profiles.count,
          config.flags, config.calibrator ? ", with a calibrator" : "");
    if (refuses(network, config, logger)) return nullptr;
    Engine* engine = new Engine(logger, recorded(network, config));
    bool const is_whole = engine->open();
    bool const calibrates = config.calibrator && (config.flags >> kInt8 & 1);
    if (is_whole && (!calibrates || calibrate(*engine, config))) return engine;
    if (is_whole) ask(logger, "close", engine->handle);
    engine->bytes.release();
    return nullptr;
}

}  // namespace stand_in
