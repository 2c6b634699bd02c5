// configs/worker/worker_config.h - the file that the workers should use once batchproxy serves
// them.
//
// A worker that is given the unchanged file boots its own vLLM and batches by itself. The derived
// file differs in boot_local, server, port, enable_batching and, where it was missing, model; every
// other line, comment and blank stays as it was. What is batchproxy's own, its section, stays with
// it: there are keys in it.
//
// Threading: any thread; no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "configs/text/diagnostic.h"

namespace batchproxy {

struct WorkerConfig {
  std::string text;                     // the derived file; empty unless ok()
  std::vector<Diagnostic> diagnostics;  // why it could not be made

  bool ok() const { return diagnostics.empty(); }
};

// `text` is the user's file, `file` its name for messages. `host` and `port` are where workers
// reach batchproxy: not 0.0.0.0. `asks_for_key`: batchproxy has keys for its clients, and the file
// gets a place for one instead of the engines'. The result has been parsed again and compared with
// the original.
WorkerConfig make_worker_config(std::string_view text, const std::string& file,
                                const std::string& host, std::uint16_t port, bool asks_for_key);

// The placeholder where a worker's key is to be written.
inline constexpr std::string_view kKeyGoesHere = "WRITE-YOUR-BATCHPROXY-KEY-HERE";

}  // namespace batchproxy
