// What TF-TRT adds to the network: one layer a call, and the setters of each kind of layer.

#include "network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace stand_in {

void fail(char const* what, char const* name) {
    fprintf(stderr, "stand-in for TensorRT: %s%s\n", what, name);
    fflush(nullptr);
    _Exit(70);
}

void* take(size_t size) {
    void* memory = calloc(1, size);
    if (!memory) fail("out of memory");
    return memory;
}

char* copy_of(char const* text) {
    size_t const size = strlen(text ? text : "") + 1;
    return static_cast<char*>(memcpy(take(size), text ? text : "", size));
}

void* Table::operator new(size_t size) { return take(size); }

namespace {

char const* const kActivations[] = {"RELU", "SIGMOID", "TANH", "LEAKY_RELU", "ELU", "SELU", "SOFTSIGN", "SOFTPLUS",
                                    "CLIP", "HARD_SIGMOID", "SCALED_TANH", "THRESHOLDED_RELU"};
char const* const kPoolings[] = {"MAX", "AVERAGE", "MAX_AVERAGE_BLEND"};
char const* const kElementWise[] = {"SUM", "PROD", "MAX", "MIN", "SUB", "DIV", "POW",
                                    "FLOOR_DIV", "AND", "OR", "XOR", "EQUAL", "GREATER", "LESS"};
char const* const kUnary[] = {"EXP", "LOG", "SQRT", "RECIP", "ABS", "NEG", "SIN", "COS",
                              "TAN", "SINH", "COSH", "ASIN", "ACOS", "ATAN", "ASINH", "ACOSH",
                              "ATANH", "CEIL", "FLOOR", "ERF", "NOT", "SIGN", "ROUND", "ISINF"};
char const* const kReductions[] = {"SUM", "PROD", "MAX", "MIN", "AVG"};
char const* const kExtremes[] = {"MAX", "MIN"};
char const* const kMatrixOperations[] = {"NONE", "TRANSPOSE", "VECTOR"};
char const* const kPaddingModes[] = {"EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP", "SAME_UPPER", "SAME_LOWER"};
char const* const kResizeModes[] = {"NEAREST", "LINEAR", "CUBIC"};
char const* const kCoordinates[] = {"ALIGN_CORNERS", "ASYMMETRIC", "HALF_PIXEL"};
char const* const kRounding[] = {"HALF_UP", "HALF_DOWN", "FLOOR", "CEIL"};

template <size_t size>
char const* word_of(char const* const (&words)[size], int32_t value) {
    if (value < 0 || value >= static_cast<int32_t>(size)) fail("a value that TensorRT 8.6 does not know");
    return words[value];
}

Dims dims_of_permutation(Permutation const& permutation, int32_t rank) {
    Dims dims{rank, {}};
    for (int32_t i = 0; i < rank; ++i) dims.at[i] = permutation.order[i];
    return dims;
}

// A layer's own setters: each keeps what it is told under the name of TensorRT's parameter.
template <typename Base>
struct Specific : Base {
    Layer* layer;
    explicit Specific(Layer* of) : layer(of) {}
};

template <typename Base>
struct Window : Specific<Base> {
    using Specific<Base>::Specific;
    void setStride(Dims value) override { this->layer->set("stride", value); }
    void setPadding(Dims value) override {
        this->layer->set("pre_padding", value);
        this->layer->set("post_padding", value);
    }
    void setPrePadding(Dims value) override { this->layer->set("pre_padding", value); }
    void setPostPadding(Dims value) override { this->layer->set("post_padding", value); }
    void setPaddingMode(PaddingMode mode) override {
        this->layer->set_word("padding_mode", word_of(kPaddingModes, static_cast<int32_t>(mode)));
    }
};

struct Convolution final : Window<VConvolutionLayer> {
    using Window::Window;
    void setNbGroups(int32_t groups) override { layer->set("groups", groups); }
    void setDilation(Dims value) override { layer->set("dilation", value); }
};

struct Deconvolution final : Window<VDeconvolutionLayer> {
    using Window::Window;
    void setNbGroups(int32_t groups) override { layer->set("groups", groups); }
};

struct Pooling final : Window<VPoolingLayer> {
    using Window::Window;
    void setAverageCountExcludesPadding(bool exclusive) override { layer->set("average_excludes_padding", exclusive); }
};

struct Activation final : Specific<VActivationLayer> {
    using Specific::Specific;
    void setAlpha(float value) override { layer->set("alpha", value); }
    void setBeta(float value) override { layer->set("beta", value); }
};

struct SoftMax final : Specific<VSoftMaxLayer> {
    using Specific::Specific;
    void setAxes(uint32_t axes) override { layer->set("axes", axes); }
};

template <typename Base>
struct WithAxis final : Specific<Base> {
    using Specific<Base>::Specific;
    void setAxis(int32_t axis) override { this->layer->set("axis", axis); }
};

struct Gather final : Specific<VGatherLayer> {
    using Specific::Specific;
    void setNbElementWiseDims(int32_t count) override { layer->set("elementwise_dims", count); }
};

struct Shuffle final : Specific<VShuffleLayer> {
    using Specific::Specific;
    void setFirstTranspose(Permutation const& order) override {
        layer->set("first_transpose", dims_of_permutation(order, layer->inputs[0]->inferred().dims.count));
    }
    void setReshapeDimensions(Dims dims) override { layer->set("reshape", dims); }
    void setSecondTranspose(Permutation const& order) override {
        layer->set("second_transpose", dims_of_permutation(order, layer->outputs[0]->inferred().dims.count));
    }
    void setZeroIsPlaceholder(bool is) override { layer->set("zero_is_placeholder", is); }
};

struct Slice final : Specific<VSliceLayer> {
    using Specific::Specific;
    void setStart(Dims dims) override { layer->set("start", dims); }
    void setSize(Dims dims) override { layer->set("size", dims); }
    void setStride(Dims dims) override { layer->set("stride", dims); }
};

struct Constant final : Specific<VConstantLayer> {
    using Specific::Specific;
    Weights getWeights() override { return layer->weights[0].weights; }
    void setDimensions(Dims dims) override { layer->set("dims", dims); }
};

struct Resize final : Specific<VResizeLayer> {
    using Specific::Specific;
    void setOutputDimensions(Dims dims) override { layer->set("output_dims", dims); }
    void setScales(float const* scales, int32_t count) override {
        layer->set("scales", Dims{count, {}});
        for (int32_t i = 0; i < count; ++i) const_cast<Attribute*>(layer->find("scales"))->numbers[i] = scales[i];
    }
    void setResizeMode(int32_t mode) override { layer->set_word("mode", word_of(kResizeModes, mode)); }
    void setAlignCorners(bool align) override {
        if (align) layer->set_word("coordinates", "ALIGN_CORNERS");
    }
    void setCoordinateTransformation(int32_t to) override { layer->set_word("coordinates", word_of(kCoordinates, to)); }
    void setNearestRounding(int32_t to) override { layer->set_word("rounding", word_of(kRounding, to)); }
};

// Kinds that have no setters, or none that TF-TRT calls: the first slot that is called says so.
struct NoSetters : Table {
    SLOT(ILayer, a_setter_in_slot_2)
    SLOT(ILayer, a_setter_in_slot_3)
    SLOT(ILayer, a_setter_in_slot_4)
    SLOT(ILayer, a_setter_in_slot_5)
    SLOT(ILayer, a_setter_in_slot_6)
    SLOT(ILayer, a_setter_in_slot_7)
};

Table* specific_of(Layer* layer) {
    switch (layer->kind) {
        case LayerType::kCONVOLUTION: return new Convolution(layer);
        case LayerType::kDECONVOLUTION: return new Deconvolution(layer);
        case LayerType::kPOOLING: return new Pooling(layer);
        case LayerType::kACTIVATION: return new Activation(layer);
        case LayerType::kSOFTMAX: return new SoftMax(layer);
        case LayerType::kCONCATENATION: return new WithAxis<VConcatenationLayer>(layer);
        case LayerType::kQUANTIZE:
        case LayerType::kDEQUANTIZE: return new WithAxis<VQuantizeLayer>(layer);
        case LayerType::kGATHER: return new Gather(layer);
        case LayerType::kSHUFFLE: return new Shuffle(layer);
        case LayerType::kSLICE: return new Slice(layer);
        case LayerType::kCONSTANT: return new Constant(layer);
        case LayerType::kRESIZE: return new Resize(layer);
        default: return new NoSetters;
    }
}

}  // namespace

