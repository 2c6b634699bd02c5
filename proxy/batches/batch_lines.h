// proxy/batches/batch_lines.h - the lines of a batch's output and error files, as OpenAI's.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "proxy/jobs/ledger.h"

namespace batchproxy {

// `id` is the line's own, with its end. An item that failed without an answer has an error instead
// of a response.
std::string batch_line(std::string_view id, const ItemOutcome& outcome);
// Of one that was not asked before the batch's window was over.
std::string expired_line(std::string_view id, std::string_view key);

// Of a line that is no request: its custom_id is null.
std::string refused_line(std::string_view id, std::string_view why);

}  // namespace batchproxy
