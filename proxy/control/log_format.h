// proxy/control/log_format.h - how a message of ours is written on standard error.
//
// Threading: start-up only; the formatter is used by one sink.
#pragma once

#include <memory>
#include <string_view>

#include <spdlog/formatter.h>

namespace batchproxy {

// `format`: of the key `log_format`. Text has its time, level and message; for the journal, which
// has the time, a priority (`<4>`) and the message; in either as one line without control
// characters. `json`: an object on a line.
std::unique_ptr<spdlog::formatter> log_formatter(std::string_view format, bool to_journal);

// Whether standard error is the journal's, as systemd says in JOURNAL_STREAM.
bool is_journal();

}  // namespace batchproxy
