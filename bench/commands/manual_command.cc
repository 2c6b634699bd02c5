// bench/commands/manual_command.cc - see manual_command.h.
#include "bench/commands/manual_command.h"

#include "configs/manual/manual_page.h"

namespace batchproxy::bench {

namespace {

constexpr const char* kExitCodes =
    "0: fine.\n1: some were not answered, or a promise is broken.\n"
    "2: a wrong flag, or a wrong line of a file of questions.\n3: a threshold was missed.\n"
    "130: stopped.";

}  // namespace

std::vector<WordCommand> add_word_commands(CLI::App& app) {
  const auto page = [&app] {
    return program_page(words_of(app), {.version = BATCHPROXY_VERSION,
                                        .flags_note = "They print, and do nothing else.",
                                        .codes = kExitCodes,
                                        .see_also = {"batchproxy(1)"}});
  };
  return {add_completion_command(app), add_manual_command(app, {{1, {"the program", page}}})};
}

}  // namespace batchproxy::bench
