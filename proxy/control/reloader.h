// proxy/control/reloader.h - Reloader: reads the configuration again while we run, and has what can
// change changed.
//
// Everything is looked at before anything is changed: an unusable file changes nothing.
//
// Threading: confined to the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "configs/loader.h"
#include "configs/schema/options.h"
#include "proxy/control/reload.h"
#include "proxy/wire/api_keys.h"

namespace batchproxy {

class Reloader {
 public:
  struct Hooks {
    // Reads the configuration once more, from wherever it came, with what is tried over it.
    std::function<LoadResult(const std::vector<Flag>& trial)> load;
    // Has the backends of these options, and says what is another. Throws std::runtime_error, with
    // nothing done.
    std::function<std::vector<std::string>(const Options&)> replace_backends;
    // Reads the certificates that these options name anew, to be used from apply() on and not
    // before. A sentence when they cannot be used; else empty.
    std::function<std::string(const Options&)> read_files{};
    // The options and the keys are others now.
    std::function<void(const ApiKeysPtr&)> apply;
  };

  // `options` are changed by a reload; they, and what the hooks refer to, must outlive it. `keys`
  // may be null: then clients are asked for none.
  Reloader(Options& options, ApiKeysPtr keys, Hooks hooks);

  // `trial`: keys by name, as {"flush", "fixed"}, which count until the next reload.
  ReloadReport reload(const std::vector<Flag>& trial = {});

  const ApiKeysPtr& keys() const { return keys_; }
  std::uint64_t generation() const { return generation_; }  // of the configuration, from 1 on
  bool last_failed() const { return last_failed_; }

 private:
  // The changes, in sentences; nothing, and nothing done, when the new configuration is of no
  // use, which `report` says then.
  std::optional<std::vector<std::string>> take_over(const std::vector<Flag>& trial,
                                                    ReloadReport& report);

  Options& options_;
  ApiKeysPtr keys_;
  const Hooks hooks_;
  std::uint64_t generation_ = 1;
  bool last_failed_ = false;
};

}  // namespace batchproxy
