// proxy/manual/manual_page.h - manual pages, as man(7) wants them.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "configs/key_tables.h"
#include "proxy/manual/command_words.h"

namespace batchproxy {

// batchproxy(1). `codes`: the exit codes, a line each.
std::string program_page(const CommandWords& program, std::string_view version,
                         std::string_view codes);

// batchproxy.yaml(5).
std::string keys_page(const std::vector<KeyTable>& tables, std::string_view version);

}  // namespace batchproxy