Tensor const& Tensor::inferred() {
    if (producer && !is_inferred) {
        infer(*producer);
        for (Tensor* output : producer->outputs) {
            output->is_inferred = true;
            if (output->has_given_type) output->type = output->given_type;
        }
    }
    return *this;
}

Attribute const* Layer::find(char const* attribute) const {
    for (int32_t i = 0; i < attribute_count; ++i)
        if (!strcmp(attributes[i].name, attribute)) return &attributes[i];
    return nullptr;
}

Attribute& Layer::slot(char const* attribute) {
    changed();
    if (Attribute const* found = find(attribute)) return const_cast<Attribute&>(*found);
    if (attribute_count == kMaxAttributes) fail("too many attributes of a layer: ", name);
    attributes[attribute_count].name = attribute;
    return attributes[attribute_count++];
}

void Layer::set(char const* attribute, Dims const& value) {
    if (value.count < 0 || value.count > kMaxDims) fail("a shape of no valid rank: ", name);
    Attribute& to = slot(attribute);
    to.count = value.count;
    for (int32_t i = 0; i < value.count; ++i) to.numbers[i] = value.at[i];
}

void Layer::set(char const* attribute, double value) {
    Attribute& to = slot(attribute);
    to.count = -1;  // a number and not a list of one
    to.numbers[0] = value;
}

