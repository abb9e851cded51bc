// The network as TF-TRT builds it: tensors, layers, and what was set on them.
//
// Nothing is freed and no weight is copied: the process ends with the conversion, and TF-TRT keeps its weights until the
// engine is built.

#pragma once

#include "nvinfer.h"

namespace stand_in {

constexpr int32_t kUnknown = -1;                  // a dimension that only the shape of an input decides
constexpr int64_t kUnknownValue = INT64_MIN;      // a shape tensor's element of the same kind; -1 is a value
constexpr int kMaxValues = 2 * kMaxDims;          // longer tensors are data and not shapes
constexpr int kMaxInputs = 256, kMaxAttributes = 12, kMaxWeights = 2;

// TensorRT's kinds of layers in their order: a number for TF-TRT, a word in the recording.
#define FOR_EACH_LAYER_TYPE(DO)                                                                                       \
    DO(CONVOLUTION) DO(FULLY_CONNECTED) DO(ACTIVATION) DO(POOLING) DO(LRN) DO(SCALE) DO(SOFTMAX) DO(DECONVOLUTION)    \
    DO(CONCATENATION) DO(ELEMENTWISE) DO(PLUGIN) DO(UNARY) DO(PADDING) DO(SHUFFLE) DO(REDUCE) DO(TOPK) DO(GATHER)     \
    DO(MATRIX_MULTIPLY) DO(RAGGED_SOFTMAX) DO(CONSTANT) DO(RNN_V2) DO(IDENTITY) DO(PLUGIN_V2) DO(SLICE) DO(SHAPE)     \
    DO(PARAMETRIC_RELU) DO(RESIZE) DO(TRIP_LIMIT) DO(RECURRENCE) DO(ITERATOR) DO(LOOP_OUTPUT) DO(SELECT) DO(FILL)     \
    DO(QUANTIZE) DO(DEQUANTIZE)

enum class LayerType : int32_t {
#define LAYER_TYPE(name) k##name,
    FOR_EACH_LAYER_TYPE(LAYER_TYPE)
#undef LAYER_TYPE
};

void* take(size_t size);                          // zeroed memory, or the process ends
char* copy_of(char const* text);

template <size_t size>
char const* word_of(char const* const (&words)[size], int32_t value) {
    if (value < 0 || value >= static_cast<int32_t>(size)) fail("a value that TensorRT 8.6 does not know");
    return words[value];
}

template <typename T>
struct List {
    T* items = nullptr;
    int32_t count = 0, room = 0;

    void add(T item) {
        if (count == room) {
            T* old = items;
            room = room ? 2 * room : 8;
            items = static_cast<T*>(take(sizeof(T) * room));
            for (int32_t i = 0; i < count; ++i) items[i] = old[i];
        }
        items[count++] = item;
    }
    T& operator[](int32_t i) const {
        if (i < 0 || i >= count) fail("TF-TRT asks for an element beyond the end of a list");
        return items[i];
    }
    T* begin() const { return items; }
    T* end() const { return items + count; }
};

// A name and one or more numbers, or a word where TensorRT has an enum.
struct Attribute {
    char const* name;
    char const* word;
    int32_t count;
    double numbers[kMaxDims];

    int32_t as_int() const { return static_cast<int32_t>(numbers[0]); }
};

struct NamedWeights {
    char const* name;
    Weights weights;
};

struct Layer;
struct Network;

struct Tensor final : VTensor {
    Shell shell;
    Layer* producer = nullptr;
    Network* network = nullptr;
    char const* name = "";
    DataType type = DataType::kFLOAT;             // as inferred, or given
    DataType given_type = DataType::kFLOAT;       // by setType, which counts for inputs and outputs of the network alone
    DataType layer_type = DataType::kFLOAT;       // by the layer's setOutputType
    Dims dims{};
    int64_t values[kMaxValues]{};
    int32_t value_count = -1;                     // of a shape tensor, else -1
    int32_t index = 0;
    bool is_input = false, is_output = false, is_inferred = false, is_consumed = false;
    bool has_given_type = false, has_layer_type = false;

    Tensor() { shell.implementation = this; }
    Tensor const& inferred();

    void setName(char const* text) override { name = copy_of(text); }
    char const* getName() override { return name; }
    Dims getDimensions() override { return inferred().dims; }
    void setType(DataType to) override;
    DataType getType() override { return inferred().type; }
    bool isNetworkInput() override { return is_input; }
    bool isNetworkOutput() override { return is_output; }
    bool isShapeTensor() override { return inferred().value_count >= 0 && type == DataType::kINT32; }
};

struct Layer final : VLayer {
    LayerShell shell;
    Network* network = nullptr;
    LayerType kind;
    char const* name = "";
    List<Tensor*> inputs, outputs;
    Attribute attributes[kMaxAttributes]{};
    int32_t attribute_count = 0;
    NamedWeights weights[kMaxWeights]{};
    int32_t weights_count = 0;
    DataType precision = DataType::kFLOAT;
    bool has_precision = false;

