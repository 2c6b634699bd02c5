// configs/manual/short_help.h - ShortHelp: a help of one screen, for a program with more flags.
//
// Threading: start-up only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>

namespace batchproxy {

// The group of flags that only --help-all shows.
inline constexpr const char* kMoreFlags = "More flags";

class ShortHelp : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    shows_all_ = mode == CLI::AppFormatMode::All;
    return Formatter::make_help(app, std::move(name), mode);
  }

  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override {
    if (group == kMoreFlags && !shows_all_) return "";
    return Formatter::make_group(std::move(group), is_positional, std::move(options));
  }

 private:
  mutable bool shows_all_ = false;  // CLI11 tells it to one function and asks the other
};

}  // namespace batchproxy