void Layer::set_word(char const* attribute, char const* word) { slot(attribute).word = word; }

void Layer::hold(char const* role, Weights value) { weights[weights_count++] = {role, value}; }

void Layer::changed() {
    bool consumed = false;
    for (Tensor* output : outputs) output->is_inferred = false, consumed |= output->is_consumed;
    if (!consumed) return;
    for (Tensor* tensor : network->tensors) tensor->is_inferred = false;
}

void Layer::setInput(int32_t i, Shell& tensor) {
    if (i < 0 || i >= kMaxInputs) fail("an input beyond what a layer takes: ", name);
    while (inputs.count <= i) inputs.add(nullptr);
    inputs[i] = &tensor_of(tensor);
    inputs[i]->is_consumed = true;
    changed();
}

Tensor* Network::new_tensor(Layer* producer) {
    Tensor* tensor = new Tensor;
    tensor->producer = producer;
    tensor->network = this;
    tensor->index = tensors.count;
    tensors.add(tensor);
    return tensor;
}

Layer* Network::new_layer(LayerType kind, Tensor* const* with, int32_t count, int32_t output_count) {
    Layer* layer = new Layer(kind);
    layer->network = this;
    for (int32_t i = 0; i < count; ++i) {
        with[i]->is_consumed = true;
        layer->inputs.add(with[i]);
    }
    for (int32_t i = 0; i < output_count; ++i) layer->outputs.add(new_tensor(layer));
    layer->shell.specific = specific_of(layer);
    layers.add(layer);
    char text[64];
    snprintf(text, sizeof text, "(Unnamed Layer* %d)", layers.count - 1);
    layer->setName(text);
    for (int32_t i = 0; i < output_count; ++i) {
        snprintf(text, sizeof text, "(Unnamed Layer* %d)_output_%d", layers.count - 1, i);
        layer->outputs[i]->setName(text);
    }
    return layer;
}

namespace {

Layer* over(Network& network, LayerType kind, Shell& first) {
    Tensor* const with[] = {&tensor_of(first)};
    return network.new_layer(kind, with, 1);
}

Layer* over(Network& network, LayerType kind, Shell& first, Shell& second) {
    Tensor* const with[] = {&tensor_of(first), &tensor_of(second)};
    return network.new_layer(kind, with, 2);
}

void hold_filters(Layer* layer, int32_t maps, Weights filters, Weights bias) {
    layer->set("maps", maps);
    if (filters.count) layer->hold("kernel", filters);
    if (bias.count) layer->hold("bias", bias);
}

}  // namespace

Shell* Network::addInput(char const* input_name, DataType type, Dims dims) {
    Tensor* tensor = new_tensor(nullptr);
    tensor->setName(input_name);
    tensor->setType(type);
    tensor->dims = dims;
    tensor->is_input = true;
    inputs.add(tensor);
    return &tensor->shell;
}

void Network::markOutput(Shell& shell) {
    Tensor& tensor = tensor_of(shell);
    if (!tensor.is_output) outputs.add(&tensor);
    tensor.is_output = true;
}

Shell* Network::addConvolution(Shell& input, int32_t maps, Dims kernel, Weights filters, Weights bias) {
    Layer* layer = over(*this, LayerType::kCONVOLUTION, input);
    layer->set("kernel", kernel);
    hold_filters(layer, maps, filters, bias);
    return &layer->shell;
}

Shell* Network::addDeconvolution(Shell& input, int32_t maps, Dims kernel, Weights filters, Weights bias) {
    Layer* layer = over(*this, LayerType::kDECONVOLUTION, input);
    layer->set("kernel", kernel);
    hold_filters(layer, maps, filters, bias);
    return &layer->shell;
}

Shell* Network::addFullyConnected(Shell& input, int32_t maps, Weights filters, Weights bias) {
    Layer* layer = over(*this, LayerType::kFULLY_CONNECTED, input);
    hold_filters(layer, maps, filters, bias);
    return &layer->shell;
}

