// backends/sim/model/hardware.cc - the tables and the formula behind Hardware.
#include "backends/sim/model/hardware.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace batchproxy::sim {
namespace {

// Dense layers: medians that Vidur measured for Llama-2-7B (microsoft/vidur, commit 7d47513), 32
// layers summed, in ms.
constexpr Knot kDenseA100Tp1[] = {
    {1, 9.28},      {8, 9.28},      {16, 9.28},      {32, 9.536},     {64, 9.696},    {96, 11.776},
    {128, 12.24},   {192, 15.92},   {256, 17.808},   {384, 23.568},   {512, 33.36},   {768, 46.032},
    {1024, 67.936}, {1536, 98.976}, {2048, 133.504}, {3072, 196.912}, {4096, 261.456}};
constexpr Knot kDenseA100Tp2[] = {
    {1, 5.008},     {8, 5.056},     {16, 5.12},     {32, 5.424},     {64, 5.424},    {96, 7.392},
    {128, 7.52},    {192, 9.504},   {256, 10.56},   {384, 14.128},   {512, 18.016},  {768, 24.16},
    {1024, 32.384}, {1536, 49.088}, {2048, 68.192}, {3072, 101.648}, {4096, 129.728}};
constexpr Knot kDenseA100Tp4[] = {
    {1, 3.136},     {8, 3.168},    {16, 3.168},    {32, 3.2},      {64, 3.328},   {96, 3.872},
    {128, 4.096},   {192, 5.056},  {256, 6.592},   {384, 8.736},   {512, 10.176}, {768, 13.2},
    {1024, 17.696}, {1536, 25.68}, {2048, 33.888}, {3072, 52.832}, {4096, 67.488}};
constexpr Knot kDenseA100Tp8[] = {
    {1, 2.208},     {8, 2.208},     {16, 2.208},    {32, 2.272},    {64, 2.368},   {96, 2.816},
    {128, 2.944},   {192, 3.2},     {256, 3.968},   {384, 4.864},   {512, 5.856},  {768, 8.384},
    {1024, 10.464}, {1536, 14.816}, {2048, 19.792}, {3072, 29.872}, {4096, 40.992}};
constexpr Knot kDenseH100Tp1[] = {
    {1, 5.6},       {8, 5.6},       {16, 5.792},    {32, 5.792},    {64, 5.856},   {96, 7.296},
    {128, 7.296},   {192, 7.408},   {256, 9.152},   {384, 11.04},   {512, 11.984}, {768, 18.816},
    {1024, 21.024}, {1536, 33.376}, {2048, 40.528}, {3072, 63.968}, {4096, 83.472}};
constexpr Knot kDenseH100Tp2[] = {
    {1, 3.2},       {8, 3.2},       {16, 3.328},   {32, 3.328},   {64, 3.504},  {96, 4.128},
    {128, 4.128},   {192, 4.608},   {256, 4.608},  {384, 6.368},  {512, 7.088}, {768, 10.4},
    {1024, 11.936}, {1536, 18.976}, {2048, 22.48}, {3072, 33.28}, {4096, 44.08}};
constexpr Knot kDenseH100Tp4[] = {
    {1, 2.032},    {8, 2.032},     {16, 2.048},   {32, 2.224},   {64, 2.272},   {96, 2.416},
    {128, 2.48},   {192, 2.816},   {256, 2.976},  {384, 3.888},  {512, 4.32},   {768, 5.6},
    {1024, 7.568}, {1536, 10.528}, {2048, 13.36}, {3072, 19.36}, {4096, 25.296}};
constexpr Knot kDenseH100Tp8[] = {
    {1, 1.312},    {8, 1.568},    {16, 1.568},  {32, 1.568},   {64, 1.664},   {96, 1.856},
    {128, 1.856},  {192, 2.08},   {256, 2.192}, {384, 2.816},  {512, 3.072},  {768, 4.032},
    {1024, 4.832}, {1536, 6.288}, {2048, 8.72}, {3072, 12.16}, {4096, 16.544}};

// One all-reduce of n tokens x 4096 in fp16, in ms: Vidur's NCCL medians from 256 tokens up; below
// that, values typical of vLLM's custom all-reduce (assumed, not measured).
constexpr Knot kAllReduceA100Tp1[] = {{1, 0}, {4096, 0}};
constexpr Knot kAllReduceA100Tp2[] = {{1, 0.010},    {16, 0.011},   {64, 0.018},
                                      {256, 0.040},  {512, 0.063},  {1024, 0.095},
                                      {2048, 0.139}, {4096, 0.247}, {8192, 0.46}};
constexpr Knot kAllReduceA100Tp4[] = {{1, 0.012},    {16, 0.013},   {64, 0.020},
                                      {256, 0.050},  {512, 0.085},  {1024, 0.123},
                                      {2048, 0.201}, {4096, 0.319}, {8192, 0.60}};
constexpr Knot kAllReduceA100Tp8[] = {{1, 0.015},    {16, 0.017},   {64, 0.025},
                                      {256, 0.060},  {512, 0.099},  {1024, 0.155},
                                      {2048, 0.275}, {4096, 0.411}, {8192, 0.78}};
constexpr Knot kAllReduceH100Tp1[] = {{1, 0}, {4096, 0}};
constexpr Knot kAllReduceH100Tp2[] = {{1, 0.007},    {16, 0.008},   {64, 0.015},
                                      {256, 0.030},  {512, 0.043},  {1024, 0.052},
                                      {2048, 0.074}, {4096, 0.136}, {8192, 0.26}};
constexpr Knot kAllReduceH100Tp4[] = {{1, 0.010},    {16, 0.011},   {64, 0.016},
                                      {256, 0.034},  {512, 0.047},  {1024, 0.062},
                                      {2048, 0.094}, {4096, 0.167}, {8192, 0.32}};
constexpr Knot kAllReduceH100Tp8[] = {{1, 0.012},    {16, 0.013},   {64, 0.020},
                                      {256, 0.039},  {512, 0.051},  {1024, 0.074},
                                      {2048, 0.115}, {4096, 0.196}, {8192, 0.37}};

struct Curves {
  int tensor_parallel_size;
  std::span<const Knot> dense;
  std::span<const Knot> all_reduce;
};

constexpr Curves kA100[] = {{1, kDenseA100Tp1, kAllReduceA100Tp1},
                            {2, kDenseA100Tp2, kAllReduceA100Tp2},
                            {4, kDenseA100Tp4, kAllReduceA100Tp4},
                            {8, kDenseA100Tp8, kAllReduceA100Tp8}};
constexpr Curves kH100[] = {{1, kDenseH100Tp1, kAllReduceH100Tp1},
                            {2, kDenseH100Tp2, kAllReduceH100Tp2},
                            {4, kDenseH100Tp4, kAllReduceH100Tp4},
                            {8, kDenseH100Tp8, kAllReduceH100Tp8}};

// The model: Llama-2-7B.
constexpr double kLayers = 32;
constexpr double kHidden = 4096;
constexpr double kVocabulary = 32000;
constexpr double kWeightBytes = 13.5e9;
constexpr double kLmHeadBytes = kVocabulary * kHidden * 2;

// The GPU: both presets are the 80 GB cards.
constexpr double kGpuBytes = 80e9;
constexpr double kActivationBytes = 2.0e9;  // activations, CUDA graphs, NCCL; per GPU

// Shares of the peak figures that kernels reach in practice.
constexpr double kBandwidthShare = 0.70;
constexpr double kAttentionShare = 0.45;
constexpr double kLmHeadShare = 0.60;

constexpr double kHostSecondsPerStep = 2.0e-3;
constexpr double kHostSecondsForParallel = 0.3e-3;
constexpr double kHostSecondsPerSequence = 12e-6;

double interpolate(std::span<const Knot> curve, double tokens) {
  if (tokens <= curve.front().tokens) return curve.front().ms;
  std::size_t right = 1;
  while (right + 1 < curve.size() && curve[right].tokens < tokens) ++right;
  const Knot& a = curve[right - 1];
  const Knot& b = curve[right];
  return a.ms + (b.ms - a.ms) * (tokens - a.tokens) / (b.tokens - a.tokens);
}

}  // namespace

