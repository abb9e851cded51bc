// What TF-TRT tells the builder beside the network: flags, workspace, calibrator and optimisation profiles.

#pragma once

#include "network.h"
#include "nvinfer_runtime.h"

namespace stand_in {

struct ProfileEntry {
    char const* input;
    int32_t selector;  // 0 least, 1 optimum, 2 largest
    Dims dims;
};

struct Profile final : VOptimizationProfile {
    Shell shell;
    List<ProfileEntry> entries;

    Profile() { shell.implementation = this; }
    bool setDimensions(char const* input, int32_t selector, Dims dims) override;
    Dims getDimensions(char const* input, int32_t selector) override;
    bool isValid() override { return true; }
};

struct Config final : VBuilderConfig {
    BuilderConfigShell shell;
    uint32_t flags = 1u << 7;  // TensorRT sets TF32 itself
    size_t workspace_bytes = 0;
    Calibrator* calibrator = nullptr;
    Profile* calibration_profile = nullptr;
    List<Profile*> profiles;

    Config() { shell.implementation = this; }
    void setInt8Calibrator(void* to) override { calibrator = static_cast<Calibrator*>(to); }
    void setMaxWorkspaceSize(size_t bytes) override { workspace_bytes = bytes; }
    uint32_t getFlags() override { return flags; }
    void setFlag(int32_t flag) override { flags |= 1u << flag; }
    void clearFlag(int32_t flag) override { flags &= ~(1u << flag); }
    bool getFlag(int32_t flag) override { return flags >> flag & 1; }
    bool setCalibrationProfile(Shell const* profile) override {
        calibration_profile = static_cast<Profile*>(profile->implementation);
        return true;
    }
    int32_t addOptimizationProfile(Shell const* profile) override;
    int32_t getNbOptimizationProfiles() override { return profiles.count; }
    Shell* createTimingCache(void const*, size_t) override;
    bool setTimingCache(Shell const&, bool) override { return true; }
};

}  // namespace stand_in
