// What TF-TRT adds to the network: one layer a call.

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

}  // namespace

Tensor const& Tensor::inferred() {
    if (producer && !is_inferred) {
        infer(*producer);
        for (Tensor* output : producer->outputs) {
            output->is_inferred = true;
            if (output->has_layer_type) output->type = output->layer_type;
            if (output->has_given_type && output->is_output) output->type = output->given_type;
            if (output->type != DataType::kINT32) output->value_count = -1;  // what a cast leaves is not computed here
        }
    }
    return *this;
}

void Tensor::setType(DataType to) {
    given_type = to, has_given_type = true;
    if (producer) producer->changed();
    else type = to;
}

Attribute const* Layer::find(char const* attribute) const {
    for (int32_t i = 0; i < attribute_count; ++i)
        if (!strcmp(attributes[i].name, attribute)) return &attributes[i];
    return nullptr;
}

bool Layer::is_word(char const* attribute, char const* word) const {
    Attribute const* found = find(attribute);
    return found && found->word && !strcmp(found->word, word);
}

int32_t Layer::number(char const* attribute, int32_t otherwise) const {
    Attribute const* found = find(attribute);
    return found ? found->as_int() : otherwise;
}

int32_t Layer::element(char const* attribute, int32_t i, int32_t otherwise) const {
    Attribute const* found = find(attribute);
    return found && i < found->count ? static_cast<int32_t>(found->numbers[i]) : otherwise;
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
    if (!__builtin_isfinite(value)) fail("a parameter that is not a finite number: ", name);  // JSON has no such number
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
    if (tensor.producer) tensor.producer->changed();  // a type that it was given counts from now on
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
