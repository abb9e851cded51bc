// The setters of each kind of layer: TF-TRT adds a layer, then tells it the rest.

#include "network.h"
#include "nvinfer_layers.h"

namespace stand_in {
namespace {

char const* const kPaddingModes[] = {"EXPLICIT_ROUND_DOWN", "EXPLICIT_ROUND_UP", "SAME_UPPER", "SAME_LOWER",
                                     "CAFFE_ROUND_DOWN", "CAFFE_ROUND_UP"};
char const* const kResizeModes[] = {"NEAREST", "LINEAR", "CUBIC"};
char const* const kCoordinates[] = {"ALIGN_CORNERS", "ASYMMETRIC", "HALF_PIXEL"};
char const* const kRounding[] = {"HALF_UP", "HALF_DOWN", "FLOOR", "CEIL"};

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
    void setPaddingMode(int32_t mode) override {
        this->layer->set_word("padding_mode", word_of(kPaddingModes, mode));
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
        for (int32_t i = 0; i < count; ++i) {
            if (!(scales[i] > 0) || !__builtin_isfinite(scales[i])) fail("a resize by no positive number: ", layer->name);
            const_cast<Attribute*>(layer->find("scales"))->numbers[i] = scales[i];
        }
    }
    void setResizeMode(int32_t mode) override { layer->set_word("mode", word_of(kResizeModes, mode)); }
    void setAlignCorners(bool align) override {
        if (align) layer->set_word("coordinates", "ALIGN_CORNERS");
    }
    void setCoordinateTransformation(int32_t to) override { layer->set_word("coordinates", word_of(kCoordinates, to)); }
    void setNearestRounding(int32_t to) override { layer->set_word("rounding", word_of(kRounding, to)); }
};

}  // namespace

Table* specific_of(Layer* layer) {
    switch (layer->kind) {
        case LayerType::kCONVOLUTION: return new Convolution(layer);
        case LayerType::kDECONVOLUTION: return new Deconvolution(layer);
        case LayerType::kPOOLING: return new Pooling(layer);
        case LayerType::kACTIVATION: return new Activation(layer);
        case LayerType::kSOFTMAX: return new SoftMax(layer);
        case LayerType::kCONCATENATION: return new WithAxis<VConcatenationLayer>(layer);
        case LayerType::kQUANTIZE: return new WithAxis<VQuantizeLayer>(layer);
        case LayerType::kDEQUANTIZE: return new WithAxis<VDequantizeLayer>(layer);
        case LayerType::kGATHER: return new Gather(layer);
        case LayerType::kSHUFFLE: return new Shuffle(layer);
        case LayerType::kSLICE: return new Slice(layer);
        case LayerType::kCONSTANT: return new Constant(layer);
        case LayerType::kRESIZE: return new Resize(layer);
        case LayerType::kFULLY_CONNECTED: return new VFullyConnectedLayer;
        case LayerType::kELEMENTWISE: return new VElementWiseLayer;
        case LayerType::kUNARY: return new VUnaryLayer;
        case LayerType::kPADDING: return new VPaddingLayer;
        case LayerType::kREDUCE: return new VReduceLayer;
        case LayerType::kTOPK: return new VTopKLayer;
        case LayerType::kMATRIX_MULTIPLY: return new VMatrixMultiplyLayer;
        default: return new VPlainLayer;
    }
}

}  // namespace stand_in
