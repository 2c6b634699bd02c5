// launcher/plan/argument_fit.cc - see argument_fit.h.
#include "launcher/plan/argument_fit.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <variant>

#include "configs/vllm/argument_history.h"
#include "configs/vllm/arguments.h"

namespace batchproxy {
namespace {

// One kind of work in the words of either time. The first row of a pair of new words is what
// an old vLLM is told for it.
struct TaskWords {
  std::string_view task;
  std::string_view runner;
  std::string_view convert;  // empty for what vLLM finds out by itself
};
constexpr std::array kTasks{
    TaskWords{"generate", "generate", ""},
    TaskWords{"embed", "pooling", "embed"},
    TaskWords{"embed", "pooling", ""},
    TaskWords{"embedding", "pooling", "embed"},
    TaskWords{"classify", "pooling", "classify"},
    TaskWords{"score", "pooling", "classify"},
    TaskWords{"reward", "pooling", ""},
    TaskWords{"transcription", "generate", ""},
    TaskWords{"draft", "draft", ""},
};

std::string_view text_of(const Argument* argument) {
  const auto* text = argument ? std::get_if<std::string>(&argument->value) : nullptr;
  return text == nullptr ? std::string_view() : *text;
}

// false and null say nothing on a command line, so no version minds them.
bool says_nothing(const Argument& argument) {
  return argument.value == ArgumentValue(false) ||
         std::holds_alternative<std::monostate>(argument.value);
}

class Fitter {
 public:
  Fitter(const Arguments& given, const Version& version) : given_(given), version_(version) {}

  FittedArguments fit() {
    for (const Argument& argument : given_) {
      const ArgumentHistory* row = history_of(argument.name, text_of(&argument));
      if (row == nullptr || !is_missing(*row, version_) || says_nothing(argument)) {
        fitted_.arguments.push_back(argument);
      } else {
        replace(argument, *row);
      }
    }
    return std::move(fitted_);
  }

 private:
  void replace(const Argument& argument, const ArgumentHistory& row) {
    switch (row.fate) {
      case Fate::kRenamed:
        return add({std::string(row.other), argument.value}, row);
      case Fate::kLeftOut:
        return remark(row, "left out");
      case Fate::kTask:
        return row.name == "task" ? split_task(argument, row) : join_task(row);
      case Fate::kNoReplacement:
        fitted_.problems.push_back(missing(row) + ": " + std::string(row.advice));
    }
  }

  // The replacement, unless what it replaces is already said in the version's own words.
  void add(Argument replacement, const ArgumentHistory& row) {
    if (find_argument(given_, replacement.name) ||
        find_argument(fitted_.arguments, replacement.name))
      return remark(row, "left out: " + replacement.name + " is given, too");
    remark(row, "given as " + replacement.name);
    fitted_.arguments.push_back(std::move(replacement));
  }

  void split_task(const Argument& argument, const ArgumentHistory& row) {
    if (find_argument(given_, "runner")) return remark(row, "left out: runner is given, too");
    const auto* task = std::get_if<std::string>(&argument.value);
    if (task != nullptr && *task == "auto") return remark(row, "left out");
    const auto words = std::ranges::find_if(
        kTasks, [&](const TaskWords& each) { return task != nullptr && each.task == *task; });
    if (words == kTasks.end()) {
      fitted_.problems.push_back(missing(row) + ": " + std::string(row.advice));
      return;
    }
    add({"runner", std::string(words->runner)}, row);
    if (!words->convert.empty()) add({"convert", std::string(words->convert)}, row);
  }

  // Once, for both of its words.
  void join_task(const ArgumentHistory& row) {
    if (find_argument(fitted_.arguments, "task") != nullptr) return;
    const std::string_view runner = text_of(find_argument(given_, "runner"));
    const std::string_view convert = text_of(find_argument(given_, "convert"));
    const auto words = std::ranges::find_if(kTasks, [&](const TaskWords& each) {
      return each.convert == convert && (runner.empty() || each.runner == runner);
    });
    if (words == kTasks.end()) return remark(row, "left out");
    add({"task", std::string(words->task)}, row);
  }

  std::string missing(const ArgumentHistory& row) const {
    const std::string value = row.value.empty() ? "" : ": " + std::string(row.value);
    return "vllm_args." + std::string(row.name) + value + ": vLLM " + to_string(version_) +
           (version_ < row.since ? " does not have it yet" : " no longer has it");
  }

  void remark(const ArgumentHistory& row, const std::string& outcome) {
    fitted_.remarks.push_back(missing(row) + "; " + outcome);
  }

  const Arguments& given_;
  const Version& version_;
  FittedArguments fitted_;
};

}  // namespace

FittedArguments fit_arguments(const Arguments& given, const Version& version) {
  return Fitter(given, version).fit();
}

}  // namespace batchproxy