Shell* Network::addActivation(Shell& input, int32_t type) {
    Layer* layer = over(*this, LayerType::kACTIVATION, input);
    layer->set_word("type", word_of(kActivations, type));
    return &layer->shell;
}

Shell* Network::addPooling(Shell& input, int32_t type, Dims window) {
    Layer* layer = over(*this, LayerType::kPOOLING, input);
    layer->set_word("type", word_of(kPoolings, type));
    layer->set("window", window);
    return &layer->shell;
}

Shell* Network::addSoftMax(Shell& input) { return &over(*this, LayerType::kSOFTMAX, input)->shell; }

Shell* Network::addConcatenation(Shell* const* with, int32_t count) {
    if (count < 1 || count > kMaxInputs) fail("a concatenation of no or too many tensors");
    Tensor* tensors_with[kMaxInputs];
    for (int32_t i = 0; i < count; ++i) tensors_with[i] = &tensor_of(*with[i]);
    return &new_layer(LayerType::kCONCATENATION, tensors_with, count)->shell;
}

Shell* Network::addElementWise(Shell& first, Shell& second, int32_t operation) {
    Layer* layer = over(*this, LayerType::kELEMENTWISE, first, second);
    layer->set_word("operation", word_of(kElementWise, operation));
    return &layer->shell;
}

Shell* Network::addUnary(Shell& input, int32_t operation) {
    Layer* layer = over(*this, LayerType::kUNARY, input);
    layer->set_word("operation", word_of(kUnary, operation));
    return &layer->shell;
}

Shell* Network::addPadding(Shell& input, Dims before, Dims after) {
    Layer* layer = over(*this, LayerType::kPADDING, input);
    layer->set("pre_padding", before);
    layer->set("post_padding", after);
    return &layer->shell;
}

Shell* Network::addShuffle(Shell& input) { return &over(*this, LayerType::kSHUFFLE, input)->shell; }

Shell* Network::addReduce(Shell& input, int32_t operation, uint32_t axes, bool keep) {
    Layer* layer = over(*this, LayerType::kREDUCE, input);
    layer->set_word("operation", word_of(kReductions, operation));
    layer->set("axes", axes);
    layer->set("keep_dims", keep);
    return &layer->shell;
}

Shell* Network::addTopK(Shell& input, int32_t operation, int32_t k, uint32_t axes) {
    Tensor* const with[] = {&tensor_of(input)};
    Layer* layer = new_layer(LayerType::kTOPK, with, 1, 2);
    layer->set_word("operation", word_of(kExtremes, operation));
    layer->set("k", k);
    layer->set("axes", axes);
    return &layer->shell;
}

Shell* Network::addGather(Shell& data, Shell& indices, int32_t axis) {
    Layer* layer = over(*this, LayerType::kGATHER, data, indices);
    layer->set("axis", axis);
    return &layer->shell;
}

Shell* Network::addMatrixMultiply(Shell& first, int32_t first_op, Shell& second, int32_t second_op) {
    Layer* layer = over(*this, LayerType::kMATRIX_MULTIPLY, first, second);
    layer->set_word("first", word_of(kMatrixOperations, first_op));
    layer->set_word("second", word_of(kMatrixOperations, second_op));
    return &layer->shell;
}

Shell* Network::addConstant(Dims dims, Weights weights) {
    Layer* layer = new_layer(LayerType::kCONSTANT, nullptr, 0);
    layer->set("dims", dims);
    layer->hold("values", weights);
    return &layer->shell;
}

Shell* Network::addIdentity(Shell& input) { return &over(*this, LayerType::kIDENTITY, input)->shell; }

Shell* Network::addSlice(Shell& input, Dims start, Dims size, Dims stride) {
    Layer* layer = over(*this, LayerType::kSLICE, input);
    layer->set("start", start);
    layer->set("size", size);
    layer->set("stride", stride);
    return &layer->shell;
}

Shell* Network::addShape(Shell& input) { return &over(*this, LayerType::kSHAPE, input)->shell; }

Shell* Network::addResize(Shell& input) { return &over(*this, LayerType::kRESIZE, input)->shell; }

Shell* Network::addSelect(Shell& condition, Shell& then, Shell& otherwise) {
    Tensor* const with[] = {&tensor_of(condition), &tensor_of(then), &tensor_of(otherwise)};
    return &new_layer(LayerType::kSELECT, with, 3)->shell;
}

Shell* Network::addDequantize(Shell& input, Shell& scale) {
    return &over(*this, LayerType::kDEQUANTIZE, input, scale)->shell;
}

Shell* Network::addQuantize(Shell& input, Shell& scale) {
    return &over(*this, LayerType::kQUANTIZE, input, scale)->shell;
}

}  // namespace stand_in
