// configs/manual/manual_page.h - manual pages, as man(7) wants them.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/key_tables.h"
#include "configs/manual/command_words.h"

namespace batchproxy {

// What a program's own command line does not tell.
struct PageWords {
  std::string version{};
  std::string flags_note{};             // what its own flags are for
  std::string codes{};                  // the exit codes, a line each
  std::vector<std::string> see_also{};  // "batchproxy.yaml(5)"
};

// batchproxy(1) and its like.
std::string program_page(const CommandWords& program, const PageWords& words);

// batchproxy.yaml(5).
std::string keys_page(const std::vector<KeyTable>& tables, std::string_view version);

}  // namespace batchproxy
