// The recording on disk: network.N.json for the N-th engine, and weights.bin for the weights of all.
//
// Layers, tensors and weights are referred to by number. Python sorts, checks and hashes what is written here
// (tftrt_yolo/preflighting/recorded_network.py).

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"

namespace stand_in {
namespace {

char const* const kTypes[] = {"FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "FP8"};
int const kTypeBytes[] = {4, 2, 1, 4, 1, 1, 1};
char const* const kKinds[] = {
#define LAYER_TYPE(name) #name,
    FOR_EACH_LAYER_TYPE(LAYER_TYPE)
#undef LAYER_TYPE
};
constexpr int64_t kAlignment = 64;

char const* type_name(DataType type) { return kTypes[static_cast<int32_t>(type)]; }

struct Json {
    FILE* file;

    void text(char const* value) {
        fputc('"', file);
        for (unsigned char const* at = reinterpret_cast<unsigned char const*>(value); *at; ++at) {
            if (*at < 0x20 || *at == '"' || *at == '\\') fprintf(file, "\\u%04x", *at);
            else fputc(*at, file);
        }
        fputc('"', file);
    }
    void dims(Dims const& value) {
        for (int32_t i = 0; i < value.count; ++i) fprintf(file, "%s%d", i ? ", " : "[", value.at[i]);
        fputs(value.count > 0 ? "]" : "[]", file);
    }
    void indices(List<Tensor*> const& tensors) {
        fputc('[', file);
        for (int32_t i = 0; i < tensors.count; ++i)
            fprintf(file, "%s%d", i ? ", " : "", tensors[i] ? tensors[i]->index : -1);
        fputc(']', file);
    }
};

void write_attributes(Json& json, Layer const& layer) {
    fputs("{", json.file);
    for (int32_t i = 0; i < layer.attribute_count; ++i) {
        Attribute const& attribute = layer.attributes[i];
        fprintf(json.file, "%s\"%s\": ", i ? ", " : "", attribute.name);
        if (attribute.word) {
            json.text(attribute.word);
        } else if (attribute.count < 0) {
            fprintf(json.file, "%.17g", attribute.numbers[0]);
        } else {
            fputc('[', json.file);
            for (int32_t k = 0; k < attribute.count; ++k) fprintf(json.file, "%s%.17g", k ? ", " : "", attribute.numbers[k]);
            fputc(']', json.file);
        }
    }
    fputs("}", json.file);
}

void write_weights(Json& json, Layer const& layer, FILE* data, int64_t* position) {
    fputs("{", json.file);
    for (int32_t i = 0; i < layer.weights_count; ++i) {
        Weights const& weights = layer.weights[i].weights;
        static char const zeros[kAlignment] = {};
        int64_t const gap = (kAlignment - *position % kAlignment) % kAlignment;
        int64_t const bytes = weights.count * kTypeBytes[static_cast<int32_t>(weights.type)];
        fwrite(zeros, 1, gap, data);
        *position += gap;
        fprintf(json.file, "%s\"%s\": {\"type\": \"%s\", \"count\": %lld, \"offset\": %lld}", i ? ", " : "",
                layer.weights[i].name, type_name(weights.type), static_cast<long long>(weights.count),
                static_cast<long long>(*position));
        if (bytes && fwrite(weights.values, 1, bytes, data) != static_cast<size_t>(bytes)) break;  // closing tells why
        *position += bytes;
    }
    fputs("}", json.file);
}

void write_tensor(Json& json, Tensor& tensor) {
    Tensor const& found = tensor.inferred();
    fputs("    {\"name\": ", json.file);
    json.text(found.name);
    fprintf(json.file, ", \"type\": \"%s\", \"dims\": ", type_name(found.type));
    json.dims(found.dims);
    fputs("}", json.file);
}

void write_layer(Json& json, Layer const& layer, FILE* data, int64_t* position) {
    fprintf(json.file, "    {\"kind\": \"%s\", \"name\": ", kKinds[static_cast<int32_t>(layer.kind)]);
    json.text(layer.name);
    fputs(", \"inputs\": ", json.file);
    json.indices(layer.inputs);
    fputs(", \"outputs\": ", json.file);
    json.indices(layer.outputs);
    fprintf(json.file, ", \"precision\": %s%s%s", layer.has_precision ? "\"" : "",
            layer.has_precision ? type_name(layer.precision) : "null", layer.has_precision ? "\"" : "");
    fputs(", \"attributes\": ", json.file);
    write_attributes(json, layer);
    fputs(", \"weights\": ", json.file);
    write_weights(json, layer, data, position);
    fputs("}", json.file);
}

void write_profiles(Json& json, Config const& config) {
    char const* const selectors[] = {"min", "opt", "max"};
    fputs("[", json.file);
    for (int32_t i = 0; i < config.profiles.count; ++i) {
        fputs(i ? ", [" : "[", json.file);
        List<ProfileEntry> const& entries = config.profiles[i]->entries;
        for (int32_t k = 0; k < entries.count; ++k) {
            fputs(k ? ", {\"input\": " : "{\"input\": ", json.file);
            json.text(entries[k].input);
            fprintf(json.file, ", \"selector\": \"%s\", \"dims\": ", selectors[entries[k].selector]);
            json.dims(entries[k].dims);
            fputs("}", json.file);
        }
        fputs("]", json.file);
    }
    fputs("]", json.file);
}

FILE* opened(char const* folder, char const* name, char const* mode) {
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= static_cast<int>(sizeof path)) fail("too long a path: ", folder);
    FILE* file = fopen(path, mode);
    if (!file) {
        perror("fopen");
        fail("cannot write ", path);
    }
    return file;
}

void close_written(FILE* file, char const* name) {
    bool const failed = ferror(file);
    if (fclose(file) || failed) {
        perror(name);
        fail("cannot write ", name);
    }
}

}  // namespace

void write_recording(Network const& network, Config const& config) {
    static int count = 0;
    static int64_t position = 0;
    char const* folder = getenv("TFTRT_YOLO_RECORDING_DIR");
    if (!folder) fail("no recording was asked for");
    for (Tensor* tensor : network.tensors) tensor->inferred();  // what is refused leaves no half of a recording
    char name[64];
    snprintf(name, sizeof name, "network.%d.json", count++);
    FILE* data = opened(folder, "weights.bin", "ab");
    Json json{opened(folder, name, "wb")};
    fputs("{\n  \"name\": ", json.file);
    json.text(network.name);
    fprintf(json.file, ",\n  \"creation_flags\": %u,\n  \"builder_flags\": %u,\n  \"workspace_bytes\": %llu,\n",
            network.creation_flags, config.flags, static_cast<unsigned long long>(config.workspace_bytes));
    fprintf(json.file, "  \"has_calibrator\": %s,\n  \"profiles\": ", config.has_calibrator ? "true" : "false");
    write_profiles(json, config);
    fputs(",\n  \"inputs\": ", json.file);
    json.indices(network.inputs);
    fputs(",\n  \"outputs\": ", json.file);
    json.indices(network.outputs);
    fputs(",\n  \"tensors\": [\n", json.file);
    for (int32_t i = 0; i < network.tensors.count; ++i) {
        if (i) fputs(",\n", json.file);
        write_tensor(json, *network.tensors[i]);
    }
    fputs("\n  ],\n  \"layers\": [\n", json.file);
    for (int32_t i = 0; i < network.layers.count; ++i) {
        if (i) fputs(",\n", json.file);
        write_layer(json, *network.layers[i], data, &position);
    }
    fputs("\n  ]\n}\n", json.file);
    close_written(data, "weights.bin");
    close_written(json.file, name);
}

}  // namespace stand_in
