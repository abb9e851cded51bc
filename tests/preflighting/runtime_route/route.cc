// TRTEngineOp's own way to an engine, for a test: TF-TRT's ConvertGraphDefToEngine with the device of a GPU.
//
// Declared here is what TensorFlow's wheel leaves out of its headers for want of TensorRT's; layouts and names are those
// of tensorflow/compiler/tf2tensorrt/{convert/convert_nodes.h,utils/trt_shape_optimization_profiles.h} in 2.17.

#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensorflow/core/framework/graph.pb.h"
#include "tensorflow/core/framework/tensor_shape.h"
#include "tensorflow/core/grappler/clusters/virtual_cluster.h"
#include "tensorflow/core/platform/status.h"
#include "tensorflow/core/protobuf/device_properties.pb.h"

namespace nvinfer1 {

class IGpuAllocator;

class ICudaEngine {
public:
    virtual ~ICudaEngine();
};
ICudaEngine::~ICudaEngine() {}

class ILogger {
public:
    enum class Severity : int32_t { kINTERNAL_ERROR, kERROR, kWARNING, kINFO, kVERBOSE };
    virtual void log(Severity, char const*) noexcept {}
    virtual ~ILogger() {}
};

struct Dims32 {
    int32_t count;
    int32_t at[8];
};

}  // namespace nvinfer1

namespace tensorflow {

class OpKernelContext;

namespace tensorrt {

enum class TrtPrecisionMode { FP32, FP16, INT8 };
enum class ProfileStrategy { kRange, kOptimal, kRangeOptimal, kImplicitBatchModeCompatible };
class TRTInt8Calibrator;

struct OptimizationProfileConfig {
    std::vector<nvinfer1::Dims32> min, opt, max;
};

class TrtShapeOptimizationProfile {
public:
    void InitProfiles(const std::vector<PartialTensorShape>&, ProfileStrategy);

    std::vector<std::vector<TensorShape>> input_shapes;
    std::vector<std::vector<nvinfer1::Dims32>> input_shape_values;
    std::vector<nvinfer1::Dims32> actual_shape_values;
    std::vector<OptimizationProfileConfig> profiles;
    OptimizationProfileConfig calib_profiles;
    std::vector<bool> input_mask;
    bool has_shape_tensor = false, need_profiles = false;
    std::vector<bool> is_shape_tensor, is_pruned_input;
    ProfileStrategy strategy{};
    char room[256]{};
};

namespace convert {

Status ConvertGraphDefToEngine(
    const GraphDef&, OpKernelContext*, TrtPrecisionMode, int, size_t, const std::vector<PartialTensorShape>&,
    nvinfer1::ILogger*, nvinfer1::IGpuAllocator*, TRTInt8Calibrator*, std::unique_ptr<nvinfer1::ICudaEngine>*, bool,
    const bool, bool*, TrtShapeOptimizationProfile*, std::string_view, bool, grappler::Cluster*, const std::string&);

}  // namespace convert
}  // namespace tensorrt
}  // namespace tensorflow

namespace tf = tensorflow;
namespace trt = tensorflow::tensorrt;

static nvinfer1::ICudaEngine* last_engine;

// The engine that was built last; null if it was none.
extern "C" void* engine() { return last_engine; }

// Builds one engine of a segment (a serialised GraphDef); 0 if TF-TRT is content.
extern "C" int build(char const* segment, int precision, int explicit_precision, int strategy, int const* batches,
                     int count, int height, int width) {
    std::ifstream file(segment, std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    tf::GraphDef graph_def;
    if (!graph_def.ParseFromString(content.str())) return 1;

    std::string const device = "/job:localhost/replica:0/task:0/device:GPU:0";
    tf::DeviceProperties gpu;
    gpu.set_type("GPU");
    gpu.set_vendor("NVIDIA");
    gpu.set_num_cores(132);
    gpu.set_memory_size(80LL << 30);
    (*gpu.mutable_environment())["architecture"] = "9.0";
    (*gpu.mutable_environment())["cuda"] = "12030";
    (*gpu.mutable_environment())["cudnn"] = "8900";
    std::unordered_map<std::string, tf::DeviceProperties> devices{{device, gpu}};
    tf::grappler::VirtualCluster cluster(devices);

    std::vector<tf::PartialTensorShape> shapes{tf::PartialTensorShape({-1, height, width, 3})};
    trt::TrtShapeOptimizationProfile profile;  // as after build() has run these batches
    for (int i = 0; i < count; ++i) {
        profile.input_shapes.push_back({tf::TensorShape({batches[i], height, width, 3})});
        profile.input_shape_values.push_back({nvinfer1::Dims32{0, {}}});
    }
    profile.input_mask = {true};
    profile.is_shape_tensor = profile.is_pruned_input = {false};
    profile.InitProfiles(shapes, static_cast<trt::ProfileStrategy>(strategy));

    nvinfer1::ILogger logger;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    bool converted = false;
    tf::Status const status = trt::convert::ConvertGraphDefToEngine(
        graph_def, nullptr, static_cast<trt::TrtPrecisionMode>(precision), 1, size_t{1} << 40, shapes, &logger, nullptr,
        nullptr, &engine, false, false, &converted, &profile, "TRTEngineOp_000_000", explicit_precision, &cluster, device);
    last_engine = engine.release();
    if (!status.ok()) std::cerr << status.ToString() << std::endl;
    return status.ok() && converted ? 0 : 2;
}
