// launcher/diagnosis/figures.h - the numbers that stand in the line that tells why an engine
// failed.
//
// Threading: plain values and pure functions.
#pragma once

#include <optional>
#include <string>

namespace batchproxy {

// Each is absent where the line does not say it.
struct Figures {
  // The KV cache.
  std::optional<double> needed_gib;
  std::optional<double> available_gib;
  std::optional<double> context;          // tokens: the max_model_len that was asked for
  std::optional<double> longest_context;  // tokens: what the line says would do
  // The GPU.
  std::optional<double> free_gib;
  std::optional<double> total_gib;
  std::optional<double> utilization;  // that was asked for, from 0 to 1
  std::optional<double> wanted_gib;   // what that is
  // Requests at once.
  std::optional<double> sequences;       // max_num_seqs, as asked for
  std::optional<double> most_sequences;  // what the line says would do
  std::optional<double> batched_tokens;  // max_num_batched_tokens
  // How the model is spread.
  std::optional<double> ranks;  // GPUs asked for
  std::optional<double> gpus;   // GPUs that there are
  std::optional<double> parts;  // attention heads, or what else has to be divided
  // LoRA.
  std::optional<double> lora_rank;
  std::optional<double> max_lora_rank;

  std::optional<double> seconds;
  std::optional<double> needed_mib;  // of shared memory
  std::optional<double> free_mib;

  bool is_of_host = false;  // the memory that ran out was the host's, not the GPU's

  // A model, a file, a module, a method: what the line is about.
  std::string name;

  friend bool operator==(const Figures&, const Figures&) = default;
};

// The longest context that would do, in tokens: as the line says, else from the memory.
std::optional<double> fitting_context(const Figures& figures);

// The gpu_memory_utilization that what is free allows.
std::optional<double> fitting_utilization(const Figures& figures);

}  // namespace batchproxy