Gpu parse_gpu(std::string_view name) {
  if (name == "a100") return Gpu::kA100;
  if (name == "h100") return Gpu::kH100;
  throw std::invalid_argument("--sim-hardware: '" + std::string(name) +
                              "' is not known; choose a100 or h100");
}

std::string_view gpu_name(Gpu gpu) {
  return gpu == Gpu::kA100 ? "a100" : "h100";
}

Hardware::Hardware(Gpu gpu, int tensor_parallel_size)
    : gpu_(gpu), tensor_parallel_size_(tensor_parallel_size) {
  const std::span<const Curves> table = gpu == Gpu::kA100 ? kA100 : kH100;
  const auto curves = std::ranges::find(table, tensor_parallel_size, &Curves::tensor_parallel_size);
  if (curves == table.end()) {
    throw std::invalid_argument("--tensor-parallel-size " + std::to_string(tensor_parallel_size) +
                                " cannot be simulated; measurements exist for 1, 2, 4 and 8");
  }
  const double peak_bandwidth = gpu == Gpu::kA100 ? 2.0e12 : 3.35e12;
  const double peak_flops = gpu == Gpu::kA100 ? 312e12 : 989e12;
  dense_ms_ = curves->dense;
  all_reduce_ms_ = curves->all_reduce;
  memory_bytes_per_second_ = peak_bandwidth * kBandwidthShare * tensor_parallel_size;
  attention_flops_ = peak_flops * kAttentionShare * tensor_parallel_size;
  lm_head_flops_ = peak_flops * kLmHeadShare * tensor_parallel_size;
  host_seconds_ = kHostSecondsPerStep + (tensor_parallel_size > 1 ? kHostSecondsForParallel : 0);
}

double Hardware::step_seconds(const StepLoad& load) const {
  const double dense_ms =
      interpolate(dense_ms_, load.tokens) + 2 * kLayers * interpolate(all_reduce_ms_, load.tokens);
  const double kv_bytes = (load.decode_context + load.prefill_context) * kKvBytesPerToken;
  const double attention = kv_bytes / memory_bytes_per_second_ +
                           4 * kLayers * kHidden * load.prefill_pairs / attention_flops_;
  const double lm_head = std::max(kLmHeadBytes / memory_bytes_per_second_,
                                  2.0 * load.sampled * kVocabulary * kHidden / lm_head_flops_);
  return dense_ms * 1e-3 + attention + lm_head + host_seconds_ +
         kHostSecondsPerSequence * load.sequences;
}

std::int64_t Hardware::kv_tokens(double gpu_memory_utilization, int pipeline_parallel_size) const {
  const double gpus = tensor_parallel_size_ * pipeline_parallel_size;
  const double bytes =
      gpus * (kGpuBytes * gpu_memory_utilization - kActivationBytes) - kWeightBytes;
  return static_cast<std::int64_t>(bytes / kKvBytesPerToken);
}

}  // namespace batchproxy::sim
