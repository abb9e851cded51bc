// The recording on disk: network.N.json for the N-th engine, and weights.bin for the weights of all.
//
// In a rehearsal the same two are an engine's bytes. Layers, tensors and weights are referred to by number. Python sorts, checks and hashes what is written here
// (tftrt_yolo/preflighting/recorded_network.py).

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

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

void write_network(Network const& network, Config const& config, FILE* file, FILE* data, int64_t* position) {
    Json json{file};
    fputs("{\n  \"name\": ", json.file);
    json.text(network.name);
    fprintf(json.file, ",\n  \"creation_flags\": %u,\n  \"builder_flags\": %u,\n  \"workspace_bytes\": %llu,\n",
            network.creation_flags, config.flags, static_cast<unsigned long long>(config.workspace_bytes));
    fprintf(json.file, "  \"has_calibrator\": %s,\n  \"profiles\": ", config.calibrator ? "true" : "false");
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
        write_layer(json, *network.layers[i], data, position);
    }
    fputs("\n  ]\n}\n", json.file);
}

uint32_t crc32(char const* data, size_t size) {   // as zlib's
    uint32_t sum = ~0u, table[256];
    for (uint32_t i = 0; i < 256; ++i) {
        table[i] = i;
        for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    for (size_t i = 0; i < size; ++i) sum = table[(sum ^ static_cast<unsigned char>(data[i])) & 255] ^ sum >> 8;
    return ~sum;
}

// In front of an engine's bytes; rehearsal/engine_bytes.py has the same.
struct Header {
    char words[64];
    uint64_t json_bytes, weights_bytes;
    uint32_t checksum, unused;
};

char const kNoEngine[] = "tftrt_yolo: recorded by a stand-in for TensorRT, not an engine\n";
static_assert(sizeof kNoEngine == sizeof Header::words, "the first words fill their place");

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
    FILE* json = opened(folder, name, "wb");
    write_network(network, config, json, data, &position);
    close_written(data, "weights.bin");
    close_written(json, name);
}

Bytes no_engine() { return Bytes{const_cast<char*>(kNoEngine), sizeof kNoEngine - 1}.copied(); }

Bytes recorded(Network const& network, Config const& config) {
    for (Tensor* tensor : network.tensors) tensor->inferred();
    Bytes json, weights;
    int64_t position = 0;
    FILE* json_file = open_memstream(&json.data, &json.size);
    FILE* weights_file = open_memstream(&weights.data, &weights.size);
    if (!json_file || !weights_file) fail("out of memory");
    write_network(network, config, json_file, weights_file, &position);
    close_written(json_file, "an engine");
    close_written(weights_file, "an engine");
    Bytes whole{nullptr, sizeof(Header) + json.size + weights.size};
    whole.data = static_cast<char*>(take(whole.size));
    memcpy(whole.data + sizeof(Header), weights.data, weights.size);  // first: they are aligned
    memcpy(whole.data + sizeof(Header) + weights.size, json.data, json.size);
    Header header{{}, json.size, weights.size, crc32(whole.data + sizeof(Header), whole.size - sizeof(Header)), 0};
    memcpy(header.words, kNoEngine, sizeof header.words);
    memcpy(whole.data, &header, sizeof header);
    json.release();
    weights.release();
    return whole;
}

}  // namespace stand_in
