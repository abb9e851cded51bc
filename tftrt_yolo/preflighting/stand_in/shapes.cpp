// Shape inference: TF-TRT asks for the shape of every tensor while it builds, and gives up where it is told nonsense.
//
// Where the rules come from: TensorRT's documentation of each layer. Shape tensors carry values, as TF-TRT computes
// shapes in the network (Shape, Gather, Concatenation, Slice) and hands them to Slice, Shuffle and Resize.
// Windows have a file of their own: windows.cpp.

#include <string.h>

#include "network.h"

namespace stand_in {
namespace {

int32_t within(Layer const& layer, int32_t axis, int32_t least, int32_t rank) {
    if (axis < least || axis >= rank) layer.refuse("an axis beyond the rank of its input: ");
    return axis;
}

Dims broadcast(Layer const& layer, Dims const& first, Dims const& second) {
    if (first.count != second.count) layer.refuse("operands of different rank: ");
    Dims dims{first.count, {}};
    for (int32_t i = 0; i < dims.count; ++i) {
        int32_t const a = first.at[i], b = second.at[i];
        if (a != b && a != 1 && b != 1 && a != kUnknown && b != kUnknown) layer.refuse("operands that do not broadcast: ");
        dims.at[i] = a == 1 ? b : b == 1 ? a : a == kUnknown ? b : a;
    }
    return dims;
}

Dims transposed(Layer const& layer, char const* attribute, Dims const& dims) {
    Attribute const* order = layer.find(attribute);
    Dims result = dims;
    if (order && order->count != dims.count) layer.refuse("a transpose of another rank than its input: ");
    uint32_t taken = 0;
    for (int32_t i = 0; order && i < dims.count; ++i) {
        int32_t const from = static_cast<int32_t>(order->numbers[i]);
        if (from < 0 || from >= dims.count || taken >> from & 1) layer.refuse("a transpose that is no permutation: ");
        taken |= 1u << from;
        result.at[i] = dims.at[from];
    }
    return result;
}

// The shape that a shape tensor or an attribute asks for: 0 copies, one -1 takes what is left. Bit i of `unknown` says
// that element i is not known.
Dims reshaped(Layer const& layer, Dims const& from, Dims to, uint32_t unknown, bool zero_copies) {
    int32_t wildcard = -1;
    int64_t asked = 1, left = 1;  // elements of what is known, without the axes that are copied
    uint32_t copied = 0;
    bool left_is_known = true, is_empty = false, may_be_empty = false;
    for (int32_t i = 0; i < to.count; ++i) {
        if (unknown >> i & 1) continue;
        if (to.at[i] < -1) layer.refuse("a reshape to a size below -1: ");
        if (to.at[i] == -1 && wildcard >= 0) layer.refuse("a reshape with more than one -1: ");
        if (to.at[i] == -1) wildcard = i;
        else if (to.at[i] > 0 || !zero_copies) asked *= to.at[i];
        else if (i >= from.count) layer.refuse("a reshape that copies a size beyond the rank of its input: ");
        else to.at[i] = from.at[i], copied |= 1u << i, may_be_empty |= from.at[i] <= 0;
        is_empty |= to.at[i] == 0;
    }
    for (int32_t i = 0; i < from.count; ++i) {
        if (copied >> i & 1) continue;
        if (from.at[i] == kUnknown) left_is_known = false;
        else left *= from.at[i];
    }
    bool const is_known = left_is_known && !unknown;
    if (wildcard >= 0) {
        if (is_empty) layer.refuse("a reshape whose -1 may be any size: ");
        if (is_known && left % asked) layer.refuse("a reshape to another number of elements: ");
        to.at[wildcard] = is_known ? static_cast<int32_t>(left / asked) : kUnknown;
    } else if (is_known && left != asked && !may_be_empty) {
        layer.refuse("a reshape to another number of elements: ");
    }
    return to;
}

// Dimensions out of a shape tensor. What is not known is kUnknown, which the value -1 is not: bit i of `unknown` says so
// of element i.
Dims dims_of(Tensor const& shape, uint32_t* unknown) {
    bool const has_values = shape.value_count >= 0;
    Dims dims{has_values ? shape.value_count : shape.dims.count ? shape.dims.at[0] : 0, {}};
    if (dims.count < 0 || dims.count > kMaxDims) fail("a shape tensor with no known or too many elements: ", shape.name);
    *unknown = 0;
    for (int32_t i = 0; i < dims.count; ++i) {
        bool const known = has_values && shape.values[i] != kUnknownValue;
        *unknown |= known ? 0 : 1u << i;
        dims.at[i] = known ? static_cast<int32_t>(shape.values[i]) : kUnknown;
    }
    return dims;
}

// Dimensions that a shape tensor gives as they are.
Dims sizes_of(Layer const& layer, Tensor const& shape, uint32_t* unknown) {
    Dims const sizes = dims_of(shape, unknown);
    for (int32_t i = 0; i < sizes.count; ++i)
        if (sizes.at[i] < 0 && !(*unknown >> i & 1)) layer.refuse("a shape with a negative size: ");
    return sizes;
}

void infer_shuffle(Layer const& layer, Tensor const& in, Tensor& out) {
    Dims dims = transposed(layer, "first_transpose", in.dims);
    if (layer.inputs.count > 1 && layer.inputs[1]) {
        uint32_t unknown;
        Dims const to = dims_of(layer.inputs[1]->inferred(), &unknown);
        dims = reshaped(layer, dims, to, unknown, layer.number("zero_is_placeholder", 1));
    } else if (Attribute const* reshape = layer.find("reshape")) {
        Dims to{reshape->count, {}};
        for (int32_t i = 0; i < to.count; ++i) to.at[i] = static_cast<int32_t>(reshape->numbers[i]);
        dims = reshaped(layer, dims, to, 0, layer.number("zero_is_placeholder", 1));
    }
    out.dims = transposed(layer, "second_transpose", dims);
    out.value_count = in.value_count;  // rank 0 and 1: the order of the elements stays
}

int64_t operated(Layer const& layer, int64_t a, int64_t b) {
    if (a == kUnknownValue || b == kUnknownValue) return kUnknownValue;
    if (layer.is_word("operation", "SUM")) return a + b;
    if (layer.is_word("operation", "PROD")) return a * b;
    if (layer.is_word("operation", "MAX")) return a > b ? a : b;
    if (layer.is_word("operation", "MIN")) return a < b ? a : b;
    if (layer.is_word("operation", "SUB")) return a - b;
    if (b && (layer.is_word("operation", "DIV") || layer.is_word("operation", "FLOOR_DIV"))) {
        bool const down = layer.is_word("operation", "FLOOR_DIV") && a % b && (a < 0) != (b < 0);
        return a / b - down;
    }
    return kUnknownValue;
}

void infer_elementwise(Layer const& layer, Tensor const& first, Tensor& out) {
    Tensor const& second = layer.inputs[1]->inferred();
    out.dims = broadcast(layer, first.dims, second.dims);
    char const* const questions[] = {"EQUAL", "GREATER", "LESS", "AND", "OR", "XOR"};
    for (char const* word : questions)
        if (layer.is_word("operation", word)) out.type = DataType::kBOOL;
    if (first.value_count < 0 || second.value_count < 0) return;
    out.value_count = first.value_count > second.value_count ? first.value_count : second.value_count;
    for (int32_t i = 0; i < out.value_count; ++i) {
        int64_t const a = first.values[first.value_count == 1 ? 0 : i], b = second.values[second.value_count == 1 ? 0 : i];
        out.values[i] = operated(layer, a, b);
        if (out.values[i] != static_cast<int32_t>(out.values[i])) out.values[i] = kUnknownValue;
    }
}

void infer_concatenation(Layer const& layer, Tensor const& first, Tensor& out) {
    int32_t const rank = first.dims.count, axis = within(layer, layer.number("axis", rank >= 4 ? rank - 3 : 0), 0, rank);
    out.value_count = rank == 1 ? 0 : -1;
    int32_t total = 0;
    for (Tensor* input : layer.inputs) {
        Tensor const& part = input->inferred();
        if (part.dims.count != rank) layer.refuse("a concatenation of different ranks: ");
        for (int32_t i = 0; i < rank; ++i) {
            if (i == axis) continue;
            if (out.dims.at[i] == kUnknown) out.dims.at[i] = part.dims.at[i];
            else if (part.dims.at[i] != kUnknown && part.dims.at[i] != out.dims.at[i])
                layer.refuse("a concatenation of different shapes: ");
        }
        total = total == kUnknown || part.dims.at[axis] == kUnknown ? kUnknown : total + part.dims.at[axis];
        if (out.value_count < 0) continue;
        if (part.value_count < 0 || out.value_count + part.value_count > kMaxValues) {
            out.value_count = -1;
            continue;
        }
        for (int32_t i = 0; i < part.value_count; ++i) out.values[out.value_count++] = part.values[i];
    }
    out.dims.at[axis] = total;
}

void infer_slice(Layer const& layer, Tensor const& in, Tensor& out) {
    uint32_t unknown_start = 0, unknown_size = 0, unknown_stride = 0;
    Dims size{in.dims.count, {}}, start = size, stride = size;
    for (int32_t i = 0; i < size.count; ++i) {
        size.at[i] = layer.element("size", i, 0);
        start.at[i] = layer.element("start", i, 0);
        stride.at[i] = layer.element("stride", i, 1);
    }
    auto given = [&](int32_t i) { return i < layer.inputs.count && layer.inputs[i]; };
    if (given(1)) start = dims_of(layer.inputs[1]->inferred(), &unknown_start);
    if (given(2)) size = sizes_of(layer, layer.inputs[2]->inferred(), &unknown_size);
    if (given(3)) stride = dims_of(layer.inputs[3]->inferred(), &unknown_stride);
    int32_t const rank = in.dims.count;
    if (size.count != rank || start.count != rank || stride.count != rank)
        layer.refuse("a slice whose start, size and stride are not of its input's rank: ");
    out.dims = size;
    out.value_count = -1;
    if (in.value_count < 0 || rank != 1 || unknown_size || unknown_start || unknown_stride) return;
    if (size.at[0] < 0 || size.at[0] > kMaxValues) layer.refuse("a slice to more than its input has: ");
    out.value_count = size.at[0];
    for (int32_t i = 0; i < size.at[0]; ++i) {
        int32_t const from = start.at[0] + i * stride.at[0];
        if (from < 0 || from >= in.value_count) layer.refuse("a slice beyond its input: ");
        out.values[i] = in.values[from];
    }
}

void infer_gather(Layer const& layer, Tensor const& data, Tensor& out) {
    Tensor const& indices = layer.inputs[1]->inferred();
    int32_t const paired = layer.number("elementwise_dims", 0);
    int32_t const axis = within(layer, layer.number("axis", 0), paired, data.dims.count);
    if (paired < 0 || paired > indices.dims.count) layer.refuse("a gather that pairs more axes than there are: ");
    out.dims.count = 0;
    auto add = [&](int32_t size) {
        if (out.dims.count == kMaxDims) layer.refuse("a gather of too high a rank: ");
        out.dims.at[out.dims.count++] = size;
    };
    for (int32_t i = 0; i < axis; ++i) add(data.dims.at[i]);
    for (int32_t i = paired; i < indices.dims.count; ++i) add(indices.dims.at[i]);
    for (int32_t i = axis + 1; i < data.dims.count; ++i) add(data.dims.at[i]);
    out.value_count = -1;
    if (data.value_count < 0 || indices.value_count < 0 || data.dims.count != 1) return;
    out.value_count = indices.value_count;
    for (int32_t i = 0; i < indices.value_count; ++i) {
        int64_t const at = indices.values[i];
        out.values[i] = at >= 0 && at < data.value_count ? data.values[at] : kUnknownValue;
    }
}

void infer_shape(Tensor const& in, Tensor& out) {
    out.type = DataType::kINT32;
    out.dims = Dims{1, {in.dims.count}};
    out.value_count = in.dims.count;
    for (int32_t i = 0; i < in.dims.count; ++i)
        out.values[i] = in.dims.at[i] == kUnknown ? kUnknownValue : in.dims.at[i];
}

void infer_constant(Layer const& layer, Tensor& out) {
    Weights const& weights = layer.weights[0].weights;
    out.type = weights.type;
    out.dims = Dims{};
    Attribute const* dims = layer.find("dims");
    out.dims.count = dims->count;
    for (int32_t i = 0; i < dims->count; ++i) out.dims.at[i] = static_cast<int32_t>(dims->numbers[i]);
    out.value_count = -1;
    if (weights.type != DataType::kINT32 || weights.count > kMaxValues || dims->count > 1) return;
    out.value_count = static_cast<int32_t>(weights.count);
    for (int32_t i = 0; i < out.value_count; ++i) out.values[i] = static_cast<int32_t const*>(weights.values)[i];
}

void infer_resize(Layer const& layer, Tensor const& in, Tensor& out) {
    if (layer.inputs.count > 1 && layer.inputs[1]) {
        uint32_t unknown;
        out.dims = sizes_of(layer, layer.inputs[1]->inferred(), &unknown);
        if (out.dims.count != in.dims.count) layer.refuse("a resize to another rank: ");
    } else if (Attribute const* dims = layer.find("output_dims")) {
        if (dims->count != in.dims.count) layer.refuse("a resize to another rank: ");
        for (int32_t i = 0; i < dims->count; ++i) out.dims.at[i] = static_cast<int32_t>(dims->numbers[i]);
    } else if (Attribute const* scales = layer.find("scales")) {
        if (scales->count != in.dims.count) layer.refuse("a resize to another rank: ");
        for (int32_t i = 0; i < scales->count; ++i)
            if (in.dims.at[i] != kUnknown) out.dims.at[i] = static_cast<int32_t>(in.dims.at[i] * scales->numbers[i]);
    }
}

void infer_reduce(Layer const& layer, Tensor const& in, Tensor& out) {
    uint32_t const axes = static_cast<uint32_t>(layer.find("axes")->numbers[0]);
    bool const keep = layer.number("keep_dims", 0);
    if (axes >> in.dims.count) layer.refuse("an axis beyond the rank of its input: ");
    out.dims.count = 0;
    for (int32_t i = 0; i < in.dims.count; ++i) {
        bool const reduced = axes >> i & 1;
        if (!reduced || keep) out.dims.at[out.dims.count++] = reduced ? 1 : in.dims.at[i];
    }
    out.value_count = -1;
}

void infer_matrix_multiply(Layer const& layer, Tensor const& first, Tensor& out) {
    Tensor const& second = layer.inputs[1]->inferred();
    int32_t const rank = first.dims.count;
    if (rank != second.dims.count || rank < 2) layer.refuse("a matrix product of ranks that do not fit: ");
    bool const turn_first = layer.is_word("first", "TRANSPOSE"), turn_second = layer.is_word("second", "TRANSPOSE");
    if (layer.is_word("first", "VECTOR") || layer.is_word("second", "VECTOR"))
        layer.refuse("a matrix product with a vector, which is not known here: ");
    int32_t const inner = first.dims.at[rank - (turn_first ? 2 : 1)], other = second.dims.at[rank - (turn_second ? 1 : 2)];
    if (inner != other && inner != kUnknown && other != kUnknown) layer.refuse("a matrix product that does not fit: ");
    Dims left = first.dims, right = second.dims;
    left.count = right.count = rank - 2;
    out.dims = broadcast(layer, left, right);
    out.dims.count = rank;
    out.dims.at[rank - 2] = first.dims.at[rank - (turn_first ? 1 : 2)];
    out.dims.at[rank - 1] = second.dims.at[rank - (turn_second ? 2 : 1)];
}

void infer_top_k(Layer const& layer, Tensor const& in) {
    uint32_t const axes = static_cast<uint32_t>(layer.find("axes")->numbers[0]);
    int32_t axis = 0;
    while (axis < in.dims.count && axes != 1u << axis) ++axis;
    if (axis == in.dims.count) layer.refuse("the largest along no single axis of its input: ");
    int32_t const k = layer.number("k", 1), size = in.dims.at[axis];
    if (k < 1 || (size != kUnknown && k > size)) layer.refuse("more of the largest than there are: ");
    for (Tensor* out : layer.outputs) {
        out->dims = in.dims;
        out->dims.at[axis] = k;
    }
    layer.outputs[1]->type = DataType::kINT32;
}

void infer_fully_connected(Layer const& layer, Tensor const& in, Tensor& out) {
    if (in.dims.count < 3) layer.refuse("a fully connected layer over a tensor of a rank below 3: ");
    out.dims.at[in.dims.count - 3] = layer.number("maps", 0);
    out.dims.at[in.dims.count - 2] = out.dims.at[in.dims.count - 1] = 1;
}

}  // namespace

void infer(Layer const& layer) {
    for (Tensor* input : layer.inputs)
        if (input) input->inferred();
    Tensor& out = *layer.outputs[0];
    out.value_count = -1;
    if (layer.kind == LayerType::kCONSTANT) return infer_constant(layer, out);
    Tensor const& in = *layer.inputs[0];
    out.dims = in.dims;
    out.type = in.type;
    switch (layer.kind) {
        case LayerType::kCONVOLUTION: infer_window(layer, in, out, "kernel"); break;
        case LayerType::kPOOLING: infer_window(layer, in, out, "window"); break;
        case LayerType::kDECONVOLUTION: infer_deconvolution(layer, in, out); break;
        case LayerType::kFULLY_CONNECTED: infer_fully_connected(layer, in, out); break;
        case LayerType::kPADDING: infer_padding(layer, in, out); break;
        case LayerType::kSHUFFLE:
            memcpy(out.values, in.values, sizeof in.values);
            infer_shuffle(layer, in, out);
            break;
        case LayerType::kELEMENTWISE: infer_elementwise(layer, in, out); break;
        case LayerType::kCONCATENATION: infer_concatenation(layer, in, out); break;
        case LayerType::kSLICE: infer_slice(layer, in, out); break;
        case LayerType::kGATHER: infer_gather(layer, in, out); break;
        case LayerType::kSHAPE: infer_shape(in, out); break;
        case LayerType::kRESIZE: infer_resize(layer, in, out); break;
        case LayerType::kREDUCE: infer_reduce(layer, in, out); break;
        case LayerType::kMATRIX_MULTIPLY: infer_matrix_multiply(layer, in, out); break;
        case LayerType::kTOPK: infer_top_k(layer, in); break;
        case LayerType::kSELECT:
            out.type = layer.inputs[1]->type;
            out.dims = broadcast(layer, broadcast(layer, in.dims, layer.inputs[1]->dims), layer.inputs[2]->dims);
            break;
        case LayerType::kQUANTIZE: out.type = DataType::kINT8; break;
        case LayerType::kDEQUANTIZE: out.type = DataType::kFLOAT; break;
        case LayerType::kIDENTITY:
            memcpy(out.values, in.values, sizeof in.values);
            out.value_count = in.value_count;
            break;
        case LayerType::kACTIVATION:
        case LayerType::kUNARY:
        case LayerType::kSOFTMAX: break;
        default: layer.refuse("a layer whose shape is not known here: ");
    }
}

}  // namespace stand_in
