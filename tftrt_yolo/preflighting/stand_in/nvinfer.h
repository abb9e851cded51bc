// What TF-TRT sees of libnvinfer 8.6.1: declarations of our own for the classes that it calls.
//
// TF-TRT is compiled against TensorRT's headers, in which every public object is a thin shell around a table of virtual
// functions. Only the order of the functions, their parameters and the objects' layout matter, so only these are stated
// here. A function that is declared with SLOT keeps its place in the table and, when it is called, says its name and
// ends the process: what TF-TRT asks for and this library does not have is never answered with a guess. So every table
// is whole: a call behind the end of one would jump anywhere.
//
// The kinds of layers have tables of their own, nvinfer_layers.h, and so has what runs engines, nvinfer_runtime.h.
//
// Source of the facts: the public headers of TensorRT 8.6.1; Itanium C++ ABI.

#pragma once

#include <stddef.h>
#include <stdint.h>

namespace stand_in {

[[noreturn]] void fail(char const* what, char const* name = "");

#define SLOT(owner, name) \
    virtual void name() { fail("TF-TRT calls ", #owner "::" #name); }

constexpr int kMaxDims = 8;

struct Dims {
    int32_t count;
    int32_t at[kMaxDims];
};

enum class DataType : int32_t { kFLOAT, kHALF, kINT8, kINT32, kBOOL, kUINT8, kFP8 };

struct Weights {
    DataType type;
    void const* values;
    int64_t count;
};

struct Permutation {
    int32_t order[kMaxDims];
};

// A public object: its own table with the destructors, then the implementation. TF-TRT deletes some through slot 1.
struct Shell {
    virtual ~Shell() {}
    void* implementation = nullptr;
    static void operator delete(void*) {}  // all memory lives as long as the process
};

struct LayerShell : Shell {
    void* specific = nullptr;
};

// Two public objects have functions of their own behind the destructors.
struct NetworkShell : Shell {
    SLOT(INetworkDefinition, getBuilder)
};

struct BuilderConfigShell : Shell {
    SLOT(IBuilderConfig, setMinTimingIterations)
    SLOT(IBuilderConfig, getMinTimingIterations)
    SLOT(IBuilderConfig, setAvgTimingIterations)
};

// First base of every implementation: the slots of its two destructors, which nobody calls.
struct Table {
    virtual ~Table() {}
    static void* operator new(size_t size);
    static void operator delete(void*) {}
};

struct VHostMemory : Table {
    virtual void* data() { return nullptr; }
    virtual size_t size() { return 0; }
    SLOT(IHostMemory, type)
};

struct VTimingCache : Table {
    virtual Shell* serialize() { return nullptr; }
    SLOT(ITimingCache, combine)
    SLOT(ITimingCache, reset)
};

struct VTensor : Table {
    virtual void setName(char const*) {}
    virtual char const* getName() { return ""; }
    SLOT(ITensor, setDimensions)
    virtual Dims getDimensions() { return {}; }
    virtual void setType(DataType) {}
    virtual DataType getType() { return DataType::kFLOAT; }
    virtual bool setDynamicRange(float, float) { return false; }
    virtual bool isNetworkInput() { return false; }
    virtual bool isNetworkOutput() { return false; }
    SLOT(ITensor, setBroadcastAcrossBatch)
    SLOT(ITensor, getBroadcastAcrossBatch)
    SLOT(ITensor, getLocation)
    SLOT(ITensor, setLocation)
    SLOT(ITensor, dynamicRangeIsSet)
    SLOT(ITensor, resetDynamicRange)
    SLOT(ITensor, getDynamicRangeMin)
    SLOT(ITensor, getDynamicRangeMax)
    SLOT(ITensor, setAllowedFormats)
    SLOT(ITensor, getAllowedFormats)
    virtual bool isShapeTensor() { return false; }
    virtual bool isExecutionTensor() { return true; }
    SLOT(ITensor, setDimensionName)
    SLOT(ITensor, getDimensionName)
};

struct VLayer : Table {
    virtual int32_t getType() { return 0; }
    virtual void setName(char const*) {}
    virtual char const* getName() { return ""; }
    virtual int32_t getNbInputs() { return 0; }
    virtual Shell* getInput(int32_t) { return nullptr; }
    virtual int32_t getNbOutputs() { return 0; }
    virtual Shell* getOutput(int32_t) { return nullptr; }
    virtual void setInput(int32_t, Shell&) {}
    virtual void setPrecision(DataType) {}
    virtual DataType getPrecision() { return DataType::kFLOAT; }
    virtual bool precisionIsSet() { return false; }
    SLOT(ILayer, resetPrecision)
    virtual void setOutputType(int32_t, DataType) {}
    virtual DataType getOutputType(int32_t) { return DataType::kFLOAT; }
    SLOT(ILayer, outputTypeIsSet)
    SLOT(ILayer, resetOutputType)
    SLOT(ILayer, setMetadata)
    SLOT(ILayer, getMetadata)
};

struct VOptimizationProfile : Table {
    virtual bool setDimensions(char const*, int32_t, Dims) { return false; }
    virtual Dims getDimensions(char const*, int32_t) { return {}; }
    SLOT(IOptimizationProfile, setShapeValues)
    SLOT(IOptimizationProfile, getNbShapeValues)
    SLOT(IOptimizationProfile, getShapeValues)
    SLOT(IOptimizationProfile, setExtraMemoryTarget)
    SLOT(IOptimizationProfile, getExtraMemoryTarget)
    virtual bool isValid() { return false; }
};

struct VBuilderConfig : Table {
    SLOT(IBuilderConfig, setMinTimingIterations)
    SLOT(IBuilderConfig, getMinTimingIterations)
    SLOT(IBuilderConfig, setAvgTimingIterations)
    SLOT(IBuilderConfig, getAvgTimingIterations)
    SLOT(IBuilderConfig, setEngineCapability)
    SLOT(IBuilderConfig, getEngineCapability)
    virtual void setInt8Calibrator(void*) {}
    SLOT(IBuilderConfig, getInt8Calibrator)
    virtual void setMaxWorkspaceSize(size_t) {}
    SLOT(IBuilderConfig, getMaxWorkspaceSize)
    SLOT(IBuilderConfig, setFlags)
    virtual uint32_t getFlags() { return 0; }
    virtual void clearFlag(int32_t) {}
    virtual void setFlag(int32_t) {}
    virtual bool getFlag(int32_t) { return false; }
    SLOT(IBuilderConfig, setDeviceType)
    SLOT(IBuilderConfig, getDeviceType)
    SLOT(IBuilderConfig, isDeviceTypeSet)
    SLOT(IBuilderConfig, resetDeviceType)
    SLOT(IBuilderConfig, canRunOnDLA)
    SLOT(IBuilderConfig, setDLACore)
    SLOT(IBuilderConfig, getDLACore)
    SLOT(IBuilderConfig, setDefaultDeviceType)
    SLOT(IBuilderConfig, getDefaultDeviceType)
    SLOT(IBuilderConfig, reset)
    SLOT(IBuilderConfig, setProfileStream)
    SLOT(IBuilderConfig, getProfileStream)
    virtual int32_t addOptimizationProfile(Shell const*) { return -1; }
    virtual int32_t getNbOptimizationProfiles() { return 0; }
    SLOT(IBuilderConfig, setProfilingVerbosity)
    SLOT(IBuilderConfig, getProfilingVerbosity)
    SLOT(IBuilderConfig, setAlgorithmSelector)
    SLOT(IBuilderConfig, getAlgorithmSelector)
    virtual bool setCalibrationProfile(Shell const*) { return false; }
    SLOT(IBuilderConfig, getCalibrationProfile)
    SLOT(IBuilderConfig, setQuantizationFlags)
    SLOT(IBuilderConfig, getQuantizationFlags)
    SLOT(IBuilderConfig, clearQuantizationFlag)
    SLOT(IBuilderConfig, setQuantizationFlag)
    SLOT(IBuilderConfig, getQuantizationFlag)
    SLOT(IBuilderConfig, setTacticSources)
    SLOT(IBuilderConfig, getTacticSources)
    virtual Shell* createTimingCache(void const*, size_t) { return nullptr; }
    virtual bool setTimingCache(Shell const&, bool) { return false; }
    SLOT(IBuilderConfig, getTimingCache)
    SLOT(IBuilderConfig, setMemoryPoolLimit)
    SLOT(IBuilderConfig, getMemoryPoolLimit)
    SLOT(IBuilderConfig, setPreviewFeature)
    SLOT(IBuilderConfig, getPreviewFeature)
    SLOT(IBuilderConfig, setBuilderOptimizationLevel)
    SLOT(IBuilderConfig, getBuilderOptimizationLevel)
    SLOT(IBuilderConfig, setHardwareCompatibilityLevel)
    SLOT(IBuilderConfig, getHardwareCompatibilityLevel)
    SLOT(IBuilderConfig, setPluginsToSerialize)
    SLOT(IBuilderConfig, getPluginToSerialize)
    SLOT(IBuilderConfig, getNbPluginsToSerialize)
    SLOT(IBuilderConfig, setMaxAuxStreams)
    SLOT(IBuilderConfig, getMaxAuxStreams)
};

struct VBuilder : Table {
    virtual void setMaxBatchSize(int32_t) {}
    SLOT(IBuilder, getMaxBatchSize)
    virtual bool platformHasFastFp16() { return true; }
    virtual bool platformHasFastInt8() { return true; }
    SLOT(IBuilder, getMaxDLABatchSize)
    SLOT(IBuilder, getNbDLACores)
    virtual void setGpuAllocator(void*) {}
    virtual Shell* createBuilderConfig() { return nullptr; }
    virtual Shell* buildEngineWithConfig(Shell&, Shell&) { return nullptr; }
    virtual Shell* createNetworkV2(uint32_t) { return nullptr; }
    virtual Shell* createOptimizationProfile() { return nullptr; }
    SLOT(IBuilder, setErrorRecorder)
    SLOT(IBuilder, getErrorRecorder)
    SLOT(IBuilder, reset)
    virtual bool platformHasTf32() { return true; }
    SLOT(IBuilder, buildSerializedNetwork)
    SLOT(IBuilder, isNetworkSupported)
    SLOT(IBuilder, getLogger)
    SLOT(IBuilder, setMaxThreads)
    SLOT(IBuilder, getMaxThreads)
    SLOT(IBuilder, getPluginRegistry)
};

struct VNetworkDefinition : Table {
    virtual Shell* addInput(char const*, DataType, Dims) { return nullptr; }
    virtual void markOutput(Shell&) {}
    virtual Shell* addConvolution(Shell&, int32_t, Dims, Weights, Weights) { return nullptr; }
    virtual Shell* addFullyConnected(Shell&, int32_t, Weights, Weights) { return nullptr; }
    virtual Shell* addActivation(Shell&, int32_t) { return nullptr; }
    virtual Shell* addPooling(Shell&, int32_t, Dims) { return nullptr; }
    SLOT(INetworkDefinition, addLRN)
    SLOT(INetworkDefinition, addScale)
    virtual Shell* addSoftMax(Shell&) { return nullptr; }
    virtual Shell* addConcatenation(Shell* const*, int32_t) { return nullptr; }
    virtual Shell* addDeconvolution(Shell&, int32_t, Dims, Weights, Weights) { return nullptr; }
    virtual Shell* addElementWise(Shell&, Shell&, int32_t) { return nullptr; }
    virtual Shell* addUnary(Shell&, int32_t) { return nullptr; }
    virtual Shell* addPadding(Shell&, Dims, Dims) { return nullptr; }
    virtual Shell* addShuffle(Shell&) { return nullptr; }
    virtual int32_t getNbLayers() { return 0; }
    virtual Shell* getLayer(int32_t) { return nullptr; }
    virtual int32_t getNbInputs() { return 0; }
    virtual Shell* getInput(int32_t) { return nullptr; }
    virtual int32_t getNbOutputs() { return 0; }
    virtual Shell* getOutput(int32_t) { return nullptr; }
    virtual Shell* addReduce(Shell&, int32_t, uint32_t, bool) { return nullptr; }
    virtual Shell* addTopK(Shell&, int32_t, int32_t, uint32_t) { return nullptr; }
    virtual Shell* addGather(Shell&, Shell&, int32_t) { return nullptr; }
    SLOT(INetworkDefinition, addRaggedSoftMax)
    virtual Shell* addMatrixMultiply(Shell&, int32_t, Shell&, int32_t) { return nullptr; }
    virtual Shell* addConstant(Dims, Weights) { return nullptr; }
    SLOT(INetworkDefinition, addRNNv2)
    virtual Shell* addIdentity(Shell&) { return nullptr; }
    SLOT(INetworkDefinition, removeTensor)
    SLOT(INetworkDefinition, unmarkOutput)
    SLOT(INetworkDefinition, addPluginV2)
    virtual Shell* addSlice(Shell&, Dims, Dims, Dims) { return nullptr; }
    virtual void setName(char const*) {}
    virtual char const* getName() { return ""; }
    virtual Shell* addShape(Shell&) { return nullptr; }
    virtual bool hasImplicitBatchDimension() { return false; }
    SLOT(INetworkDefinition, markOutputForShapes)
    SLOT(INetworkDefinition, unmarkOutputForShapes)
    SLOT(INetworkDefinition, addParametricReLU)
    SLOT(INetworkDefinition, addConvolutionNd)
    SLOT(INetworkDefinition, addPoolingNd)
    SLOT(INetworkDefinition, addDeconvolutionNd)
    SLOT(INetworkDefinition, addScaleNd)
    virtual Shell* addResize(Shell&) { return nullptr; }
    virtual bool hasExplicitPrecision() { return false; }
    SLOT(INetworkDefinition, addLoop)
    virtual Shell* addSelect(Shell&, Shell&, Shell&) { return nullptr; }
    SLOT(INetworkDefinition, addFill)
    SLOT(INetworkDefinition, addPaddingNd)
    SLOT(INetworkDefinition, setWeightsName)
    SLOT(INetworkDefinition, setErrorRecorder)
    SLOT(INetworkDefinition, getErrorRecorder)
    virtual Shell* addDequantize(Shell&, Shell&) { return nullptr; }
    virtual Shell* addQuantize(Shell&, Shell&) { return nullptr; }
    SLOT(INetworkDefinition, addGatherV2)
    SLOT(INetworkDefinition, addIfConditional)
    SLOT(INetworkDefinition, addScatter)
    SLOT(INetworkDefinition, addEinsum)
    SLOT(INetworkDefinition, addAssertion)
    SLOT(INetworkDefinition, addOneHot)
    SLOT(INetworkDefinition, addNonZero)
    SLOT(INetworkDefinition, addGridSample)
    SLOT(INetworkDefinition, addNMS)
    SLOT(INetworkDefinition, addReverseSequence)
    SLOT(INetworkDefinition, addNormalization)
    SLOT(INetworkDefinition, addCast)
    SLOT(INetworkDefinition, getBuilder)
};

struct IPluginRegistry {
    SLOT(IPluginRegistry, registerCreator)
    virtual void* const* getPluginCreatorList(int32_t* count) {
        *count = 0;
        return nullptr;
    }
    SLOT(IPluginRegistry, getPluginCreator)
    virtual ~IPluginRegistry() {}
    SLOT(IPluginRegistry, setErrorRecorder)
    SLOT(IPluginRegistry, getErrorRecorder)
    SLOT(IPluginRegistry, deregisterCreator)
    static void operator delete(void*) {}
    SLOT(IPluginRegistry, isParentSearchEnabled)
    SLOT(IPluginRegistry, setParentSearchEnabled)
    SLOT(IPluginRegistry, loadLibrary)
    SLOT(IPluginRegistry, deregisterLibrary)
};

}  // namespace stand_in
