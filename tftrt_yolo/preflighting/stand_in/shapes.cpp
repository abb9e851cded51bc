// Shape inference: TF-TRT asks for the shape of every tensor while it builds, and gives up where it is told nonsense.
//
// Where the rules come from: TensorRT's documentation of each layer. Shape tensors carry values, as TF-TRT computes
// shapes in the network (Shape, Gather, Concatenation, Slice) and hands them to Slice, Shuffle and Resize.

#include <string.h>

#include "network.h"

namespace stand_in {
namespace {

[[noreturn]] void refuse(Layer const& layer, char const* why) { fail(why, layer.name); }

int32_t positive_axis(int32_t axis, int32_t rank) { return axis < 0 ? axis + rank : axis; }

bool is_word(Layer const& layer, char const* attribute, char const* word) {
    Attribute const* found = layer.find(attribute);
    return found && found->word && !strcmp(found->word, word);
}

int32_t number(Layer const& layer, char const* attribute, int32_t otherwise) {
    Attribute const* found = layer.find(attribute);
    return found ? found->as_int() : otherwise;
}

int32_t element(Layer const& layer, char const* attribute, int32_t i, int32_t otherwise) {
    Attribute const* found = layer.find(attribute);
    return found && i < found->count ? static_cast<int32_t>(found->numbers[i]) : otherwise;
}

Dims broadcast(Layer const& layer, Dims const& first, Dims const& second) {
    if (first.count != second.count) refuse(layer, "operands of different rank: ");
    Dims dims{first.count, {}};
    for (int32_t i = 0; i < dims.count; ++i) {
        int32_t const a = first.at[i], b = second.at[i];
        if (a != b && a != 1 && b != 1 && a != kUnknown && b != kUnknown) refuse(layer, "operands that do not broadcast: ");
        dims.at[i] = a == 1 ? b : b == 1 ? a : a == kUnknown ? b : a;
    }
    return dims;
}

// One side of what a window leaves of an axis.
int32_t windowed(Layer const& layer, int32_t axis, int32_t size, int32_t window, int32_t dilation) {
    if (size == kUnknown) return kUnknown;
    int32_t const stride = element(layer, "stride", axis, 1), reach = dilation * (window - 1) + 1;
    if (is_word(layer, "padding_mode", "SAME_UPPER") || is_word(layer, "padding_mode", "SAME_LOWER"))
        return (size + stride - 1) / stride;
    int32_t const padded = size + element(layer, "pre_padding", axis, 0) + element(layer, "post_padding", axis, 0);
    int32_t const steps = padded - reach + (is_word(layer, "padding_mode", "EXPLICIT_ROUND_UP") ? stride - 1 : 0);
    return steps / stride + 1;
}

void infer_window(Layer const& layer, Tensor const& in, Tensor& out, char const* window) {
    if (in.dims.count != 4) refuse(layer, "a window over a tensor that is not of rank 4: ");
    for (int32_t i = 0; i < 2; ++i) {
        out.dims.at[2 + i] =
            windowed(layer, i, in.dims.at[2 + i], element(layer, window, i, 1), element(layer, "dilation", i, 1));
    }
    if (Attribute const* maps = layer.find("maps")) out.dims.at[1] = maps->as_int();
}

void infer_deconvolution(Layer const& layer, Tensor const& in, Tensor& out) {
    if (in.dims.count != 4) refuse(layer, "a deconvolution of a tensor that is not of rank 4: ");
    out.dims.at[1] = number(layer, "maps", 0);
    for (int32_t i = 0; i < 2; ++i) {
        int32_t const size = in.dims.at[2 + i], stride = element(layer, "stride", i, 1);
        int32_t const kernel = element(layer, "kernel", i, 1);
        int32_t const cut = element(layer, "pre_padding", i, 0) + element(layer, "post_padding", i, 0);
        bool const same = is_word(layer, "padding_mode", "SAME_UPPER") || is_word(layer, "padding_mode", "SAME_LOWER");
        out.dims.at[2 + i] = size == kUnknown ? kUnknown : same ? size * stride : (size - 1) * stride + kernel - cut;
    }
}

Dims transposed(Layer const& layer, char const* attribute, Dims const& dims) {
    Attribute const* order = layer.find(attribute);
    Dims result = dims;
    for (int32_t i = 0; order && i < dims.count; ++i) {
        int32_t const from = static_cast<int32_t>(order->numbers[i]);
        if (from < 0 || from >= dims.count) refuse(layer, "a transpose beyond the rank of its input: ");
        result.at[i] = dims.at[from];
    }
    return result;
}

// The shape that a shape tensor or an attribute asks for: 0 copies, one -1 takes what is left.
Dims reshaped(Layer const& layer, Dims const& from, Dims to, bool zero_copies) {
    int64_t volume = 1, known = 1;
    int32_t wildcard = -1;
    bool from_known = true, to_known = true;
    for (int32_t i = 0; i < from.count; ++i) {
        from_known &= from.at[i] != kUnknown;
        volume *= from.at[i];
    }
    for (int32_t i = 0; i < to.count; ++i) {
        if (to.at[i] == 0 && zero_copies && i < from.count) to.at[i] = from.at[i], to_known &= to.at[i] != kUnknown;
        else if (to.at[i] == -1) wildcard = i;
        if (to.at[i] > 0) known *= to.at[i];
    }
    if (wildcard >= 0) to.at[wildcard] = from_known && to_known && known ? static_cast<int32_t>(volume / known) : kUnknown;
    if (from_known && to_known && known != 0) {
        int64_t total = 1;
        for (int32_t i = 0; i < to.count; ++i) total *= to.at[i];
        if (total != volume) refuse(layer, "a reshape to another number of elements: ");
    }
    return to;
}

// Dimensions out of a shape tensor; what is not known is kUnknown, which the value -1 is not.
Dims dims_of(Tensor const& shape, bool* all_known) {
    Dims dims{shape.value_count < 0 ? 0 : shape.value_count, {}};
    if (dims.count > kMaxDims) fail("a shape tensor with too many elements: ", shape.name);
    *all_known = shape.value_count >= 0;
    for (int32_t i = 0; i < dims.count; ++i) {
        bool const known = shape.values[i] != kUnknownValue;
        *all_known &= known;
        dims.at[i] = known ? static_cast<int32_t>(shape.values[i]) : kUnknown;
    }
    return dims;
}

void infer_shuffle(Layer const& layer, Tensor const& in, Tensor& out) {
    Dims dims = transposed(layer, "first_transpose", in.dims);
    if (layer.inputs.count > 1 && layer.inputs[1]) {
        Tensor const& shape = layer.inputs[1]->inferred();
        bool known;
        Dims to = dims_of(shape, &known);
        if (shape.value_count < 0) {  // all that is known is the rank
            to.count = shape.dims.count ? shape.dims.at[0] : 0;
            if (to.count < 0 || to.count > kMaxDims) refuse(layer, "a reshape to an unknown rank: ");
            for (int32_t i = 0; i < to.count; ++i) to.at[i] = kUnknown;
        }
        dims = known ? reshaped(layer, dims, to, number(layer, "zero_is_placeholder", 1)) : to;
    } else if (Attribute const* reshape = layer.find("reshape")) {
        Dims to{reshape->count, {}};
        for (int32_t i = 0; i < to.count; ++i) to.at[i] = static_cast<int32_t>(reshape->numbers[i]);
        dims = reshaped(layer, dims, to, number(layer, "zero_is_placeholder", 1));
    }
    out.dims = transposed(layer, "second_transpose", dims);
    out.value_count = in.value_count;  // rank 0 and 1: the order of the elements stays
}

int64_t operated(Layer const& layer, int64_t a, int64_t b) {
    if (a == kUnknownValue || b == kUnknownValue) return kUnknownValue;
    if (is_word(layer, "operation", "SUM")) return a + b;
    if (is_word(layer, "operation", "PROD")) return a * b;
    if (is_word(layer, "operation", "MAX")) return a > b ? a : b;
    if (is_word(layer, "operation", "MIN")) return a < b ? a : b;
    if (is_word(layer, "operation", "SUB")) return a - b;
    if (b && (is_word(layer, "operation", "DIV") || is_word(layer, "operation", "FLOOR_DIV"))) {
        bool const down = is_word(layer, "operation", "FLOOR_DIV") && a % b && (a < 0) != (b < 0);
        return a / b - down;
    }
    return kUnknownValue;
}

void infer_elementwise(Layer const& layer, Tensor const& first, Tensor& out) {
    Tensor const& second = layer.inputs[1]->inferred();
    out.dims = broadcast(layer, first.dims, second.dims);
    char const* const questions[] = {"EQUAL", "GREATER", "LESS", "AND", "OR", "XOR"};
    for (char const* word : questions)
        if (is_word(layer, "operation", word)) out.type = DataType::kBOOL;
    if (first.value_count < 0 || second.value_count < 0) return;
    out.value_count = first.value_count > second.value_count ? first.value_count : second.value_count;
    for (int32_t i = 0; i < out.value_count; ++i) {
        int64_t const a = first.values[first.value_count == 1 ? 0 : i], b = second.values[second.value_count == 1 ? 0 : i];
        out.values[i] = operated(layer, a, b);
    }
}

void infer_concatenation(Layer const& layer, Tensor const& first, Tensor& out) {
    int32_t const rank = first.dims.count, axis = positive_axis(number(layer, "axis", rank >= 4 ? rank - 3 : 0), rank);
    out.value_count = rank == 1 ? 0 : -1;
    int32_t total = 0;
    for (Tensor* input : layer.inputs) {
        Tensor const& part = input->inferred();
        if (part.dims.count != rank) refuse(layer, "a concatenation of different ranks: ");
        for (int32_t i = 0; i < rank; ++i) {
            if (i == axis) continue;
            if (out.dims.at[i] == kUnknown) out.dims.at[i] = part.dims.at[i];
            else if (part.dims.at[i] != kUnknown && part.dims.at[i] != out.dims.at[i])
                refuse(layer, "a concatenation of different shapes: ");
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
    bool known = true, start_known = true, stride_known = true;
    Dims size{in.dims.count, {}}, start = size, stride = size;
    for (int32_t i = 0; i < size.count; ++i) {
        size.at[i] = element(layer, "size", i, 0);
        start.at[i] = element(layer, "start", i, 0);
        stride.at[i] = element(layer, "stride", i, 1);
    }
    auto given = [&](int32_t i) { return i < layer.inputs.count && layer.inputs[i]; };
    if (given(1)) start = dims_of(layer.inputs[1]->inferred(), &start_known);
    if (given(2)) size = dims_of(layer.inputs[2]->inferred(), &known);
    if (given(3)) stride = dims_of(layer.inputs[3]->inferred(), &stride_known);
    if (size.count == in.dims.count) out.dims = size;
    else for (int32_t i = 0; i < in.dims.count; ++i) out.dims.at[i] = kUnknown;
    if (in.value_count < 0 || in.dims.count != 1 || !known || !start_known || !stride_known) {
        out.value_count = -1;
        return;
    }
    out.value_count = size.at[0];
    for (int32_t i = 0; i < size.at[0]; ++i) {
        int32_t const from = start.at[0] + i * stride.at[0];
        if (from < 0 || from >= in.value_count) refuse(layer, "a slice beyond its input: ");
        out.values[i] = in.values[from];
    }
}

void infer_gather(Layer const& layer, Tensor const& data, Tensor& out) {
    Tensor const& indices = layer.inputs[1]->inferred();
    int32_t const axis = positive_axis(number(layer, "axis", 0), data.dims.count);
    int32_t const paired = number(layer, "elementwise_dims", 0);
    out.dims.count = 0;
    auto add = [&](int32_t size) {
        if (out.dims.count == kMaxDims) refuse(layer, "a gather of too high a rank: ");
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
        bool known;
        out.dims = dims_of(layer.inputs[1]->inferred(), &known);
        if (out.dims.count != in.dims.count) refuse(layer, "a resize to another rank: ");
    } else if (Attribute const* dims = layer.find("output_dims")) {
        for (int32_t i = 0; i < dims->count; ++i) out.dims.at[i] = static_cast<int32_t>(dims->numbers[i]);
    } else if (Attribute const* scales = layer.find("scales")) {
        for (int32_t i = 0; i < scales->count; ++i)
            if (in.dims.at[i] != kUnknown) out.dims.at[i] = static_cast<int32_t>(in.dims.at[i] * scales->numbers[i]);
    }
}

void infer_reduce(Layer const& layer, Tensor const& in, Tensor& out) {
    uint32_t const axes = static_cast<uint32_t>(layer.find("axes")->numbers[0]);
    bool const keep = number(layer, "keep_dims", 0);
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
    if (rank != second.dims.count || rank < 2) refuse(layer, "a matrix product of ranks that do not fit: ");
    bool const turn_first = is_word(layer, "first", "TRANSPOSE"), turn_second = is_word(layer, "second", "TRANSPOSE");
    if (is_word(layer, "first", "VECTOR") || is_word(layer, "second", "VECTOR"))
        refuse(layer, "a matrix product with a vector, which is not known here: ");
    int32_t const inner = first.dims.at[rank - (turn_first ? 2 : 1)], other = second.dims.at[rank - (turn_second ? 1 : 2)];
    if (inner != other && inner != kUnknown && other != kUnknown) refuse(layer, "a matrix product that does not fit: ");
    Dims left = first.dims, right = second.dims;
    left.count = right.count = rank - 2;
    out.dims = broadcast(layer, left, right);
    out.dims.count = rank;
    out.dims.at[rank - 2] = first.dims.at[rank - (turn_first ? 1 : 2)];
    out.dims.at[rank - 1] = second.dims.at[rank - (turn_second ? 2 : 1)];
}

void infer_top_k(Layer const& layer, Tensor const& in) {
    uint32_t const axes = static_cast<uint32_t>(layer.find("axes")->numbers[0]);
    for (Tensor* out : layer.outputs) {
        out->dims = in.dims;
        for (int32_t i = 0; i < in.dims.count; ++i)
            if (axes >> i & 1) out->dims.at[i] = number(layer, "k", 1);
    }
    layer.outputs[1]->type = DataType::kINT32;
}

void infer_fully_connected(Layer const& layer, Tensor const& in, Tensor& out) {
    if (in.dims.count < 3) refuse(layer, "a fully connected layer over a tensor of a rank below 3: ");
    out.dims.at[in.dims.count - 3] = number(layer, "maps", 0);
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
        case LayerType::kPADDING:
            for (int32_t i = 0; i < 2; ++i) {
                int32_t& size = out.dims.at[in.dims.count - 2 + i];
                if (size != kUnknown) size += element(layer, "pre_padding", i, 0) + element(layer, "post_padding", i, 0);
            }
            break;
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
        default: refuse(layer, "a layer whose shape is not known here: ");
    }
    if (layer.has_output_type) out.type = layer.output_type;
}

}  // namespace stand_in
