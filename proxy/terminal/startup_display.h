// proxy/terminal/startup_display.h - one line per engine while they load: kept up to date in place
// on a terminal; elsewhere a line per milestone, and now and then one about progress.
//
// Sans-io: returns the text to write.
//
// Threading: confined to the control thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "batcher/base/backend_set.h"
#include "batcher/base/time.h"

namespace batchproxy {

class StartupDisplay {
 public:
  static constexpr Duration kProgress =
      std::chrono::seconds(10);  // between lines that are no milestones

  struct Engine {
    BackendId id = 0;
    std::string name{};
  };
  // `in_place`: the output is a terminal that understands cursor movements.
  StartupDisplay(std::vector<Engine> engines, bool in_place);

  // An engine is now at `text`. A milestone (started, ready, failed) is always shown.
  std::string update(BackendId engine, std::string_view text, bool milestone, TimePoint now);

  // A line about something else.
  std::string line(std::string_view text);

 private:
  struct Row {
    Engine engine;
    std::string text;
    TimePoint shown{};
  };
  std::string draw() const;
  std::string move_to_top() const;

  std::vector<Row> rows_;
  const bool in_place_;
  bool drawn_ = false;
};

}  // namespace batchproxy
