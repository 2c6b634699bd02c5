// tests/sim/hardware_test.cc - the step-time model gives the figures of the published tables.
#include "backends/sim/model/hardware.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

double decode_ms(const Hardware& hardware, int sequences) {
  StepLoad load;
  load.tokens = load.sequences = load.sampled = sequences;
  load.decode_context = sequences * 1000.0;
  return hardware.step_seconds(load) * 1e3;
}

double prefill_ms(const Hardware& hardware, int tokens) {
  StepLoad load;
  load.tokens = tokens;
  load.sequences = load.sampled = 1;
  load.prefill_pairs = tokens * 750.0;
  return hardware.step_seconds(load) * 1e3;
}

struct Figures {
  Gpu gpu;
  int tensor_parallel_size;
  double decode_1, decode_64, decode_256, prefill_256, prefill_2048, prefill_8192;
  std::int64_t kv_tokens;
};

class HardwareTable : public testing::TestWithParam<Figures> {};

TEST_P(HardwareTable, StepTimesAgreeWithTheReferenceSimulator) {
  const Figures& want = GetParam();
  const Hardware hardware(want.gpu, want.tensor_parallel_size);
  const auto near = [](double got, double expected) {
    EXPECT_NEAR(got, expected, expected * 0.02);
  };
  near(decode_ms(hardware, 1), want.decode_1);
  near(decode_ms(hardware, 64), want.decode_64);
  near(decode_ms(hardware, 256), want.decode_256);
  near(prefill_ms(hardware, 256), want.prefill_256);
  near(prefill_ms(hardware, 2048), want.prefill_2048);
  near(prefill_ms(hardware, 8192), want.prefill_8192);
  EXPECT_EQ(hardware.kv_tokens(0.9), want.kv_tokens);
}

INSTANTIATE_TEST_SUITE_P(
    AllPresets, HardwareTable,
    testing::Values(Figures{Gpu::kA100, 1, 11.85, 36.62, 119.11, 20.72, 141.44, 544.77, 107765},
                    Figures{Gpu::kA100, 2, 8.24, 21.72, 66.61, 15.88, 82.36, 285.37, 241279},
                    Figures{Gpu::kA100, 4, 6.36, 13.71, 39.22, 12.33, 50.54, 172.61, 508308},
                    Figures{Gpu::kA100, 8, 5.55, 10.06, 25.21, 10.23, 40.44, 140.60, 1042366},
                    Figures{Gpu::kH100, 1, 7.95, 23.04, 71.57, 11.50, 44.46, 170.85, 107765},
                    Figures{Gpu::kH100, 2, 6.13, 14.74, 40.57, 9.01, 30.49, 109.91, 241279},
                    Figures{Gpu::kH100, 4, 5.07, 9.97, 24.86, 7.55, 22.17, 73.67, 508308},
                    Figures{Gpu::kH100, 8, 4.43, 7.81, 17.23, 7.04, 18.63, 60.99, 1042366}));

TEST(Hardware, RefusesATensorParallelSizeWithoutMeasurements) {
  EXPECT_THROW(Hardware(Gpu::kA100, 3), std::invalid_argument);
  EXPECT_THROW(Hardware(Gpu::kH100, 16), std::invalid_argument);
}

TEST(Hardware, AnotherPipelineStageBringsMoreKvCacheThanItsGpusWouldAlone) {
  const Hardware hardware(Gpu::kA100, 1);
  EXPECT_GT(hardware.kv_tokens(0.9, 2), 2 * hardware.kv_tokens(0.9, 1));
}

TEST(Hardware, HasNoKvCacheWhenTheWeightsDoNotFit) {
  EXPECT_LT(Hardware(Gpu::kA100, 1).kv_tokens(0.15), 0);
}

}  // namespace
}  // namespace batchproxy::sim