    explicit Layer(LayerType of) : kind(of) { shell.implementation = this; }
    Attribute const* find(char const* attribute) const;
    bool is_word(char const* attribute, char const* word) const;
    int32_t number(char const* attribute, int32_t otherwise) const;
    int32_t element(char const* attribute, int32_t i, int32_t otherwise) const;
    [[noreturn]] void refuse(char const* why) const { fail(why, name); }
    void set(char const* attribute, Dims const& value);
    void set(char const* attribute, double value);
    void set_word(char const* attribute, char const* word);
    void hold(char const* role, Weights value);
    void changed();                               // what was inferred behind it is inferred again

    int32_t getType() override { return static_cast<int32_t>(kind); }
    void setName(char const* text) override { name = copy_of(text); }
    char const* getName() override { return name; }
    int32_t getNbInputs() override { return inputs.count; }
    Shell* getInput(int32_t i) override { return i < inputs.count && inputs[i] ? &inputs[i]->shell : nullptr; }
    int32_t getNbOutputs() override { return outputs.count; }
    Shell* getOutput(int32_t i) override { return i < outputs.count ? &outputs[i]->shell : nullptr; }
    void setInput(int32_t i, Shell& tensor) override;
    void setPrecision(DataType to) override { precision = to, has_precision = true; }
    DataType getPrecision() override { return precision; }
    bool precisionIsSet() override { return has_precision; }
    void setOutputType(int32_t i, DataType to) override {
        outputs[i]->layer_type = to, outputs[i]->has_layer_type = true;
        changed();
    }
    DataType getOutputType(int32_t i) override { return outputs[i]->inferred().type; }

private:
    Attribute& slot(char const* attribute);
};

inline Tensor& tensor_of(Shell const& shell) { return *static_cast<Tensor*>(shell.implementation); }

// The table of a layer's own kind (setters.cpp).
Table* specific_of(Layer* layer);

// What the builder was told beside the network.
struct Profile;
struct Config;

struct Network final : VNetworkDefinition {
    NetworkShell shell;
    char const* name = "";
    List<Tensor*> tensors, inputs, outputs;
    List<Layer*> layers;
    uint32_t creation_flags = 0;

    Network() { shell.implementation = this; }
    Tensor* new_tensor(Layer* producer);
    Layer* new_layer(LayerType kind, Tensor* const* with, int32_t count, int32_t outputs = 1);

    Shell* addInput(char const* input_name, DataType type, Dims dims) override;
    void markOutput(Shell& tensor) override;
    Shell* addConvolution(Shell& input, int32_t maps, Dims kernel, Weights filters, Weights bias) override;
    Shell* addFullyConnected(Shell& input, int32_t maps, Weights filters, Weights bias) override;
    Shell* addActivation(Shell& input, int32_t type) override;
    Shell* addPooling(Shell& input, int32_t type, Dims window) override;
    Shell* addSoftMax(Shell& input) override;
    Shell* addConcatenation(Shell* const* with, int32_t count) override;
    Shell* addDeconvolution(Shell& input, int32_t maps, Dims kernel, Weights filters, Weights bias) override;
    Shell* addElementWise(Shell& first, Shell& second, int32_t operation) override;
    Shell* addUnary(Shell& input, int32_t operation) override;
    Shell* addPadding(Shell& input, Dims before, Dims after) override;
    Shell* addShuffle(Shell& input) override;
    Shell* addReduce(Shell& input, int32_t operation, uint32_t axes, bool keep) override;
    Shell* addTopK(Shell& input, int32_t operation, int32_t k, uint32_t axes) override;
    Shell* addGather(Shell& data, Shell& indices, int32_t axis) override;
    Shell* addMatrixMultiply(Shell& first, int32_t first_op, Shell& second, int32_t second_op) override;
    Shell* addConstant(Dims dims, Weights weights) override;
    Shell* addIdentity(Shell& input) override;
    Shell* addSlice(Shell& input, Dims start, Dims size, Dims stride) override;
    Shell* addShape(Shell& input) override;
    Shell* addResize(Shell& input) override;
    Shell* addSelect(Shell& condition, Shell& then, Shell& otherwise) override;
    Shell* addDequantize(Shell& input, Shell& scale) override;
    Shell* addQuantize(Shell& input, Shell& scale) override;

    int32_t getNbLayers() override { return layers.count; }
    Shell* getLayer(int32_t i) override { return &layers[i]->shell; }
    int32_t getNbInputs() override { return inputs.count; }
    Shell* getInput(int32_t i) override { return &inputs[i]->shell; }
    int32_t getNbOutputs() override { return outputs.count; }
    Shell* getOutput(int32_t i) override { return &outputs[i]->shell; }
    void setName(char const* text) override { name = copy_of(text); }
    char const* getName() override { return name; }
};

// Shapes, types and, of shape tensors, values of a layer's outputs (shapes.cpp).
void infer(Layer const& layer);
void infer_window(Layer const& layer, Tensor const& in, Tensor& out, char const* elements);  // windows.cpp
void infer_deconvolution(Layer const& layer, Tensor const& in, Tensor& out);
void infer_padding(Layer const& layer, Tensor const& in, Tensor& out);

// Writes network.N.json and appends to weights.bin in the folder that the environment names (recording.cpp).
void write_recording(Network const& network, Config const& config);

}  // namespace stand_in
