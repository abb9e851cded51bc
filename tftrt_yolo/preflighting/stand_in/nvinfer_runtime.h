// What TF-TRT sees of libnvinfer 8.6.1 where engines run: the runtime, engines and execution contexts. And what the
// library sees of TF-TRT: its logger and its calibrator.
//
// As in nvinfer.h: only order, parameters and layout count, and what SLOT declares names itself.

#pragma once

#include "nvinfer.h"

namespace stand_in {

struct VRuntime : Table {
    virtual Shell* deserializeCudaEngine(void const*, size_t, void*) { return nullptr; }
    SLOT(IRuntime, setDLACore)
    SLOT(IRuntime, getDLACore)
    SLOT(IRuntime, getNbDLACores)
    virtual void setGpuAllocator(void*) {}
    SLOT(IRuntime, setErrorRecorder)
    SLOT(IRuntime, getErrorRecorder)
    SLOT(IRuntime, getLogger)
    SLOT(IRuntime, setMaxThreads)
    SLOT(IRuntime, getMaxThreads)
    SLOT(IRuntime, setTemporaryDirectory)
    SLOT(IRuntime, getTemporaryDirectory)
    SLOT(IRuntime, setTempfileControlFlags)
    SLOT(IRuntime, getTempfileControlFlags)
    SLOT(IRuntime, getPImpl)
    SLOT(IRuntime, getPluginRegistry)
    SLOT(IRuntime, setPluginRegistryParent)
    SLOT(IRuntime, loadRuntime)
    SLOT(IRuntime, setEngineHostCodeAllowed)
    SLOT(IRuntime, getEngineHostCodeAllowed)
};

struct VCudaEngine : Table {
    virtual int32_t getNbBindings() { return 0; }
    virtual int32_t getBindingIndex(char const*) { return -1; }
    virtual char const* getBindingName(int32_t) { return nullptr; }
    virtual bool bindingIsInput(int32_t) { return false; }
    virtual Dims getBindingDimensions(int32_t) { return {}; }
    virtual DataType getBindingDataType(int32_t) { return DataType::kFLOAT; }
    virtual int32_t getMaxBatchSize() { return 1; }
    virtual int32_t getNbLayers() { return 0; }
    virtual Shell* serialize() { return nullptr; }
    virtual Shell* createExecutionContext() { return nullptr; }
    SLOT(ICudaEngine, getLocation)
    virtual Shell* createExecutionContextWithoutDeviceMemory() { return nullptr; }
    virtual size_t getDeviceMemorySize() { return 0; }
    SLOT(ICudaEngine, isRefittable)
    SLOT(ICudaEngine, getBindingBytesPerComponent)
    SLOT(ICudaEngine, getBindingComponentsPerElement)
    SLOT(ICudaEngine, getBindingFormat)
    SLOT(ICudaEngine, getBindingFormatDesc)
    SLOT(ICudaEngine, getBindingVectorizedDim)
    virtual char const* getName() { return ""; }
    virtual int32_t getNbOptimizationProfiles() { return 1; }
    virtual Dims getProfileDimensions(int32_t, int32_t, int32_t) { return {}; }
    SLOT(ICudaEngine, getProfileShapeValues)
    virtual bool isShapeBinding(int32_t) { return false; }
    virtual bool isExecutionBinding(int32_t) { return true; }
    SLOT(ICudaEngine, getEngineCapability)
    SLOT(ICudaEngine, setErrorRecorder)
    SLOT(ICudaEngine, getErrorRecorder)
    virtual bool hasImplicitBatchDimension() { return false; }
    SLOT(ICudaEngine, getTacticSources)
    SLOT(ICudaEngine, getProfilingVerbosity)
    SLOT(ICudaEngine, createEngineInspector)
    SLOT(ICudaEngine, getTensorShape)
    SLOT(ICudaEngine, getTensorDataType)
    SLOT(ICudaEngine, getTensorLocation)
    SLOT(ICudaEngine, isShapeInferenceIO)
    SLOT(ICudaEngine, getTensorIOMode)
    SLOT(ICudaEngine, getTensorBytesPerComponent)
    SLOT(ICudaEngine, getTensorComponentsPerElement)
    SLOT(ICudaEngine, getTensorFormat)
    SLOT(ICudaEngine, getTensorFormatDesc)
    SLOT(ICudaEngine, getTensorVectorizedDim)
    SLOT(ICudaEngine, getProfileShape)
    SLOT(ICudaEngine, getNbIOTensors)
    SLOT(ICudaEngine, getIOTensorName)
    SLOT(ICudaEngine, getHardwareCompatibilityLevel)
    SLOT(ICudaEngine, getPImpl)
    SLOT(ICudaEngine, getNbAuxStreams)
    SLOT(ICudaEngine, getTensorBytesPerComponentV2)
    SLOT(ICudaEngine, getTensorComponentsPerElementV2)
    SLOT(ICudaEngine, getTensorFormatV2)
    SLOT(ICudaEngine, getTensorFormatDescV2)
    SLOT(ICudaEngine, getTensorVectorizedDimV2)
};

struct VExecutionContext : Table {
    SLOT(IExecutionContext, execute)
    SLOT(IExecutionContext, enqueue)
    SLOT(IExecutionContext, setDebugSync)
    SLOT(IExecutionContext, getDebugSync)
    SLOT(IExecutionContext, setProfiler)
    SLOT(IExecutionContext, getProfiler)
    virtual Shell const& getEngine() = 0;
    SLOT(IExecutionContext, setName)
    SLOT(IExecutionContext, getName)
    virtual void setDeviceMemory(void*) {}
    SLOT(IExecutionContext, getStrides)
    virtual bool setOptimizationProfile(int32_t) { return false; }
    virtual int32_t getOptimizationProfile() { return -1; }
    virtual bool setBindingDimensions(int32_t, Dims) { return false; }
    virtual Dims getBindingDimensions(int32_t) { return {}; }
    SLOT(IExecutionContext, setInputShapeBinding)
    SLOT(IExecutionContext, getShapeBinding)
    virtual bool allInputDimensionsSpecified() { return false; }
    virtual bool allInputShapesSpecified() { return true; }
    SLOT(IExecutionContext, setErrorRecorder)
    SLOT(IExecutionContext, getErrorRecorder)
    SLOT(IExecutionContext, executeV2)
    virtual bool enqueueV2(void* const*, void*, void*) { return false; }
    virtual bool setOptimizationProfileAsync(int32_t profile, void*) { return setOptimizationProfile(profile); }
    SLOT(IExecutionContext, setEnqueueEmitsProfile)
    SLOT(IExecutionContext, getEnqueueEmitsProfile)
    SLOT(IExecutionContext, reportToProfiler)
    SLOT(IExecutionContext, setInputShape)
    SLOT(IExecutionContext, getTensorShape)
    SLOT(IExecutionContext, getTensorStrides)
    SLOT(IExecutionContext, setTensorAddress)
    SLOT(IExecutionContext, getTensorAddress)
    SLOT(IExecutionContext, setInputTensorAddress)
    SLOT(IExecutionContext, inferShapes)
    SLOT(IExecutionContext, setInputConsumedEvent)
    SLOT(IExecutionContext, getInputConsumedEvent)
    SLOT(IExecutionContext, getOutputTensorAddress)
    SLOT(IExecutionContext, setOutputAllocator)
    SLOT(IExecutionContext, getOutputAllocator)
    SLOT(IExecutionContext, getMaxOutputSize)
    SLOT(IExecutionContext, setTemporaryStorageAllocator)
    SLOT(IExecutionContext, getTemporaryStorageAllocator)
    SLOT(IExecutionContext, enqueueV3)
    SLOT(IExecutionContext, setPersistentCacheLimit)
    SLOT(IExecutionContext, getPersistentCacheLimit)
    SLOT(IExecutionContext, setNvtxVerbosity)
    SLOT(IExecutionContext, getNvtxVerbosity)
    SLOT(IExecutionContext, getPImpl)
    SLOT(IExecutionContext, setAuxStreams)
};

// TF-TRT's own objects, whose functions are called here: never made in this library.

enum class Severity : int32_t { kINTERNAL_ERROR, kERROR, kWARNING, kINFO, kVERBOSE };

struct Logger {
    virtual void log(Severity, char const*) = 0;
};

struct Calibrator {
    virtual int32_t getBatchSize() = 0;
    virtual bool getBatch(void** bindings, char const** names, int32_t count) = 0;
    virtual void const* readCalibrationCache(size_t& length) = 0;
    virtual void writeCalibrationCache(void const* table, size_t length) = 0;
    virtual int32_t getAlgorithm() = 0;
};

}  // namespace stand_in
