// Shapes of what moves a window over rows and columns, and of padding.
//
// Where the rules come from: the formulas of PaddingMode in TensorRT's NvInfer.h.

#include "network.h"

namespace stand_in {
namespace {

// How a window moves along an axis.
struct Window {
    int32_t stride, elements, reach, padding;
    bool is_same, rounds_up;
};

Window window_of(Layer const& layer, int32_t axis, char const* elements) {
    if (layer.is_word("padding_mode", "CAFFE_ROUND_DOWN") || layer.is_word("padding_mode", "CAFFE_ROUND_UP"))
        layer.refuse("one of Caffe's padding modes, whose shapes are not known here: ");
    int32_t const window = layer.element(elements, axis, 1), dilation = layer.element("dilation", axis, 1);
    int32_t const stride = layer.element("stride", axis, 1);
    int32_t const before = layer.element("pre_padding", axis, 0), after = layer.element("post_padding", axis, 0);
    if (window < 1 || dilation < 1 || stride < 1) layer.refuse("a window, stride or dilation below 1: ");
    if (before < 0 || after < 0) layer.refuse("a negative padding of a window: ");
    return {stride, window, dilation * (window - 1) + 1, before + after,
            layer.is_word("padding_mode", "SAME_UPPER") || layer.is_word("padding_mode", "SAME_LOWER"),
            layer.is_word("padding_mode", "EXPLICIT_ROUND_UP")};
}

// What a window leaves of one axis.
int32_t windowed(Layer const& layer, Window const& window, int32_t size) {
    if (size == kUnknown) return kUnknown;
    if (window.is_same) return (size + window.stride - 1) / window.stride;
    int32_t const room = size + window.padding - window.reach;
    if (room < 0) layer.refuse("a window that is larger than its padded input: ");
    return (room + (window.rounds_up ? window.stride - 1 : 0)) / window.stride + 1;
}

}  // namespace

void infer_window(Layer const& layer, Tensor const& in, Tensor& out, char const* elements) {
    if (in.dims.count != 4) layer.refuse("a window over a tensor that is not of rank 4: ");
    for (int32_t i = 0; i < 2; ++i) out.dims.at[2 + i] = windowed(layer, window_of(layer, i, elements), in.dims.at[2 + i]);
    if (Attribute const* maps = layer.find("maps")) out.dims.at[1] = maps->as_int();
}

void infer_deconvolution(Layer const& layer, Tensor const& in, Tensor& out) {
    if (in.dims.count != 4) layer.refuse("a deconvolution of a tensor that is not of rank 4: ");
    out.dims.at[1] = layer.number("maps", 0);
    for (int32_t i = 0; i < 2; ++i) {
        Window const window = window_of(layer, i, "kernel");
        int32_t const size = in.dims.at[2 + i];
        if (size == kUnknown) continue;
        int32_t const full = (size - 1) * window.stride + window.reach, strided = size * window.stride;
        int32_t const kept = !window.is_same ? full - window.padding : full < strided ? full : strided;
        if (kept < 1) layer.refuse("a deconvolution of which padding leaves nothing: ");
        out.dims.at[2 + i] = kept;
    }
}

void infer_padding(Layer const& layer, Tensor const& in, Tensor& out) {
    if (in.dims.count < 4) layer.refuse("a padding of a tensor of a rank below 4: ");
    for (int32_t i = 0; i < 2; ++i) {
        int32_t& size = out.dims.at[in.dims.count - 2 + i];
        if (size == kUnknown) continue;
        size += layer.element("pre_padding", i, 0) + layer.element("post_padding", i, 0);
        if (size < 0) layer.refuse("a padding that cuts off more than there is: ");
    }
}

}  // namespace stand_in
