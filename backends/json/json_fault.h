// backends/json/json_fault.h - where a text stops being JSON, for messages.
//
// Nothing here is on the way of what is well-formed: the parsers that refuse a text do not say
// where.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace batchproxy {

// The offset of the first byte of `text` with which it can be no JSON value any more; its size,
// when it is cut off. Nothing when that cannot be told: it is JSON, nests very deep, or has a
// number or an escape that is well-formed and yet has no value.
std::optional<std::size_t> find_json_fault(std::string_view text);

// What stands at `at`, in ASCII: "`NaN`", "the byte 0xff", "the end".
std::string shown_at(std::string_view text, std::size_t at);

}  // namespace batchproxy
