// proxy/terminal/console.h - what people see on the terminal: how the engines come up, the address
// to use, a line per second under load, a line per fixed batch.
//
// Plain lines on stdout, flushed one by one, so that they read the same in a terminal and in a
// file. Warnings and errors go to stderr through spdlog.
//
// Threading: confined to the control thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/roster.h"
#include "batcher/batch_ledger.h"
#include "configs/schema/options.h"
#include "proxy/metrics/snapshot.h"
#include "proxy/terminal/batch_hint.h"
#include "proxy/terminal/startup_display.h"

namespace batchproxy {

class Console {
 public:
  explicit Console(const Options& options) : options_(options) {}

  void line(std::string_view text);

  // `logs`: the directory of the engines' logs; empty when we start none.
  void banner(const Roster& roster, const std::string& logs, const std::string& listen,
              const std::string& admin);
  // How an engine is coming along; see StartupDisplay.
  void engine(const BackendRecord& engine, std::string_view text, bool milestone, TimePoint now);
  // All backends are up, or as many as will be: what to do now.
  void how_to_use(const Snapshot& now, const std::string& listen);
  void batch_done(const BatchSummary& batch, const std::string& backend);
  // Once a second: a summary if something was answered, and the hint about small batches, once.
  void tick(const Snapshot& now);

 private:
  void write(std::string_view text);
  void summary(const Snapshot& now);
  std::string worker_config_command(std::string_view listen) const;

  const Options& options_;
  std::optional<StartupDisplay> board_;  // until the engines are up
  Snapshot last_;
  BatchHistory history_;
  bool hinted_ = false;
};

}  // namespace batchproxy
