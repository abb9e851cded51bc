// Engines and execution contexts: TensorRT's rules for bindings, profiles and shapes, and calls to who computes.

#include "runtime.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace stand_in {
namespace {

constexpr Dims kNone{-1, {}};

bool is_known(Dims const& dims) {
    for (int32_t i = 0; i < dims.count; ++i)
        if (dims.at[i] < 0) return false;
    return dims.count >= 0;
}

char const* text_of(Dims const& dims) {           // of the last few calls, for messages
    static __thread char texts[4][128];
    static __thread int next = 0;
    char* text = texts[next++ % 4];
    int at = snprintf(text, sizeof texts[0], "(");
    for (int32_t i = 0; i < dims.count && i < kMaxDims; ++i)
        at += snprintf(text + at, sizeof texts[0] - at, "%s%d", i ? ", " : "", dims.at[i]);
    snprintf(text + at, sizeof texts[0] - at, ")");
    return text;
}

void write_line(char const* format, va_list values) {
    fputs("stand-in for TensorRT: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    fflush(stderr);
}

}  // namespace

bool is_rehearsal() {
    char const* value = getenv("TFTRT_YOLO_REHEARSAL");
    return value && !strcmp(value, "1");
}

bool fails(char const* what) {
    char const* value = getenv("TFTRT_YOLO_REHEARSAL_FAILS");
    return value && !strcmp(value, what);
}

void trace(char const* format, ...) {
    if (!getenv("TFTRT_YOLO_REHEARSAL_LOG")) return;
    va_list values;
    va_start(values, format);
    write_line(format, values);
    va_end(values);
}

void say(Logger* logger, Severity severity, char const* format, ...) {
    char words[kWords + 64] = "stand-in for TensorRT: ";
    size_t const start = strlen(words);
    va_list values;
    va_start(values, format);
    vsnprintf(words + start, sizeof words - start, format, values);
    va_end(values);
    trace("says %s", words + start);
    if (logger) logger->log(severity, words);
    else fprintf(stderr, "%s\n", words);
}

Bytes Bytes::copied() const {
    Bytes copy{static_cast<char*>(take(size)), size};
    memcpy(copy.data, data, size);
    return copy;
}

void Bytes::release() {
    free(data);
    data = nullptr;
}

EngineShell::~EngineShell() {
    Engine* engine = static_cast<Engine*>(implementation);
    trace("engine %lld is deleted", static_cast<long long>(engine->handle));
    if (engine->handle >= 0) ask(nullptr, "close", engine->handle);
    engine->handle = -1;
    engine->bytes.release();
}

bool Engine::open() {
    handle = ask(logger, "open", bytes.data, bytes.size, &has, sizeof has);
    return handle >= 0;
}

int32_t Engine::checked(int32_t binding) const {
    if (binding < 0 || binding >= all()) fail("TF-TRT asks for a binding that the engine does not have: ", has.name);
    return binding % has.bindings;
}

bool Engine::fits(int32_t binding, int32_t profile, Dims const& dims) const {
    Binding const& wanted = has.of[binding];
    if (dims.count != wanted.dims.count) return false;
    for (int32_t i = 0; i < dims.count; ++i) {
        int32_t const size = wanted.dims.at[i];
        if (size >= 0 ? dims.at[i] != size
                      : dims.at[i] < wanted.profiles[profile][0].at[i] || dims.at[i] > wanted.profiles[profile][2].at[i])
            return false;
    }
    return true;
}

// The names of further profiles' bindings end with " [profile 1]" and so on; TF-TRT asks for those of the first.
int32_t Engine::getBindingIndex(char const* name) {
    for (int32_t i = 0; i < all(); ++i)
        if (!strcmp(getBindingName(i), name)) return i;
    trace("there is no binding %s", name);
    return -1;
}

char const* Engine::getBindingName(int32_t binding) {
    char const* name = has.of[checked(binding)].name;
    int32_t const profile = binding / has.bindings;
    if (!profile) return name;
    static __thread char text[kNameLength + 32];
    snprintf(text, sizeof text, "%s [profile %d]", name, profile);
    return text;
}

// A binding of the first profile stands for that of any other.
Dims Engine::getProfileDimensions(int32_t binding, int32_t profile, int32_t selector) {
    if (binding < 0 || binding >= all() || profile < 0 || profile >= has.profiles || selector < 0 || selector > 2)
        return kNone;
    int32_t const own = binding % has.bindings;
    if ((binding >= has.bindings && binding / has.bindings != profile) || !has.of[own].is_input) return kNone;
    return has.of[own].profiles[profile][selector];
}

// The first context has the first profile; the others have none until one is set.
Shell* Engine::createExecutionContext() {
    int32_t const number = contexts++;
    trace("context %d of engine %lld", number, static_cast<long long>(handle));
    return &(new Context(this, number ? -1 : 0))->shell;
}

Context::Context(Engine* of, int32_t first_profile) : engine(of), profile(first_profile) {
    shell.implementation = this;
    for (int32_t i = 0; i < engine->has.bindings; ++i) dims[i] = engine->has.of[i].dims;
}

int32_t Context::own(int32_t binding) const {
    int32_t const first = profile * engine->has.bindings;
    return profile >= 0 && binding >= first && binding < first + engine->has.bindings ? binding - first : -1;
}

bool Context::setOptimizationProfile(int32_t to) {
    trace("setOptimizationProfile(%d) of engine %lld", to, static_cast<long long>(engine->handle));
    if (to < 0 || to >= engine->has.profiles) {
        say(engine->logger, Severity::kERROR, "there is no profile %d of %d", to, engine->has.profiles);
        return false;
    }
    profile = to;
    has_outputs = false;
    for (int32_t i = 0; i < engine->has.bindings; ++i) dims[i] = engine->has.of[i].dims;
    return true;
}

bool Context::setBindingDimensions(int32_t binding, Dims to) {
    int32_t const at = own(binding);
    trace("setBindingDimensions(%d, %s) in profile %d", binding, text_of(to), profile);
    if (at < 0 || !engine->has.of[at].is_input) {
        say(engine->logger, Severity::kERROR, "binding %d is no input of profile %d", binding, profile);
        return false;
    }
    if (!engine->fits(at, profile, to)) {
        Dims const(&limits)[3] = engine->has.of[at].profiles[profile];
        say(engine->logger, Severity::kERROR, "%s is given %s; profile %d takes %s to %s", engine->has.of[at].name,
            text_of(to), profile, text_of(limits[0]), text_of(limits[2]));
        return false;
    }
    dims[at] = to;
    has_outputs = false;
    return true;
}

bool Context::allInputDimensionsSpecified() {
    if (profile < 0) return false;
    for (int32_t i = 0; i < engine->has.bindings; ++i)
        if (engine->has.of[i].is_input && !is_known(dims[i])) return false;
    return true;
}

bool Context::knows_outputs() {
    if (has_outputs) return true;
    has_outputs = allInputDimensionsSpecified() && !ask(engine->logger, "shape_outputs", engine->handle, dims);
    return has_outputs;
}

Dims Context::getBindingDimensions(int32_t binding) {
    int32_t const at = own(binding);
    if (at < 0) return kNone;
    if (!engine->has.of[at].is_input && !knows_outputs()) return kNone;
    trace("getBindingDimensions(%d) is %s", binding, text_of(dims[at]));
    return dims[at];
}

bool Context::enqueueV2(void* const* bindings, void* stream, void* consumed) {
    trace("enqueueV2 of engine %lld in profile %d", static_cast<long long>(engine->handle), profile);
    if (consumed) fail("TF-TRT wants an event when the inputs are consumed");
    if (fails("enqueue")) {
        say(engine->logger, Severity::kERROR, "a rehearsal of an engine that does not run, as was asked for");
        return false;
    }
    if (!knows_outputs()) {
        say(engine->logger, Severity::kERROR, "it is to run without the shapes of all inputs");
        return false;
    }
    void* const* own_bindings = bindings + profile * engine->has.bindings;
    return !ask(engine->logger, "enqueue", engine->handle, own_bindings, dims, stream);
}

Shell* Runtime::deserializeCudaEngine(void const* data, size_t size, void*) {
    trace("deserializeCudaEngine of %zu bytes", size);
    if (fails("deserialize")) {
        say(logger, Severity::kERROR, "a rehearsal of an engine that cannot be read, as was asked for");
        return nullptr;
    }
    Bytes const given{static_cast<char*>(const_cast<void*>(data)), size};
    Engine* engine = new Engine(logger, given.copied());
    if (engine->open()) return &engine->shell;
    engine->bytes.release();
    return nullptr;
}

}  // namespace stand_in
