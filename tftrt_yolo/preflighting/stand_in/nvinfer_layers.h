// The tables of each kind of layer: its setters, which are called after the call that adds it.
//
// As in nvinfer.h: only order, parameters and layout count, and what SLOT declares names itself.

#pragma once

#include "nvinfer.h"

namespace stand_in {

struct VConvolutionLayer : Table {
    SLOT(IConvolutionLayer, setKernelSize)
    SLOT(IConvolutionLayer, getKernelSize)
    SLOT(IConvolutionLayer, setNbOutputMaps)
    SLOT(IConvolutionLayer, getNbOutputMaps)
    virtual void setStride(Dims) {}
    SLOT(IConvolutionLayer, getStride)
    virtual void setPadding(Dims) {}
    SLOT(IConvolutionLayer, getPadding)
    virtual void setNbGroups(int32_t) {}
    SLOT(IConvolutionLayer, getNbGroups)
    SLOT(IConvolutionLayer, setKernelWeights)
    SLOT(IConvolutionLayer, getKernelWeights)
    SLOT(IConvolutionLayer, setBiasWeights)
    SLOT(IConvolutionLayer, getBiasWeights)
    virtual void setDilation(Dims) {}
    SLOT(IConvolutionLayer, getDilation)
    virtual void setPrePadding(Dims) {}
    SLOT(IConvolutionLayer, getPrePadding)
    virtual void setPostPadding(Dims) {}
    SLOT(IConvolutionLayer, getPostPadding)
    virtual void setPaddingMode(int32_t) {}
    SLOT(IConvolutionLayer, getPaddingMode)
    SLOT(IConvolutionLayer, setKernelSizeNd)
    SLOT(IConvolutionLayer, getKernelSizeNd)
    SLOT(IConvolutionLayer, setStrideNd)
    SLOT(IConvolutionLayer, getStrideNd)
    SLOT(IConvolutionLayer, setPaddingNd)
    SLOT(IConvolutionLayer, getPaddingNd)
    SLOT(IConvolutionLayer, setDilationNd)
    SLOT(IConvolutionLayer, getDilationNd)
};

struct VDeconvolutionLayer : Table {
    SLOT(IDeconvolutionLayer, setKernelSize)
    SLOT(IDeconvolutionLayer, getKernelSize)
    SLOT(IDeconvolutionLayer, setNbOutputMaps)
    SLOT(IDeconvolutionLayer, getNbOutputMaps)
    virtual void setStride(Dims) {}
    SLOT(IDeconvolutionLayer, getStride)
    virtual void setPadding(Dims) {}
    SLOT(IDeconvolutionLayer, getPadding)
    virtual void setNbGroups(int32_t) {}
    SLOT(IDeconvolutionLayer, getNbGroups)
    SLOT(IDeconvolutionLayer, setKernelWeights)
    SLOT(IDeconvolutionLayer, getKernelWeights)
    SLOT(IDeconvolutionLayer, setBiasWeights)
    SLOT(IDeconvolutionLayer, getBiasWeights)
    virtual void setPrePadding(Dims) {}
    SLOT(IDeconvolutionLayer, getPrePadding)
    virtual void setPostPadding(Dims) {}
    SLOT(IDeconvolutionLayer, getPostPadding)
    virtual void setPaddingMode(int32_t) {}
    SLOT(IDeconvolutionLayer, getPaddingMode)
    SLOT(IDeconvolutionLayer, setKernelSizeNd)
    SLOT(IDeconvolutionLayer, getKernelSizeNd)
    SLOT(IDeconvolutionLayer, setStrideNd)
    SLOT(IDeconvolutionLayer, getStrideNd)
    SLOT(IDeconvolutionLayer, setPaddingNd)
    SLOT(IDeconvolutionLayer, getPaddingNd)
    SLOT(IDeconvolutionLayer, setDilationNd)
    SLOT(IDeconvolutionLayer, getDilationNd)
};

struct VActivationLayer : Table {
    SLOT(IActivationLayer, setActivationType)
    SLOT(IActivationLayer, getActivationType)
    virtual void setAlpha(float) {}
    virtual void setBeta(float) {}
    SLOT(IActivationLayer, getAlpha)
    SLOT(IActivationLayer, getBeta)
};

struct VPoolingLayer : Table {
    SLOT(IPoolingLayer, setPoolingType)
    SLOT(IPoolingLayer, getPoolingType)
    SLOT(IPoolingLayer, setWindowSize)
    SLOT(IPoolingLayer, getWindowSize)
    virtual void setStride(Dims) {}
    SLOT(IPoolingLayer, getStride)
    virtual void setPadding(Dims) {}
    SLOT(IPoolingLayer, getPadding)
    SLOT(IPoolingLayer, setBlendFactor)
    SLOT(IPoolingLayer, getBlendFactor)
    virtual void setAverageCountExcludesPadding(bool) {}
    SLOT(IPoolingLayer, getAverageCountExcludesPadding)
    virtual void setPrePadding(Dims) {}
    SLOT(IPoolingLayer, getPrePadding)
    virtual void setPostPadding(Dims) {}
    SLOT(IPoolingLayer, getPostPadding)
    virtual void setPaddingMode(int32_t) {}
    SLOT(IPoolingLayer, getPaddingMode)
    SLOT(IPoolingLayer, setWindowSizeNd)
    SLOT(IPoolingLayer, getWindowSizeNd)
    SLOT(IPoolingLayer, setStrideNd)
    SLOT(IPoolingLayer, getStrideNd)
    SLOT(IPoolingLayer, setPaddingNd)
    SLOT(IPoolingLayer, getPaddingNd)
};

struct VSoftMaxLayer : Table {
    virtual void setAxes(uint32_t) {}
    SLOT(ISoftMaxLayer, getAxes)
};

struct VConcatenationLayer : Table {
    virtual void setAxis(int32_t) {}
    SLOT(IConcatenationLayer, getAxis)
};

struct VQuantizeLayer : Table {
    SLOT(IQuantizeLayer, getAxis)
    virtual void setAxis(int32_t) {}
};

struct VDequantizeLayer : Table {
    SLOT(IDequantizeLayer, getAxis)
    virtual void setAxis(int32_t) {}
};

struct VGatherLayer : Table {
    SLOT(IGatherLayer, setGatherAxis)
    SLOT(IGatherLayer, getGatherAxis)
    virtual void setNbElementWiseDims(int32_t) {}
    SLOT(IGatherLayer, getNbElementWiseDims)
    SLOT(IGatherLayer, setMode)
    SLOT(IGatherLayer, getMode)
};

struct VShuffleLayer : Table {
    virtual void setFirstTranspose(Permutation const&) {}
    SLOT(IShuffleLayer, getFirstTranspose)
    virtual void setReshapeDimensions(Dims) {}
    SLOT(IShuffleLayer, getReshapeDimensions)
    virtual void setSecondTranspose(Permutation const&) {}
    SLOT(IShuffleLayer, getSecondTranspose)
    virtual void setZeroIsPlaceholder(bool) {}
    SLOT(IShuffleLayer, getZeroIsPlaceholder)
};

struct VSliceLayer : Table {
    virtual void setStart(Dims) {}
    SLOT(ISliceLayer, getStart)
    virtual void setSize(Dims) {}
    SLOT(ISliceLayer, getSize)
    virtual void setStride(Dims) {}
    SLOT(ISliceLayer, getStride)
    SLOT(ISliceLayer, setMode)
    SLOT(ISliceLayer, getMode)
};

struct VConstantLayer : Table {
    SLOT(IConstantLayer, setWeights)
    virtual Weights getWeights() { return {}; }
    virtual void setDimensions(Dims) {}
    SLOT(IConstantLayer, getDimensions)
};

struct VResizeLayer : Table {
    virtual void setOutputDimensions(Dims) {}
    SLOT(IResizeLayer, getOutputDimensions)
    virtual void setScales(float const*, int32_t) {}
    SLOT(IResizeLayer, getScales)
    virtual void setResizeMode(int32_t) {}
    SLOT(IResizeLayer, getResizeMode)
    virtual void setAlignCorners(bool) {}
    SLOT(IResizeLayer, getAlignCorners)
    virtual void setCoordinateTransformation(int32_t) {}
    SLOT(IResizeLayer, getCoordinateTransformation)
    SLOT(IResizeLayer, setSelectorForSinglePixel)
    SLOT(IResizeLayer, getSelectorForSinglePixel)
    virtual void setNearestRounding(int32_t) {}
    SLOT(IResizeLayer, getNearestRounding)
    SLOT(IResizeLayer, setCubicCoeff)
    SLOT(IResizeLayer, getCubicCoeff)
    SLOT(IResizeLayer, setExcludeOutside)
    SLOT(IResizeLayer, getExcludeOutside)
};

// Kinds of which TF-TRT calls no setter.

struct VFullyConnectedLayer : Table {
    SLOT(IFullyConnectedLayer, setNbOutputChannels)
    SLOT(IFullyConnectedLayer, getNbOutputChannels)
    SLOT(IFullyConnectedLayer, setKernelWeights)
    SLOT(IFullyConnectedLayer, getKernelWeights)
    SLOT(IFullyConnectedLayer, setBiasWeights)
    SLOT(IFullyConnectedLayer, getBiasWeights)
};

struct VElementWiseLayer : Table {
    SLOT(IElementWiseLayer, setOperation)
    SLOT(IElementWiseLayer, getOperation)
};

struct VUnaryLayer : Table {
    SLOT(IUnaryLayer, setOperation)
    SLOT(IUnaryLayer, getOperation)
};

struct VPaddingLayer : Table {
    SLOT(IPaddingLayer, setPrePadding)
    SLOT(IPaddingLayer, getPrePadding)
    SLOT(IPaddingLayer, setPostPadding)
    SLOT(IPaddingLayer, getPostPadding)
    SLOT(IPaddingLayer, setPrePaddingNd)
    SLOT(IPaddingLayer, getPrePaddingNd)
    SLOT(IPaddingLayer, setPostPaddingNd)
    SLOT(IPaddingLayer, getPostPaddingNd)
};

struct VReduceLayer : Table {
    SLOT(IReduceLayer, setOperation)
    SLOT(IReduceLayer, getOperation)
    SLOT(IReduceLayer, setReduceAxes)
    SLOT(IReduceLayer, getReduceAxes)
    SLOT(IReduceLayer, setKeepDimensions)
    SLOT(IReduceLayer, getKeepDimensions)
};

struct VTopKLayer : Table {
    SLOT(ITopKLayer, setOperation)
    SLOT(ITopKLayer, getOperation)
    SLOT(ITopKLayer, setK)
    SLOT(ITopKLayer, getK)
    SLOT(ITopKLayer, setReduceAxes)
    SLOT(ITopKLayer, getReduceAxes)
};

struct VMatrixMultiplyLayer : Table {
    SLOT(IMatrixMultiplyLayer, setOperation)
    SLOT(IMatrixMultiplyLayer, getOperation)
};

// Shape, identity and select: TensorRT gives them no function of their own.
struct VPlainLayer : Table {};

}  // namespace stand_in
