// configs/vllm/argument_history.cc - the table, the oldest losses first.
#include "configs/vllm/argument_history.h"

#include <algorithm>
#include <array>

#include "configs/vllm/argument_names.h"

namespace batchproxy {
namespace {

constexpr Version kBegin{0, 0, 0};
constexpr Version kNever{9999, 0, 0};
constexpr std::string_view kRemove = "remove it";

constexpr ArgumentHistory left_out(std::string_view name, Version gone,
                                   std::string_view advice = kRemove) {
  return {name, kBegin, gone, Fate::kLeftOut, {}, advice};
}
constexpr ArgumentHistory renamed(std::string_view name, Version since, Version gone,
                                  std::string_view other, std::string_view advice) {
  return {name, since, gone, Fate::kRenamed, other, advice};
}
constexpr ArgumentHistory by_hand(std::string_view name, Version gone, std::string_view advice) {
  return {name, kBegin, gone, Fate::kNoReplacement, {}, advice};
}

constexpr ArgumentHistory new_value(std::string_view name, std::string_view value, Version since,
                                    std::string_view advice) {
  return {name, since, kNever, Fate::kNoReplacement, {}, advice, value};
}

// `gone` is where leaving it out is right: where it has lost its effect, if that came first.
constexpr std::array kHistory{
    // The first engine's own, which the second one (0.10 and later) does not have.
    left_out("use_v2_block_manager", {0, 8, 0}),
    left_out("num_scheduler_steps", {0, 10, 0}),
    left_out("multi_step_stream_outputs", {0, 10, 0}),
    left_out("num_lookahead_slots", {0, 10, 0}),
    left_out("preemption_mode", {0, 10, 0}),
    left_out("enable_reasoning", {0, 10, 0}, "remove it: reasoning_parser alone says so"),
    left_out("device", {0, 10, 0}),
    left_out("disable_log_requests", {0, 10, 1},
             "they log no requests unless asked to, so remove it"),
    left_out("max_seq_len_to_capture", {0, 11, 0}),
    left_out("lora_extra_vocab_size", {0, 12, 0}),
    left_out("swap_space", {0, 12, 0}),
    left_out("disable_frontend_multiprocessing", {0, 33, 0}),
    left_out("max_num_partial_prefills", {0, 33, 0}),
    left_out("calculate_kv_scales", {0, 33, 0}),
    by_hand("speculative_model", {0, 9, 0}, "write speculative_config: {model: ...}"),
    by_hand("num_speculative_tokens", {0, 9, 0},
            "write speculative_config: {num_speculative_tokens: ...}"),
    by_hand("rope_scaling", {0, 33, 0}, "write hf_overrides: {rope_parameters: {...}}"),
    by_hand("rope_theta", {0, 33, 0}, "write hf_overrides: {rope_parameters: {rope_theta: ...}}"),
    // Old and new names of one thing.
    renamed("guided_decoding_backend", kBegin, {0, 12, 0}, "structured_outputs_config.backend",
            "write structured_outputs_config.backend"),
    renamed("structured_outputs_config.backend", {0, 12, 0}, kNever, "guided_decoding_backend",
            "write guided_decoding_backend"),
    renamed("cuda_graph_sizes", kBegin, {0, 12, 0}, "cudagraph_capture_sizes",
            "write cudagraph_capture_sizes"),
    renamed("cudagraph_capture_sizes", {0, 12, 0}, kNever, "cuda_graph_sizes",
            "write cuda_graph_sizes"),
    ArgumentHistory{"task", kBegin, {0, 11, 0}, Fate::kTask, {}, "write runner, and convert"},
    ArgumentHistory{"runner", {0, 10, 0}, kNever, Fate::kTask, {}, "write task"},
    ArgumentHistory{"convert", {0, 10, 0}, kNever, Fate::kTask, {}, "write task"},
    // New ones, without which an old engine would do something else.
    ArgumentHistory{"kv_cache_memory_bytes",
                    {0, 11, 0},
                    kNever,
                    Fate::kNoReplacement,
                    {},
                    "write gpu_memory_utilization"},
    new_value("max_model_len", "auto", {0, 14, 0}, "write a number of tokens"),
    new_value("max_model_len", "-1", {0, 14, 0}, "write a number of tokens"),
    ArgumentHistory{"max_num_queued_reqs", {0, 33, 0}, kNever, Fate::kLeftOut, {}, kRemove},
    ArgumentHistory{"max_num_queued_tokens", {0, 33, 0}, kNever, Fate::kLeftOut, {}, kRemove},
    ArgumentHistory{
        "disable_access_log_for_endpoints", {0, 16, 0}, kNever, Fate::kLeftOut, {}, kRemove},
    ArgumentHistory{"shutdown_timeout", {0, 18, 0}, kNever, Fate::kLeftOut, {}, kRemove},
};

}  // namespace

std::span<const ArgumentHistory> argument_history() {
  return kHistory;
}

const ArgumentHistory* history_of(std::string_view name, std::string_view value) {
  const std::string spelt = with_underscores(name);
  const auto row = std::ranges::find_if(kHistory, [&](const ArgumentHistory& each) {
    return each.name == spelt && (each.value.empty() || each.value == value);
  });
  return row == kHistory.end() ? nullptr : &*row;
}

bool is_missing(const ArgumentHistory& row, const Version& version) {
  return version < row.since || version >= row.gone;
}

}  // namespace batchproxy
