// proxy/terminal/console.h - what people see on the terminal: how the engines come up, the address
// to use, a line about how things go (of each second, in its place; in a file each minute under
// load), a line per fixed batch.
//
// Lines go to stdout by way of the one writer of the terminal, which lets the log's through, too.
// In a file each line about something that happens has the time.
//
// Threading: confined to the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/roster.h"
#include "batcher/batch_ledger.h"
#include "configs/schema/options.h"
#include "proxy/metrics/snapshot.h"
#include "proxy/terminal/batch_hint.h"
#include "proxy/terminal/terminal_writer.h"

namespace batchproxy {

class Console {
 public:
  // From now on the log of this process goes by this console's writer.
  explicit Console(const Options& options);

  void line(std::string_view text);
  // Something has happened now.
  void event(std::string_view text);

  // Writes to the same terminal in its own way. Any thread, as long as the process lives.
  std::function<void(const std::function<void()>& write)> beside() const {
    return [writer = writer_](const std::function<void()>& write) { writer->aside(write); };
  }

  // `logs`: the directory of the engines' logs; empty when we start none.
  void banner(const Roster& roster, const std::string& logs, const std::string& listen,
              const std::string& admin);
  // How an engine is coming along; see StartupDisplay.
  void engine(const BackendRecord& engine, std::string_view text, bool milestone, TimePoint now);
  // The same of what the log tells, with those whom it concerns, too: only where each engine has a
  // line that stays in its place.
  void engine_in_place(const BackendRecord& engine, std::string_view text, TimePoint now);
  // All backends are up, or as many as will be: what to do now.
  void how_to_use(const Snapshot& now, const std::string& listen);
  void batch_done(const BatchSummary& batch, const std::string& backend);
  // Once a second: a summary if something was answered since the last, and the hint about small
  // batches, once.
  void tick(const Snapshot& now);

 private:
  bool wants_summary(const Snapshot& now) const;
  void show_summary(const Snapshot& now);
  std::string worker_config_command(std::string_view listen) const;

  const Options& options_;
  const std::shared_ptr<TerminalWriter> writer_ = std::make_shared<TerminalWriter>();
  std::uint64_t told_ = 0;  // prompts answered, at the last summary
  double told_at_ = 0;      // uptime
  BatchHistory history_;
  bool hinted_ = false;
};

}  // namespace batchproxy
